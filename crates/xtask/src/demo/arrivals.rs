//! The consumer's side: what arrived, when, and what it adds up to.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::event::{Event, Operation, Position};

/// What a broker says of a topic that does not exist.
const NOT_YET: RDKafkaErrorCode = RDKafkaErrorCode::UnknownTopicOrPartition;

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
            // Never joined, nothing committed: it is assigned its partitions, but librdkafka wants
            // a name.
            .set("group.id", "walferry-demo")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // A topic may be made only when its table's first change comes; it is to be found soon
            // then.
            .set("topic.metadata.refresh.interval.ms", "500")
            // A real broker answers a waiting fetch when a record comes; the embedded one lets it
            // wait to its end, which would be most of the latency shown.
            .set("fetch.wait.max.ms", "2")
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
        let message = match message {
            Err(KafkaError::MessageConsumption(NOT_YET)) => return Ok(None),
            other => other.context("the demo's consumer cannot read")?,
        };
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
        "{{\"topic\":{},\"partition\":{},\"offset\":{},\"headers\":{{{headers}}},\
         \"key\":{},\"value\":{}}}",
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
    /// By table, and by the operation's place in [`WORDS`].
    by_table: BTreeMap<String, [u64; WORDS.len()]>,
    latencies_micros: Vec<i64>,
    positions: HashSet<Position>,
    repeats: usize,
    records: usize,
    latest: Option<Instant>,
}

/// How operations are counted.
const WORDS: [(Operation, &str); 6] = [
    (Operation::Read, "read"),
    (Operation::Insert, "insert"),
    (Operation::Update, "update"),
    (Operation::Delete, "delete"),
    (Operation::Truncate, "truncate"),
    (Operation::Tombstone, "tombstone"),
];

impl Tally {
    fn add(&mut self, event: &Event, now_micros: i64) {
        let table = event
            .topic
            .rsplit('.')
            .next()
            .unwrap_or(&event.topic)
            .to_owned();
        let counts = self.by_table.entry(table).or_default();
        for ((operation, _), count) in WORDS.iter().zip(counts) {
            *count += u64::from(*operation == event.operation);
        }
        self.latencies_micros
            .extend(event.committed_at_micros.map(|at| now_micros - at));
        if let Some(position) = event.position
            && !self.positions.insert(position)
        {
            self.repeats += 1;
        }
        self.records += 1;
        self.latest = Some(Instant::now());
    }

    /// How many records came.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// How many of them carried an id that another had carried before.
    pub(super) fn repeats(&self) -> usize {
        self.repeats
    }

    /// When the last one came.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.latest
    }

    /// `users        2 inserts, 1 update`, a line a table.
    pub(super) fn by_table(&self) -> Vec<String> {
        let line = |(table, counts): (&String, &[u64; WORDS.len()])| {
            let counts = WORDS.iter().zip(counts).filter(|(_, count)| **count > 0);
            let counts = counts.map(|((_, word), count)| match count {
                1 => format!("1 {word}"),
                _ => format!("{count} {word}s"),
            });
            format!("{table:<12} {}", counts.collect::<Vec<_>>().join(", "))
        };
        self.by_table.iter().map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(table: &str, operation: Operation, id: &str, committed_at_micros: i64) -> Event {
        Event {
            topic: format!("shop.public.{table}"),
            operation,
            key: super::super::event::Row::default(),
            before: None,
            after: None,
            committed_at_micros: Some(committed_at_micros),
            position: Position::parse(id),
        }
    }

    #[test]
    fn adds_up() {
        let mut tally = Tally::default();
        tally.add(&event("users", Operation::Insert, "1:0/A:0", 1_000), 3_000);
        tally.add(&event("users", Operation::Update, "1:0/A:1", 1_000), 5_000);
        tally.add(&event("orders", Operation::Insert, "1:0/B:0", 2_000), 3_000);
        tally.add(&event("users", Operation::Insert, "1:0/A:0", 1_000), 11_000);
        assert_eq!((tally.records(), tally.repeats()), (4, 1));
        assert_eq!(
            tally.by_table(),
            ["orders       1 insert", "users        2 inserts, 1 update"]
        );
        let millis = [25, 50, 75, 100].map(|percent| tally.latency(percent).unwrap().as_millis());
        assert_eq!(millis, [1, 2, 4, 10]);
    }
}
