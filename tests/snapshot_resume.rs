//! A copy that is interrupted goes on with the rest: what is noted as done is not read again, and rows
//! that moved into it meanwhile are not missed.

use std::time::Duration;

use e2e::support::compare::{assert_same_rows, fold, table_rows};
use e2e::support::event::{Event, EventId};
use e2e::support::topic::{read_notes, read_topic};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, own_kafka, postgres, query_one, sql, wait_for};
use serde_json::Value;
use xtask::servers::{KafkaServer, PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(120);

fn config(purpose: &str, postgres: &PostgresServer, kafka: &KafkaServer) -> Config {
    Config::new(purpose, postgres, kafka).set("snapshot.snapshot.mode", "initial")
}

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

/// A table of about 16 MiB for each 100,000 rows; a piece has one.
fn big_table(postgres: &PostgresServer, rows: u32) {
    table_of(postgres, rows, 26);
}

/// A table of as many rows, with so many words each.
fn table_of(postgres: &PostgresServer, rows: u32, words: u32) {
    sql(
        postgres,
        &format!(
            "CREATE TABLE big (id int PRIMARY KEY, note text, n int DEFAULT 0)
                 WITH (autovacuum_enabled = off, fillfactor = 100);
             INSERT INTO big SELECT g, repeat('note ', {words}) FROM generate_series(1, {rows}) g"
        ),
    );
}

/// The ranges of blocks that are noted as done.
fn noted(config: &Config, table: &str) -> Vec<(u64, u64)> {
    let notes = read_notes(config.bootstrap_servers(), &config.slot());
    let note = notes.get(&format!("public.{table}"));
    let ranges = note.and_then(|note| note["done"].as_array());
    let number = |value: &Value| value.as_u64().expect("a block's number");
    let pair = |range: &Value| (number(&range[0]), number(&range[1]));
    ranges.into_iter().flatten().map(pair).collect()
}

fn count_in(postgres: &PostgresServer, table: &str, ranges: &[(u64, u64)]) -> usize {
    let conditions: Vec<String> = ranges
        .iter()
        .map(|(start, end)| format!("(ctid >= '({start},0)' AND ctid < '({end},0)')"))
        .collect();
    let any = conditions.join(" OR ");
    let count = query_one(
        postgres,
        &format!("SELECT count(*) FROM {table} WHERE {any}"),
    );
    count.parse().expect("a number")
}

fn kill_when_more_is_noted(config: &Config, walferry: &mut Walferry, before: &[(u64, u64)]) {
    wait_for("another piece", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        (noted(config, "big") != before).then_some(())
    });
    walferry.kill9();
}

#[test]
fn ten_kills_in_one_copy_and_nothing_that_is_done_is_read_again() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    // Few rows for many pieces: all of them are compared.
    table_of(&postgres, 100_000, 120);
    // With so little under way it would take half a minute, and is not over before its tenth kill.
    let config = config("resume_kills", &postgres, kafka())
        .set("limits.in.flight.bytes", "64KiB")
        .set("kafka.linger.ms", "25");
    let load = Workload::start(&postgres, 11, 2, 2);
    let updates = Workload::update(&postgres, 12, "big", 100_000);
    let mut before = Vec::new();
    let mut kills = 0;
    while kills < 10 {
        let mut walferry = config.start();
        kill_when_more_is_noted(&config, &mut walferry, &before);
        before = noted(&config, "big");
        assert!(!before.is_empty(), "it is not over yet");
        kills += 1;
    }
    let config = config
        .unset("limits.in.flight.bytes")
        .unset("kafka.linger.ms");
    // What is updated from here to the next snapshot would move into what is left.
    assert!(updates.transactions() > 100, "written to throughout");
    updates.stop();
    let left = 100_000 - count_in(&postgres, "big", &before);
    assert!(left > 0);
    let mut walferry = config.start();
    wait_for("the snapshot of the rest", LIMIT, || {
        let log = walferry.log();
        log.contains("going on with a copy that was begun before")
            .then_some(())
    });
    let updates = Workload::update(&postgres, 13, "big", 100_000);
    wait_for("the end of the copy", LIMIT, || {
        let log = walferry.log();
        log.contains("all rows that were there are handed over")
            .then_some(())
    });
    updates.stop();
    load.stop();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    let reads = || events.iter().filter(|event| event.operation() == "r");
    let last: EventId = reads().map(Event::id).max().expect("events");
    let in_last = reads().filter(|event| event.id().lsn == last.lsn);
    assert_eq!(
        in_last.count(),
        left,
        "the last run read the rest, and no more"
    );
    assert_same_rows(&fold(&events), &table_rows(&postgres, "big", &["id"]));
    for table in TABLES {
        let folded = fold(&self::events(&config, table));
        assert_same_rows(&folded, &table_rows(&postgres, table, key_columns(table)));
    }
    assert!(noted(&config, "big").is_empty(), "the notes are taken back");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(query_one(&postgres, slots), "1", "no slot is left behind");
}

