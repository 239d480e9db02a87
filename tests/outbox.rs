//! The transactional outbox: rows of a table, or messages, become events whose topics they name
//! themselves; what is malformed stops or is kept aside; nothing is lost or made up by kills.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::event::{Event, EventId};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query, query_one, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype text, aggregateid text, type text, payload jsonb, at timestamptz)";

/// An outbox of the table and of messages, with topics of its own.
fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka()).with_outbox()
}

fn texts(event: &Event) -> (String, String) {
    let text = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.clone().unwrap_or_default();
        String::from_utf8(bytes).expect("a text")
    };
    (text(&event.key), text(&event.value))
}

fn header<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let found = event.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| std::str::from_utf8(value).expect("a text"))
}

fn topic(config: &Config, name: &str) -> Vec<Event> {
    read_topic(
        config.bootstrap_servers(),
        &format!("{}.{name}", config.name()),
    )
}

#[test]
fn rows_and_messages_become_events_beside_captured_tables() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = config("outbox", &postgres)
        .set(
            "outbox.table.fields.additional.placement",
            "type:header:eventType",
        )
        .set("outbox.table.field.additional.missing", "ignore")
        .set("outbox.table.field.event.timestamp", "at");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        r#"BEGIN;
           INSERT INTO users VALUES (1);
           INSERT INTO outbox VALUES ('00000000-0000-7000-8000-000000000001', 'order', '42',
               'OrderCreated', '{"id": 42}', '2026-01-02 03:04:05.678+01');
           DELETE FROM outbox;
           COMMIT"#,
    );
    sql(
        &postgres,
        r#"SELECT pg_logical_emit_message(true, 'outbox',
               '{"id": "m-1", "aggregatetype": "order", "key": 42, "type": "OrderShipped",
                 "payload": {"id": 42, "n": 1.10}, "headers": {"who": "me", "n": 5, "x": null}}')"#,
    );
    sql(
        &postgres,
        r#"BEGIN;
           SELECT pg_logical_emit_message(true, 'outbox', '{"id": "m-2"}');
           INSERT INTO outbox VALUES (DEFAULT, 'order', '43', 'never', '{}');
           ROLLBACK;
           SELECT pg_logical_emit_message(true, 'other', 'not ours')"#,
    );
    config.catch_up(LIMIT);
    let events = topic(&config, "order");
    let told: Vec<_> = events.iter().map(texts).collect();
    let expected = [("42", r#"{"id": 42}"#), ("42", r#"{"id":42,"n":1.10}"#)];
    assert_eq!(
        told,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(
        header(&events[0], "id"),
        Some("00000000-0000-7000-8000-000000000001")
    );
    assert_eq!(header(&events[0], "eventType"), Some("OrderCreated"));
    assert_eq!(events[0].timestamp, Some(1_767_319_445_678));
    assert_eq!(header(&events[1], "id"), Some("m-1"));
    assert_eq!(header(&events[1], "eventType"), Some("OrderShipped"));
    assert_eq!(header(&events[1], "who"), Some("me"));
    assert_eq!(header(&events[1], "n"), Some("5"));
    assert!(header(&events[0], "walferry.id").is_some());
    let users = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert_eq!(users.len(), 1, "captured tables go on");
}

#[test]
fn an_outbox_may_be_all_that_is_wanted() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("outbox_only", &postgres)
        .unset("tables.include")
        .unset("outbox.table")
        .set("snapshot.snapshot.mode", "initial");
    config.catch_up(LIMIT);
    let body = r#"{"id": "1", "aggregatetype": "a", "aggregateid": "k", "payload": "plain"}"#;
    sql(
        &postgres,
        &format!("SELECT pg_logical_emit_message(true, 'outbox', '{body}')"),
    );
    config.catch_up(LIMIT);
    let events = topic(&config, "a");
    assert_eq!(
        events.iter().map(texts).collect::<Vec<_>>(),
        [("k".into(), "plain".into())]
    );
}

/// What no event can be made of, and the words of the complaint.
const MALFORMED: [(&str, &str); 8] = [
    (
        "INSERT INTO outbox VALUES (DEFAULT, 'a', NULL, 't', '{}')",
        "without its key",
    ),
    (
        "INSERT INTO outbox VALUES (DEFAULT, NULL, 'k', 't', '{}')",
        "without the value that routes it",
    ),
    (
        "INSERT INTO outbox VALUES (DEFAULT, 'no topic', 'k', 't', '{}')",
        "no name of a topic",
    ),
    (
        "SELECT pg_logical_emit_message(true, 'outbox', 'no JSON')",
        "not a JSON object",
    ),
    (
        r#"SELECT pg_logical_emit_message(true, 'outbox', '{"aggregatetype":"a","key":"k"}')"#,
        "without its id",
    ),
    (
        r#"SELECT pg_logical_emit_message(true, 'outbox',
           '{"id":"1","aggregatetype":"a","key":"k","headers":{"h":{}}}')"#,
        "headers is not an object of texts",
    ),
    (
        r#"SELECT pg_logical_emit_message(false, 'outbox', '{"id":"1","aggregatetype":"a","key":"k"}')"#,
        "outside of its transaction",
    ),
    (
        "SELECT pg_logical_emit_message(true, 'outbox', ''::text)",
        "not a JSON object",
    ),
];

