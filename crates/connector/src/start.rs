//! From a configuration to a running connection, in the one order that is safe.
//!
//! ```text
//!   reach Postgres and Kafka ─> is it what is stored? ─> check, all complaints at once
//!      ─> create what may be created ─> own the slot ─> read the progress ─> compare ─> Driver
//! ```
//!
//! Progress is looked at twice: before anything is created, since nothing may be made anew that it
//! tells of, and once the slot is owned, since whoever held it before may have written to the end.
//! Nothing is published, and nothing confirmed, before the comparison.

mod compare;
mod error;
mod examine;
mod open;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pgoutput::Lsn;
use relay::{KnownCommit, Limits, Progress, Relay, Settings, SnapshotState, Timing};
use tokio::time::{Instant, interval_at, sleep};
use tracing::{info, warn};

use crate::cli::Until;
use crate::clock::Clock;
use crate::config::{Config, Create, SnapshotMode};
use crate::copy::{self, Copy, Noted, Site, Source, Standby};
use crate::credentials::{self, Unreadable};
use crate::driver::{Driver, Parts};
use crate::end::End;
use crate::heartbeat::Heart;
use crate::incremental::Incremental;
use crate::kafka::ensure::{Ensured, Making};
use crate::kafka::{
    self, KafkaError, Pace, Producer, ProgressError, ProgressReader, ProgressWriter, Properties,
    Stored, Topics,
};
use crate::observer::Observer;
use crate::ownership::Slot;
use crate::postgres::slots;
use crate::postgres::sql::{SqlClient, within};
use crate::postgres::{CatalogSession, Conninfo, PostgresError, ReplicationStream};
use crate::preflight::setup::SetupPlan;
use crate::resume::{Identity, Resume};
use crate::slot_watch::SlotWatch;
use crate::telemetry::Peer;

pub use error::StartError;

/// What one connection leaves for the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Secrets could be read once.
    secrets_read: bool,
    /// The check has passed; a reconnection looks at the slot alone.
    checked: bool,
    /// There was stored progress: its topic may not be missing any more.
    stored: bool,
    /// The server process of the last connection: if the slot is still in its hands after a cut,
    /// it may be ended, since it is ours.
    walsender: Option<i32>,
    /// How long silence is borne; doubled by a silence that no progress came before.
    silence_max: Option<Duration>,
    confirmed: Lsn,
    application_name: String,
    /// The topics of the captured tables.
    topics: Vec<String>,
    /// The commit of a prepared transaction that is to be read again.
    known_commit: Option<KnownCommit>,
    /// How much of the copy the next leg publishes at least; see `copy/kept_wal.rs`.
    pieces_min: u64,
}

impl Memory {
    /// A connection has ended.
    pub fn ended(&mut self, end: &End, confirmed: Lsn) {
        let progressed = confirmed > self.confirmed;
        self.confirmed = self.confirmed.max(confirmed);
        if let End::ProducerUnfit { topic, .. } = end {
            self.topics.push(topic.clone());
        }
        if let End::Prepared(Some(known)) = end {
            self.known_commit = Some(known.clone());
        }
        if let End::Paused(paused) = end {
            self.pieces_min = paused.pieces_min;
        }
        self.silence_max = match end {
            End::Lost(lost) if lost.is_silence() && !progressed => {
                Some(self.silence_max.unwrap_or(Timing::SILENCE_MAX) * 2)
            }
            _ => None,
        };
    }
}

/// The making of one connection.
#[derive(Debug)]
pub struct Start<'a> {
    /// What is wanted.
    pub config: &'a Config,
    /// Who is told.
    pub observer: &'a Observer,
    /// Where to end; `Now` becomes a position at the first connection.
    pub until: &'a mut Option<Until>,
    /// What the last connection left.
    pub memory: &'a mut Memory,
}

