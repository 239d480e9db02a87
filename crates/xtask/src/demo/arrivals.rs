//! The consumer's side: what arrived, when, and what it adds up to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::event::{Event, Operation};

/// Reads the demo's topics from their beginning.
pub(super) struct Arrivals {
    consumer: BaseConsumer,
    /// What came so far.
    pub(super) tally: Tally,
}

/// A record that came.
pub(super) struct Arrival {
    /// What it says.
    pub(super) event: Event,
    /// The whole of it, as one JSON object in one line.
    pub(super) json: String,
}

impl Arrivals {
    /// A consumer of partition 0 of each topic.
    pub(super) fn of(bootstrap_servers: &str, topics: &[String]) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            // Never joined, nothing committed: it is assigned its partitions, but librdkafka wants a name.
            .set("group.id", "walferry-demo")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()?;
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        Ok(Self {
            consumer,
            tally: Tally::default(),
        })
    }

    /// The next record, if one comes within `timeout`.
    pub(super) fn next(&mut self, timeout: Duration) -> Result<Option<Arrival>> {
        let Some(message) = self.consumer.poll(timeout) else {
            return Ok(None);
        };
        let message = message.context("the demo's consumer cannot read")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let event = Event::read(&message)?;
        self.tally.add(&event, i64::try_from(now.as_micros())?);
        Ok(Some(Arrival {
            json: whole(&message),
            event,
        }))
    }
}

/// Key and value are JSON already, and stay as walferry wrote them, byte by byte.
fn whole(message: &BorrowedMessage<'_>) -> String {
    let part = |bytes: Option<&[u8]>| {
        bytes.map_or_else(
            || "null".to_owned(),
            |bytes| String::from_utf8_lossy(bytes).into_owned(),
        )
    };
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut headers = String::new();
    for header in message.headers().iter().flat_map(|headers| headers.iter()) {
        let comma = if headers.is_empty() { "" } else { "," };
        let value = header
            .value
            .map_or_else(String::new, |v| String::from_utf8_lossy(v).into_owned());
        let _ = write!(headers, "{comma}{}:{}", text(header.key), text(&value));
    }
    format!(
        "{{\"topic\":{},\"partition\":{},\"offset\":{},\"headers\":{{{headers}}},\"key\":{},\"value\":{}}}",
        text(message.topic()),
        message.partition(),
        message.offset(),
        part(message.key()),
        part(message.payload()),
    )
}

/// Counts and times of what arrived.
#[derive(Debug, Default)]
pub(super) struct Tally {
    by_table: BTreeMap<String, BTreeMap<&'static str, u64>>,
    latencies_micros: Vec<i64>,
    records: usize,
    latest: Option<Instant>,
}

impl Tally {
    fn add(&mut self, event: &Event, now_micros: i64) {
        let table = event
            .topic
            .rsplit('.')
            .next()
            .unwrap_or(&event.topic)
            .to_owned();
        let word = match event.operation {
            Operation::Read => "read",
            Operation::Insert => "inserts",
            Operation::Update => "updates",
            Operation::Delete => "deletes",
            Operation::Truncate => "truncates",
            Operation::Tombstone => "tombstones",
        };
        *self
            .by_table
            .entry(table)
            .or_default()
            .entry(word)
            .or_default() += 1;
        self.latencies_micros
            .extend(event.committed_at_micros.map(|at| now_micros - at));
        self.records += 1;
        self.latest = Some(Instant::now());
    }

    /// How many records came.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// When the last one came.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.latest
    }

    /// `users: 2 inserts, 1 updates`, a line a table.
    pub(super) fn by_table(&self) -> Vec<String> {
        let counts = |counts: &BTreeMap<&str, u64>| {
            let counts: Vec<String> = counts
                .iter()
                .map(|(word, count)| format!("{count} {word}"))
                .collect();
            counts.join(", ")
        };
        self.by_table
            .iter()
            .map(|(table, of)| format!("{table}: {}", counts(of)))
            .collect()
    }

    /// From commit to consumer: the value below which `percent` of 100 lie.
    pub(super) fn latency(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.latencies_micros.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        let micros = sorted.get(rank - 1)?;
        Some(Duration::from_micros(u64::try_from(*micros).unwrap_or(0)))
    }
}