#[test]
fn what_is_malformed_is_kept_aside_if_asked_for() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config = config("outbox_letters", &postgres).set(
        "envelope.event.processing.failure.handling.mode",
        "dead-letter",
    );
    config.catch_up(LIMIT);
    for (statement, _) in MALFORMED {
        sql(&postgres, statement);
    }
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 't', '{}')",
    );
    config.catch_up(LIMIT);
    let letters = topic(&config, "dead-letter");
    let mut reasons = letters
        .iter()
        .map(|letter| letter.json()["error"].to_string());
    for (statement, reason) in MALFORMED {
        let told = reasons.next().unwrap_or_default();
        assert!(told.contains(reason), "{statement}: {told}");
    }
    assert_eq!(reasons.next(), None);
    assert_eq!(letters[3].json()["content"], json!("no JSON"));
    assert_eq!(letters[3].json()["prefix"], json!("outbox"));
    assert_eq!(topic(&config, "a").len(), 1, "the stream goes on");
}

#[test]
fn what_is_malformed_stops_without_a_word_of_it() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config = config("outbox_halt", &postgres);
    config.catch_up(LIMIT);
    for (statement, reason) in MALFORMED {
        // What is written is kept from the log, whatever it is.
        sql(
            &postgres,
            &statement
                .replace("'k'", "'s3cret'")
                .replace("\"k\"", "\"s3cret\""),
        );
        let mut walferry = config.spawn();
        assert_halts(&mut walferry, "VALUE_UNREPRESENTABLE", 23);
        let log = walferry.log();
        let place = match statement.starts_with("INSERT") {
            true => "public.outbox",
            false => "message of prefix \"outbox\"",
        };
        assert!(
            log.contains(place) && log.contains(reason),
            "{statement}: {log}"
        );
        assert!(!log.contains("s3cret"), "{statement}: {log}");
        // Kept aside, it lets the next come.
        let letters = config.another_instance().set(
            "envelope.event.processing.failure.handling.mode",
            "dead-letter",
        );
        letters.catch_up(LIMIT);
    }
}

