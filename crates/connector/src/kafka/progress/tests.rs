use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn progress() -> Progress {
    Progress {
        system_identifier: 7_412_345_678_901_234_567,
        timeline: 1,
        epoch: 7_412_345_678_901_234_567,
        commit_end_lsn: Lsn::new(0x16B_3748),
        split: None,
        snapshot: SnapshotState::Finished,
        shape: 0,
        chunk_ordinals: 0,
    }
}

fn encoded(progress: &Progress) -> Vec<u8> {
    let mut out = Vec::new();
    encode(progress, "walferry_shop", 1_764_150_000_123, &mut out);
    out
}

#[test]
fn the_format_is_stable() {
    let version = env!("CARGO_PKG_VERSION");
    let text = String::from_utf8(encoded(&progress()))
        .unwrap()
        .replace(version, "VERSION");
    expect![[r#"{"format":1,"slot":"walferry_shop","system_identifier":"7412345678901234567","timeline":1,"epoch":"7412345678901234567","commit_end_lsn":"0/16B3748","snapshot":"finished","shape":"0","written_at_ms":1764150000123,"walferry":"VERSION"}"#]]
    .assert_eq(&text);
}

#[test]
fn a_later_writer_of_this_format_may_add_fields() {
    let mut value: serde_json::Value = serde_json::from_slice(&encoded(&progress())).unwrap();
    value["region"] = "eu".into();
    let bytes = serde_json::to_vec(&value).unwrap();
    assert_eq!(decode("walferry_shop", &bytes), Ok(progress()));
}

#[test]
fn a_newer_format_is_refused_whatever_else_it_holds() {
    let bytes = br#"{"format":2,"walferry":"0.9.0","commit_end_lsn":{"a":1}}"#;
    let error = decode("walferry_shop", bytes).unwrap_err();
    assert_eq!(error.class(), Class::Halt(Halt::ProgressNewer));
    expect![[r#"progress of slot "walferry_shop" has format 2, written by walferry 0.9.0; this version reads up to format 1: run that version or a newer one"#]]
        .assert_eq(&error.to_string());
}

#[test]
fn garbage_is_a_named_error() {
    let good = String::from_utf8(encoded(&progress())).unwrap();
    for bad in [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "not json".to_owned(),
        r#"{"format":0}"#.to_owned(),
        r#"{"format":-1}"#.to_owned(),
        r#"{"format":"1"}"#.to_owned(),
        good.replace("0/16B3748", "16B3748"),
        good.replace("\"7412345678901234567\"", "\"seven\""),
        good.replace("finished", "half"),
        good.replace("walferry_shop", "another_slot"),
        good[..good.len() - 1].to_owned(),
    ] {
        let error = decode("walferry_shop", bad.as_bytes()).unwrap_err();
        assert_eq!(
            error.class(),
            Class::Halt(Halt::ProgressUnreadable),
            "{bad}: {error}"
        );
    }
}

#[test]
fn the_topic_must_be_compacted_and_whole() {
    let topic = |partitions, policy: Option<&str>| {
        TopicDescription::present("p", partitions, policy.map(|it| ("cleanup.policy", it)))
    };
    assert_eq!(suitable(&topic(1, Some("compact"))), Ok(()));
    assert_eq!(suitable(&topic(1, None)), Ok(()));
    for (partitions, policy) in [
        (4, Some("compact")),
        (1, Some("delete")),
        (1, Some("compact,delete")),
    ] {
        let error = suitable(&topic(partitions, policy)).unwrap_err();
        assert_eq!(
            error.class(),
            Class::Halt(Halt::ProgressUnreadable),
            "{error}"
        );
    }
    let missing = TopicDescription {
        name: "p".to_owned(),
        state: TopicState::Missing,
    };
    assert_eq!(
        suitable(&missing).unwrap_err().class(),
        Class::Halt(Halt::TopicUnusable)
    );
}

proptest! {
    #[test]
    fn every_progress_comes_back(
        system_identifier: u64,
        timeline: u32,
        epoch: u64,
        lsn: u64,
        split in proptest::option::of((any::<u64>(), any::<u64>())),
        snapshot in prop_oneof![
            Just(SnapshotState::None), Just(SnapshotState::Running), Just(SnapshotState::Finished)
        ],
    ) {
        let split = split.map(|(commit_lsn, records_done)| Split {
            commit_lsn: CommitLsn(Lsn::new(commit_lsn)),
            records_done,
        });
        let commit_end_lsn = Lsn::new(lsn);
        let progress =
            Progress { system_identifier, timeline, epoch, commit_end_lsn, split, snapshot, shape: 7, chunk_ordinals: 5 };
        prop_assert_eq!(decode("walferry_shop", &encoded(&progress)), Ok(progress));
    }
}
