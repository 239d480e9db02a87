//! Reads the newest progress record of a slot, up to the topic's end and not a record less.
//!
//! The end is the high watermark asked for before reading. "No more records just now" proves
//! nothing: a broker that has just become leader may know of fewer records than were acknowledged.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::context::Listener;
use super::super::error::KafkaError;
use super::super::properties::{ClientKind, Properties};
use super::{ProgressError, decode};
use relay::Progress;

/// The stored progress of `slot`; none when the topic holds no record of it.
///
/// # Errors
/// The topic is missing or has several partitions, its end was not reached within `timeout`, Kafka
/// refused, or the record is not readable.
pub async fn read(
    properties: &Properties,
    topic: &str,
    slot: &str,
    timeout: Duration,
) -> Result<Option<Progress>, ProgressError> {
    let (properties, topic, slot) = (properties.clone(), topic.to_owned(), slot.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        match newest_value(&properties, &topic, &slot, timeout)? {
            Some(value) => decode(&slot, &value).map(Some),
            None => Ok(None),
        }
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

fn newest_value(
    properties: &Properties,
    topic: &str,
    slot: &str,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, ProgressError> {
    let deadline = Instant::now() + timeout;
    let left = || {
        deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1))
    };
    let consumer = consumer(properties)?;
    let explain = |error: &ClientError| {
        // The reason of a failed request waits on the consumer's queue.
        while consumer.poll(Duration::ZERO).is_some() {}
        consumer.context().explain(READING, error)
    };

    let metadata = consumer
        .fetch_metadata(Some(topic), left())
        .map_err(|error| explain(&error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map_or(0, |found| found.partitions().len()) {
        0 => {
            return Err(ProgressError::TopicMissing {
                topic: topic.to_owned(),
            });
        }
        1 => {}
        partitions => {
            return Err(ProgressError::Partitions {
                topic: topic.to_owned(),
                partitions,
            });
        }
    }
    let (low, high) = consumer
        .fetch_watermarks(topic, 0, left())
        .map_err(|error| explain(&error))?;
    if high <= low {
        return Ok(None);
    }
    let mut partition = TopicPartitionList::new();
    partition
        .add_partition_offset(topic, 0, Offset::Beginning)
        .and_then(|()| consumer.assign(&partition))
        .map_err(|error| explain(&error))?;

    let mut newest = None;
    let mut position = low;
    while position < high {
        if Instant::now() >= deadline {
            let high_watermark = high;
            return Err(ProgressError::NotReached {
                topic: topic.to_owned(),
                position,
                high_watermark,
            });
        }
        let Some(message) = consumer.poll(left()) else {
            continue;
        };
        match message {
            Ok(message) => {
                if message.key() == Some(slot.as_bytes()) {
                    // A record without value says that the slot's progress was taken back.
                    newest = message.payload().map(<[u8]>::to_vec);
                }
                position = message.offset() + 1;
            }
            // No right to the group is no matter: there is no group.
            Err(error) if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) => {}
            // librdkafka mends its connections by itself; only the deadline ends the wait.
            Err(error) => match consumer.context().explain(READING, &error) {
                KafkaError::Unreachable { .. } => {}
                error => return Err(error.into()),
            },
        }
    }
    Ok(newest)
}

fn consumer(properties: &Properties) -> Result<BaseConsumer<Listener>, KafkaError> {
    let defaults = [
        // A consumer that is assigned its partition joins no group; librdkafka wants a name all the
        // same.
        ("group.id", "walferry-progress"),
        ("enable.auto.commit", "false"),
        // The end that must be reached is the end of everything that was acknowledged.
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "error"),
        ("fetch.wait.max.ms", "100"),
        ("allow.auto.create.topics", "false"),
    ];
    let listener = Listener::new(properties.secrets().clone());
    properties
        .client_config(ClientKind::Consumer, &defaults)
        .create_with_context(listener)
        .map_err(|error| KafkaError::of_client(READING, &error, properties.secrets()))
}

const READING: &str = "reading the progress topic";
