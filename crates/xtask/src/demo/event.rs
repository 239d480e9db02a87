//! One record of a topic, as far as a person wants to see it.

use std::cmp::Ordering;
use std::fmt;

use anyhow::{Context, Result};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A row of Debezium's JSON, its columns in the order of the table.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Row(pub(super) Vec<(String, Value)>);

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `r`: read by a snapshot.
    Read,
    /// `c`
    Insert,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `t`
    Truncate,
    /// No value: tells a compacted topic to forget the key.
    Tombstone,
}

/// Where a change stands in the order of commits: `epoch:LSN:ordinal`, the header `walferry.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    epoch: u64,
    lsn: u64,
    ordinal: u64,
}

/// A change event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// The topic it came by.
    pub(super) topic: String,
    /// See [`Operation`].
    pub(super) operation: Operation,
    /// The record's key; empty for a table without one.
    pub(super) key: Row,
    /// The row before, where the table's replica identity tells it.
    pub(super) before: Option<Row>,
    /// The row after.
    pub(super) after: Option<Row>,
    /// When the transaction committed, in µs since 1970.
    pub(super) committed_at_micros: Option<i64>,
    /// See [`Position`].
    pub(super) position: Option<Position>,
}

/// Debezium's envelope, the parts that are shown.
#[derive(Deserialize)]
struct Envelope {
    before: Option<Row>,
    after: Option<Row>,
    source: Source,
    op: String,
}

#[derive(Deserialize)]
struct Source {
    ts_us: Option<i64>,
}

impl Event {
    /// Reads a record.
    ///
    /// # Errors
    /// When its key or value is not Debezium's JSON without a schema.
    pub(super) fn read(message: &BorrowedMessage<'_>) -> Result<Self> {
        let id = message.headers().and_then(|headers| {
            let header = headers.iter().find(|header| header.key == "walferry.id")?;
            Some(String::from_utf8_lossy(header.value?).into_owned())
        });
        Self::parse(
            message.topic(),
            message.key(),
            message.payload(),
            id.as_deref(),
        )
    }

    fn parse(
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        id: Option<&str>,
    ) -> Result<Self> {
        let bad =
            |part: &str| format!("a record of {topic} has a {part} that is not Debezium's JSON");
        let key = key
            .map(serde_json::from_slice)
            .transpose()
            .with_context(|| bad("key"))?;
        let envelope: Option<Envelope> = value
            .map(serde_json::from_slice)
            .transpose()
            .with_context(|| bad("value"))?;
        let operation = match envelope.as_ref().map(|envelope| envelope.op.as_str()) {
            None => Operation::Tombstone,
            Some("c") => Operation::Insert,
            Some("u") => Operation::Update,
            Some("d") => Operation::Delete,
            Some("t") => Operation::Truncate,
            Some("r") => Operation::Read,
            Some(other) => anyhow::bail!("a record of {topic} has the unknown operation {other}"),
        };
        let (before, after, committed_at_micros) = envelope
            .map_or((None, None, None), |envelope| {
                (envelope.before, envelope.after, envelope.source.ts_us)
            });
        Ok(Self {
            topic: topic.to_owned(),
            operation,
            key: key.unwrap_or_default(),
            before,
            after,
            committed_at_micros,
            position: id.and_then(Position::parse),
        })
    }

    /// Sorts by commit, and within one by the order of its changes, across topics.
    pub(super) fn by_commit(&self, other: &Self) -> Ordering {
        self.position.cmp(&other.position)
    }
}

impl Position {
    /// `1:16/B374D848:3`; the middle as Postgres prints an LSN.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let epoch = parts.next()?.parse().ok()?;
        let (high, low) = parts.next()?.split_once('/')?;
        let high = u64::from(u32::from_str_radix(high, 16).ok()?);
        let low = u64::from(u32::from_str_radix(low, 16).ok()?);
        let ordinal = parts.next()?.parse().ok()?;
        Some(Self {
            epoch,
            lsn: high << 32 | low,
            ordinal,
        })
    }
}

impl Row {
    /// The value of a column.
    pub(super) fn get(&self, column: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == column)
            .map(|(_, value)| value)
    }
}

/// `serde_json`'s own map sorts its keys; here the table's order is what a person expects.
impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(Row(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_update() {
        let value = br#"{"before":null,"after":{"id":7,"b":"x","a":null},
            "source":{"ts_us":1795457000123456,"lsn":1},"op":"u","ts_ms":1}"#;
        let event = Event::parse(
            "shop.public.t",
            Some(br#"{"id":7}"#),
            Some(value),
            Some("1:16/B374D848:3"),
        )
        .unwrap();
        let columns = [
            ("id", Value::from(7)),
            ("b", Value::from("x")),
            ("a", Value::Null),
        ];
        let after = columns
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        assert_eq!(event.operation, Operation::Update);
        assert_eq!(
            event.after,
            Some(Row(after)),
            "columns keep the table's order"
        );
        assert_eq!(event.committed_at_micros, Some(1_795_457_000_123_456));
        let position = Position {
            epoch: 1,
            lsn: 0x16_B374_D848,
            ordinal: 3,
        };
        assert_eq!(event.position, Some(position));
    }

    #[test]
    fn a_record_without_value_is_a_tombstone() {
        let event = Event::parse("t", Some(br#"{"id":7}"#), None, None).unwrap();
        assert_eq!(
            (event.operation, event.position),
            (Operation::Tombstone, None)
        );
    }

    #[test]
    fn foreign_records_are_refused_by_topic() {
        for value in ["", "7", "{}", r#"{"source":{},"op":"z"}"#] {
            let error = Event::parse("shop.x", None, Some(value.as_bytes()), None).unwrap_err();
            assert!(error.to_string().contains("shop.x"), "{error}");
        }
    }

    #[test]
    fn positions_sort_as_numbers() {
        let texts = ["1:0/9:10", "1:0/A:2", "1:0/A:10", "1:1/0:0", "2:0/0:0"];
        let positions = texts.map(|text| Position::parse(text).unwrap());
        assert!(positions.is_sorted(), "{positions:?}");
        assert_eq!(Position::parse("1:xyz:0"), None);
        assert_eq!(Position::parse("1:0/0"), None);
    }
}
