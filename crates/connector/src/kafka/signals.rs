//! Reads the topic of signals: one partition, from where the group has committed; and writes to it.

use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::{self, Consumer};
use super::context::Listener;
use super::error::KafkaError;
use super::properties::{ClientKind, Properties, Secrets};

/// The only one that is read.
pub const PARTITION: i32 = 0;

/// A consumer of the topic.
pub struct SignalReader {
    consumer: Consumer,
    topic: String,
    timeout: Duration,
    start: Start,
    partitions: usize,
}

/// Where the reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind what was taken.
    Committed(i64),
    /// At the topic's end, for the group has committed nothing.
    End {
        /// Its offset.
        at: i64,
        /// So many records before it are not read.
        before: i64,
    },
}

impl Start {
    /// The offset.
    #[must_use]
    pub fn offset(self) -> i64 {
        match self {
            Self::Committed(at) | Self::End { at, .. } => at,
        }
    }
}

/// One record.
#[derive(Clone, PartialEq, Eq)]
pub struct SignalRecord {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; empty for none.
    pub value: Vec<u8>,
    /// Where it is.
    pub offset: i64,
}

impl SignalReader {
    /// Goes on behind what the group has committed; the first time, at the topic's end, which is committed
    /// at once. Blocks.
    ///
    /// # Errors
    /// Kafka did not answer, or refused.
    pub fn open(
        properties: &Properties,
        topic: &str,
        group: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let own = [("auto.offset.reset", "earliest")];
        let consumer = consumer::new(properties, READING, group, &own)?;
        let mut reader = Self {
            consumer,
            topic: topic.to_owned(),
            timeout,
            start: Start::Committed(0),
            partitions: 0,
        };
        let start = reader.position();
        reader.start = start.map_err(|error| reader.explain(&error))?;
        let found = consumer::partitions(&reader.consumer, READING, topic, timeout)?;
        reader.partitions = found.map_or(0, |found| found.len());
        let at = reader.start.offset();
        reader.commit(at)?;
        let assigned = reader
            .list(Offset::Offset(at))
            .and_then(|list| reader.consumer.assign(&list));
        assigned.map_err(|error| reader.explain(&error))?;
        Ok(reader)
    }

    /// Where the reading began.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }

    /// How many partitions the topic has, of which one is read.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// The next record, if one comes in this time. Blocks.
    ///
    /// # Errors
    /// Kafka refused.
    pub fn next(&self, patience: Duration) -> Result<Option<SignalRecord>, KafkaError> {
        match self.consumer.poll(patience) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(SignalRecord {
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
                offset: message.offset(),
            })),
            Some(Err(error)) => match self.explain(&error) {
                // librdkafka mends its connections by itself.
                KafkaError::Unreachable { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Records before this offset need not come again. Blocks. Kafka forgets it after `offsets.retention.minutes`
    /// (a week): said again now and then, it stays.
    ///
    /// # Errors
    /// Kafka did not answer, or refused.
    pub fn commit(&self, offset: i64) -> Result<(), KafkaError> {
        let committed = self
            .list(Offset::Offset(offset))
            .and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        committed.map_err(|error| self.explain(&error))
    }

    fn position(&self) -> Result<Start, ClientError> {
        let asked = self.list(Offset::Invalid)?;
        let committed = self.consumer.committed_offsets(asked, self.timeout)?;
        let found = committed
            .find_partition(&self.topic, PARTITION)
            .map(|it| it.offset());
        if let Some(Offset::Offset(at)) = found {
            return Ok(Start::Committed(at));
        }
        let (low, at) = self
            .consumer
            .fetch_watermarks(&self.topic, PARTITION, self.timeout)?;
        let before = at.saturating_sub(low);
        Ok(Start::End { at, before })
    }

    fn list(&self, at: Offset) -> Result<TopicPartitionList, ClientError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, PARTITION, at)?;
        Ok(list)
    }

    fn explain(&self, error: &ClientError) -> KafkaError {
        self.consumer.context().explain(READING, error)
    }
}

/// A producer to the topic.
pub struct SignalWriter {
    producer: FutureProducer<Listener>,
    secrets: Secrets,
    topic: String,
    timeout: Duration,
}

impl SignalWriter {
    /// Makes the client; it meets its brokers with the first record.
    ///
    /// # Errors
    /// The properties make no client.
    pub fn new(
        properties: &Properties,
        topic: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let milliseconds = timeout.as_millis().to_string();
        let defaults = [
            ("acks", "all"),
            ("message.timeout.ms", milliseconds.as_str()),
            ("allow.auto.create.topics", "false"),
        ];
        let listener = Listener::new(properties.secrets().clone());
        let producer = properties
            .client_config(ClientKind::Producer, &defaults)
            .create_with_context(listener)
            .map_err(|error| KafkaError::of_client(WRITING, &error, properties.secrets()))?;
        Ok(Self {
            producer,
            secrets: properties.secrets().clone(),
            topic: topic.to_owned(),
            timeout,
        })
    }

    /// Writes one signal, and waits until Kafka has it.
    ///
    /// # Errors
    /// Kafka did not answer, or refused.
    pub async fn write(&self, key: &str, value: &str) -> Result<(), KafkaError> {
        let record = FutureRecord::to(&self.topic)
            .partition(PARTITION)
            .key(key)
            .payload(value);
        let sent = self.producer.send(record, self.timeout).await;
        sent.map(drop)
            .map_err(|(error, _)| KafkaError::of_client(WRITING, &error, &self.secrets))
    }
}

const WRITING: &str = "writing to the topic of signals";
const READING: &str = "reading the topic of signals";