#[test]
fn rows_that_moved_into_what_is_done_keep_their_large_values() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres, 200_000);
    sql(
        &postgres,
        "ALTER TABLE big ALTER note SET STORAGE EXTERNAL;
         INSERT INTO big SELECT g, repeat('large ', 2000) FROM generate_series(200001, 200020) g;
         INSERT INTO big SELECT g, repeat('note ', 26) FROM generate_series(200021, 200220) g",
    );
    let config =
        config("resume_moved", &postgres, kafka()).set("snapshot.snapshot.max.threads", "1");
    let mut walferry = config.start();
    kill_when_more_is_noted(&config, &mut walferry, &[]);
    let done = noted(&config, "big");
    let before = events(&config, "big");
    // Room in the first blocks, and new versions of the last rows go there, their large values unchanged.
    sql(&postgres, "DELETE FROM big WHERE id <= 1000");
    sql(&postgres, "VACUUM (TRUNCATE off) big");
    let moved = "UPDATE big SET n = 1 WHERE id BETWEEN 200001 AND 200020";
    sql(&postgres, moved);
    let places = count_in(
        &postgres,
        "(SELECT ctid FROM big WHERE n = 1) AS moved",
        &done,
    );
    assert!(places > 10, "they moved");
    let key = |event: &Event| event.key_json()["id"].as_i64().unwrap_or_default();
    assert!(
        before.iter().all(|event| key(event) <= 200_000),
        "they were not read"
    );
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    let updates = events.iter().filter(|event| event.operation() == "u");
    let placeholder = "__debezium_unavailable_value";
    let is_left_out = |event: &Event| event.json()["after"]["note"] == placeholder;
    assert!(
        updates.clone().all(is_left_out),
        "the stream does not tell large values"
    );
    assert_eq!(updates.count(), 20);
    assert_same_rows(&fold(&events), &table_rows(&postgres, "big", &["id"]));
}

/// Rows are written into blocks that are noted as done, by an update that gives no event.
fn move_without_an_event(purpose: &str, option: (&str, &str), set: &str) {
    const MOVED: &str = "id BETWEEN 300001 AND 302000";
    let postgres = postgres(PostgresOptions::default());
    // Those behind them leave no room where they are.
    big_table(&postgres, 302_200);
    sql(&postgres, "ALTER TABLE big REPLICA IDENTITY FULL");
    let config = config(purpose, &postgres, kafka())
        .set("snapshot.snapshot.max.threads", "1")
        .set(option.0, option.1);
    let mut walferry = config.start();
    kill_when_more_is_noted(&config, &mut walferry, &[]);
    let done = noted(&config, "big");
    let before = events(&config, "big");
    // Its snapshot would keep rows that nobody sees any more.
    let sessions = "SELECT count(*) FROM pg_stat_activity \
         WHERE application_name LIKE '%walferry%' AND pid <> pg_backend_pid()";
    wait_for("the end of its sessions", LIMIT, || {
        (query_one(&postgres, sessions) == "0").then_some(())
    });
    sql(&postgres, "DELETE FROM big WHERE id <= 4000");
    sql(&postgres, "VACUUM (TRUNCATE off, INDEX_CLEANUP on) big");
    sql(&postgres, &format!("UPDATE big SET {set} WHERE {MOVED}"));
    let moved = format!("(SELECT ctid FROM big WHERE {MOVED}) AS moved");
    let count = count_in(&postgres, &moved, &done);
    assert!(count > 1_000, "{count} moved into {done:?}");
    let key = |event: &Event| event.key_json()["id"].as_i64().unwrap_or_default();
    assert!(before.iter().all(|event| key(event) <= 300_000));
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    assert!(events.iter().all(|event| event.operation() != "u"));
    assert_same_rows(&fold(&events), &table_rows(&postgres, "big", &["id"]));
}

