//! The topics a benchmark writes to, seen from the broker's side.
//!
//! They are created with `message.timestamp.type=LogAppendTime`, so that the broker itself writes
//! down when a record arrived. That costs no consumer beside the competitor while the clock runs:
//! how far it is, is asked by the high watermark; when the first and the last record came, is read
//! from the log afterwards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// How long the broker may take for one answer before the run is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// All topics of a benchmark have one partition: one slot's order is one partition's order.
const PARTITION: i32 = 0;

/// One topic of one partition.
pub(super) struct Topic {
    name: String,
    consumer: BaseConsumer,
}

/// How long the broker is written to before anything is measured.
const WARM_UP: Duration = Duration::from_secs(12);

/// Makes a broker that has just started one that has served for a while. Its JVM has by then
/// compiled what it runs, which takes a quarter of two cores from whoever comes first; and it has
/// been given a block of producer ids, without which it sends idempotent producers away.
///
/// # Errors
/// When the broker does not take them in time.
pub(super) fn warm_up(bootstrap_servers: &str) -> Result<()> {
    let topic = Topic::create(bootstrap_servers, "warm-up")?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .create()?;
    let since = Instant::now();
    let mut number = 0_u64;
    while since.elapsed() < WARM_UP {
        let value = format!("{{\"id\":{number},\"name\":\"user number {number}\"}}").repeat(16);
        let mut record = BaseRecord::<(), str>::to(&topic.name).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            ensure!(full, "warming the broker up: {error}");
            producer.poll(Duration::from_millis(5));
            record = back;
        }
        number += 1;
    }
    producer.flush(ANSWER_TIMEOUT)?;
    Ok(())
}

impl Topic {
    /// Creates the topic `name` on the cluster `bootstrap_servers`.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses (a topic of that name that exists is refused
    /// too).
    pub(super) fn create(bootstrap_servers: &str, name: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime")
            .set("retention.ms", "-1");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_TIMEOUT));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let outcomes = runtime.block_on(admin.create_topics(&[topic], &options))?;
        for outcome in outcomes {
            if let Err((name, code)) = outcome {
                bail!("cannot create topic {name}: {code}");
            }
        }
        // Never grouped, never committed: it only looks. A fetch is answered as soon as there is
        // one byte.
        config
            .set("group.id", "walferry-bench")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error");
        let consumer = config.create()?;
        Ok(Self {
            name: name.to_owned(),
            consumer,
        })
    }

    /// How many records the topic holds.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) fn records(&self) -> Result<u64> {
        let (_, high) = self
            .consumer
            .fetch_watermarks(&self.name, PARTITION, ANSWER_TIMEOUT)
            .with_context(|| format!("cannot ask for the high watermark of {}", self.name))?;
        Ok(u64::try_from(high)?)
    }

    /// When the broker appended the record at `offset`, in milliseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be read in time.
    pub(super) fn appended_at_millis(&self, offset: u64) -> Result<i64> {
        self.read_from(Offset::Offset(i64::try_from(offset)?))?;
        let since = Instant::now();
        while since.elapsed() < ANSWER_TIMEOUT {
            if let Some(message) = self.poll(Duration::from_millis(100))? {
                return message
                    .timestamp()
                    .to_millis()
                    .context("the record has no timestamp");
            }
        }
        bail!(
            "the record at offset {offset} of {} cannot be read",
            self.name
        )
    }

    /// Bytes of the keys and values of the first `records` records.
    ///
    /// # Errors
    /// When they cannot be read in time.
    pub(super) fn bytes_of_first(&self, records: u64) -> Result<u64> {
        self.read_from(Offset::Beginning)?;
        let since = Instant::now();
        let (mut seen, mut bytes) = (0, 0);
        while seen < records {
            if let Some(message) = self.poll(Duration::from_millis(100))? {
                bytes += message.key().map_or(0, <[u8]>::len) + message.payload_len();
                seen += 1;
            }
            if since.elapsed() > ANSWER_TIMEOUT {
                bail!("the first records of {} cannot be read", self.name);
            }
        }
        Ok(u64::try_from(bytes)?)
    }

    /// Goes to `offset`; [`Topic::poll`] continues there.
    ///
    /// # Errors
    /// When the consumer refuses the assignment.
    pub(super) fn read_from(&self, offset: Offset) -> Result<()> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.name, PARTITION, offset)?;
        self.consumer.assign(&assignment)?;
        Ok(())
    }

    /// The next record, if one comes within `timeout`.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub(super) fn poll(&self, timeout: Duration) -> Result<Option<BorrowedMessage<'_>>> {
        Ok(self.consumer.poll(timeout).transpose()?)
    }
}
