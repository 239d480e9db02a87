//! From a configuration to a running connection, in the one order that is safe.
//!
//! ```text
//!   reach Postgres and Kafka ─> check, all complaints at once ─> create what may be created
//!      ─> own the slot ─> read the progress ─> compare ─> Driver
//! ```
//!
//! The slot is owned before the progress is read: whoever held it before may have written to the
//! end. Nothing is published, and nothing confirmed, before the comparison.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use envelope::LogicalMessages;
use pgoutput::Lsn;
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot};
use relay::{Limits, Progress, Relay, Settings, SnapshotState, Timing};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::cli::Until;
use crate::clock::Clock;
use crate::config::{Config, Create, SnapshotMode};
use crate::copy::{self, Copy, Snapshot, Source};
use crate::driver::{Driver, Parts};
use crate::end::End;
use crate::halt::{Halt, Halted};
use crate::kafka::ensure::{Ensured, Making};
use crate::kafka::{self, KafkaError, Producer, ProgressError, ProgressWriter, Properties, Topics};
use crate::observer::Observer;
use crate::postgres::slots;
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{
    CatalogSession, Conninfo, CreatedSlot, PostgresError, ReplicationSession, ReplicationStream,
};
use crate::preflight;
use crate::preflight::finding::Finding;
use crate::preflight::report::Report;
use crate::preflight::wanted::StoredProgress;
use crate::resume::{self, Identity, Resume};
use crate::slot_watch::SlotWatch;

/// Why no connection came about.
#[derive(Debug)]
pub enum StartError {
    /// A person must decide something first.
    Halted(Halted),
    /// The configuration cannot work, whatever the servers say.
    Configuration(String),
    /// The check found errors; they are printed already.
    Refused(Report),
    /// Postgres, with its own class.
    Postgres(PostgresError),
    /// Kafka, with its own class.
    Kafka(KafkaError),
    /// The progress topic, with its own class.
    Progress(ProgressError),
}

/// What one connection leaves for the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The check has passed; a reconnection looks at the slot alone.
    checked: bool,
    /// The server process of the last connection: if the slot is still in its hands after a cut,
    /// it may be ended, since it is ours.
    walsender: Option<i32>,
    /// How long silence is borne; doubled by a silence that no progress came before.
    silence_max: Option<Duration>,
    confirmed: Lsn,
    application_name: String,
    /// The topics of the captured tables.
    topics: Vec<String>,
}

impl Memory {
    /// A connection has ended.
    pub fn ended(&mut self, end: &End, confirmed: Lsn) {
        let progressed = confirmed > self.confirmed;
        self.confirmed = self.confirmed.max(confirmed);
        if let End::ProducerUnfit { topic, .. } = end {
            self.topics.push(topic.clone());
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
    pub async fn connection(mut self) -> Result<Driver, StartError> {
        let conninfo = conninfo(self.config).await?;
        self.memory
            .application_name
            .clone_from(&conninfo.application_name);
        let properties = properties(self.config).await?;
        let mut topics = self.ensured(&properties)?;
        // The two servers do not wait for each other.
        let (sql, wanted) = {
            let progress = topics.progress(&self.config.topics.progress);
            let kafka = async { progress.await.map_err(StartError::from) };
            tokio::try_join!(self.examined(&conninfo), kafka)?.0
        };
        if let Some(Until::Now) = self.until {
            *self.until = Some(Until::Position(slots::wal_end(&sql).await?));
        }
        topics.data(&wanted).await?;
        self.memory.topics = wanted;
        // It meets its brokers while the slot is being taken.
        let producer = self.producer(&properties, &topics)?;
        let mut session = ReplicationSession::connect(&conninfo).await?;
        let identity = session.identify_system().await?;
        let server = Identity {
            system_identifier: identity.system_identifier,
            timeline: identity.timeline,
        };
        let timeout = session.wal_sender_timeout().await?.unwrap_or_default();
        let seen = slots::look(&sql, &self.config.postgres.slot).await?;
        let rows = match seen {
            Some(_) => Source::Present(conninfo.clone()),
            None => {
                let made = self.create_slot(&mut session, server, &properties).await?;
                self.rows_of(&made, &conninfo).await?
            }
        };
        let stream = self.own_slot(session, &conninfo, &sql).await?;
        let resume = self.compare(&sql, server, &properties).await?;
        self.memory.checked = true;
        let timing = Timing::for_server(timeout, self.memory.silence_max);
        Ok(self.driver(Made {
            stream,
            session: Arc::new(CatalogSession::new(sql, conninfo).await?),
            topics,
            producer,
            server,
            resume,
            rows,
            timing,
        }))
    }

    /// Takes over the snapshot of a new slot, before anything else is done with its session.
    async fn rows_of(
        &self,
        made: &CreatedSlot,
        conninfo: &Conninfo,
    ) -> Result<Source, PostgresError> {
        match self.config.snapshot {
            SnapshotMode::Initial => Snapshot::import(conninfo, made).await.map(Source::Taken),
            SnapshotMode::NoData => Ok(Source::Present(conninfo.clone())),
        }
    }

    /// Begins to read the rows that are there, if they are to be published.
    fn copy(&self, rows: Source, state: SnapshotState) -> Option<Copy> {
        let publication = self.config.postgres.publication.clone();
        let tables = self.config.tables.clone();
        let wanted = copy::Wanted {
            publication,
            tables,
        };
        (state == SnapshotState::Running).then(|| Copy::begin(rows, wanted))
    }

    fn limits(&self) -> Limits {
        let limits = self.config.limits;
        Limits {
            in_flight_records: limits.in_flight_records,
            in_flight_bytes: usize::try_from(limits.in_flight_bytes).unwrap_or(usize::MAX),
        }
    }

    fn producer(&self, properties: &Properties, topics: &Ensured) -> Result<Producer, StartError> {
        let limits = self.config.limits;
        let overshoot = Limits::OVERSHOOT as u64;
        let settings = kafka::Settings {
            in_flight_records_max: limits.in_flight_records as u64 + overshoot,
            in_flight_bytes_max: limits.in_flight_bytes,
            topic_bytes_min: topics.bytes_min(),
            auto_creation: topics.auto_creation(),
        };
        Ok(Producer::new(properties, &settings)?)
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
                    shape: config.shape(),
                },
                start_is_durable: durable,
                limits: self.limits(),
                timing: made.timing,
                captures: Box::new(move |schema, table| tables.matches(schema, table)),
            },
            clock.now(),
        );
        if let Some(Until::Position(position)) = *self.until {
            relay.stop_at(position);
        }
        let (slot, session) = (&config.postgres.slot, made.session);
        info!(slot, at = %start.end, "streaming");
        Driver::new(Parts {
            stream: made.stream,
            slot_watch: SlotWatch::begin(Arc::clone(&session), config, self.observer.clone()),
            session,
            producer: made.producer,
            topics: made.topics,
            relay,
            clock,
            copy: self.copy(made.rows, snapshot),
            progress: ProgressWriter::new(&config.topics.progress, slot),
            observer: self.observer.clone(),
            drain_timeout: config.shutdown_timeout,
        })
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

