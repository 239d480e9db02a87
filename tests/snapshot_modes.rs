//! `snapshot.mode` by Debezium's words, which tables' rows are published, in which order, by which statement.

use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::{exists, read_topic};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);

fn config(purpose: &str, postgres: &PostgresServer, mode: &str) -> Config {
    Config::new(purpose, postgres, kafka()).set("snapshot.snapshot.mode", mode)
}

fn users(postgres: &PostgresServer) {
    sql(
        postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text);
         INSERT INTO users VALUES (1, 'a'), (2, 'b')",
    );
}

/// `op key` of each event.
fn told(config: &Config, table: &str) -> Vec<String> {
    let told = |event: &Event| format!("{} {}", event.operation(), event.key_json()["id"]);
    let topic = config.topic(table);
    if !exists(config.bootstrap_servers(), &topic) {
        return Vec::new();
    }
    read_topic(config.bootstrap_servers(), &topic)
        .iter()
        .map(told)
        .collect()
}

#[test]
fn always_publishes_all_rows_at_each_start_of_the_process() {
    let postgres = postgres(PostgresOptions::default());
    users(&postgres);
    let config = config("mode_always", &postgres, "always");
    config.catch_up(LIMIT);
    assert_eq!(told(&config, "users"), ["r 1", "r 2"]);
    sql(&postgres, "DELETE FROM users WHERE id = 1");
    config.catch_up(LIMIT);
    let expected = ["r 1", "r 2", "d 1", "tombstone 1", "r 2"];
    assert_eq!(told(&config, "users"), expected, "the stream goes first");
    // A connection that is lost is not a start.
    let mut walferry = config.start();
    wait_for("the third copy", LIMIT, || {
        let log = walferry.log();
        log.contains("changes follow").then_some(())
    });
    sql(
        &postgres,
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active",
    );
    wait_for("another connection", LIMIT, || {
        (walferry.log().matches("streaming slot=").count() > 1).then_some(())
    });
    sql(&postgres, "INSERT INTO users VALUES (3, 'c')");
    wait_for("the change", LIMIT, || {
        told(&config, "users")
            .contains(&"c 3".to_owned())
            .then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    let all = told(&config, "users");
    assert_eq!(all.iter().filter(|it| *it == "r 2").count(), 3, "{all:?}");
}

#[test]
fn initial_only_ends_by_itself_and_leaves_the_stream_to_another_mode() {
    let postgres = postgres(PostgresOptions::default());
    users(&postgres);
    let config = config("mode_only", &postgres, "initial_only");
    let mut walferry = config.spawn();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    assert_eq!(told(&config, "users"), ["r 1", "r 2"]);
    sql(&postgres, "UPDATE users SET name = 'c' WHERE id = 2");
    let mut walferry = config.spawn();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    assert_eq!(
        told(&config, "users"),
        ["r 1", "r 2"],
        "nothing more is wanted"
    );
    let config = config.set("snapshot.snapshot.mode", "initial");
    config.catch_up(LIMIT);
    assert_eq!(
        told(&config, "users"),
        ["r 1", "r 2", "u 2"],
        "nothing was missed"
    );
}

#[test]
fn when_needed_makes_a_lost_slot_anew_and_publishes_all_rows() {
    let postgres = postgres(PostgresOptions::default());
    users(&postgres);
    let config = config("mode_needed", &postgres, "when_needed");
    config.catch_up(LIMIT);
    let slot = config.slot();
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{slot}')"),
    );
    sql(&postgres, "UPDATE users SET name = 'lost' WHERE id = 1");
    let halting = config
        .another_instance()
        .set("snapshot.snapshot.mode", "initial");
    assert_halts(&mut halting.spawn(), "SLOT_RECREATED", 11);
    config.catch_up(LIMIT);
    let mut all = told(&config, "users");
    all.sort();
    assert_eq!(all, ["r 1", "r 1", "r 2", "r 2"]);
    // With a slot in place nothing is published again.
    sql(&postgres, "UPDATE users SET name = 'seen' WHERE id = 1");
    config.catch_up(LIMIT);
    assert_eq!(
        told(&config, "users").last().map(String::as_str),
        Some("u 1")
    );
    assert_eq!(told(&config, "users").len(), 5);
}

#[test]
fn when_needed_takes_a_slot_whose_wal_is_gone() {
    let options = PostgresOptions::default()
        .with("max_slot_wal_keep_size", "1MB")
        .with("wal_keep_size", "0");
    let postgres = postgres(options);
    users(&postgres);
    let config = config("mode_lost", &postgres, "when_needed");
    config.catch_up(LIMIT);
    for _ in 0..4 {
        sql(&postgres, "SELECT pg_switch_wal()");
        sql(
            &postgres,
            "CREATE TABLE IF NOT EXISTS filler (id serial PRIMARY KEY, t text); INSERT INTO filler (t) VALUES (repeat('x', 1000)); CHECKPOINT",
        );
    }
    let slot = config.slot();
    let lost =
        format!("SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(query_one(&postgres, &lost), "t");
    config.catch_up(LIMIT);
    assert_eq!(told(&config, "users"), ["r 1", "r 2", "r 1", "r 2"]);
}

#[test]
fn two_switches_choose_as_well() {
    let postgres = postgres(PostgresOptions::default());
    users(&postgres);
    let config = config("mode_switches", &postgres, "configuration_based");
    let switch = "snapshot.snapshot.mode.configuration.based.";
    let data_only = config
        .another_instance()
        .set(&format!("{switch}snapshot.data"), "true");
    let mut walferry = data_only.spawn();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    assert_eq!(told(&data_only, "users"), ["r 1", "r 2"]);
    let neither = config.check(&[]);
    assert_eq!(neither.status.code(), Some(2));
    let said = String::from_utf8_lossy(&neither.stderr).into_owned();
    assert!(said.contains("while both its switches are off"), "{said}");
}

#[test]
fn some_tables_in_an_order_and_by_a_statement() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE few (id int PRIMARY KEY); INSERT INTO few VALUES (1);
         CREATE TABLE many (id int PRIMARY KEY, gone boolean); INSERT INTO many SELECT g, g > 3 FROM generate_series(1, 9) g;
         CREATE TABLE never (id int PRIMARY KEY); INSERT INTO never VALUES (1);
         ANALYZE",
    );
    let config = config("mode_tables", &postgres, "initial")
        .set(
            "snapshot.snapshot.include.collection.list",
            "[ 'public[.](few|many)' ]",
        )
        .set("snapshot.snapshot.tables.order.by.row.count", "descending")
        .set(
            "snapshot.snapshot.select.statement.overrides",
            "[ public.many ]",
        )
        .set(
            "snapshot.snapshot.select.statement.overrides.public.many",
            "SELECT * FROM public.many WHERE NOT gone ORDER BY id DESC",
        );
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO never VALUES (2)");
    config.catch_up(LIMIT);
    assert_eq!(told(&config, "many"), ["r 3", "r 2", "r 1"]);
    assert_eq!(told(&config, "never"), ["c 2"], "changes alone");
    let first = |table: &str| {
        let events = read_topic(config.bootstrap_servers(), &config.topic(table));
        let json = events[0].json();
        json["source"]["snapshot"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (first("many").as_str(), first("few").as_str()),
        ("first", "last")
    );
}

#[test]
fn a_list_that_matches_no_table_ends_no_first_copy() {
    const LIST: &str = "snapshot.snapshot.include.collection.list";
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE few (id int PRIMARY KEY); INSERT INTO few VALUES (1)",
    );
    let config = config("mode_misspelt", &postgres, "initial").set(LIST, "[ 'public[.]fwe' ]");
    let mut refused = config.spawn();
    let code = refused.wait_exit(LIMIT);
    let log = refused.log();
    assert_eq!(code, Some(3), "{log}");
    assert!(
        log.contains("SNAPSHOT_OF_NOTHING") && log.contains("SNAPSHOT_FILTER_UNUSED"),
        "{log}"
    );
    let config = config.set(LIST, "[ 'public[.]few', public.later ]");
    config.catch_up(LIMIT);
    assert_eq!(told(&config, "few"), ["r 1"]);
    // Nothing is copied any more.
    let config = config.set(LIST, "[ 'public[.]fwe' ]");
    let mut warned = config.spawn_with(&["--until", "now"]);
    let code = warned.wait_exit(LIMIT);
    let log = warned.log();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SNAPSHOT_FILTER_UNUSED"), "{log}");
}

#[test]
fn events_of_an_outbox_come_by_their_time() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload jsonb, at timestamptz);
         INSERT INTO outbox SELECT g, 'order', '1', 't', jsonb_build_object('n', g), now() - g * interval '1 minute'
             FROM generate_series(1, 300) g",
    );
    let config = config("mode_outbox", &postgres, "initial").unset("tables.include");
    let topic = format!("'{}.${{routedByValue}}'", config.name());
    let config = config
        .set("outbox.table", "public.outbox")
        .set("outbox.table.field.event.timestamp", "at")
        .set("outbox.route.topic.replacement", &topic)
        .set("outbox.value.converter", "string");
    config.catch_up(LIMIT);
    let events = read_topic(
        config.bootstrap_servers(),
        &format!("{}.order", config.name()),
    );
    let numbers: Vec<i64> = events
        .iter()
        .filter_map(|event| event.json()["n"].as_i64())
        .collect();
    assert_eq!(
        numbers,
        (1..=300).rev().collect::<Vec<_>>(),
        "the oldest first"
    );
}
