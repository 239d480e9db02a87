//! Reads topics from their beginnings to where they ended when the reading began, all partitions at
//! once and merged: see `order.rs`.
//!
//! Each partition has a queue of its own, so that one whose turn has not come is fetched no further
//! than its queue is long. Only what is committed is read: a partition may end before its high
//! watermark, or with a record that is none (a transaction's marker).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::{self, Consumer};
use super::context::Listener;
use super::error::KafkaError;
use super::order::Order;
use super::properties::Properties;

/// Some topics, about to be read.
pub struct TopicReader {
    consumer: Arc<Consumer>,
    topics: Vec<String>,
    partitions: Vec<Partition>,
    timeout: Duration,
}

/// One partition, as it was when the reading began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its topic, by its number among those asked for.
    pub topic: usize,
    /// Its number in the topic.
    pub number: i32,
    /// The offset of the first record that is there.
    pub low: i64,
    /// The offset behind the last.
    pub high: i64,
}

/// One record.
pub struct ReadRecord<'a>(&'a BorrowedMessage<'a>);

impl ReadRecord<'_> {
    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The first header of this name, if it has a value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.0.headers()?;
        let mut all = headers.iter();
        all.find(|it| it.key == name).and_then(|it| it.value)
    }
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// All is read.
    Whole,
    /// Somebody wanted it to stop.
    Stopped,
}

impl TopicReader {
    /// Finds out where the topics' partitions begin and end. `queue_bytes` is for the queues of all
    /// of them; `timeout` bounds each question, and the wait for a record. Blocks.
    ///
    /// # Errors
    /// Nobody answered, or Kafka refused; a topic that is not there is
    /// [`KafkaError::UnknownTopic`].
    pub fn open(
        properties: &Properties,
        topics: &[String],
        queue_bytes: usize,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let mut reader = Self {
            consumer: Arc::new(consumer(properties, QUEUE_BYTES_MAX)?),
            topics: topics.to_vec(),
            partitions: Vec::new(),
            timeout,
        };
        for (topic, name) in topics.iter().enumerate() {
            for number in reader.numbers(name)? {
                let marks = reader.consumer.fetch_watermarks(name, number, timeout);
                let (low, high) = marks.map_err(|error| reader.explain(&error))?;
                reader.partitions.push(Partition {
                    topic,
                    number,
                    low,
                    high,
                });
            }
        }
        let share = queue_bytes / reader.filled().count().max(1);
        let share = share.clamp(QUEUE_BYTES_MIN, QUEUE_BYTES_MAX);
        reader.consumer = Arc::new(consumer(properties, share)?);
        Ok(reader)
    }

