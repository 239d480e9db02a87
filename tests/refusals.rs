//! Where the slot and the progress contradict each other, walferry stops with a named code, skips
//! nothing, and leaves slot and topics as they are.

use std::time::{Duration, Instant};

use e2e::support::compare::{Repeats, assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::topic::{read_topic, record_count, write_record};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query, sql, wait_for};
use xtask::servers::{Cluster, PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

/// A connector that has published one row, and is down.
pub(crate) fn stage(purpose: &str, options: PostgresOptions) -> (PostgresServer, Config) {
    stage_on(postgres(options), purpose)
}

/// The same on a server that is there.
pub(crate) fn stage_on(postgres: PostgresServer, purpose: &str) -> (PostgresServer, Config) {
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new(purpose, &postgres, kafka());
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (1, 'published')");
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 1);
    (postgres, config)
}

/// How many records the table's topic holds.
pub(crate) fn published(config: &Config) -> i64 {
    record_count(config.bootstrap_servers(), &config.topic("users"))
}

/// It halts, again and again, and has touched neither slots nor publications nor topics.
pub(crate) fn assert_refuses(postgres: &PostgresServer, config: &Config, halt: &str, code: i32) {
    let positions =
        "SELECT slot_name || ' ' || confirmed_flush_lsn::text FROM pg_replication_slots";
    let before = query(postgres, positions);
    assert_keeps_halting(postgres, config, halt, code);
    assert_eq!(query(postgres, positions), before, "{halt}: a slot moved");
}

/// The same, but a slot may still move to where the stored progress is.
pub(crate) fn assert_keeps_halting(
    postgres: &PostgresServer,
    config: &Config,
    halt: &str,
    code: i32,
) {
    let seen = || {
        let slots = "SELECT slot_name FROM pg_replication_slots";
        let publications = "SELECT pubname FROM pg_publication";
        (
            query(postgres, slots),
            query(postgres, publications),
            published(config),
        )
    };
    let before = seen();
    for _ in 0..2 {
        assert_halts(&mut config.spawn(), halt, code);
    }
    assert_eq!(seen(), before, "{halt}: something was touched");
}

/// What most of the texts advise: another slot, the publication as it is, and the rows that are
/// there first.
pub(crate) fn start_anew(config: Config) -> Config {
    let name = config.slot();
    config
        .set("postgres.publication", &name)
        .set("postgres.slot", &format!("{name}_2"))
        .set("snapshot.snapshot.mode", "initial")
}

/// The topic is what the table is, and its promises hold.
pub(crate) fn assert_complete(postgres: &PostgresServer, config: &Config) -> Repeats {
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert_same_rows(&fold(&events), &table_rows(postgres, "users", &["id"]));
    assert_at_least_once(&events)
}

/// A server that keeps little WAL for slots.
fn forgetful() -> PostgresOptions {
    PostgresOptions::default()
        .with("max_slot_wal_keep_size", "1MB")
        .with("min_wal_size", "32MB")
        .with("max_wal_size", "32MB")
        .with("max_prepared_transactions", "1")
}

/// Writes until the server has dropped WAL that the slot needs.
fn outrun(postgres: &PostgresServer) {
    let rows = "INSERT INTO users SELECT i, repeat('x', 500) FROM generate_series(2, 20000) i \
                ON CONFLICT (id) DO UPDATE SET name = 'again'";
    wait_for("the slot is lost", LIMIT, || {
        for statement in [rows, "SELECT pg_switch_wal()", "CHECKPOINT"] {
            sql(postgres, statement);
        }
        let status = query(postgres, "SELECT wal_status FROM pg_replication_slots");
        (status == ["lost"]).then_some(())
    });
}

#[test]
fn slot_lost() {
    let (postgres, config) = stage("lost", forgetful());
    outrun(&postgres);
    assert_refuses(&postgres, &config, "SLOT_LOST", 10);
    let slot = config.slot();
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{slot}')"),
    );
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}

/// A transaction that stays open (here: prepared) holds the slot's oldest WAL, however well walferry
/// keeps up.
#[test]
fn slot_lost_while_streaming() {
    let (postgres, config) = stage("outrun", forgetful());
    let mut walferry = config.start();
    sql(
        &postgres,
        "BEGIN; INSERT INTO users VALUES (0, 'prepared'); PREPARE TRANSACTION 'held'",
    );
    outrun(&postgres);
    let lost = Instant::now();
    assert_halts(&mut walferry, "SLOT_LOST", 10);
    let took = lost.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "{took:?}:\n{}",
        walferry.log()
    );
    assert_refuses(&postgres, &config, "SLOT_LOST", 10);
}

