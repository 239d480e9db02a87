use super::*;

fn server() -> Server {
    Server {
        version: 150_018,
        version_text: "15.18 (Debian 15.18-1)".to_owned(),
        database: "shop".to_owned(),
        wal_level: "logical".to_owned(),
        slots_max: 10,
        slots: 1,
        idle_slots: vec!["old".to_owned()],
        senders_max: 10,
        senders: 1,
        sender_timeout_ms: 60_000,
        slot_wal_keep_mb: 16_384,
        idle_slot_timeout_s: 0,
        synchronous_standby_names: String::new(),
        encoding: "UTF8".to_owned(),
        in_recovery: false,
        hot_standby_feedback: false,
        forgotten: Vec::new(),
    }
}

fn forgotten() -> PreparedTransaction {
    PreparedTransaction {
        gid: "o'brien".to_owned(),
        database: "shop".to_owned(),
        owner: "coordinator".to_owned(),
        age_seconds: 7_200,
        retained_bytes: Some(5_000),
    }
}

#[test]
fn a_forgotten_transaction_is_told_with_all_that_is_known_of_it() {
    let finding = super::forgotten(&forgotten());
    let expected = "The transaction that coordinator prepared as \"o'brien\" in database shop is 7200 s \
                    old. It holds back vacuum, and the WAL since it began. For the slot 5000 bytes of WAL \
                    are kept in all, those that are not read yet included.";
    assert_eq!(finding.problem, expected);
    assert!(
        finding.fix().contains("COMMIT PREPARED 'o''brien';"),
        "{}",
        finding.fix()
    );
    let rollback = Remedy::Sql("ROLLBACK PREPARED 'o''brien';".to_owned());
    assert_eq!(finding.otherwise, [rollback]);
}

/// Severity's first letter and code of each finding.
fn said(server: &Server, need: SlotNeed, reading: bool) -> Vec<String> {
    judge("walferry", server, need, reading)
        .iter()
        .map(|finding| format!("{} {}", &finding.severity.word()[..1], finding.code))
        .collect()
}

fn codes(change: impl FnOnce(&mut Server)) -> Vec<String> {
    let mut changed = server();
    change(&mut changed);
    said(&changed, SlotNeed::New, false)
}

#[test]
fn a_good_server_has_nothing_to_say() {
    assert!(codes(|_| {}).is_empty());
}

#[test]
fn each_fault_is_named_alone() {
    type Change = fn(&mut Server);
    let cases: [(Change, &str); 14] = [
        (|s| s.version = 130_020, "e SERVER_VERSION"),
        (|s| s.version = 190_000, "w SERVER_VERSION"),
        (|s| s.version = 170_005, "w SERVER_MINOR"),
        (|s| s.version = 140_018, "w SERVER_MINOR"),
        (|s| s.wal_level = "minimal".to_owned(), "e WAL_LEVEL"),
        (|s| s.slots = 10, "e SLOTS_FULL"),
        (|s| s.senders = 10, "e SENDERS_FULL"),
        (|s| s.sender_timeout_ms = 0, "w WAL_SENDER_TIMEOUT"),
        (|s| s.sender_timeout_ms = 1_000, "w WAL_SENDER_TIMEOUT"),
        (|s| s.idle_slot_timeout_s = 60, "w IDLE_SLOT_TIMEOUT"),
        (|s| s.slot_wal_keep_mb = 0, "w SLOT_WAL_KEEP_SIZE"),
        (|s| s.slot_wal_keep_mb = -1, "i SLOT_WAL_KEEP_SIZE"),
        (|s| s.encoding = "SQL_ASCII".to_owned(), "w SERVER_ENCODING"),
        (|s| s.forgotten.push(forgotten()), "w PREPARED_FORGOTTEN"),
    ];
    for (change, expected) in cases {
        assert_eq!(codes(change), [expected]);
    }
}

#[test]
fn the_first_good_minors_are_not_complained_about() {
    for version in [140_019, 150_014, 160_010, 170_006, 180_000] {
        assert!(codes(|s| s.version = version).is_empty(), "{version}");
    }
}

#[test]
fn what_is_there_already_needs_no_room() {
    let mut full = server();
    (full.slots, full.senders) = (10, 10);
    assert!(said(&full, SlotNeed::Exists, true).is_empty());
    assert_eq!(said(&full, SlotNeed::Exists, false), ["e SENDERS_FULL"]);
}

#[test]
fn standbys() {
    let standby = |version, feedback| {
        codes(|s| (s.version, s.in_recovery, s.hot_standby_feedback) = (version, true, feedback))
    };
    assert_eq!(standby(150_018, true), ["e IN_RECOVERY"]);
    assert_eq!(standby(160_014, false), ["w IN_RECOVERY"]);
    assert_eq!(standby(160_014, true), ["i IN_RECOVERY"]);
}

#[test]
fn names_of_synchronous_standbys() {
    for (setting, names) in [
        ("", &[][..]),
        ("a, b", &["a", "b"]),
        ("FIRST 2 (\"a,b\", c)", &["a,b", "c"]),
        ("ANY 1 (*)", &["*"]),
        ("2(a,\"q\"\"uote\")", &["a", "q\"uote"]),
        ("\"odd (name\"", &["odd (name"]),
    ] {
        assert_eq!(standby_names(setting), names, "{setting}");
    }
    for (setting, refused) in [
        ("walferry", true),
        ("FIRST 1 (other, WalFerry)", true),
        ("*", true),
        ("walferry_two, \"wal ferry\"", false),
    ] {
        let expected: &[&str] = if refused {
            &["e SYNCHRONOUS_STANDBY"]
        } else {
            &[]
        };
        assert_eq!(
            codes(|s| s.synchronous_standby_names = setting.to_owned()),
            expected
        );
    }
}
