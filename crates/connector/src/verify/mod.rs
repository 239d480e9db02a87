//! `walferry verify`: reads what was published and holds it to what is promised; compares tables with
//! the state that their topics give. Changes nothing.
//!
//! ```text
//!   Kafka ── all partitions, merged ──> digest, id ──> Checker ──────────┐
//!                                                                        ├──> Report
//!   Postgres ── snapshot at a point ──> rows, encoded as ever ──> Fold ──┘
//!   Kafka ── a table's topic before the point ────────────────────> ┘
//! ```
//!
//! `checker` and `table/fold.rs` are pure. Nothing here holds a topic or a table in memory, and nothing
//! that is printed holds a key or a value.

pub mod checker;
pub mod digest;
pub mod finding;
pub mod id;
mod meter;
pub mod report;
mod table;
mod topics;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use finding::{Finding, code};
pub use report::Report;
use report::Stopped;
use topics::{Known, Outcome};

use crate::config::Config;
use crate::copy::published;
use crate::credentials;
use crate::kafka::{ProgressError, Properties, Stored, progress};
use crate::postgres::SqlClient;
use crate::preflight::finding::Severity;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// These topics alone; none for all.
    pub topics: Vec<String>,
    /// Whether topics are read for their own sake.
    pub part: TopicsPart,
    /// Which tables are compared.
    pub tables: Tables,
    /// One in so many of their keys.
    pub sample: u64,
    /// How long to wait until what they hold is published.
    pub wait: Duration,
    /// Bytes for what is remembered and queued.
    pub memory: usize,
}

/// Whether topics are read for their own sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicsPart {
    /// They are.
    Read,
    /// They are not.
    Skipped,
}

/// Which tables are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// All that are captured.
    All,
    /// These, as `schema.table`; perhaps none.
    Named(Vec<String>),
}

/// Does it. What cannot be reached is a finding, too.
pub async fn verify(config: &Config, request: &Request, stop: &Arc<AtomicBool>) -> Report {
    let mut report = Report::default();
    if let Err(finding) = whole(config, request, stop, &mut report).await {
        report.findings.push(*finding);
    }
    if report.stopped == Stopped::Yes {
        let problem = "a signal came before the end: what was not read is not judged";
        let finding = Finding::new(Severity::Warning, code::STOPPED, problem);
        report.findings.push(finding);
    }
    report.sort();
    report
}

async fn whole(
    config: &Config,
    request: &Request,
    stop: &Arc<AtomicBool>,
    report: &mut Report,
) -> Result<(), Box<Finding>> {
    let properties = credentials::properties(config).await.map_err(kafka)?;
    // Before the topics' ends are asked for: what it tells of is in them.
    let stored = stored(config, &properties).await?;
    report.progress = stored
        .progress
        .as_ref()
        .map(|it| it.commit_end_lsn.to_string());
    if request.part == TopicsPart::Read {
        topics_part(config, request, &properties, &stored, stop, report).await?;
    }
    let none = request.tables == Tables::Named(Vec::new());
    if none || report.stopped == Stopped::Yes {
        return Ok(());
    }
    let outcome = Box::pin(table::verify(config, request, &properties, stop)).await?;
    report.tables = outcome.tables;
    report.findings.extend(outcome.findings);
    report.stopped = outcome.stopped;
    Ok(())
}

async fn topics_part(
    config: &Config,
    request: &Request,
    properties: &Properties,
    stored: &Stored,
    stop: &Arc<AtomicBool>,
    report: &mut Report,
) -> Result<(), Box<Finding>> {
    let mut published = BTreeSet::new();
    if request.topics.is_empty() {
        match published_topics(config).await {
            Ok(topics) => published = topics,
            Err(finding) => report.findings.push(*finding),
        }
    }
    let known = Known {
        config,
        request,
        properties,
        stored,
        published,
    };
    let Outcome {
        topics,
        findings,
        transactions,
        transactions_not_judged,
        epoch,
        stopped,
    } = topics::verify(&known, stop).await.map_err(kafka)?;
    report.findings.extend(findings);
    report.topics = topics;
    report.transactions = transactions;
    report.transactions_not_judged = transactions_not_judged;
    report.epoch = epoch;
    report.stopped = stopped;
    Ok(())
}

async fn stored(config: &Config, properties: &Properties) -> Result<Stored, Box<Finding>> {
    let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
    match progress::read(properties, topic, slot, KAFKA_TIMEOUT).await {
        Err(ProgressError::TopicMissing { .. }) => Ok(Stored::default()),
        stored => stored.map_err(kafka),
    }
}

/// The topics of the tables that are published today.
async fn published_topics(config: &Config) -> Result<BTreeSet<String>, Box<Finding>> {
    let conninfo = credentials::conninfo(config).await;
    let conninfo = conninfo.map_err(|error| postgres(&error))?;
    let client = SqlClient::connect(&conninfo).await;
    let client = client.map_err(|error| postgres(&error))?;
    let publication = &config.postgres.publication;
    let tables = published(&client, publication, &config.tables).await;
    let tables = tables.map_err(|error| postgres(&error))?;
    let options = &config.envelope;
    let tables = tables.iter();
    Ok(tables
        .filter(|(schema, table)| !options.is_outbox(schema, table))
        .map(|(schema, table)| options.topic(schema, table))
        .collect())
}

fn kafka(error: impl std::fmt::Display) -> Box<Finding> {
    let finding = Finding::new(Severity::Error, code::KAFKA, format!("{error}."));
    Box::new(finding.remedy("walferry check tells more of what is wrong with Kafka"))
}

fn postgres(error: &impl std::fmt::Display) -> Box<Finding> {
    let finding = Finding::new(Severity::Error, code::POSTGRES, format!("{error}."));
    Box::new(finding.remedy("walferry check tells more of what is wrong with Postgres"))
}

/// Of one question to Kafka, and of the wait for a record.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
