//! Publishing: records go into librdkafka's queue with a ticket, tickets come back acknowledged.
//!
//! One task publishes, so records of one partition keep the order in which they were published; the
//! idempotent producer keeps it through retries. A broker that is away is no error: records wait
//! without a time limit, and the in-flight limits of the relay keep the queue bounded. Nothing is
//! retried here after a refusal: the run ends and the slot replays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use envelope::{Record, Records};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};

use super::brokerless::Watch;
use super::context::Listener;
use super::deliveries::{Batch, Opaque, Stream, Tray};
use super::error::KafkaError;
use super::properties::{ClientKind, Properties};

/// What the producer must know besides the user's properties.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most records that the relay lets be in flight.
    pub in_flight_records_max: u64,
    /// The most bytes of keys and values that the relay lets be in flight.
    pub in_flight_bytes_max: u64,
    /// The smallest `max.message.bytes` among the topics, where known. A batch never grows beyond
    /// it, so that a refused batch is always one single record that is itself too large.
    pub topic_bytes_min: Option<u64>,
    /// Whether the broker may create a topic that is missing.
    pub auto_creation: AutoCreation,
}

/// Whether a missing topic may be created by the broker, with the broker's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreation {
    /// A missing topic is an error: topics have declared settings.
    Forbidden,
    /// For clusters that cannot create topics on request (librdkafka's mock cluster).
    Allowed,
}

/// What of the topics a producer's settings follow, as far as they were known when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeFor {
    /// The smallest `max.message.bytes` that its batches fit into.
    topic_bytes_min: u64,
    auto_creation: AutoCreation,
}

impl MadeFor {
    /// Whether missing topics are left to the broker.
    #[must_use]
    pub fn auto_creation(self) -> AutoCreation {
        self.auto_creation
    }

    /// Why it cannot serve topics of this smallest `max.message.bytes`, of which some are left to
    /// the broker to make; none when it can.
    #[must_use]
    pub fn lacks(
        self,
        bytes_min: Option<u64>,
        auto_creation: AutoCreation,
    ) -> Option<&'static str> {
        if bytes_min.is_some_and(|bytes| bytes < self.topic_bytes_min) {
            Some("it takes only smaller batches than the producer makes")
        } else if auto_creation != self.auto_creation {
            Some("the broker is to make it, which the producer does not ask for")
        } else {
            None
        }
    }
}

/// The idempotent producer. Publish from one task only.
pub struct Producer {
    inner: ThreadedProducer<Context>,
    context: Arc<Context>,
    /// Records handed over since the start. librdkafka's own count includes its log lines.
    sent: AtomicU64,
    made_for: MadeFor,
}

impl Producer {
    /// Starts a producer and its polling thread; connects in the background.
    ///
    /// # Errors
    /// Properties that do not go together, or files (certificates) that cannot be read.
    pub fn new(properties: &Properties, settings: &Settings) -> Result<Self, KafkaError> {
        let config = client_config(properties, settings);
        let made_for = MadeFor {
            topic_bytes_min: topic_bytes_min(settings, batch_bytes(properties, settings)),
            auto_creation: settings.auto_creation,
        };
        let context = Context {
            listener: Listener::new(properties.secrets().clone()),
            watch: Watch::default(),
            tray: Tray::default(),
        };
        let inner: ThreadedProducer<Context> =
            config.create_with_context(context).map_err(|error| {
                KafkaError::of_client("creating the producer", &error, properties.secrets())
            })?;
        let context = Arc::clone(inner.client().context());
        Ok(Self {
            inner,
            context,
            sent: AtomicU64::new(0),
            made_for,
        })
    }

    /// What of the topics it was made for.
    #[must_use]
    pub fn made_for(&self) -> MadeFor {
        self.made_for
    }

