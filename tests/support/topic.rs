//! Reads whole topics: everything up to the high watermark, never "what arrived in a second".

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use serde_json::Value;
use xtask::servers::process;

use super::event::Event;

/// Long enough for a broker that has just come back; a test that hangs longer has failed.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A consumer that remembers what it has read of one topic.
pub struct TopicReader {
    consumer: BaseConsumer,
    topic: String,
    events: Vec<Event>,
    /// By partition: the offset after the last one read.
    positions: Vec<i64>,
}

impl TopicReader {
    /// Reads `topic` from its beginning, including what open and aborted transactions wrote.
    ///
    /// # Panics
    /// When the consumer cannot be made.
    #[must_use]
    pub fn new(bootstrap_servers: &str, topic: &str) -> Self {
        Self::with_isolation(bootstrap_servers, topic, "read_uncommitted")
    }

    /// Reads with an `isolation.level`.
    ///
    /// # Panics
    /// When the consumer cannot be made.
    #[must_use]
    pub fn with_isolation(bootstrap_servers: &str, topic: &str, isolation: &str) -> Self {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "walferry-e2e")
            .set("enable.auto.commit", "false")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .set("log_level", "0")
            .create()
            .expect("a consumer");
        Self {
            consumer,
            topic: topic.to_owned(),
            events: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// All events up to the high watermarks of this moment, in the order of partition and offset
    /// within each call. A topic that does not exist yet is empty.
    ///
    /// # Panics
    /// When the end is not reached in a minute.
    pub fn read_to_end(&mut self) -> &[Event] {
        self.assign_new_partitions();
        let ends = self.high_watermarks();
        let deadline = Instant::now() + READ_LIMIT;
        while self
            .positions
            .iter()
            .zip(&ends)
            .any(|(position, end)| position < end)
        {
            assert!(
                Instant::now() < deadline,
                "{}: {:?} of {ends:?}",
                self.topic,
                self.positions
            );
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let event = event(&message);
                    let partition = usize::try_from(event.partition).expect("a partition");
                    self.positions[partition] = event.offset + 1;
                    self.events.push(event);
                }
                // Errors are the broker's absence; position() also passes records we never see.
                Some(Err(_)) | None => self.follow_position(),
            }
        }
        &self.events
    }

    /// Reads until at least `count` events are there.
    ///
    /// # Panics
    /// When they are not within `limit`.
    pub fn wait_for_count(&mut self, count: usize, limit: Duration) -> &[Event] {
        let what = format!("{count} events in {}", self.topic);
        super::wait_for(&what, limit, || {
            (self.read_to_end().len() >= count).then_some(())
        });
        &self.events
    }

    /// What has been read so far.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    fn assign_new_partitions(&mut self) {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), READ_LIMIT);
        let metadata = metadata.unwrap_or_else(|error| panic!("{}: {error}", self.topic));
        let count = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len());
        if count == self.positions.len() {
            return;
        }
        self.positions.resize(count, 0);
        let mut list = TopicPartitionList::new();
        for (partition, &position) in (0_i32..).zip(&self.positions) {
            let start = if position == 0 {
                Offset::Beginning
            } else {
                Offset::Offset(position)
            };
            list.add_partition_offset(&self.topic, partition, start)
                .expect("an offset");
        }
        self.consumer.assign(&list).expect("an assignment");
    }

    /// A partition that was made a moment ago has no leader yet: asked again until it has.
    fn high_watermarks(&self) -> Vec<i64> {
        let high = |partition| {
            let mut refusal = None;
            let watermarks = process::wait_until(READ_LIMIT, || {
                let asked = self
                    .consumer
                    .fetch_watermarks(&self.topic, partition, READ_LIMIT);
                asked.map_err(|error| refusal = Some(error)).ok()
            });
            watermarks
                .unwrap_or_else(|| panic!("{}: {refusal:?}", self.topic))
                .1
        };
        (0_i32..)
            .zip(&self.positions)
            .map(|(partition, _)| high(partition))
            .collect()
    }

    fn follow_position(&mut self) {
        let Ok(list) = self.consumer.position() else {
            return;
        };
        for element in list.elements_for_topic(&self.topic) {
            let partition = usize::try_from(element.partition()).expect("a partition");
            if let Offset::Offset(offset) = element.offset() {
                self.positions[partition] = self.positions[partition].max(offset);
            }
        }
    }
}

/// All events of a topic.
///
/// # Panics
/// When the end is not reached in a minute.
#[must_use]
pub fn read_topic(bootstrap_servers: &str, topic: &str) -> Vec<Event> {
    TopicReader::new(bootstrap_servers, topic)
        .read_to_end()
        .to_vec()
}

/// What is noted beside a slot's progress of its copy: the newest note of each table, as JSON.
///
/// # Panics
/// When the end is not reached in a minute.
#[must_use]
pub fn read_notes(bootstrap_servers: &str, slot: &str) -> BTreeMap<String, Value> {
    let topic = format!("walferry.progress.{slot}");
    let mut notes = BTreeMap::new();
    if !exists(bootstrap_servers, &topic) {
        return notes;
    }
    for record in read_topic(bootstrap_servers, &topic) {
        let key = String::from_utf8(record.key.clone().unwrap_or_default()).expect("a text");
        let Some((of, table)) = key.split_once(':') else {
            continue;
        };
        assert_eq!(of, slot);
        match record.value {
            Some(_) => notes.insert(table.to_owned(), record.json()),
            None => notes.remove(table),
        };
    }
    notes
}

