//! `snapshot.mode: initial`: the rows that are there come first, each once and with its mark, then
//! the changes; whatever happens in between, the topics end up as the tables.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use e2e::support::compare::{assert_no_repeats, assert_same_rows, fold, table_rows};
use e2e::support::event::{Event, EventId};
use e2e::support::proxy::{Behaviour, Proxy};
use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);

fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka()).set("snapshot.snapshot.mode", "initial")
}

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

/// `op mark` of each event.
fn marks(events: &[Event]) -> Vec<String> {
    let mark = |event: &Event| {
        let json = event.json();
        let snapshot = json["source"]["snapshot"].as_str().unwrap_or_default();
        format!("{} {snapshot}", event.operation())
    };
    events.iter().map(mark).collect()
}

fn assert_equals_table(config: &Config, postgres: &PostgresServer, table: &str, key: &[&str]) {
    let folded = fold(&events(config, table));
    assert_same_rows(&folded, &table_rows(postgres, table, key));
}

#[test]
fn existing_rows_come_with_their_marks_and_then_the_changes() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        r"CREATE TABLE alpha (id int PRIMARY KEY, gone int, text text, twice int
                              GENERATED ALWAYS AS (id * 2) STORED, fine boolean);
          ALTER TABLE alpha DROP COLUMN gone;
          INSERT INTO alpha (id, text, fine) VALUES (1, E'a\tb\nc\\d', true), (2, NULL, false), (3, '\N', NULL);
          CREATE TABLE beta (id int PRIMARY KEY);
          INSERT INTO beta VALUES (7);
          CREATE TABLE empty (id int PRIMARY KEY);
          CREATE TABLE parts (id int PRIMARY KEY, text text) PARTITION BY RANGE (id);
          CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
          CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20);
          INSERT INTO parts VALUES (5, 'low'), (15, 'high'), (16, 'high')",
    );
    let config = config("snapshot", &postgres);
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "UPDATE alpha SET text = 'new' WHERE id = 2; INSERT INTO empty VALUES (1);
         DELETE FROM parts WHERE id = 16",
    );
    config.catch_up(LIMIT);

    let alpha = events(&config, "alpha");
    assert_eq!(
        marks(&alpha),
        ["r first", "r true", "r last_in_data_collection", "u false"]
    );
    let first = alpha[0].json();
    assert_eq!(
        first["after"],
        serde_json::json!({ "id": 1, "text": "a\tb\nc\\d", "fine": true }),
        "columns as in the stream"
    );
    assert_eq!(alpha[2].json()["after"]["text"], "\\N");
    assert_eq!(
        first["after"].as_object().map(serde_json::Map::len),
        alpha[3].json()["after"]
            .as_object()
            .map(serde_json::Map::len)
    );
    assert_eq!(
        marks(&events(&config, "beta")),
        ["r last_in_data_collection"]
    );
    assert_eq!(marks(&events(&config, "empty")), ["c false"]);
    let high = events(&config, "parts_high");
    assert_eq!(
        marks(&high)[..2],
        ["r first_in_data_collection", "r last_in_data_collection"]
    );
    assert_eq!(marks(&events(&config, "parts_low")), ["r last"]);
    for table in ["alpha", "beta", "empty", "parts_high", "parts_low"] {
        assert_no_repeats(&events(&config, table));
    }
}

#[test]
fn a_publication_by_root_gives_the_roots_topic() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("snapshot_root", &postgres);
    sql(
        &postgres,
        &format!(
            "CREATE TABLE parts (id int PRIMARY KEY, text text) PARTITION BY RANGE (id);
             CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
             CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20);
             INSERT INTO parts VALUES (5, 'low'), (15, 'high');
             CREATE PUBLICATION {} FOR TABLE parts WITH (publish_via_partition_root)",
            config.slot()
        ),
    );
    config.catch_up(LIMIT);
    sql(&postgres, "UPDATE parts SET text = 'new'");
    config.catch_up(LIMIT);
    let parts = events(&config, "parts");
    let operations: Vec<String> = parts.iter().map(Event::operation).collect();
    assert_eq!(operations, ["r", "r", "u", "u"]);
    assert_equals_table(&config, &postgres, "parts", &["id"]);
}

#[test]
fn a_copy_of_nothing_is_over_and_is_not_made_again() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE late (id int PRIMARY KEY)");
    let config = config("snapshot_empty", &postgres);
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO late VALUES (1)");
    config.catch_up(LIMIT);
    assert_eq!(marks(&events(&config, "late")), ["c false"]);
}

#[test]
fn writers_need_not_stop_for_the_copy() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    many_accounts(&postgres, 20_000);
    let load = Workload::start(&postgres, 5, 3, 1);
    wait_for("a load", LIMIT, || {
        (load.transactions() > 500).then_some(())
    });
    let config = config("snapshot_load", &postgres).set("topics.partitions", "2");
    let mut walferry = config.start();
    wait_until_copied(&walferry);
    let there = load.transactions();
    wait_for("changes after the copy", LIMIT, || {
        (load.transactions() > there + 500).then_some(())
    });
    load.stop();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let mut changed = 0;
    for table in TABLES {
        let events = events(&config, table);
        assert_no_repeats(&events);
        changed += assert_reads_come_first(&events);
        assert_equals_table(&config, &postgres, table, key_columns(table));
    }
    assert!(changed > 0, "rows that were read and changed later");
}