#[test]
fn changed_rows_are_counted_or_stop() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config = config("outbox_changed", &postgres);
    config.catch_up(LIMIT);
    let mut walferry = config.start();
    walferry.wait_ready();
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 't', '{}');
         UPDATE outbox SET payload = '{\"a\": 1}'",
    );
    wait_for("the update is counted", LIMIT, || {
        let mut counted = walferry.metrics().into_iter();
        counted.find(|(name, count)| name.contains("operation=\"ignored\"") && *count >= 1.0)
    });
    wait_for("the update is told of", LIMIT, || {
        walferry
            .log()
            .contains("rows of an outbox table were changed")
            .then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    assert_eq!(topic(&config, "a").len(), 1);
    let config = config.set("outbox.table.op.invalid.behavior", "fatal");
    sql(&postgres, "UPDATE outbox SET payload = '{}'");
    assert_halts(&mut config.spawn(), "VALUE_UNREPRESENTABLE", 23);
}

#[test]
fn kills_within_the_load_lose_nothing_and_publish_nothing_that_was_rolled_back() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    sql(&postgres, "CREATE TABLE done (id text PRIMARY KEY)");
    let config = config("outbox_kills", &postgres)
        .unset("tables.include")
        .set("topics.partitions", "3");
    config.catch_up(LIMIT);
    kill_within_the_load(&config, &postgres);
    config.catch_up(LIMIT);
    let expected = query(&postgres, "SELECT id FROM done ORDER BY 1");
    let mut found: BTreeMap<String, EventId> = BTreeMap::new();
    let (mut repeats, mut partitions) = (0, BTreeSet::new());
    for name in 0..2 {
        // By key: its partition, the newest id, and the newest of each session's numbers.
        let mut keys: BTreeMap<Vec<u8>, (i32, EventId, BTreeMap<u64, u64>)> = BTreeMap::new();
        for event in topic(&config, &format!("r{name}")) {
            let id = event.json()["id"].as_str().expect("an id").to_owned();
            let (of, body) = (event.id(), event.json());
            if let Some(before) = found.insert(id, of) {
                assert_eq!(before, of, "a repeat has the id it had");
                repeats += 1;
                continue;
            }
            let key = event.key.clone().expect("a key");
            partitions.insert(event.partition);
            let (session, number) = (body["session"].as_u64(), body["number"].as_u64());
            let (session, number) = (session.expect("a number"), number.expect("a number"));
            let first = (event.partition, of, BTreeMap::from([(session, number)]));
            match keys.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(first)),
                Entry::Occupied(mut entry) => {
                    let (partition, last, numbers) = entry.get_mut();
                    assert_eq!(event.partition, *partition, "a key has one partition");
                    assert!(*last < of, "as committed");
                    *last = of;
                    let newest = numbers.insert(session, number);
                    assert!(newest <= Some(number), "as the session wrote them");
                }
            }
        }
        assert_eq!(keys.len(), 5, "several keys a topic");
    }
    assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(partitions.len(), 3);
    assert!(
        repeats > 0,
        "no kill fell between a publication and its progress"
    );
    assert_eq!(query_one(&postgres, "SELECT count(*) FROM outbox"), "0");
}

/// Three sessions write on while walferry is killed again and again.
fn kill_within_the_load(config: &Config, postgres: &PostgresServer) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for session in 0..3 {
            let stop = &stop;
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    write(postgres, session, number);
                }
            });
        }
        // However a kill fails, the writers end.
        let _stop = Stop(&stop);
        for round in 0..8_u32 {
            let mut walferry = config.start();
            wait_for("events are published", LIMIT, || {
                let metrics = walferry.metrics().into_iter();
                let events = metrics.filter(|(name, _)| name.starts_with("walferry_events_total"));
                let count: f64 = events.map(|(_, count)| count).sum();
                (count >= f64::from(1 + 13 * round)).then_some(())
            });
            walferry.kill9();
        }
    });
}

/// A transaction of two events, by row and by message; each fourth is rolled back.
fn write(postgres: &PostgresServer, session: u64, number: u64) {
    let id = format!("{session}-{number}");
    let (topic, key) = (number % 2, (number / 2 + session) % 5);
    let end = if number % 4 == 3 {
        "ROLLBACK"
    } else {
        "COMMIT"
    };
    let payload =
        |of: &str| format!(r#"{{"id": "{of}{id}", "session": {session}, "number": {number}}}"#);
    let (row, message) = (payload("t"), payload("m"));
    sql(
        postgres,
        &format!(
            "BEGIN;
             INSERT INTO done VALUES ('m{id}'), ('t{id}');
             INSERT INTO outbox VALUES (DEFAULT, 'r{topic}', '{key}', 't', '{row}');
             DELETE FROM outbox WHERE payload->>'id' = 't{id}';
             SELECT pg_logical_emit_message(true, 'outbox',
                 '{{\"id\": \"m{id}\", \"type\": \"r{topic}\", \"key\": \"{key}\", \"payload\": {message}}}');
             {end}"
        ),
    );
}

/// Ends the writers when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_topic_that_may_not_be_made_is_named() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config = config("outbox_missing", &postgres);
    config.catch_up(LIMIT);
    let never = config.another_instance().set("topics.create", "never");
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'nowhere', 'k', 't', '{}')",
    );
    let mut walferry = never.spawn();
    assert_halts(&mut walferry, "TOPIC_UNUSABLE", 26);
    let log = walferry.log();
    assert!(log.contains(&format!("{}.nowhere", config.name())), "{log}");
    // It was kept for the topic, and not passed.
    config.catch_up(LIMIT);
    assert_eq!(topic(&config, "nowhere").len(), 1);
}