    /// Hands a record to librdkafka, which copies it. Never blocks.
    ///
    /// # Errors
    /// The record is over the client's own limit ([`KafkaError::RecordTooLarge`]), the producer has
    /// stopped, or the queue is full, which the in-flight limits should prevent. The record is then
    /// not in the queue and its ticket will not come back.
    pub fn publish(&self, ticket: u64, record: &Record<'_>) -> Result<(), KafkaError> {
        let extra = record.headers.iter();
        // The capacity is exact, so that librdkafka's list allocates once.
        let mut headers = OwnedHeaders::new_with_capacity(1 + extra.len());
        headers = headers.insert(Header {
            key: Records::ID_HEADER,
            value: Some(record.id),
        });
        for (name, value) in extra {
            headers = headers.insert(Header { key: name, value });
        }
        // A number beyond Kafka's is no partition of any topic, and must not become the key's choice.
        let partition = record.partition.map(i32::try_from).transpose();
        let partition =
            partition.map_err(|_| KafkaError::of_delivery(ticket, Code::UnknownPartition))?;
        let opaque = match partition {
            Some(_) => Opaque::placed(ticket),
            None => Opaque::new(Stream::Record, ticket),
        };
        let message = BaseRecord {
            topic: record.topic,
            partition,
            payload: record.value,
            key: record.key,
            timestamp: record.timestamp,
            headers: Some(headers),
            delivery_opaque: opaque.raw(),
        };
        self.send(ticket, message)
    }

    /// Hands a progress record to librdkafka; it comes back as `progress_settled`.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn store_progress(
        &self,
        ticket: u64,
        topic: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), KafkaError> {
        self.store(Stream::Progress, ticket, topic, key, Some(value))
    }

    /// Hands a record to librdkafka that stands beside the progress: a topic is begun, a part of a copy
    /// is done; without a value it takes that back. It does not come back, unless it is refused.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn store_note(
        &self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), KafkaError> {
        self.store(Stream::Note, 0, topic, key, value)
    }

    /// As [`Self::store_note`]; a `ticket` above 0 comes back as [`Batch::noted`].
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn store_awaited_note(
        &self,
        ticket: u64,
        topic: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), KafkaError> {
        self.store(Stream::Note, ticket, topic, key, Some(value))
    }

    /// Hands a heartbeat to librdkafka; it comes back as [`Batch::heartbeat`].
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn heartbeat(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), KafkaError> {
        self.store(Stream::Heartbeat, 0, topic, key, Some(value))
    }

    fn store(
        &self,
        stream: Stream,
        ticket: u64,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), KafkaError> {
        let message = BaseRecord {
            topic,
            partition: Some(0),
            payload: value,
            key: Some(key),
            timestamp: None,
            headers: None,
            delivery_opaque: Opaque::new(stream, ticket).raw(),
        };
        self.send(ticket, message)
    }

    fn send(
        &self,
        ticket: u64,
        message: BaseRecord<'_, [u8], [u8], usize>,
    ) -> Result<(), KafkaError> {
        // Counted before it is handed over, since it may be back before `send` returns.
        self.sent.fetch_add(1, Ordering::Relaxed);
        let opaque = Opaque::from_raw(message.delivery_opaque);
        self.inner.send(message).map_err(|(error, _)| {
            self.sent.fetch_sub(1, Ordering::Relaxed);
            match error.rdkafka_error_code() {
                Some(Code::Fatal) => self
                    .fatal()
                    .unwrap_or_else(|| KafkaError::of_delivery(ticket, Code::Fatal)),
                Some(code) => KafkaError::of_delivery(ticket, opaque.meaning(code)),
                None => KafkaError::of_client("publishing", &error, self.context.secrets()),
            }
        })
    }

    /// Returns when something may have come back. Safe to cancel.
    pub async fn ready(&self) {
        self.context.tray.filled().await;
    }

    /// Takes all that has come back, replacing what `batch` held.
    pub fn drain(&self, batch: &mut Batch) {
        self.context.tray.take(batch);
        batch.fault = match self.fatal() {
            // The refusal that made the gap comes as a delivery report of its own, and names the
            // record and the reason.
            Some(KafkaError::Fatal {
                code: Code::GaplessGuarantee,
                ..
            }) => None,
            None => self.brokerless(),
            fault => fault,
        };
    }

    /// Records handed over and neither acknowledged nor refused.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        // What came back is read first: it never overtakes what was sent.
        let returned = self.context.tray.returned();
        self.sent.load(Ordering::Relaxed).saturating_sub(returned)
    }

    /// The newest statistics as librdkafka's JSON (STATISTICS.md), about every 5 s.
    #[must_use]
    pub fn statistics(&self) -> Option<Arc<str>> {
        self.context.listener.statistics()
    }

    /// What librdkafka last said about a connection, redacted. It is not cleared when the connection
    /// is back, so it explains an outage but does not prove one.
    #[must_use]
    pub fn last_connection_error(&self) -> Option<String> {
        self.context
            .listener
            .last_error()
            .map(|(code, reason)| format!("{code:?}: {reason}"))
    }

    /// Waits up to `timeout` for what is in flight, purges the rest and ends the polling thread.
    ///
    /// `batch` receives what came back after the last drain; purged records are among its `refused`.
    /// Returns how many records were not acknowledged.
    pub async fn close(self, timeout: Duration, batch: &mut Batch) -> u64 {
        let deadline = Instant::now() + timeout;
        while self.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let context = Arc::clone(&self.context);
        let left = self.in_flight();
        // Purging, the last reports and joining the polling thread take up to some 100 ms.
        let closing = tokio::task::spawn_blocking(move || drop(self));
        if closing.await.is_err() {
            tracing::error!("closing the producer panicked");
        }
        context.tray.take(batch);
        left
    }

    /// Whether it has forgotten all brokers: another producer has to begin with the configured ones.
    fn brokerless(&self) -> Option<KafkaError> {
        let reason = "the cluster told of no broker at all, and the client waits for none any more";
        self.context
            .watch
            .is_brokerless()
            .then(|| KafkaError::Unreachable {
                what: "publishing",
                reason: reason.to_owned(),
            })
    }

    /// Whether the producer has stopped for good; librdkafka keeps the first reason.
    fn fatal(&self) -> Option<KafkaError> {
        let (code, reason) = self.inner.client().fatal_error()?;
        Some(match code {
            Code::Fenced | Code::ProducerFenced => KafkaError::Fenced,
            Code::ClusterAuthorizationFailed => KafkaError::of_delivery(0, code),
            code => KafkaError::Fatal {
                code,
                reason: self.context.secrets().redact(&reason),
            },
        })
    }
}

