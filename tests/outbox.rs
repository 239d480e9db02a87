//! The transactional outbox: rows of a table, or messages, become events whose topics they name
//! themselves; what is malformed stops or is kept aside; nothing is lost or made up by kills.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::{TopicReader, read_topic};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query, query_one, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype text, aggregateid text, type text, payload jsonb, at timestamptz)";

/// An outbox of the table and of messages, with topics of its own.
fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    let config = Config::new(purpose, postgres, kafka());
    let topic = format!("'{}.${{routedByValue}}'", config.name());
    config
        .set("outbox.table", "public.outbox")
        .set("outbox.message.prefix", "outbox")
        .set("outbox.route.topic.replacement", &topic)
        .set("outbox.value.converter", "string")
        .set("outbox.key.converter", "string")
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
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'no topic', 's3cret', 't', '{}')",
    );
    let mut walferry = config.spawn();
    assert_halts(&mut walferry, "VALUE_UNREPRESENTABLE", 23);
    let log = walferry.log();
    assert!(
        log.contains("public.outbox") && log.contains("no name of a topic"),
        "{log}"
    );
    assert!(!log.contains("s3cret"), "{log}");
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
fn kills_lose_nothing_and_publish_nothing_that_was_rolled_back() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    sql(&postgres, "CREATE TABLE done (id text PRIMARY KEY)");
    let config = config("outbox_kills", &postgres).unset("tables.include");
    config.catch_up(LIMIT);
    for round in 0..6 {
        let mut walferry = config.start();
        for n in 0..40 {
            let (id, end) = (
                round * 100 + n,
                if n % 4 == 3 { "ROLLBACK" } else { "COMMIT" },
            );
            let key = id % 3;
            sql(
                &postgres,
                &format!(
                    "BEGIN;
                     INSERT INTO done VALUES ('m{id}'), ('t{id}');
                     INSERT INTO outbox VALUES (DEFAULT, 'r{key}', '{key}', 't', '{{\"id\": \"t{id}\"}}');
                     DELETE FROM outbox;
                     SELECT pg_logical_emit_message(true, 'outbox',
                         '{{\"id\": \"m{id}\", \"type\": \"r{key}\", \"key\": \"{key}\",
                            \"payload\": {{\"id\": \"m{id}\"}}}}');
                     {end}"
                ),
            );
        }
        walferry.kill9();
    }
    config.catch_up(LIMIT);
    let expected = query(&postgres, "SELECT id FROM done ORDER BY 1");
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for key in 0..3 {
        let mut last = 0;
        for event in topic(&config, &format!("r{key}")) {
            let id = event.json()["id"].as_str().expect("an id").to_owned();
            let of = header(&event, "walferry.id").expect("an id").to_owned();
            let number: i32 = id[1..].parse().expect("a number");
            match found.insert(id, of.clone()) {
                Some(before) => assert_eq!(before, of, "a repeat has the id it had"),
                None => {
                    assert!(number >= last, "as committed");
                    last = number;
                }
            }
        }
    }
    assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(query_one(&postgres, "SELECT count(*) FROM outbox"), "0");
}

#[test]
fn a_topic_that_may_not_be_made_is_named() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    let config = config("outbox_missing", &postgres);
    config.catch_up(LIMIT);
    let config = config.set("topics.create", "never");
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'nowhere', 'k', 't', '{}')",
    );
    let mut walferry = config.spawn();
    let code = walferry.wait_exit(LIMIT);
    let log = walferry.log();
    assert!(code.is_some_and(|code| code != 0), "{log}");
    assert!(log.contains(&format!("{}.nowhere", config.name())), "{log}");
    let mut reader = TopicReader::new(config.bootstrap_servers(), "x");
    assert!(reader.read_to_end().is_empty());
}
