//! Signals to a running walferry, and what it notes of what they ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::servers::PostgresServer;

use super::topic::{exists, read_topic};
use super::walferry::{Config, Walferry};
use super::{sql, wait_for};

/// Sends one by a message in the WAL, as the command line does.
///
/// # Panics
/// When the server refuses.
pub fn signal(postgres: &PostgresServer, id: &str, kind: &str, data: &Value) {
    let content = json!({ "id": id, "type": kind, "data": data }).to_string();
    let content = content.replace('\'', "''");
    sql(
        postgres,
        &format!("SELECT pg_logical_emit_message(true, 'walferry.signal', '{content}')"),
    );
}

/// What is noted of a request.
///
/// # Panics
/// When Kafka does not answer.
#[must_use]
pub fn noted(config: &Config, id: &str) -> Option<Value> {
    let mut notes = notes(config, '?');
    Some(notes.remove(id)?["request"].take())
}

/// What is noted of the copies that were asked for, by table.
///
/// # Panics
/// When Kafka does not answer.
#[must_use]
pub fn noted_parts(config: &Config) -> BTreeMap<String, Value> {
    notes(config, '!')
}

/// How a request ended, once it has.
///
/// # Panics
/// When it does not within the limit, or walferry ends.
#[must_use]
pub fn wait_over(config: &Config, walferry: &mut Walferry, id: &str, limit: Duration) -> Value {
    wait_for(&format!("the end of {id}"), limit, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        noted(config, id).filter(|request| request["state"] != "running")
    })
}

/// The newest notes of a kind, by what stands behind the slot in their keys.
fn notes(config: &Config, kind: char) -> BTreeMap<String, Value> {
    let topic = format!("walferry.progress.{}", config.slot());
    let mut notes = BTreeMap::new();
    if !exists(config.bootstrap_servers(), &topic) {
        return notes;
    }
    for record in read_topic(config.bootstrap_servers(), &topic) {
        let key = String::from_utf8(record.key.clone().unwrap_or_default()).expect("a text");
        let of = key.strip_prefix(&config.slot());
        let Some(name) = of.and_then(|name| name.strip_prefix(kind)) else {
            continue;
        };
        match record.value {
            Some(_) => notes.insert(name.to_owned(), record.json()),
            None => notes.remove(name),
        };
    }
    notes
}

/// Asks for the rows of tables, each chunk of which takes its time: what comes in the middle does so on the
/// fastest machine, too.
///
/// # Panics
/// When the server refuses.
pub fn execute_slowly(postgres: &PostgresServer, id: &str, tables: &str) {
    let slow = json!([{ "data-collection": tables, "filter": SLOW }]);
    let data = json!({ "data-collections": [tables], "additional-conditions": slow });
    signal(postgres, id, "execute-snapshot", &data);
}

/// A condition that takes its time once a statement.
pub const SLOW: &str = "(SELECT true FROM pg_sleep(0.02))";