fn event(message: &BorrowedMessage<'_>) -> Event {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| {
                (
                    header.key.to_owned(),
                    header.value.unwrap_or_default().to_vec(),
                )
            })
            .collect()
    });
    Event {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}

/// How many records lie in a topic, tombstones and repeats included, without reading them.
///
/// # Panics
/// When Kafka does not answer.
#[must_use]
pub fn record_count(bootstrap_servers: &str, topic: &str) -> i64 {
    let mut reader = TopicReader::new(bootstrap_servers, topic);
    reader.assign_new_partitions();
    reader.high_watermarks().into_iter().sum()
}

/// By partition: what a consumer group has committed, and the end. `None` when Kafka does not answer.
///
/// # Panics
/// When a partition's number makes no list.
#[must_use]
pub fn committed_offsets(
    bootstrap_servers: &str,
    group: &str,
    topic: &str,
) -> Option<Vec<(i64, i64)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", group)
        .set("log_level", "0")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), READ_LIMIT).ok()?;
    let partitions = metadata.topics().first()?.partitions();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(list, READ_LIMIT).ok()?;
    let both = committed.elements().into_iter().map(|element| {
        let marks = consumer.fetch_watermarks(topic, element.partition(), READ_LIMIT);
        let (_, end) = marks.ok()?;
        let committed = element.offset().to_raw().filter(|offset| *offset >= 0);
        Some((committed.unwrap_or(0), end))
    });
    both.collect()
}

/// Whether all partitions of a topic have a leader just now.
///
/// # Panics
/// When Kafka does not answer.
#[must_use]
pub fn is_led(bootstrap_servers: &str, topic: &str) -> bool {
    // A client of its own for each question: one that was told of no broker at all asks no more.
    let reader = TopicReader::new(bootstrap_servers, topic);
    let metadata = reader.consumer.fetch_metadata(Some(topic), READ_LIMIT);
    let metadata = metadata.unwrap_or_else(|error| panic!("{topic}: {error}"));
    let mut partitions = metadata.topics().iter().flat_map(|it| it.partitions());
    partitions.all(|partition| partition.leader() >= 0)
}

/// Deletes a topic with all that it holds.
///
/// # Panics
/// When Kafka refuses.
pub fn delete_topic(bootstrap_servers: &str, topic: &str) {
    let admin = admin(bootstrap_servers);
    let answers = answer(admin.delete_topics(&[topic], &AdminOptions::new()));
    answers[0].as_ref().expect("the topic is deleted");
}

/// Whether there is a topic of this name.
///
/// # Panics
/// When Kafka does not answer.
#[must_use]
pub fn exists(bootstrap_servers: &str, topic: &str) -> bool {
    // All of them are asked for: a question for one by its name could make it.
    let reader = TopicReader::new(bootstrap_servers, topic);
    let metadata = reader.consumer.fetch_metadata(None, READ_LIMIT);
    let metadata = metadata.unwrap_or_else(|error| panic!("{topic}: {error}"));
    metadata.topics().iter().any(|it| it.name() == topic)
}

/// Changes one setting of a topic and leaves the others.
///
/// # Panics
/// When Kafka refuses.
pub fn set_topic(bootstrap_servers: &str, topic: &str, name: &str, value: &str) {
    let resource = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let admin = admin(bootstrap_servers);
    let answers = answer(admin.alter_configs([&resource], &AdminOptions::new()));
    answers[0].as_ref().expect("the setting is taken");
}

/// Makes a topic.
///
/// # Panics
/// When Kafka refuses.
pub fn create_topic(
    bootstrap_servers: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let admin = admin(bootstrap_servers);
    let answers = answer(admin.create_topics([&new], &AdminOptions::new()));
    answers[0].as_ref().expect("the topic is made");
}

/// Writes one record, and waits until it is acknowledged.
///
/// # Panics
/// When it is not.
pub fn write_record(bootstrap_servers: &str, topic: &str, key: &str, value: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer");
    producer
        .send(BaseRecord::to(topic).key(key).payload(value))
        .expect("room in the queue");
    producer.flush(READ_LIMIT).expect("an acknowledgement");
}

/// Writes one record to partition 0 with a `walferry.id` of the test's choice, and waits until it is
/// acknowledged; gives its offset.
///
/// # Panics
/// When it is not.
pub fn forge_record(
    bootstrap_servers: &str,
    topic: &str,
    (key, value): (&str, &str),
    id: Option<&str>,
) -> i64 {
    let offset = record_count(bootstrap_servers, topic);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .create()
        .expect("a producer");
    let header = |id| Header {
        key: "walferry.id",
        value: Some(id),
    };
    let headers = id.map(|id| OwnedHeaders::new().insert(header(id)));
    let mut record = BaseRecord::to(topic).partition(0).key(key).payload(value);
    if let Some(headers) = headers {
        record = record.headers(headers);
    }
    producer.send(record).expect("room in the queue");
    producer.flush(READ_LIMIT).expect("an acknowledgement");
    offset
}

fn admin(bootstrap_servers: &str) -> AdminClient<DefaultClientContext> {
    let client = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .create();
    client.expect("an admin client")
}

/// Waits for an answer of the admin client.
///
/// # Panics
/// When there is none.
pub fn answer<T>(question: impl Future<Output = KafkaResult<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(question)
        .expect("an answer from Kafka")
}
