//! Publishing: records go into librdkafka's queue with a ticket, tickets come back acknowledged.
//!
//! One task publishes, so records of one partition keep the order in which they were published; the
//! idempotent producer keeps it through retries. A broker that is away is no error: records wait
//! without a time limit, and the in-flight limits of the relay keep the queue bounded. Nothing is
//! retried here after a refusal: the run ends and the slot replays.

mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use envelope::{Record, Records};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};

use super::brokerless::Watch;
use super::context::Listener;
use super::deliveries::{Batch, Opaque, Stream, Tray};
use super::error::KafkaError;
use super::properties::{Properties, Secrets};

use settings::client_config;
pub use settings::{AutoCreation, MadeFor, Pace, Settings, surely_taken_bytes};

/// The idempotent producer. Publish from one task only.
pub struct Producer {
    inner: ThreadedProducer<Context>,
    context: Arc<Context>,
    /// Of a producer in bulk: the client that takes over, which has met its brokers by then. A client
    /// publishes nothing in its first half second.
    successor: Option<ThreadedProducer<Context>>,
    /// Records handed over since the start. librdkafka's own count includes its log lines.
    sent: AtomicU64,
    made_for: MadeFor,
}

impl Producer {
    /// Starts a producer and its polling thread; connects in the background.
    ///
    /// # Errors
    /// Properties that do not go together, or files (certificates) that cannot be read.
    pub fn new(
        properties: &Properties,
        settings: &Settings,
        pace: Pace,
    ) -> Result<Self, KafkaError> {
        let tray = Arc::new(Tray::default());
        let create = |pace| {
            let config = client_config(properties, settings, pace);
            create(&config, properties.secrets(), Arc::clone(&tray))
        };
        // Where the user has said how long a record waits, one client does.
        let is_said = properties.get("linger.ms").is_some();
        let (inner, successor) = match pace {
            Pace::InBulk if !is_said => (create(pace)?, Some(create(Pace::Soon)?)),
            _ => (create(Pace::Soon)?, None),
        };
        Ok(Self {
            context: Arc::clone(inner.client().context()),
            inner,
            successor,
            sent: AtomicU64::new(0),
            made_for: MadeFor::new(properties, settings),
        })
    }

    /// Whether records leave in bulk.
    #[must_use]
    pub fn is_in_bulk(&self) -> bool {
        self.successor.is_some()
    }

    /// From now on records leave soon. librdkafka's properties are for a client's whole life, so another
    /// takes its place: only when nothing is in flight, or records of a partition could change their order.
    pub fn end_bulk(&mut self) {
        debug_assert_eq!(self.in_flight(), 0, "records would change their order");
        let Some(next) = self.successor.take() else {
            return;
        };
        self.context = Arc::clone(next.client().context());
        let last = std::mem::replace(&mut self.inner, next);
        // Joining the polling thread takes up to some 100 ms.
        tokio::task::spawn_blocking(move || drop(last));
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

fn create(
    config: &ClientConfig,
    secrets: &Secrets,
    tray: Arc<Tray>,
) -> Result<ThreadedProducer<Context>, KafkaError> {
    let context = Context {
        listener: Listener::new(secrets.clone()),
        watch: Watch::default(),
        tray,
    };
    let created = config.create_with_context(context);
    created.map_err(|error| KafkaError::of_client("creating the producer", &error, secrets))
}

/// librdkafka's callbacks.
struct Context {
    listener: Listener,
    watch: Watch,
    /// Of all clients that the producer has had: the others' records have come back.
    tray: Arc<Tray>,
}

impl Context {
    fn secrets(&self) -> &Secrets {
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