#[test]
fn rows_that_moved_are_not_missed_where_updates_are_skipped() {
    let option = ("envelope.skipped.operations", "u");
    move_without_an_event("resume_skipped", option, "n = 1");
}

#[test]
fn rows_that_moved_are_not_missed_where_nothing_else_changed() {
    let option = ("envelope.skip.messages.without.change", "true");
    move_without_an_event("resume_unchanged", option, "n = n");
}

/// Large values again, and the next run is killed once no piece is left: what moved was read before that.
#[test]
fn rows_that_moved_are_read_before_the_last_piece_is_noted() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres, 100_000);
    sql(
        &postgres,
        "ALTER TABLE big ALTER note SET STORAGE EXTERNAL;
         INSERT INTO big SELECT g, repeat('large ', 2000) FROM generate_series(100001, 102000) g",
    );
    let config =
        config("resume_noted", &postgres, kafka()).set("snapshot.snapshot.max.threads", "1");
    let mut walferry = config.start();
    kill_when_more_is_noted(&config, &mut walferry, &[]);
    sql(&postgres, "DELETE FROM big WHERE id <= 10000");
    sql(&postgres, "VACUUM (TRUNCATE off) big");
    sql(&postgres, "UPDATE big SET n = 1 WHERE id > 100000");
    let mut walferry = config.start();
    wait_for("the last piece", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let done = noted(&config, "big");
        let whole = done == [(0, u64::from(u32::MAX))];
        let forgotten = walferry.log().contains("are handed over");
        (whole || forgotten).then_some(())
    });
    walferry.kill9();
    config.catch_up(LIMIT);
    assert_same_rows(
        &fold(&events(&config, "big")),
        &table_rows(&postgres, "big", &["id"]),
    );
}

#[test]
fn a_table_that_was_rewritten_meanwhile_is_read_from_its_beginning() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres, 150_000);
    let config = config("resume_rewritten", &postgres, kafka());
    let mut walferry = config.start();
    kill_when_more_is_noted(&config, &mut walferry, &[]);
    sql(&postgres, "VACUUM FULL big");
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    let last = events.iter().map(Event::id).max().expect("events");
    let in_last = events.iter().filter(|event| event.id().lsn == last.lsn);
    assert_eq!(in_last.count(), 150_000);
}

#[test]
fn outages_of_both_servers_end_no_copy() {
    let kafka = &mut own_kafka();
    let mut server = postgres(PostgresOptions::default());
    table_of(&server, 50_000, 120);
    let config = config("resume_outages", &server, kafka);
    let updates = Workload::update(&server, 14, "big", 50_000);
    let mut walferry = config.start();
    wait_for("a piece", LIMIT, || {
        (!noted(&config, "big").is_empty()).then_some(())
    });
    server.kill9();
    server.restart().expect("Postgres again");
    let before = noted(&config, "big");
    wait_for("another piece", LIMIT, || {
        (noted(&config, "big") != before).then_some(())
    });
    kafka.kill9();
    kafka.restart().expect("Kafka again");
    wait_for("the end of the copy", LIMIT, || {
        let log = walferry.log();
        log.contains("all rows that were there are handed over")
            .then_some(())
    });
    updates.stop();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    assert_same_rows(
        &fold(&events(&config, "big")),
        &table_rows(&server, "big", &["id"]),
    );
}