#[test]
fn what_is_skipped_or_truncated_is_told_of_an_outbox() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config =
        config("outbox_skipped", &postgres).set("envelope.skipped.operations", "[ c, u, t ]");
    config.catch_up(LIMIT);
    let row = "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 't', '{}')";
    for (word, level) in [("error", "ERROR"), ("warn", "WARN"), ("ignore", "")] {
        let config = config
            .another_instance()
            .set("outbox.table.op.invalid.behavior", word);
        let mut walferry = config.start();
        sql(&postgres, row);
        sql(&postgres, "UPDATE outbox SET payload = '{\"a\": 1}'");
        sql(&postgres, "TRUNCATE outbox");
        wait_for("both are counted", LIMIT, || {
            let mut counted = walferry.metrics().into_iter();
            counted.find(|(name, count)| name.contains("operation=\"ignored\"") && *count >= 2.0)
        });
        walferry.sigterm();
        assert_eq!(walferry.wait_exit(LIMIT), Some(0));
        let log = walferry.log();
        let mut told = log
            .lines()
            .filter(|line| line.contains("rows of an outbox table were changed"));
        match word {
            "ignore" => assert_eq!(told.next(), None),
            _ => assert!(told.any(|line| line.contains(level)), "{log}"),
        }
    }
    assert_eq!(topic(&config, "a").len(), 3, "inserts are events");
    sql(&postgres, "TRUNCATE outbox");
    let config = config.set("outbox.table.op.invalid.behavior", "fatal");
    assert_halts(&mut config.spawn(), "VALUE_UNREPRESENTABLE", 23);
}

#[test]
fn several_tables_give_events_and_rules_for_captured_tables_leave_them_alone() {
    let postgres = postgres(PostgresOptions::default());
    for schema in ["shop", "bank"] {
        sql(
            &postgres,
            &format!(
                "CREATE SCHEMA {schema}; CREATE TABLE {schema}.outbox (id text PRIMARY KEY,
                     aggregatetype text, aggregateid text, payload bytea)"
            ),
        );
    }
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = config("outbox_several", &postgres);
    let route = format!("'{}.all'", config.name());
    let config = config
        .set("tables.include", "[ \"public.users\" ]")
        .set("outbox.table", "\"*.outbox\"")
        .set("outbox.value.converter", "bytes")
        .set("envelope.unwrap", "true")
        .set("topics.route.topic.regex", "'.*'")
        .set("topics.route.topic.replacement", &route)
        .set("topics.route.key.enforce.uniqueness", "false")
        .set("topics.partitions", "3")
        .set("topics.partition.partition.payload.fields", "[ change.id ]")
        .set("topics.partition.partition.topic.num", "3");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "INSERT INTO shop.outbox VALUES ('1', 'a', 'k', '\\x00ff10');
         INSERT INTO bank.outbox VALUES ('2', 'a', 'k', '\\x68690a');
         INSERT INTO users VALUES (1)",
    );
    config.catch_up(LIMIT);
    let events = topic(&config, "a");
    let values: Vec<_> = events.iter().map(|event| event.value.clone()).collect();
    assert_eq!(values, [Some(vec![0, 255, 16]), Some(b"hi\n".to_vec())]);
    assert_eq!(header(&events[1], "id"), Some("2"));
    assert_eq!(events[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(events[0].partition, events[1].partition, "by the key");
    let users = topic(&config, "all");
    assert_eq!(users.len(), 1);
    assert_eq!(
        users[0].json()["id"],
        json!(1),
        "captured tables go by their rules"
    );
}
