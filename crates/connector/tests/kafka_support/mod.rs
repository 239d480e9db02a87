//! What the tests of the Kafka edge share: a producer with small limits, waiting for deliveries, and
//! a plain consumer that reads whole topics.

#![allow(dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

use connector::kafka::{AutoCreation, Batch, Pace, Producer, Properties, Settings};
use envelope::{Headers, Operation, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn properties(bootstrap: &str, more: &[(&str, &str)]) -> Properties {
    let broker = ("bootstrap.servers", bootstrap);
    Properties::parse(more.iter().copied().chain([broker])).expect("properties")
}

pub fn settings() -> Settings {
    Settings {
        in_flight_records_max: 10_000,
        in_flight_bytes_max: 16 << 20,
        topic_bytes_min: None,
        auto_creation: AutoCreation::Forbidden,
    }
}

pub fn producer(bootstrap: &str, more: &[(&str, &str)]) -> Producer {
    Producer::new(&properties(bootstrap, more), &settings(), Pace::Soon).expect("producer")
}

pub fn record<'a>(
    topic: &'a str,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    id: &'a [u8],
) -> Record<'a> {
    let headers = Headers::default();
    Record {
        routed: false,
        timestamp: None,
        topic,
        partition: None,
        key,
        value,
        id,
        headers,
        operation: Operation::Create,
        relation: 1,
    }
}

/// Everything that came back until `done` says enough, or the patience is over.
pub async fn collect(producer: &Producer, done: impl Fn(&Batch) -> bool) -> Batch {
    let deadline = Instant::now() + PATIENCE;
    let (mut all, mut batch) = (Batch::default(), Batch::default());
    while !done(&all) {
        let left = deadline.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, producer.ready()).await.is_err() {
            panic!("not done after {PATIENCE:?}: {all:?}");
        }
        producer.drain(&mut batch);
        add(&mut all, &mut batch);
    }
    all
}

pub fn add(all: &mut Batch, batch: &mut Batch) {
    all.settled.append(&mut batch.settled);
    all.progress_settled.append(&mut batch.progress_settled);
    all.refused.append(&mut batch.refused);
    all.fault = all.fault.take().or(batch.fault.take());
}

/// One record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Every record of a topic, by partition and offset.
pub fn consume(bootstrap: &str, topic: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .expect("consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .expect("metadata");
    let partitions = i32::try_from(metadata.topics()[0].partitions().len()).unwrap();
    let mut seen = Vec::new();
    for partition in 0..partitions {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .expect("watermarks");
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
        consumer.assign(&assignment).unwrap();
        let mut position = low;
        while position < high {
            let Some(message) = consumer.poll(PATIENCE) else {
                panic!("no message in time")
            };
            let message = message.expect("message");
            position = message.offset() + 1;
            let headers = message.headers().map(|headers| {
                let pair = |it: rdkafka::message::Header<'_, &[u8]>| {
                    (it.key.to_owned(), it.value.unwrap_or_default().to_vec())
                };
                headers.iter().map(pair).collect()
            });
            seen.push(Seen {
                partition,
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: headers.unwrap_or_default(),
            });
        }
    }
    seen
}