    /// The partitions, in the order of topics and numbers.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// How many offsets are to be read: records, and what stands between them.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        let length = |it: &Partition| u64::try_from(it.high - it.low).unwrap_or_default();
        self.partitions.iter().map(length).sum()
    }

    /// Whether records that were there when the reading began are deleted by now. Blocks.
    ///
    /// # Errors
    /// Nobody answered.
    pub fn has_lost_records(&self) -> Result<bool, KafkaError> {
        for partition in self.filled() {
            let (name, number) = (self.name(partition), partition.number);
            let marks = self.consumer.fetch_watermarks(name, number, self.timeout);
            let (low, _) = marks.map_err(|error| self.explain(&error))?;
            if low > partition.low {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads, and hands each record to `take` with its partition (by its number in
    /// [`TopicReader::partitions`]) and its place in the order, which `place` tells. Blocks.
    ///
    /// # Errors
    /// Kafka refused, or nothing came for as long as `timeout`.
    pub fn read<P: Ord + Copy>(
        &self,
        stop: &AtomicBool,
        place: impl Fn(&ReadRecord<'_>) -> Option<P>,
        mut take: impl FnMut(usize, &ReadRecord<'_>),
    ) -> Result<ReadEnd, KafkaError> {
        let queues = self.assign()?;
        let mut order = Order::new();
        let mut heads: Vec<Option<BorrowedMessage<'_>>> = Vec::new();
        for (number, queue) in queues.iter().enumerate() {
            let head = match queue {
                Some(queue) => self.next(queue, number, stop)?,
                None => None,
            };
            if let Some(message) = &head {
                order.push(number, place(&ReadRecord(message)));
            }
            heads.push(head);
        }
        while let Some(number) = order.pop() {
            if stop.load(Ordering::Relaxed) {
                return Ok(ReadEnd::Stopped);
            }
            let (Some(head), Some(Some(queue))) = (heads.get_mut(number), queues.get(number))
            else {
                continue;
            };
            let mut ended = true;
            if let Some(message) = head.take() {
                take(number, &ReadRecord(&message));
                ended = message.offset() + 1 >= self.high(number);
            }
            if !ended {
                *head = self.next(queue, number, stop)?;
            }
            if let Some(message) = head {
                order.push(number, place(&ReadRecord(message)));
            }
        }
        Ok(match stop.load(Ordering::Relaxed) {
            true => ReadEnd::Stopped,
            false => ReadEnd::Whole,
        })
    }

    /// The partition's next record; none at its end.
    fn next<'q>(
        &self,
        queue: &'q PartitionQueue<Listener>,
        number: usize,
        stop: &AtomicBool,
    ) -> Result<Option<BorrowedMessage<'q>>, KafkaError> {
        let mut wait = Duration::ZERO;
        let mut since = None;
        loop {
            match queue.poll(wait) {
                Some(Ok(message)) if message.offset() >= self.high(number) => return Ok(None),
                Some(Ok(message)) => return Ok(Some(message)),
                Some(Err(ClientError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => self.bear(&error)?,
                None => {}
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            // What is said of connections waits on the client's own queue.
            while let Some(came) = self.consumer.poll(Duration::ZERO) {
                match came {
                    Ok(_) => return Err(self.unread("a record came out of its partition's queue")),
                    Err(error) => self.bear(&error)?,
                }
            }
            if since.get_or_insert_with(Instant::now).elapsed() > self.timeout {
                return Err(self.silent());
            }
            wait = POLL;
        }
    }

    /// Only silence ends the wait for what librdkafka mends by itself.
    fn bear(&self, error: &ClientError) -> Result<(), KafkaError> {
        consumer::bear(&self.consumer, READING, error)
    }

    fn silent(&self) -> KafkaError {
        match self.consumer.context().last_error() {
            Some((_, reason)) => self.unread(&reason),
            None => self.unread("no record came in time"),
        }
    }

    fn unread(&self, reason: &str) -> KafkaError {
        KafkaError::Unreachable {
            what: READING,
            reason: self.consumer.context().secrets().redact(reason),
        }
    }

    fn high(&self, number: usize) -> i64 {
        self.partitions.get(number).map_or(0, |it| it.high)
    }

    /// Partitions that have something to be read.
    fn filled(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(|it| it.high > it.low)
    }

    /// A queue for each partition that has something.
    fn assign(&self) -> Result<Vec<Option<PartitionQueue<Listener>>>, KafkaError> {
        let explain = |error: ClientError| self.explain(&error);
        let mut list = TopicPartitionList::new();
        for partition in self.filled() {
            let from = Offset::Offset(partition.low);
            let (name, number) = (self.name(partition), partition.number);
            list.add_partition_offset(name, number, from)
                .map_err(explain)?;
        }
        self.consumer.assign(&list).map_err(explain)?;
        // Nothing may come before each partition has its queue.
        self.consumer.pause(&list).map_err(explain)?;
        let queue = |it: &Partition| match it.high > it.low {
            true => self
                .consumer
                .split_partition_queue(self.name(it), it.number)
                .map(Some)
                .ok_or_else(|| self.unread("a partition has no queue")),
            false => Ok(None),
        };
        let queues: Result<Vec<_>, _> = self.partitions.iter().map(queue).collect();
        let queues = queues?;
        self.consumer.resume(&list).map_err(explain)?;
        Ok(queues)
    }

    fn name(&self, partition: &Partition) -> &str {
        self.topics.get(partition.topic).map_or("", String::as_str)
    }

    fn numbers(&self, topic: &str) -> Result<Vec<i32>, KafkaError> {
        let found = consumer::partitions(&self.consumer, READING, topic, self.timeout)?;
        found.ok_or(KafkaError::UnknownTopic)
    }

    fn explain(&self, error: &ClientError) -> KafkaError {
        consumer::explain(&self.consumer, READING, error)
    }
}

fn consumer(properties: &Properties, queue_bytes: usize) -> Result<Consumer, KafkaError> {
    // What is asked for comes on top of what is queued, and JSON is ten times as large as when it
    // was compressed.
    let bytes = (queue_bytes / 8).to_string();
    let kilobytes = (queue_bytes / 2048).max(1).to_string();
    // Each record takes room of its own beside its bytes.
    let records = (queue_bytes / 1024).max(100).to_string();
    let own = [
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        // Retention may be ahead of us.
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "100"),
        ("max.partition.fetch.bytes", &bytes),
        ("queued.max.messages.kbytes", &kilobytes),
        ("queued.min.messages", &records),
        // A queue that is full is looked at again soon: it is emptied in no time.
        ("fetch.queue.backoff.ms", "5"),
    ];
    consumer::new(properties, READING, "walferry-verify", &own)
}

const READING: &str = "reading topics";

/// Between looks at the wish to stop.
const POLL: Duration = Duration::from_millis(100);

/// Of one partition: a fetch is worth its round trip, and a topic of a thousand partitions is read
/// all the same.
const QUEUE_BYTES_MIN: usize = 64 << 10;
const QUEUE_BYTES_MAX: usize = 1 << 20;
