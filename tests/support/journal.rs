//! What each row went through, noted by triggers in a table that nobody captures: a topic has to
//! tell of every change, not only of how things stand at the end.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use xtask::servers::PostgresServer;

use super::event::Event;
use super::{query, sql};

/// The operations on each row, by its key as JSON.
type Changes = BTreeMap<String, Vec<String>>;

/// Begins to note what is done to a table with these key columns.
///
/// # Panics
/// When Postgres refuses.
pub fn keep(postgres: &PostgresServer, table: &str, key: &[&str]) {
    // A changed key is a delete and a create, as in the topic.
    let arguments: Vec<String> = key.iter().map(|column| format!("'{column}'")).collect();
    let arguments = arguments.join(", ");
    sql(
        postgres,
        &format!(
            "CREATE SCHEMA IF NOT EXISTS journal;
             CREATE TABLE IF NOT EXISTS journal.changes (
                 number bigserial, of text, key jsonb, operation text);
             CREATE OR REPLACE FUNCTION journal.key(wanted text[], held jsonb) RETURNS jsonb
                 LANGUAGE sql AS 'SELECT jsonb_object_agg(k, held -> k) FROM unnest(wanted) k';
             CREATE OR REPLACE FUNCTION journal.note() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE
                 before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN journal.key(TG_ARGV, to_jsonb(OLD)) END;
                 after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN journal.key(TG_ARGV, to_jsonb(NEW)) END;
             BEGIN
                 IF before = after THEN
                     INSERT INTO journal.changes (of, key, operation)
                         VALUES (TG_TABLE_NAME, after, 'u');
                 ELSE
                     INSERT INTO journal.changes (of, key, operation)
                         SELECT TG_TABLE_NAME, before, unnest(ARRAY['d', 'tombstone'])
                         WHERE before IS NOT NULL;
                     INSERT INTO journal.changes (of, key, operation)
                         SELECT TG_TABLE_NAME, after, 'c' WHERE after IS NOT NULL;
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON {table}
                 FOR EACH ROW EXECUTE FUNCTION journal.note({arguments})"
        ),
    );
}

/// The events, repeats left out, tell of exactly what was done to each row, in that order.
///
/// # Panics
/// When a change is missing, was not made, or is in another place.
pub fn assert_every_change(postgres: &PostgresServer, table: &str, events: &[Event]) {
    let told = told(events);
    let noted = noted(postgres, table);
    for (key, operations) in &noted {
        assert_eq!(told.get(key), Some(operations), "{table} {key}");
    }
    assert_eq!(
        told.len(),
        noted.len(),
        "{table}: rows that were never there"
    );
}

fn told(events: &[Event]) -> Changes {
    let mut seen = HashSet::new();
    let mut changes = Changes::new();
    for event in events.iter().filter(|event| seen.insert(event.id())) {
        let key = event.key_json().to_string();
        changes.entry(key).or_default().push(event.operation());
    }
    changes
}

fn noted(postgres: &PostgresServer, table: &str) -> Changes {
    let lines = query(
        postgres,
        &format!(
            "SELECT jsonb_build_array(key, operation)::text FROM journal.changes \
             WHERE of = '{table}' ORDER BY number"
        ),
    );
    let mut changes = Changes::new();
    for line in lines {
        let line: Value = serde_json::from_str(&line).expect("an array");
        let operation = line[1].as_str().expect("a word").to_owned();
        changes
            .entry(line[0].to_string())
            .or_default()
            .push(operation);
    }
    changes
}