impl Start<'_> {
    /// Makes a connection.
    ///
    /// # Errors
    /// Everything that keeps one from coming about; who asks decides what follows.
    pub async fn connection(self) -> Result<Driver, StartError> {
        let known = self.memory.checked;
        let made = Box::pin(self.make()).await;
        made.map_err(|error| if known { error.forgiven() } else { error })
    }

    async fn make(mut self) -> Result<Driver, StartError> {
        let (conninfo, properties) = self.secrets().await?;
        self.memory
            .application_name
            .clone_from(&conninfo.application_name);
        let reader = self.reader(&properties)?;
        let mut topics = self.ensured(&properties)?;
        // The two servers do not wait for each other.
        let ((sql, found), stored) = tokio::try_join!(
            self.examined(&conninfo),
            self.awaited(stored_if_any(&reader, self.memory.stored))
        )?;
        topics.never_again(stored.never_again().clone());
        self.memory.stored |= stored.progress.is_some();
        let opened = self.opened(&conninfo, &sql, &stored).await;
        if let Err(contradicted @ StartError::Halted(_)) = opened {
            // It says more than the check, which would advise to make what is gone.
            return Err(contradicted);
        }
        let (mut plan, new) = self.judged(found, &stored, &topics).await?;
        let (mut session, server, seen) = opened?;
        self.fix_now(&sql).await?;
        if let Some(progress) = &stored.progress {
            self.publication_is_kept(progress, &plan)?;
        }
        self.ask_for_new(&mut plan, &new, stored.progress.as_ref());
        self.create_missing(&sql, &plan, &mut topics).await?;
        // It meets its brokers while the slot is being taken.
        let producer = self.producer(&properties, &topics, self.pace(&stored))?;
        let slot = Slot {
            name: &self.config.postgres.slot,
            publication: &self.config.postgres.publication,
            conninfo: &conninfo,
            sql: &sql,
        };
        let taken = match seen {
            Some(_) => None,
            None => self.new_slot(slot, &mut session).await?,
        };
        let standby = self.standby(&conninfo, server.identity).await?;
        let ours = self.memory.walsender;
        let (stream, walsender) = slot.own(session, ours, server.sender_timeout).await?;
        self.memory.walsender = Some(walsender);
        let mut compared = self
            .compare(&sql, server.identity, &reader, &stored)
            .await?;
        self.memory.checked = true;
        let begun = std::mem::take(&mut compared.begun);
        let progress = self.progress(&producer, begun)?;
        let noted = compared.take_notes(&progress, &producer)?;
        let requests = compared.take_requests(&progress, &producer)?;
        let session = Arc::new(CatalogSession::new(sql, conninfo.clone()).await?);
        let site = self.site(&session, &conninfo, standby);
        let rows = taken.unwrap_or_else(|| site.present());
        let copied = (self.copied(), site.clone());
        let incremental = Incremental::of(self.config, &conninfo, copied, requests);
        Ok(self.driver(Made {
            stream,
            session,
            site,
            topics,
            producer,
            progress,
            server: server.identity,
            resume: compared.resume,
            shape: compared.shape,
            rows,
            noted,
            incremental,
            timing: Timing::for_server(server.sender_timeout, self.memory.silence_max),
            two_phase_slot: compared.two_phase_slot,
        }))
    }

    async fn create_missing(
        &self,
        sql: &SqlClient,
        plan: &SetupPlan,
        topics: &mut Ensured,
    ) -> Result<(), StartError> {
        const DOING: &str = "create what is missing";
        within(CHECK_TIMEOUT, DOING, plan.apply_sql(sql)).await?;
        topics.progress(&self.config.topics.progress).await?;
        Ok(self.data_topics(topics).await?)
    }

    /// Where to end becomes a position.
    async fn fix_now(&mut self, sql: &SqlClient) -> Result<(), PostgresError> {
        if let Some(Until::Now) = self.until {
            *self.until = Some(Until::Position(slots::wal_end(sql).await?));
        }
        Ok(())
    }

    async fn secrets(&mut self) -> Result<(Conninfo, Properties), StartError> {
        let known = self.memory.secrets_read;
        // Once they could be read, a file that is being replaced is there again in a moment.
        let unreadable = |peer| {
            move |Unreadable(problem)| match known {
                true => StartError::Unreadable(peer, problem),
                false => StartError::Configuration(problem),
            }
        };
        let conninfo = credentials::conninfo(self.config);
        let conninfo = conninfo.await.map_err(unreadable(Peer::Postgres))?;
        let properties = credentials::properties(self.config);
        let properties = properties.await.map_err(unreadable(Peer::Kafka))?;
        self.memory.secrets_read = true;
        Ok((conninfo, properties))
    }

    fn reader(&self, properties: &Properties) -> Result<ProgressReader, KafkaError> {
        let (topic, slot) = (&self.config.topics.progress, &self.config.postgres.slot);
        ProgressReader::new(properties, topic, slot, KAFKA_TIMEOUT)
    }

    /// Says now and then that Kafka is being waited for: its questions have half a minute.
    async fn awaited<T>(&self, answer: impl Future<Output = T>) -> T {
        tokio::pin!(answer);
        let mut ticks = interval_at(Instant::now() + SAY_EVERY, SAY_EVERY);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                _ = ticks.tick() => {
                    let servers = self.config.kafka.bootstrap_servers();
                    warn!("waiting for an answer from Kafka at {servers}");
                }
            }
        }
    }

    /// Begins to read the rows that are there, if they are to be published.
    fn copy(&self, rows: Source, noted: Noted, site: &Site) -> Copy {
        let is_all = self.config.snapshot == SnapshotMode::InitialOnly;
        let wanted = copy::Wanted {
            is_all,
            ..self.copied()
        };
        Copy::begin(rows, wanted, noted, site.kept())
    }

    fn site(
        &self,
        session: &Arc<CatalogSession>,
        primary: &Conninfo,
        standby: Option<Standby>,
    ) -> Site {
        Site {
            primary: primary.clone(),
            standby,
            session: Arc::clone(session),
            slot: self.config.postgres.slot.clone(),
            wal_max: self.config.copy.wal_max,
            pieces_min: self.memory.pieces_min,
        }
    }

    /// What is copied of tables, and how.
    fn copied(&self) -> copy::Wanted {
        copy::Wanted {
            publication: self.config.postgres.publication.clone(),
            tables: self.config.tables.clone(),
            how: self.config.copy.clone(),
            outbox: self.config.envelope.outbox.clone(),
            has_silent_writes: self.config.envelope.has_silent_writes(),
            asked: None,
            is_all: false,
            gauge: self.observer.snapshot(),
        }
    }

    async fn data_topics(&self, topics: &mut Ensured) -> Result<(), KafkaError> {
        // Their records are published without a question before.
        let without_table = self.config.envelope.topics_without_table();
        topics.data(&without_table).await?;
        if self.memory.checked {
            topics.data_again(&self.memory.topics).await
        } else {
            topics.data(&self.memory.topics).await
        }
    }

    fn progress(
        &self,
        producer: &Producer,
        begun: BTreeSet<String>,
    ) -> Result<ProgressWriter, KafkaError> {
        let slot = &self.config.postgres.slot;
        let mut progress = ProgressWriter::new(&self.config.topics.progress, slot, begun);
        for topic in self.config.envelope.topics_without_table() {
            progress.begin(producer, &topic)?;
        }
        Ok(progress)
    }

    /// Rows that are there leave in bulk. Whether a lost slot has them copied anew is known only later:
    /// they take the stream's pace then.
    fn pace(&self, stored: &Stored) -> Pace {
        let mode = self.config.snapshot;
        let copies = match &stored.progress {
            None => mode.copies(),
            // Each start of the process may copy anew, but not each connection.
            Some(progress) if self.memory.checked => {
                progress.snapshot == SnapshotState::Running && mode.copies()
            }
            Some(progress) => examine::copies(mode, progress.snapshot),
        };
        // With less under way it would be all of it that waits for company.
        let limits = self.config.limits;
        let fills =
            limits.in_flight_records >= BULK_RECORDS && limits.in_flight_bytes >= BULK_BYTES;
        match copies && fills {
            true => Pace::InBulk,
            false => Pace::Soon,
        }
    }

    fn producer(
        &self,
        properties: &Properties,
        topics: &Ensured,
        pace: Pace,
    ) -> Result<Producer, StartError> {
        let limits = self.config.limits;
        let overshoot = Limits::OVERSHOOT as u64;
        let settings = kafka::Settings {
            in_flight_records_max: limits.in_flight_records as u64 + overshoot,
            in_flight_bytes_max: limits.in_flight_bytes,
            topic_bytes_min: topics.bytes_min(),
            auto_creation: topics.auto_creation(),
        };
        Ok(Producer::new(properties, &settings, pace)?)
    }

    fn driver(&self, made: Made) -> Driver {
        let config = self.config;
        let clock = Clock::start();
        let tables = config.tables.clone();
        let Resume {
            start,
            durable,
            epoch,
            snapshot,
            copies_anew: _,
            chunk_ordinals,
        } = made.resume;
        let mut relay = Relay::new(
            Settings {
                envelope: config.envelope.clone(),
                start: Progress {
                    system_identifier: made.server.system_identifier,
                    timeline: made.server.timeline,
                    epoch,
                    commit_end_lsn: start.end,
                    split: start.split,
                    snapshot,
                    shape: made.shape,
                    chunk_ordinals,
                },
                start_is_durable: durable,
                two_phase_slot: made.two_phase_slot,
                known_commit: self.memory.known_commit.clone(),
                limits: limits(config, made.topics.bytes_min()),
                timing: made.timing,
                captures: Box::new(move |schema, table| tables.matches(schema, table)),
            },
            clock.now(),
        );
        if let Some((schema, table)) = &config.signals.table {
            relay.take_signals_from(schema, table);
        }
        for topic in &self.memory.topics {
            relay.take_topic(topic);
        }
        if let Some(Until::Position(position)) = *self.until {
            relay.stop_at(position);
        }
        if config.snapshot == SnapshotMode::InitialOnly && snapshot != SnapshotState::Running {
            info!("the rows that were there are published, and nothing else is wanted");
            relay.stop_at(start.end);
        }
        let (slot, session) = (&config.postgres.slot, made.session);
        let copies = snapshot == SnapshotState::Running;
        match start.end {
            // The rows' point is not known yet.
            Lsn::ZERO => info!(slot, "streaming, once the rows that are there are read"),
            at => info!(slot, %at, "streaming"),
        }
        Driver::new(Parts {
            stream: made.stream,
            copy: copies.then(|| self.copy(made.rows, made.noted, &made.site)),
            slot_watch: self.watch(&session, &made.topics),
            session,
            producer: made.producer,
            topics: made.topics,
            relay,
            clock,
            incremental: made.incremental,
            progress: made.progress,
            observer: self.observer.clone(),
            heart: Heart::new(&self.config.envelope),
            drain_timeout: config.shutdown_timeout,
        })
    }

    fn watch(&self, session: &Arc<CatalogSession>, topics: &Ensured) -> SlotWatch {
        let (session, observer) = (Arc::clone(session), self.observer.clone());
        SlotWatch::begin(session, self.config, topics.topics(), observer)
    }

    fn ensured(&self, properties: &Properties) -> Result<Ensured, StartError> {
        let topics = &self.config.topics;
        let making = Making {
            allowed: topics.create == Create::Auto,
            partitions: topics.partitions.unsigned_abs(),
            replication_factor: topics.replication_factor.map(i32::unsigned_abs),
            settings: topics.settings.iter().cloned().collect::<BTreeMap<_, _>>(),
        };
        Ok(Ensured::new(
            Topics::connect(properties, KAFKA_TIMEOUT)?,
            making,
        ))
    }
}

