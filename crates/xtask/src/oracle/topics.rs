//! What a side has said: every record of every topic that begins with its prefix.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message};
use rdkafka::{Offset, TopicPartitionList};

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The topic, and `/` and the partition unless that is the first.
    pub(super) topic: String,
    /// The key, or `<none>`.
    pub(super) key: String,
    /// The value, or `<none>`.
    pub(super) value: String,
    /// `name=value`, in order.
    pub(super) headers: Vec<String>,
}

impl Record {
    /// Whether it is a row that was asked for while streaming, flat or not.
    pub(super) fn is_incremental(&self) -> bool {
        self.value.contains(r#"snapshot":"incremental""#)
    }
}

/// All records by topic and partition, in the order in which they are there.
pub(super) fn read(bootstrap_servers: &str, prefix: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "walferry-oracle")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT)?;
    let heartbeat = format!("__debezium-heartbeat.{prefix}");
    let mut wanted = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for topic in metadata.topics() {
        let name = topic.name();
        if !name.starts_with(prefix) && name != heartbeat {
            continue;
        }
        for partition in topic.partitions() {
            let (low, high) = consumer.fetch_watermarks(name, partition.id(), ANSWER_LIMIT)?;
            if high > low {
                assignment.add_partition_offset(name, partition.id(), Offset::Offset(low))?;
                wanted.insert((name.to_owned(), partition.id()), (high, Vec::new()));
            }
        }
    }
    consumer.assign(&assignment)?;
    let since = Instant::now();
    let mut open = wanted.len();
    while open > 0 {
        ensure!(
            since.elapsed() < ANSWER_LIMIT,
            "Kafka's records cannot be read"
        );
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let at = (message.topic().to_owned(), message.partition());
        if let Some((high, records)) = wanted.get_mut(&at) {
            if message.offset() < *high {
                records.push(record(&message));
            }
            // Nothing here is transactional: the last offset is a record.
            open -= usize::from(message.offset() + 1 == *high);
        }
    }
    Ok(wanted
        .into_values()
        .flat_map(|(_, records)| records)
        .collect())
}

fn record(message: &impl Message) -> Record {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(
            || "<none>".to_owned(),
            |bytes| String::from_utf8_lossy(bytes).into_owned(),
        )
    };
    let headers = message.headers().map(|headers| {
        let headers = headers.iter();
        headers
            .map(|header| format!("{}={}", header.key, text(header.value)))
            .collect()
    });
    Record {
        topic: match message.partition() {
            0 => message.topic().to_owned(),
            partition => format!("{}/{partition}", message.topic()),
        },
        key: text(message.key()),
        value: text(message.payload()),
        headers: headers.unwrap_or_default(),
    }
}
