//! `run --until` catches up to a position, confirms it and ends with 0; run again, it repeats
//! nothing; and what was missing (slot, publication, topics) is there afterwards.

use std::time::Duration;

use e2e::support::compare::{assert_no_repeats, assert_same_rows, fold, table_rows};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::workload::Workload;
use e2e::support::{bytes_behind, kafka, postgres, query, query_one, sql, wait_for, walsender};
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn catches_up_confirms_and_ends() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new("until", &postgres, kafka());
    config.catch_up(LIMIT);
    let slots = query(
        &postgres,
        "SELECT slot_name || ' ' || plugin FROM pg_replication_slots",
    );
    assert_eq!(slots, [format!("{} pgoutput", config.slot())]);
    assert_eq!(
        query(&postgres, "SELECT pubname FROM pg_publication"),
        [config.slot()]
    );

    sql(
        &postgres,
        "INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 1000) i",
    );
    sql(
        &postgres,
        "UPDATE users SET name = 'changed' WHERE id <= 10; DELETE FROM users WHERE id = 5",
    );
    let position = query_one(&postgres, "SELECT pg_current_wal_lsn()");
    config.catch_up(LIMIT);
    let confirmed = format!(
        "SELECT confirmed_flush_lsn >= '{position}' FROM pg_replication_slots \
         WHERE slot_name = '{}'",
        config.slot()
    );
    assert_eq!(
        query_one(&postgres, &confirmed),
        "t",
        "{} behind",
        bytes_behind(&postgres, &config.slot())
    );

    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert_eq!(
        events.len(),
        1000 + 10 + 2,
        "inserts, updates, a delete and its tombstone"
    );
    assert_no_repeats(&events);
    assert_same_rows(&fold(&events), &table_rows(&postgres, "users", &["id"]));
}

#[test]
fn ends_at_a_position_while_others_go_on_writing() {
    let postgres = postgres(PostgresOptions::default());
    e2e::support::workload::create_tables(&postgres);
    let config = Config::new("position", &postgres, kafka());
    config.catch_up(LIMIT);
    let load = Workload::start(&postgres, 11, 2, 1);
    wait_for("a backlog", LIMIT, || {
        (load.transactions() >= 300).then_some(())
    });
    let position = query_one(&postgres, "SELECT pg_current_wal_lsn()");
    let mut run = config.spawn_with(&["--until", &position]);
    let code = run.wait_exit(LIMIT);
    assert_eq!(code, Some(0), "{}", run.log());
    assert_eq!(
        walsender(&postgres, &config.slot()),
        None,
        "the slot is free"
    );
    load.stop();

    config.catch_up(LIMIT);
    for table in e2e::support::workload::TABLES {
        let events = read_topic(config.bootstrap_servers(), &config.topic(table));
        assert_no_repeats(&events);
        let key = e2e::support::workload::key_columns(table);
        assert_same_rows(&fold(&events), &table_rows(&postgres, table, key));
    }
}

#[test]
fn a_signal_before_the_position_is_no_success() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new("unreached", &postgres, kafka());
    config.catch_up(LIMIT);
    // A position that no WAL comes to while this test lasts.
    let mut walferry = config.spawn_with(&["--until", "FFFF/0"]);
    walferry.wait_ready();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(7), "{}", walferry.log());
}
