//! A standby takes over: the new timeline is what walferry finds first, whether the slot came along
//! or not; and once the operator has done what the manual says, everything is in the topic.

use std::time::Duration;

use e2e::support::walferry::Config;
use e2e::support::{query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer, Shutdown, Slots};

use super::refusals::{assert_complete, assert_refuses, published, stage, start_anew};

const LIMIT: Duration = Duration::from_secs(30);

/// A connector that has published two rows, and a standby that has both and was promoted after the
/// primary was gone. The second row was published after the slot had been copied.
fn fail_over(purpose: &str, slots: Slots) -> (PostgresServer, Config) {
    let (mut primary, config) = stage(purpose, PostgresOptions::default());
    let standby = primary.standby(slots).expect("a standby");
    sql(&primary, "INSERT INTO users VALUES (2, 'published')");
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 2);
    wait_for("the standby has both rows", LIMIT, || {
        (query_one(&standby, "SELECT count(*)::text FROM users") == "2").then_some(())
    });
    primary.stop(Shutdown::Immediate).expect("it stops");
    standby.promote().expect("the promotion");
    let config = config.set("postgres.url", &standby.url());
    (standby, config)
}

#[test]
fn with_the_slot() {
    let (postgres, config) = fail_over("promoted", Slots::Kept);
    sql(&postgres, "INSERT INTO users VALUES (3, 'after')");
    assert_refuses(&postgres, &config, "TIMELINE_CHANGED", 13);
    let (old, new) = (config.slot(), format!("{}_2", config.slot()));
    sql(
        &postgres,
        &format!("SELECT pg_copy_logical_replication_slot('{old}', '{new}')"),
    );
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{old}')"),
    );
    let config = config
        .set("postgres.slot", &new)
        .set("postgres.publication", &old);
    config.catch_up(LIMIT);
    // The slot was behind: what it had not been told of came again, with the ids that it had.
    let repeats = assert_complete(&postgres, &config);
    assert_eq!(repeats.distinct, 3);
    assert!(repeats.repeated >= 1, "{repeats:?}");
}

#[test]
fn without_the_slot() {
    let (postgres, config) = fail_over("bereft", Slots::LeftOut);
    sql(&postgres, "INSERT INTO users VALUES (3, 'after')");
    assert_refuses(&postgres, &config, "TIMELINE_CHANGED", 13);
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
    assert_eq!(published(&config), 5, "two changes, then all three rows");
}

#[test]
fn of_several_hosts_the_one_that_writes() {
    let (mut primary, config) = stage("several", PostgresOptions::default());
    let standby = primary.standby(Slots::LeftOut).expect("a standby");
    sql(&primary, "INSERT INTO users VALUES (2, 'on the primary')");
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let url = |attrs: &str| {
        format!("postgresql://postgres@{hosts}/postgres?target_session_attrs={attrs}")
    };
    for attrs in ["read-write", "primary"] {
        let config = config.another_instance().set("postgres.url", &url(attrs));
        config.catch_up(LIMIT);
        let log = config.check(&["--json"]);
        assert!(log.status.success(), "{attrs}: {log:?}");
    }
    assert_complete(&primary, &config);
    assert_eq!(published(&config), 2);
}