#[test]
fn a_killed_copy_begins_again_and_what_was_deleted_meanwhile_goes() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    many_accounts(&postgres, 60_000);
    let load = Workload::start(&postgres, 6, 2, 2);
    let (config, proxy) = halved("snapshot_kill9", &postgres);
    for kill in 1..=3 {
        let mut walferry = config.spawn();
        wait_until_half_is_there(&walferry);
        assert!(walferry.is_running(), "{}", walferry.log());
        walferry.kill9();
        assert!(
            !is_copied(&walferry),
            "it stands still:\n{}",
            walferry.log()
        );
        // The copy reads in the order of the heap: these are published already.
        sql(
            &postgres,
            &format!("DELETE FROM accounts WHERE id IN (-{kill}, -1{kill})"),
        );
    }
    proxy.set(Behaviour::Forward);
    let mut walferry = config.start();
    wait_until_copied(&walferry);
    load.stop();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(query_one(&postgres, slots), "1", "no slot is left behind");
    for table in TABLES {
        assert_first_appearances_are_in_order(&events(&config, table));
        assert_equals_table(&config, &postgres, table, key_columns(table));
    }
}

#[test]
fn sigterm_leaves_a_copy_that_begins_again() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    many_accounts(&postgres, 60_000);
    let (config, proxy) = halved("snapshot_term", &postgres);
    let mut walferry = config.spawn();
    wait_until_half_is_there(&walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    assert!(
        !is_copied(&walferry),
        "it stands still:\n{}",
        walferry.log()
    );
    sql(&postgres, "DELETE FROM accounts WHERE id = -1");
    proxy.set(Behaviour::Forward);
    config.catch_up(LIMIT);
    let events = events(&config, "accounts");
    assert_first_appearances_are_in_order(&events);
    assert_equals_table(&config, &postgres, "accounts", &["id"]);
}

/// A configuration whose copy of 60,000 accounts (9 MB) stands still after some of them, for as long
/// as the proxy is told nothing else.
fn halved(purpose: &str, postgres: &PostgresServer) -> (Config, Proxy) {
    let proxy = Proxy::to(postgres.port());
    proxy.set(Behaviour::StandStillAfter(2 << 20));
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", proxy.port());
    (config(purpose, postgres).set("postgres.url", &url), proxy)
}

/// Waits until this run's copy has published what the proxy lets through, and Kafka has it.
fn wait_until_half_is_there(walferry: &Walferry) {
    wait_for("half of the copy", LIMIT, || {
        let metrics = walferry.metrics();
        let of_reads = |(name, _): &(&String, &f64)| {
            name.starts_with("walferry_events_total") && name.contains("operation=\"read\"")
        };
        let reads: f64 = metrics
            .iter()
            .filter(of_reads)
            .map(|(_, count)| count)
            .sum();
        (reads > 2000.0 && metrics.get("walferry_in_flight_records") == Some(&0.0)).then_some(())
    });
}

#[test]
fn a_slot_that_was_there_streams_up_to_the_copy() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("snapshot_slot", &postgres);
    sql(
        &postgres,
        &format!(
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users VALUES (1, 'old'), (2, 'old');
             CREATE PUBLICATION {} FOR TABLE users",
            config.slot()
        ),
    );
    let slot = config.slot();
    let make = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    sql(&postgres, &make);
    sql(&postgres, "UPDATE users SET name = 'between' WHERE id = 1");
    config.catch_up(LIMIT);
    sql(&postgres, "UPDATE users SET name = 'after' WHERE id = 1");
    config.catch_up(LIMIT);
    let users = events(&config, "users");
    assert_eq!(
        marks(&users),
        ["u false", "r first", "r last", "u false"],
        "in commit order"
    );
    assert_no_repeats(&users);
    assert_equals_table(&config, &postgres, "users", &["id"]);
}

/// Rows with ids below those of the load.
fn many_accounts(postgres: &PostgresServer, count: u32) {
    sql(
        postgres,
        &format!(
            "INSERT INTO accounts SELECT -i, 'owner ' || i, i, repeat('note ', 20), 0
             FROM generate_series(1, {count}) i"
        ),
    );
}

fn is_copied(walferry: &Walferry) -> bool {
    walferry
        .log()
        .contains("all rows that were there are handed over")
}

fn wait_until_copied(walferry: &Walferry) {
    wait_for("the end of the copy", LIMIT, || {
        is_copied(walferry).then_some(())
    });
}

/// In each partition all reads come before all changes, as when nothing was interrupted. Gives the
/// number of changes of rows that were read.
fn assert_reads_come_first(events: &[Event]) -> u32 {
    let mut changed: HashMap<i32, EventId> = HashMap::new();
    let mut followed = 0;
    let mut read = HashSet::new();
    for event in events {
        if event.operation() == "r" {
            let earlier = changed.get(&event.partition);
            assert_eq!(earlier, None, "{} is read after a change", event.id());
            assert!(
                read.insert(event.key.clone()),
                "{} is read twice",
                event.id()
            );
        } else {
            changed.insert(event.partition, event.id());
            followed += u32::from(read.contains(&event.key));
        }
    }
    assert!(!read.is_empty(), "nothing was read");
    followed
}

fn assert_first_appearances_are_in_order(events: &[Event]) {
    let mut newest: HashMap<i32, EventId> = HashMap::new();
    let mut seen = HashSet::new();
    for event in events.iter().filter(|event| seen.insert(event.id())) {
        let before = newest.insert(event.partition, event.id());
        assert!(before < Some(event.id()), "{} after {before:?}", event.id());
    }
}