#[test]
fn slot_dropped_and_recreated() {
    let (postgres, config) = stage("recreated", PostgresOptions::default());
    let slot = config.slot();
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{slot}')"),
    );
    assert_refuses(&postgres, &config, "SLOT_RECREATED", 11);
    // Nor is it just a slot that has to be made first.
    let config = config.set("postgres.create", "never");
    assert_refuses(&postgres, &config, "SLOT_RECREATED", 11);
    let config = config.unset("postgres.create");
    sql(&postgres, "INSERT INTO users VALUES (2, 'would be lost')");
    sql(
        &postgres,
        &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
    );
    assert_refuses(&postgres, &config, "SLOT_RECREATED", 11);
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}

#[test]
fn slot_ahead_of_the_progress() {
    let (postgres, config) = stage("ahead", PostgresOptions::default());
    sql(&postgres, "INSERT INTO users VALUES (2, 'would be lost')");
    let advance = format!(
        "SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        config.slot()
    );
    sql(&postgres, &advance);
    assert_refuses(&postgres, &config, "SLOT_AHEAD", 14);
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}

#[test]
fn another_cluster() {
    let (first, config) = stage("system", PostgresOptions::default());
    let options = PostgresOptions {
        cluster: Cluster::New,
        ..PostgresOptions::default()
    };
    let second = postgres(options);
    sql(
        &second,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let slot = config.slot();
    sql(
        &second,
        &format!("CREATE PUBLICATION {slot} FOR TABLE users"),
    );
    sql(
        &second,
        &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
    );
    let config = config.set("postgres.url", &second.url());
    let identity = "SELECT system_identifier FROM pg_control_system()";
    assert_ne!(query(&first, identity), query(&second, identity));
    assert_refuses(&second, &config, "SYSTEM_CHANGED", 12);
    sql(&first, "INSERT INTO users VALUES (2, 'in the right one')");
    let config = config.set("postgres.url", &first.url());
    config.catch_up(LIMIT);
    assert_complete(&first, &config);
    assert_eq!(published(&config), 2);
}

#[test]
fn two_instances_on_one_slot() {
    let (postgres, config) = stage("two", PostgresOptions::default());
    let mut first = config.start();
    let second = config.another_instance();
    assert_halts(&mut second.spawn(), "SLOT_IN_USE", 15);
    assert!(first.is_running(), "the first goes on:\n{}", first.log());
    sql(&postgres, "INSERT INTO users VALUES (2, 'by the first')");
    wait_for("the first publishes", LIMIT, || {
        (published(&config) == 2).then_some(())
    });
    first.sigterm();
    assert_eq!(first.wait_exit(LIMIT), Some(0), "{}", first.log());
    sql(&postgres, "INSERT INTO users VALUES (3, 'by the second')");
    second.catch_up(LIMIT);
    assert_eq!(published(&config), 3);
}

#[test]
fn progress_of_a_newer_format_and_of_nobody() {
    let (postgres, config) = stage("newer", PostgresOptions::default());
    let topic = format!("walferry.progress.{}", config.slot());
    let slot = config.slot();
    let newer = format!("{{\"format\":99,\"slot\":\"{slot}\",\"walferry\":\"9.9.9\"}}");
    for (record, halt, code) in [
        (newer.as_str(), "PROGRESS_NEWER", 17),
        ("not a progress record", "PROGRESS_UNREADABLE", 18),
    ] {
        let good = newest_value(&config, &topic);
        write_record(config.bootstrap_servers(), &topic, &slot, record);
        sql(&postgres, "INSERT INTO users VALUES (2, 'waits')");
        assert_refuses(&postgres, &config, halt, code);
        let said = String::from_utf8(config.check(&[]).stdout).expect("text");
        assert!(said.contains(&format!("error   {halt}")), "{said}");
        // As the newer version would leave it for us, or a person who takes the stranger's away.
        write_record(config.bootstrap_servers(), &topic, &slot, &good);
        config.catch_up(LIMIT);
        assert_complete(&postgres, &config);
        sql(&postgres, "DELETE FROM users WHERE id = 2");
        config.catch_up(LIMIT);
    }
}

fn newest_value(config: &Config, topic: &str) -> String {
    let records = read_topic(config.bootstrap_servers(), topic);
    let newest = records.last().and_then(|record| record.value.clone());
    String::from_utf8(newest.expect("a stored position")).expect("text")
}