    /// An ordinary session, after the check; and the topics that are wanted.
    async fn examined(&self, conninfo: &Conninfo) -> Result<(SqlClient, Vec<String>), StartError> {
        let sql = SqlClient::connect(conninfo).await?;
        let wanted = match self.memory.checked {
            true => self.memory.topics.clone(),
            false => self.check(&sql).await?,
        };
        Ok((sql, wanted))
    }

    /// The whole check, and the creation of the publication. Gives the topics that are wanted.
    async fn check(&self, sql: &SqlClient) -> Result<Vec<String>, StartError> {
        let name = self.memory.application_name.clone();
        let unknown = StoredProgress::Unknown;
        let mut found = preflight::of_config(self.config, &name, unknown, sql).await;
        let publishes = found.plan.create_publication.is_some() || found.plan.add_tables.is_some();
        found
            .findings
            .retain(|finding| !is_for_later(finding, publishes));
        let report = Report::new(found.findings);
        self.observer.checked(&report);
        if report.refusal().is_some() {
            return Err(StartError::Refused(report));
        }
        let applied = found.plan.apply_sql(sql).await;
        applied.map_err(sql::sql("create the publication"))?;
        let envelope = &self.config.envelope;
        let messages = envelope.logical_messages == LogicalMessages::Publish;
        let messages = messages.then(|| envelope.message_topic());
        let captured = found.captured.into_iter().map(|table| table.topic);
        Ok(captured.chain(messages).collect())
    }

    /// Makes the slot, if nothing tells that there was one.
    async fn create_slot(
        &self,
        session: &mut ReplicationSession,
        server: Identity,
        properties: &Properties,
    ) -> Result<CreatedSlot, StartError> {
        let name = &self.config.postgres.slot;
        if let Some(stored) = self.stored(properties).await? {
            resume::same_cluster(server, &stored).map_err(StartError::Halted)?;
            return Err(StartError::Halted(resume::slot_is_gone(name, &stored)));
        }
        if self.config.postgres.create == Create::Never {
            let seen = format!("slot {name} does not exist, and postgres.create is never");
            return Err(StartError::Halted(Halted::new(Halt::SlotUnusable, seen)));
        }
        let slot = NewSlot {
            name,
            life: SlotLife::Permanent,
            snapshot: match self.config.snapshot {
                SnapshotMode::Initial => SlotSnapshot::Export,
                SnapshotMode::NoData => SlotSnapshot::Nothing,
            },
            failover: Failover::Off,
        };
        let created = session.create_slot(&slot).await?;
        info!(slot = name, consistent_point = %created.consistent_point, "created the slot");
        Ok(created)
    }

