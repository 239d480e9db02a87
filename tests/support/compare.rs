//! A topic against the table it came from, and the promises that hold for every topic.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use xtask::servers::PostgresServer;

use super::event::{Event, EventId};

/// Rows by their key, both as JSON text.
pub type Rows = BTreeMap<String, Value>;

/// What Debezium, and so walferry, writes for a large value that an update did not touch.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// What a consumer holds that keeps the last value of each key: the log, folded. A large value that
/// an update did not touch stays as it was.
///
/// # Panics
/// When an event is not an envelope.
#[must_use]
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Rows {
    let mut rows = Rows::new();
    for event in events {
        let key = event.key_json().to_string();
        match event.operation().as_str() {
            "c" | "r" | "u" => {
                let mut after = event.json()["after"].take();
                if let (Some(columns), Some(before)) = (after.as_object_mut(), rows.get(&key)) {
                    for (column, value) in columns.iter_mut().filter(|(_, v)| *v == UNAVAILABLE) {
                        *value = before[column].clone();
                    }
                }
                rows.insert(key, after);
            }
            "d" | "tombstone" => {
                rows.remove(&key);
            }
            "t" => rows.clear(),
            "m" => {}
            other => panic!("op {other} in {}", event.json()),
        }
    }
    rows
}

/// The table itself, in the form of [`fold`]. For tables whose columns Debezium and `to_jsonb` write
/// alike: integers, text, booleans.
///
/// # Panics
/// When the query fails.
#[must_use]
pub fn table_rows(postgres: &PostgresServer, table: &str, key: &[&str]) -> Rows {
    let rows = super::query(
        postgres,
        &format!("SELECT to_jsonb(t)::text FROM {table} t"),
    );
    let key_of = |row: &Value| -> Value {
        key.iter()
            .map(|&column| (column.to_owned(), row[column].clone()))
            .collect()
    };
    rows.iter()
        .map(|text| serde_json::from_str::<Value>(text).expect("to_jsonb gives JSON"))
        .map(|row| (key_of(&row).to_string(), row))
        .collect()
}

/// The fold of the topic equals the table.
///
/// # Panics
/// With the first differences.
pub fn assert_same_rows(folded: &Rows, table: &Rows) {
    let keys = folded.keys().chain(table.keys());
    let mut differences: Vec<String> = keys
        .filter(|&key| folded.get(key) != table.get(key))
        .map(|key| {
            format!(
                "{key}: topic {:?}, table {:?}",
                folded.get(key),
                table.get(key)
            )
        })
        .collect();
    differences.sort();
    differences.dedup();
    assert!(
        differences.is_empty(),
        "{} of {} rows differ:\n{}",
        differences.len(),
        table.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

/// What was said twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Events with an id of their own.
    pub distinct: usize,
    /// Events whose id had been there.
    pub repeated: usize,
}

/// The promises of at least once. In each partition: first appearances are in commit order; after a
/// step back, which is a replay, everything follows again with nothing left out, before anything
/// new; a repeat has the partition, key and bytes it had.
///
/// # Panics
/// When one of them is broken.
pub fn assert_at_least_once(events: &[Event]) -> Repeats {
    let mut first: HashMap<EventId, (usize, &Event)> = HashMap::new();
    let mut partitions: HashMap<i32, Partition> = HashMap::new();
    for event in events {
        let id = event.id();
        let partition = partitions.entry(event.partition).or_default();
        let place = match first.get(&id) {
            Some((place, original)) => {
                assert_repeat_is_equal(id, original, event);
                *place
            }
            None => {
                let newest = partition.newest.replace(id);
                assert!(
                    newest < Some(id),
                    "{id} appears first after {newest:?}: commit order"
                );
                first.insert(id, (partition.distinct, event));
                partition.distinct += 1;
                partition.distinct - 1
            }
        };
        assert!(
            place <= partition.next,
            "{id}: a replay left out what was before it"
        );
        partition.next = place + 1;
    }
    Repeats {
        distinct: first.len(),
        repeated: events.len() - first.len(),
    }
}

#[derive(Default)]
struct Partition {
    newest: Option<EventId>,
    distinct: usize,
    /// The place, among first appearances, that may follow; any earlier one may as well.
    next: usize,
}

fn assert_repeat_is_equal(id: EventId, original: &Event, repeat: &Event) {
    assert_eq!(
        original.partition, repeat.partition,
        "{id} moved to another partition"
    );
    assert_eq!(original.key, repeat.key, "{id} came again with another key");
    assert_eq!(
        original
            .value_without_processing_time()
            .map(String::from_utf8_lossy),
        repeat
            .value_without_processing_time()
            .map(String::from_utf8_lossy),
        "{id} came again with another value"
    );
}

/// Exactly once: no id appears twice.
///
/// # Panics
/// When one does.
pub fn assert_no_repeats(events: &[Event]) {
    let repeats = assert_at_least_once(events);
    assert_eq!(
        repeats.repeated, 0,
        "repeats among {} events",
        repeats.distinct
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(partition: i32, offset: i64, id: &str, value: &str) -> Event {
        Event {
            topic: "t".to_owned(),
            partition,
            offset,
            key: Some(b"{\"id\":1}".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            timestamp: None,
            headers: vec![("walferry.id".to_owned(), id.as_bytes().to_vec())],
        }
    }

    fn log(entries: &[(&str, &str)]) -> Vec<Event> {
        (0..)
            .zip(entries)
            .map(|(offset, (id, value))| event(0, offset, id, value))
            .collect()
    }

    const A: (&str, &str) = (
        "1:0/A:0",
        r#"{"after":1,"source":{"ts_ms":1},"op":"c","ts_ms":5}"#,
    );
    const A_LATER: (&str, &str) = (
        "1:0/A:0",
        r#"{"after":1,"source":{"ts_ms":1},"op":"c","ts_ms":6}"#,
    );
    const A_OTHER: (&str, &str) = (
        "1:0/A:0",
        r#"{"after":1,"source":{"ts_ms":2},"op":"c","ts_ms":6}"#,
    );
    const B: (&str, &str) = ("1:0/A:1", "{}");
    const C: (&str, &str) = ("1:1/0:0", "{}");

    #[test]
    fn a_replay_of_a_whole_suffix_is_allowed() {
        let repeats = assert_at_least_once(&log(&[A, B, A_LATER, B, C, C]));
        assert_eq!(
            repeats,
            Repeats {
                distinct: 3,
                repeated: 3
            }
        );
    }

    #[test]
    fn each_broken_promise_is_found() {
        let broken: [(&str, &[(&str, &str)]); 4] = [
            ("out of order", &[B, A]),
            ("another value", &[A, A_OTHER]),
            ("left out in a replay", &[A, B, C, A, C]),
            ("new before the replay is done", &[A, B, A, C]),
        ];
        for (what, entries) in broken {
            let result = std::panic::catch_unwind(|| assert_at_least_once(&log(entries)));
            assert!(result.is_err(), "{what} was not found");
        }
    }

    #[test]
    fn ids_order_as_positions_not_as_text() {
        let id = |text: &str| text.parse::<EventId>().expect("an id");
        assert!(id("1:9/0:0") < id("1:10/0:0"));
        assert!(id("1:0/FF:2") < id("1:0/FF:10"));
        assert_eq!(id("1:16/B374D848:3").to_string(), "1:16/B374D848:3");
        assert!("1:16B374D848:3".parse::<EventId>().is_err());
    }
}
