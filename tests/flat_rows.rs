//! Flat rows: the row in place of the envelope, what of the envelope is asked for beside it, and
//! what becomes of deletes.

use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use serde_json::{Value, json};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

/// The records of a row that is there before, changed, given another key, and deleted.
fn records(config: &Config, postgres: &PostgresServer) -> Vec<Event> {
    sql(
        postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'Ann')",
    );
    config.catch_up(LIMIT);
    sql(postgres, "UPDATE users SET name = 'Bob' WHERE id = 1");
    sql(postgres, "UPDATE users SET id = 2 WHERE id = 1");
    sql(postgres, "DELETE FROM users");
    config.catch_up(LIMIT);
    read_topic(config.bootstrap_servers(), &config.topic("users"))
}

fn header(event: &Event, name: &str) -> String {
    let mut headers = event.headers.iter();
    let (_, value) = headers
        .find(|(header, _)| header == name)
        .unwrap_or_else(|| panic!("no header {name}"));
    String::from_utf8_lossy(value).into_owned()
}

#[test]
fn a_row_and_a_delete_without_value() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("flat", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.unwrap", "true");
    let events = records(&config, &postgres);
    let told: Vec<(Value, Value)> = events
        .iter()
        .map(|event| {
            let value = event.value.as_ref().map(|_| event.json());
            (event.key_json(), value.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        told,
        [
            (json!({"id": 1}), json!({"id": 1, "name": "Ann"})),
            (json!({"id": 1}), json!({"id": 1, "name": "Bob"})),
            (json!({"id": 1}), Value::Null),
            (json!({"id": 2}), json!({"id": 2, "name": "Bob"})),
            (json!({"id": 2}), Value::Null),
        ]
    );
}

#[test]
fn deletes_are_rewritten_and_parts_of_the_envelope_come_along() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("flat_fields", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set(
            "envelope.unwrap.delete.tombstone.handling.mode",
            "rewrite-with-tombstone",
        )
        .set(
            "envelope.unwrap.add.fields",
            "[op, 'source.table', 'source.snapshot:from_snapshot']",
        )
        .set("envelope.unwrap.add.headers", "'op,after.name:who'")
        .set("envelope.unwrap.add.headers.prefix", "row.");
    let events = records(&config, &postgres);
    let row = |id: i32, name: Option<&str>, deleted: &str, op: &str, snapshot: Option<&str>| {
        json!({"id": id, "name": name, "__deleted": deleted, "__op": op, "__source_table": "users",
               "__from_snapshot": snapshot})
    };
    let told: Vec<Value> = events
        .iter()
        .map(|event| event.value.as_ref().map_or(Value::Null, |_| event.json()))
        .collect();
    assert_eq!(
        told,
        [
            row(1, Some("Ann"), "false", "r", Some("last")),
            row(1, Some("Bob"), "false", "u", None),
            row(1, None, "true", "d", None),
            Value::Null,
            row(2, Some("Bob"), "false", "c", None),
            row(2, None, "true", "d", None),
            Value::Null,
        ]
    );
    assert_eq!(header(&events[1], "row.op"), "u");
    assert_eq!(header(&events[1], "row.who"), "Bob");
}
