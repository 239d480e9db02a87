//! Compares tables with the states that their topics give, at one point of the WAL.
//!
//! A temporary slot gives a snapshot that sees every transaction whose commit record starts before
//! its point, and no other. Once the stored progress has passed that point, the topic's records of
//! those transactions are all there: their last rows by key must be the table's.

mod columns;
mod compare;
mod fold;
mod members;
mod refusal;
mod rows;
mod topic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgoutput::Lsn;
use relay::{Progress, SnapshotState};
use tokio::time::sleep;
use tracing::{info, warn};

use super::finding::{Finding, code};
use super::report::{Stopped, TableReport};
use super::{KAFKA_TIMEOUT, Request, Tables, kafka, postgres};
use crate::config::Config;
use crate::copy::{CopyTable, Snapshot, Source, locked_tables};
use crate::credentials;
use crate::kafka::{ProgressReader, Properties};
use crate::postgres::{Conninfo, slots};
use crate::preflight::finding::Severity;

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) tables: Vec<TableReport>,
    pub(super) findings: Vec<Finding>,
    pub(super) stopped: Stopped,
}

/// Everything that the comparisons have in common.
struct Common<'a> {
    config: &'a Config,
    request: &'a Request,
    properties: &'a Properties,
    snapshot: &'a Snapshot,
    epoch: u64,
    stop: &'a Arc<AtomicBool>,
}

/// Compares the tables that are asked for.
pub(super) async fn verify(
    config: &Config,
    request: &Request,
    properties: &Properties,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, Box<Finding>> {
    let mut outcome = Outcome::default();
    let conninfo = credentials::conninfo(config).await;
    let conninfo = conninfo.map_err(|error| postgres(&error))?;
    // Both may wait for other transactions.
    let (snapshot, tables) = tokio::select! {
        begun = begin(config, conninfo) => begun?,
        () = asked_to_stop(stop) => {
            outcome.stopped = Stopped::Yes;
            return Ok(outcome);
        }
    };
    let names: Vec<(String, String)> = tables
        .iter()
        .map(|table| table.name())
        .map(|(schema, name)| (schema.to_owned(), name.to_owned()))
        .collect();
    let chosen = choose(&request.tables, tables, &mut outcome.findings);
    if chosen.is_empty() {
        return Ok(outcome);
    }
    let progress = match wait(config, request, properties, &snapshot, stop).await? {
        Waited::Passed(progress) => progress,
        Waited::Stopped => {
            outcome.stopped = Stopped::Yes;
            return Ok(outcome);
        }
        Waited::TooLong(finding) => {
            outcome.findings.push(*finding);
            return Ok(outcome);
        }
    };
    let common = Common {
        config,
        request,
        properties,
        snapshot: &snapshot,
        epoch: progress.epoch,
        stop,
    };
    for table in chosen {
        if stop.load(Ordering::Relaxed) {
            outcome.stopped = Stopped::Yes;
            break;
        }
        compare::compare(&common, table, &names, &mut outcome).await?;
    }
    Ok(outcome)
}

/// The snapshot, and the captured tables, locked against being dropped or rewritten.
async fn begin(
    config: &Config,
    conninfo: Conninfo,
) -> Result<(Snapshot, Vec<Arc<CopyTable>>), Box<Finding>> {
    let snapshot = Snapshot::of(Source::Present(conninfo)).await;
    let snapshot = snapshot.map_err(|error| postgres(&error))?;
    let publication = &config.postgres.publication;
    let tables = locked_tables(&snapshot.sql, publication, &config.tables).await;
    let tables = tables.map_err(|error| postgres(&error))?;
    Ok((snapshot, tables))
}

async fn asked_to_stop(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(LOOK_EVERY).await;
    }
}

/// Those that are asked for, and a word about those that are not there.
fn choose(
    asked: &Tables,
    tables: Vec<Arc<CopyTable>>,
    findings: &mut Vec<Finding>,
) -> Vec<Arc<CopyTable>> {
    let names = match asked {
        Tables::All => return tables,
        Tables::Named(names) => names,
    };
    for name in names {
        if !tables.iter().any(|it| it.qualified_name() == *name) {
            let problem = "the publication and tables.include have no such table";
            let finding = Finding::new(Severity::Error, code::NOT_COMPARABLE, problem);
            findings.push(finding.table(name).remedy("write schema.table"));
        }
    }
    let chosen = |it: &Arc<CopyTable>| names.contains(&it.qualified_name());
    tables.into_iter().filter(chosen).collect()
}

enum Waited {
    Passed(Progress),
    Stopped,
    TooLong(Box<Finding>),
}

/// Waits until everything before the snapshot's point is published.
async fn wait(
    config: &Config,
    request: &Request,
    properties: &Properties,
    snapshot: &Snapshot,
    stop: &AtomicBool,
) -> Result<Waited, Box<Finding>> {
    let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
    let reader = ProgressReader::new(properties, topic, slot, KAFKA_TIMEOUT).map_err(kafka)?;
    let begun = Instant::now();
    let mut told = false;
    loop {
        let stored = reader.read().await.map_err(kafka)?;
        let at = stored.progress.as_ref().map(|it| it.commit_end_lsn);
        match stored.progress {
            Some(progress) if has_passed(&progress, snapshot.point) => {
                return Ok(Waited::Passed(progress));
            }
            _ => {}
        }
        if !told {
            told = true;
            let point = snapshot.point;
            info!(%point, "waiting for walferry to publish what is in the snapshot");
            let holder = slots::holder(&snapshot.sql, slot).await;
            if holder.map_err(|error| postgres(&error))?.is_none() {
                warn!(
                    slot,
                    "nobody reads the slot: start walferry run, or walferry run --until now"
                );
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Waited::Stopped);
        }
        if begun.elapsed() > request.wait {
            return Ok(Waited::TooLong(Box::new(not_reached(snapshot.point, at))));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn has_passed(progress: &Progress, point: Lsn) -> bool {
    progress.commit_end_lsn >= point && progress.snapshot != SnapshotState::Running
}

fn not_reached(point: Lsn, at: Option<Lsn>) -> Finding {
    let at = at.map_or_else(|| "nowhere".to_owned(), |at| at.to_string());
    let problem = format!(
        "no table was compared: the stored progress stands at {at} and did not come to the \
         snapshot's point, {point}, in time"
    );
    Finding::new(Severity::Warning, code::NOT_REACHED, problem).remedy(
        "let walferry run meanwhile (or walferry run --until now, begun after this command), or \
         give it longer: --wait",
    )
}

/// For a question to Kafka that costs next to nothing, and for a wish to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);