    /// Starts the stream. A slot in other hands is waited for; hands of our own, left behind by a
    /// connection that was cut, are ended.
    async fn own_slot(
        &mut self,
        mut session: ReplicationSession,
        conninfo: &Conninfo,
        sql: &SqlClient,
    ) -> Result<ReplicationStream, StartError> {
        let (slot, publication) = (
            &self.config.postgres.slot,
            &self.config.postgres.publication,
        );
        let give_up_at = Instant::now() + SLOT_WAIT;
        loop {
            let walsender = session.process_id();
            let error = match session
                .start_replication(slot, publication, Lsn::ZERO)
                .await
            {
                Ok(stream) => {
                    self.memory.walsender = Some(walsender);
                    return Ok(stream);
                }
                Err(error) => error,
            };
            if !error.is_slot_in_use() {
                return Err(self.not_started(error, sql).await);
            }
            let holder = slots::look(sql, slot).await?.and_then(|row| row.active_pid);
            if holder.is_some() && holder == self.memory.walsender {
                slots::terminate(sql, holder.unwrap_or_default()).await?;
            } else if Instant::now() >= give_up_at {
                let holder = holder.map_or("a session that just left".to_owned(), |pid| {
                    format!("the server process {pid}")
                });
                let seen = format!("slot {slot} is read by {holder}");
                return Err(StartError::Halted(Halted::new(Halt::SlotInUse, seen)));
            }
            sleep(SLOT_RETRY).await;
            session = ReplicationSession::connect(conninfo).await?;
        }
    }

    /// What the server said, seen together with the slot's state.
    async fn not_started(&self, error: PostgresError, sql: &SqlClient) -> StartError {
        let name = &self.config.postgres.slot;
        match slots::look(sql, name).await {
            Ok(Some(row)) => match row.invalidated {
                Some(reason) => {
                    let seen = format!("slot {name} is invalidated ({reason}): {error}");
                    StartError::Halted(Halted::new(Halt::SlotLost, seen))
                }
                None => StartError::Postgres(error),
            },
            _ => StartError::Postgres(error),
        }
    }

    async fn compare(
        &self,
        sql: &SqlClient,
        server: Identity,
        properties: &Properties,
    ) -> Result<Resume, StartError> {
        let name = &self.config.postgres.slot;
        let Some(row) = slots::look(sql, name).await? else {
            let seen = format!("slot {name} was dropped while walferry started");
            return Err(StartError::Halted(Halted::new(Halt::SlotRecreated, seen)));
        };
        let stored = self.stored(properties).await?;
        let (slot, wanted) = (row.into_slot(name), self.config.snapshot);
        resume::resume(&slot, server, stored.as_ref(), wanted).map_err(StartError::Halted)
    }

    async fn stored(&self, properties: &Properties) -> Result<Option<Progress>, ProgressError> {
        let (topic, slot) = (&self.config.topics.progress, &self.config.postgres.slot);
        let stored = kafka::progress::read(properties, topic, slot, KAFKA_TIMEOUT).await?;
        let shape = self.config.shape();
        Ok(stored.map(|mut progress| {
            if progress.split.is_some() && progress.shape != shape {
                info!("the settings have changed: a transaction done in part is published whole");
                progress.split = None;
            }
            Progress { shape, ..progress }
        }))
    }
}

/// What a driver is made of.
struct Made {
    stream: ReplicationStream,
    session: Arc<CatalogSession>,
    topics: Ensured,
    producer: Producer,
    server: Identity,
    resume: Resume,
    /// Where existing rows would come from.
    rows: Source,
    timing: Timing,
}

/// Findings that the start itself handles better: a slot in use is waited for, and a table without
/// identity that somebody else has published is broken already, with or without this run.
fn is_for_later(finding: &Finding, publishes: bool) -> bool {
    match finding.code {
        "SLOT_ACTIVE" => true,
        "PK_MISSING" | "IDENTITY_NOTHING" | "IDENTITY_INDEX_GONE" => !publishes,
        _ => false,
    }
}

/// The connection string with what the configuration adds, secrets read anew.
pub(crate) async fn conninfo(config: &Config) -> Result<Conninfo, StartError> {
    let postgres = config.postgres.clone();
    let read = tokio::task::spawn_blocking(move || {
        postgres
            .connect_to()
            .map_err(|error| StartError::Configuration(error.to_string()))
    });
    read.await.unwrap_or_else(unread)
}

/// The librdkafka properties, secrets read anew.
pub(crate) async fn properties(config: &Config) -> Result<Properties, StartError> {
    let kafka = config.kafka.clone();
    let read = tokio::task::spawn_blocking(move || {
        let pairs = kafka.pairs();
        let pairs = pairs.map_err(|error| StartError::Configuration(error.to_string()))?;
        let plain = pairs
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_owned()));
        Properties::parse(plain).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            StartError::Configuration(problems.join("; "))
        })
    });
    read.await.unwrap_or_else(unread)
}

fn unread<T>(_: tokio::task::JoinError) -> Result<T, StartError> {
    Err(StartError::Configuration(
        "reading secrets failed".to_owned(),
    ))
}

impl From<PostgresError> for StartError {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

impl From<KafkaError> for StartError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

impl From<ProgressError> for StartError {
    fn from(error: ProgressError) -> Self {
        Self::Progress(error)
    }
}

/// Bounds each question to Kafka at the start.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a slot in other hands is waited for: a killed predecessor leaves it within a moment.
const SLOT_WAIT: Duration = Duration::from_secs(10);
const SLOT_RETRY: Duration = Duration::from_millis(100);