impl Drop for Producer {
    /// What is left is purged: an unacknowledged record is replayed, never sent behind our back.
    fn drop(&mut self) {
        self.inner.purge(PurgeConfig::default().queue().inflight());
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// librdkafka's callbacks.
struct Context {
    listener: Listener,
    watch: Watch,
    tray: Tray,
}

impl Context {
    fn secrets(&self) -> &super::properties::Secrets {
        self.listener.secrets()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.listener.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.listener.stats_raw(statistics);
        self.watch.look(statistics);
        if self.watch.is_brokerless() {
            self.tray.wake();
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.listener.error(error, reason);
        // It may be the end of the producer; whoever drains will ask.
        self.tray.wake();
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let refused = match result {
            Ok(_) => None,
            Err((error, _)) => Some(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        self.tray.put(Opaque::from_raw(opaque), refused);
    }
}

fn client_config(properties: &Properties, settings: &Settings) -> rdkafka::ClientConfig {
    let defaults = [
        ("partitioner", "murmur2_random"),
        ("compression.type", "lz4"),
        // A full queue makes large batches by itself; this is for low rates. At 1,000 records/s,
        // 2 ms cost 0.15 ms of median latency against 1 ms, and take a sixth less CPU.
        ("linger.ms", "2"),
        // The topic decides what is too large, and it looks at the compressed size. The client must
        // still stay below the broker's `socket.request.max.bytes` (100 MB), since a broker answers
        // a larger request by closing the connection, and it would be sent again for ever.
        ("message.max.bytes", "104000000"),
        ("topic.metadata.propagation.max.ms", "10000"),
    ];
    let mut config = properties.client_config(ClientKind::Producer, &defaults);
    let number = |name: &str| config.get(name).and_then(|value| value.parse::<u64>().ok());
    let message_max = number("message.max.bytes").unwrap_or(0);
    let batch = batch_bytes(properties, settings);
    // Twice the limits, plus one record that begins just below them.
    let queue_kbytes = (settings.in_flight_bytes_max.saturating_mul(2) + message_max) / 1024 + 1;
    let queue_records = settings.in_flight_records_max.saturating_mul(2) + 1_000;
    for (name, value) in [
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("message.timeout.ms", "0".to_owned()),
        // A record behind a refused one must not be published before it.
        ("enable.gapless.guarantee", "true".to_owned()),
        ("batch.size", batch.to_string()),
        (
            "queue.buffering.max.messages",
            queue_records.min(QUEUE_MAX).to_string(),
        ),
        (
            "queue.buffering.max.kbytes",
            queue_kbytes.min(QUEUE_MAX).to_string(),
        ),
        ("statistics.interval.ms", "5000".to_owned()),
    ] {
        config.set(name, value);
    }
    if properties.get("allow.auto.create.topics").is_none() {
        let allowed = settings.auto_creation == AutoCreation::Allowed;
        config.set(
            "allow.auto.create.topics",
            if allowed { "true" } else { "false" },
        );
    }
    config
}

/// The largest batch of several records: what is asked for, as far as every topic takes it.
fn batch_bytes(properties: &Properties, settings: &Settings) -> u64 {
    let asked = properties.get("batch.size");
    let asked = asked.and_then(|value| value.parse().ok());
    let topic = settings.topic_bytes_min.unwrap_or(DEFAULT_TOPIC_BYTES);
    let room = topic.saturating_sub(BATCH_OVERHEAD_BYTES);
    asked.unwrap_or(BATCH_BYTES).min(room).max(1)
}

/// The smallest topic that such batches fit into; never more than the smallest one known, so that
/// a producer made for a topic always serves it.
fn topic_bytes_min(settings: &Settings, batch: u64) -> u64 {
    let known = settings.topic_bytes_min.unwrap_or(u64::MAX);
    known.min(batch + BATCH_OVERHEAD_BYTES)
}

/// The size up to which a record is in no topic's way, keys, values and headers: above it only the
/// broker knows, which looks at what is left after compression. The topics' smallest
/// `max.message.bytes` where it is known.
#[must_use]
pub fn surely_taken_bytes(topic_bytes_min: Option<u64>) -> u64 {
    let topic = topic_bytes_min.unwrap_or(DEFAULT_TOPIC_BYTES);
    topic.saturating_sub(BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES)
}

/// librdkafka's own default of `batch.size`.
const BATCH_BYTES: u64 = 1_000_000;
/// Kafka's default of `max.message.bytes`.
const DEFAULT_TOPIC_BYTES: u64 = 1_048_588;
/// The batch's header (61 bytes), rounded up.
const BATCH_OVERHEAD_BYTES: u64 = 128;
/// Lengths, offsets and times of one record (at most 5 varints and its header's), rounded up.
const RECORD_OVERHEAD_BYTES: u64 = 128;
/// The largest value librdkafka takes for either queue limit.
const QUEUE_MAX: u64 = 2_147_483_647;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)], topic_bytes_min: Option<u64>) -> rdkafka::ClientConfig {
        let broker = ("bootstrap.servers", "127.0.0.1:1");
        let properties = Properties::parse(pairs.iter().copied().chain([broker])).unwrap();
        let settings = Settings {
            in_flight_records_max: 50_000,
            in_flight_bytes_max: 16 << 20,
            topic_bytes_min,
            auto_creation: AutoCreation::Forbidden,
        };
        client_config(&properties, &settings)
    }

    #[test]
    fn the_guarantee_is_configured() {
        let config = config(&[("compression.type", "zstd"), ("acks", "-1")], None);
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.timeout.ms", "0"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "zstd"),
            ("allow.auto.create.topics", "false"),
            ("queue.buffering.max.messages", "101000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_producer_serves_the_topics_it_was_made_for() {
        let made_for = |known: Option<u64>| {
            let properties = Properties::parse([("bootstrap.servers", "127.0.0.1:1")]).unwrap();
            let settings = Settings {
                in_flight_records_max: 50_000,
                in_flight_bytes_max: 16 << 20,
                topic_bytes_min: known,
                auto_creation: AutoCreation::Forbidden,
            };
            Producer::new(&properties, &settings).unwrap().made_for()
        };
        let serves = |made: MadeFor, bytes| made.lacks(bytes, AutoCreation::Forbidden).is_none();
        assert!(serves(made_for(None), None));
        assert!(serves(made_for(None), Some(1_048_588)));
        assert!(!serves(made_for(None), Some(20_000)));
        for bytes in [1, 100, 20_000, 1 << 30] {
            assert!(serves(made_for(Some(bytes)), Some(bytes)), "{bytes}");
        }
        // Its batches are no larger than the producer's own default.
        assert!(serves(made_for(Some(1 << 30)), Some(1_048_588)));
        assert!(!serves(made_for(Some(20_000)), Some(19_999)));
        assert!(made_for(None).lacks(None, AutoCreation::Allowed).is_some());
    }

    #[test]
    fn a_batch_fits_the_smallest_topic() {
        assert_eq!(config(&[], None).get("batch.size"), Some("1000000"));
        assert_eq!(config(&[], Some(50_128)).get("batch.size"), Some("50000"));
        let large = [("batch.size", "4000000")];
        assert_eq!(
            config(&large, Some(8 << 20)).get("batch.size"),
            Some("4000000")
        );
        assert_eq!(
            config(&large, Some(2_000_128)).get("batch.size"),
            Some("2000000")
        );
    }
}