/// What may be under way, where `topic_bytes_min` is the smallest `max.message.bytes` that is known.
#[must_use]
pub fn limits(config: &Config, topic_bytes_min: Option<u64>) -> Limits {
    let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        in_flight_records: config.limits.in_flight_records,
        in_flight_bytes: bytes(config.limits.in_flight_bytes),
        surely_taken_bytes: bytes(kafka::surely_taken_bytes(topic_bytes_min)),
    }
}

/// What is stored before the slot is taken; a topic that is missing holds nothing, unless it is
/// `known` to have held something.
async fn stored_if_any(reader: &ProgressReader, known: bool) -> Result<Stored, StartError> {
    let mut looks = if known { kafka::GONE_LOOKS } else { 0 };
    loop {
        match reader.read().await {
            Err(ProgressError::TopicMissing { .. }) if looks > 0 => {
                looks -= 1;
                sleep(kafka::GONE_PAUSE).await;
            }
            Err(ProgressError::TopicMissing { .. }) if !known => return Ok(Stored::default()),
            read => return Ok(read?),
        }
    }
}

/// What a driver is made of.
struct Made {
    stream: ReplicationStream,
    session: Arc<CatalogSession>,
    site: Site,
    topics: Ensured,
    producer: Producer,
    progress: ProgressWriter,
    server: Identity,
    resume: Resume,
    shape: u64,
    /// Where existing rows would come from, and which of them Kafka has.
    rows: Source,
    noted: Noted,
    incremental: Incremental,
    timing: Timing,
    /// Where the slot stands, if `two_phase` is on for it.
    two_phase_slot: Option<Lsn>,
}

/// More than a batch takes (`batch.num.messages`, `batch.size`), so that batches are full before they have waited.
const BULK_RECORDS: usize = 20_000;
const BULK_BYTES: u64 = 4 << 20;
/// Bounds each question to Kafka at the start.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// Bounds the questions of the check, which grow with the catalog.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);
/// How often what is waited for is said.
const SAY_EVERY: Duration = Duration::from_secs(3);
