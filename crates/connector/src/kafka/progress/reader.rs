//! Reads the newest progress record of a slot, up to the topic's end and not a record less.
//!
//! The end is the high watermark asked for before reading. "No more records just now" proves
//! nothing: a broker that has just become leader may know of fewer records than were acknowledged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::consumer::{self, Consumer};
use super::super::context::lock;
use super::super::error::KafkaError;
use super::super::properties::Properties;
use super::{ProgressError, begun, decode, parts, requests};
use crate::copy::Noted;
use crate::incremental;
use relay::Progress;

/// What the progress topic holds of one slot.
#[derive(Debug, Default)]
pub struct Stored {
    /// How far Kafka has got; none when that was never stored.
    pub progress: Option<Progress>,
    /// The topics that records went to, or were about to go to.
    pub begun: BTreeSet<String>,
    /// How far the copy of each table has come, by `schema.table`.
    pub noted: Noted,
    /// What was asked for while the stream goes on, by id.
    pub requests: incremental::Noted,
}

impl Stored {
    /// The topics that may not be made anew: those that stored progress tells of.
    #[must_use]
    pub fn never_again(&self) -> &BTreeSet<String> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        self.progress.as_ref().map_or(&NONE, |_| &self.begun)
    }
}

/// A consumer of the progress topic that remembers how far it has read, so that looking again
/// costs one question.
#[derive(Clone)]
pub struct ProgressReader {
    reading: Arc<Mutex<Reading>>,
    topic: String,
    slot: String,
    timeout: Duration,
}

impl ProgressReader {
    /// Connects in the background. `timeout` bounds each [`Self::read`].
    ///
    /// # Errors
    /// Properties that do not go together.
    pub fn new(
        properties: &Properties,
        topic: &str,
        slot: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let reading = Reading {
            consumer: consumer(properties)?,
            read_to: None,
            held: Held::default(),
        };
        Ok(Self {
            reading: Arc::new(Mutex::new(reading)),
            topic: topic.to_owned(),
            slot: slot.to_owned(),
            timeout,
        })
    }

    /// What is stored as of now.
    ///
    /// # Errors
    /// The topic is missing or has several partitions, its end was not reached in time, Kafka
    /// refused, or the record is not readable.
    pub async fn read(&self) -> Result<Stored, ProgressError> {
        let reader = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let Self {
                reading,
                topic,
                slot,
                timeout,
            } = reader;
            let mut reading = lock(&reading);
            reading.catch_up(&topic, slot.as_bytes(), timeout)?;
            let newest = reading.held.newest.as_deref();
            Ok(Stored {
                progress: newest.map(|value| decode(&slot, value)).transpose()?,
                begun: reading.held.begun.clone(),
                noted: reading.held.noted.clone(),
                requests: reading.held.requests.clone(),
            })
        });
        reading.await.unwrap_or_else(|_| {
            let reason = "the reading thread panicked".to_owned();
            Err(KafkaError::Unreachable {
                what: READING,
                reason,
            }
            .into())
        })
    }
}

/// What is stored of `slot`, asked for once.
///
/// # Errors
/// As [`ProgressReader::read`].
pub async fn read(
    properties: &Properties,
    topic: &str,
    slot: &str,
    timeout: Duration,
) -> Result<Stored, ProgressError> {
    ProgressReader::new(properties, topic, slot, timeout)?
        .read()
        .await
}

struct Reading {
    consumer: Consumer,
    /// The offset of the next record, once the partition is assigned.
    read_to: Option<i64>,
    held: Held,
}

/// What was read of the slot.
#[derive(Default)]
struct Held {
    newest: Option<Vec<u8>>,
    begun: BTreeSet<String>,
    noted: Noted,
    requests: incremental::Noted,
}

impl Held {
    /// A record without value takes back what was said before.
    fn take(&mut self, slot: &[u8], key: &[u8], value: Option<&[u8]>) {
        if key == slot {
            self.newest = value.map(<[u8]>::to_vec);
        } else if let Some(topic) = begun::topic_of(slot, key) {
            match value {
                Some(_) => self.begun.insert(topic.to_owned()),
                None => self.begun.remove(topic),
            };
        } else if let Some(table) = parts::table_of(slot, key) {
            match value.and_then(parts::decode) {
                Some(part) => self.noted.insert(table.to_owned(), part),
                None => self.noted.remove(table),
            };
        } else if let Some(id) = requests::id_of(slot, key) {
            match value.and_then(requests::decode) {
                Some(request) => self.requests.insert(id.to_owned(), request),
                None => self.requests.remove(id),
            };
        }
    }
}

impl Reading {
    fn catch_up(
        &mut self,
        topic: &str,
        slot: &[u8],
        timeout: Duration,
    ) -> Result<(), ProgressError> {
        let deadline = Deadline(Instant::now() + timeout);
        if self.read_to.is_none() {
            self.one_partition(topic, &deadline)?;
        }
        let (low, high) = self
            .consumer
            .fetch_watermarks(topic, 0, deadline.left())
            .map_err(|error| self.explain(&error))?;
        let mut position = match self.read_to {
            Some(position) if (low..=high).contains(&position) => position,
            // Nothing is read yet, or what was read is not the topic of now.
            _ if high <= low => {
                self.held = Held::default();
                return Ok(());
            }
            _ => {
                self.begin(topic)?;
                low
            }
        };
        while position < high {
            if deadline.is_over() {
                return Err(ProgressError::NotReached {
                    topic: topic.to_owned(),
                    position,
                    high_watermark: high,
                });
            }
            position = self.step(slot, position, &deadline)?;
        }
        self.read_to = Some(position);
        Ok(())
    }

    /// Takes in one record, and gives the position after it.
    fn step(
        &mut self,
        slot: &[u8],
        position: i64,
        deadline: &Deadline,
    ) -> Result<i64, ProgressError> {
        match self.consumer.poll(deadline.left()) {
            None => Ok(position),
            Some(Ok(message)) => {
                let key = message.key().unwrap_or_default();
                self.held.take(slot, key, message.payload());
                Ok(message.offset() + 1)
            }
            // Only the deadline ends the wait for what librdkafka mends by itself.
            Some(Err(error)) => {
                consumer::bear(&self.consumer, READING, &error)?;
                Ok(position)
            }
        }
    }

    fn begin(&mut self, topic: &str) -> Result<(), ProgressError> {
        self.held = Held::default();
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Beginning)
            .and_then(|()| self.consumer.assign(&partition))
            .map_err(|error| self.explain(&error).into())
    }

    fn one_partition(&self, topic: &str, deadline: &Deadline) -> Result<(), ProgressError> {
        let found = consumer::partitions(&self.consumer, READING, topic, deadline.left())?;
        let topic = topic.to_owned();
        match found.map_or(0, |found| found.len()) {
            0 => Err(ProgressError::TopicMissing { topic }),
            1 => Ok(()),
            partitions => Err(ProgressError::Partitions { topic, partitions }),
        }
    }

    fn explain(&self, error: &ClientError) -> KafkaError {
        consumer::explain(&self.consumer, READING, error)
    }
}

struct Deadline(Instant);

impl Deadline {
    fn left(&self) -> Duration {
        let left = self.0.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

fn consumer(properties: &Properties) -> Result<Consumer, KafkaError> {
    let own = [
        // The end that must be reached is the end of everything that was acknowledged.
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "error"),
        ("fetch.wait.max.ms", "100"),
    ];
    consumer::new(properties, READING, "walferry-progress", &own)
}

const READING: &str = "reading the progress topic";
