use super::super::wanted::{Action, Partitions, Snapshot};
use super::*;

fn slot() -> Slot {
    Slot {
        slot_type: "logical".to_owned(),
        plugin: Some("pgoutput".to_owned()),
        database: Some("shop".to_owned()),
        wal_status: Some("reserved".to_owned()),
        ..Slot::default()
    }
}

/// Severity's first letter and code of each finding.
fn said(name: &str, create: Create, progress: StoredProgress, slot: Option<&Slot>) -> Vec<String> {
    let wanted = Wanted {
        prepared_age: std::time::Duration::from_secs(3600),
        slot: name,
        publication: "p",
        application_name: "walferry",
        create,
        captures: &|_, _| true,
        part: &|_, _| None,
        patterns: &[],
        actions: &Action::ALL,
        partitions: Partitions::Leaf,
        snapshot: Snapshot::NoData,
        copied: &|_, _| true,
        copy_filters: &[],
        progress,
        envelope: &envelope::Options::new("shop", "shop"),
    };
    judge(&wanted, "shop", slot)
        .iter()
        .map(|finding| format!("{} {}", &finding.severity.word()[..1], finding.code))
        .collect()
}

fn codes(change: impl FnOnce(&mut Slot)) -> Vec<String> {
    let mut changed = slot();
    change(&mut changed);
    said("s", Create::Auto, StoredProgress::Present, Some(&changed))
}

#[test]
fn names_a_server_takes() {
    for (name, legal) in [
        ("walferry_shop", true),
        (&*"a".repeat(63), true),
        (&*"a".repeat(64), false),
        ("", false),
        ("Shop", false),
        ("a-b", false),
        ("a'b", false),
    ] {
        assert_eq!(legal_name(name), legal, "{name}");
        let said = said(name, Create::Auto, StoredProgress::Absent, Some(&slot()));
        assert_eq!(said.is_empty(), legal);
    }
}

#[test]
fn a_missing_slot() {
    use StoredProgress::{Absent, Present, Unknown};
    for (create, progress, expected) in [
        (Create::Auto, Absent, "i SLOT_MISSING"),
        (Create::Auto, Unknown, "i SLOT_MISSING"),
        (Create::Never, Absent, "e SLOT_MISSING"),
        (Create::Auto, Present, "e SLOT_RECREATED"),
        (Create::Never, Present, "e SLOT_RECREATED"),
    ] {
        assert_eq!(said("s", create, progress, None), [expected]);
    }
}

#[test]
fn each_fault_is_named_alone() {
    let reader = |name: Option<&str>| {
        Some(Reader {
            pid: 7,
            application_name: name.map(ToOwned::to_owned),
        })
    };
    assert!(codes(|_| {}).is_empty());
    assert_eq!(
        codes(|s| s.slot_type = "physical".to_owned()),
        ["e SLOT_PHYSICAL"]
    );
    assert_eq!(
        codes(|s| s.plugin = Some("wal2json".to_owned())),
        ["e SLOT_PLUGIN"]
    );
    assert_eq!(
        codes(|s| s.database = Some("other".to_owned())),
        ["e SLOT_DATABASE"]
    );
    assert_eq!(codes(|s| s.temporary = true), ["e SLOT_TEMPORARY"]);
    assert_eq!(codes(|s| s.two_phase = true), ["i SLOT_TWO_PHASE"]);
    assert_eq!(codes(|s| s.synced = true), ["e SLOT_SYNCED"]);
    assert_eq!(
        codes(|s| s.wal_status = Some("lost".to_owned())),
        ["e SLOT_LOST"]
    );
    let idle = "idle_timeout".to_owned();
    assert_eq!(codes(|s| s.invalidation = Some(idle)), ["e SLOT_LOST"]);
    let unreserved = "unreserved".to_owned();
    assert_eq!(
        codes(|s| s.wal_status = Some(unreserved)),
        ["w SLOT_UNRESERVED"]
    );
    assert_eq!(
        codes(|s| s.reader = reader(Some("debezium"))),
        ["e SLOT_ACTIVE"]
    );
    assert_eq!(codes(|s| s.reader = reader(None)), ["e SLOT_ACTIVE"]);
    assert_eq!(
        codes(|s| s.reader = reader(Some("walferry"))),
        ["i SLOT_ACTIVE"]
    );
}

#[test]
fn how_far_it_is_behind() {
    let kept = |retained: i64, safe: Option<i64>| {
        codes(|s| (s.retained, s.safe_wal_size) = (Some(retained), safe))
    };
    let gigabyte = 1 << 30;
    assert!(kept(gigabyte, None).is_empty());
    assert_eq!(kept(gigabyte + 1, None), ["i SLOT_BEHIND"]);
    assert_eq!(kept(gigabyte * 4, Some(gigabyte * 2)), ["i SLOT_BEHIND"]);
    assert_eq!(
        kept(gigabyte * 4, Some(gigabyte - 1)),
        ["w SLOT_NEAR_LIMIT"]
    );
    assert_eq!(kept(gigabyte * 4, Some(-5)), ["w SLOT_NEAR_LIMIT"]);
    assert_eq!(megabytes(gigabyte * 11 + 5), "11 GB");
    assert_eq!(megabytes(-1), "0 MB");
}
