//! The check before the first connection: what the start refuses, and what it makes.

use std::collections::BTreeSet;

use relay::{Progress, SnapshotState};
use tracing::info;

use super::{CHECK_TIMEOUT, Start, StartError};
use crate::config::SnapshotMode;
use crate::kafka::Stored;
use crate::kafka::ensure::Ensured;
use crate::new_rows::{NewRows, Rows};
use crate::postgres::sql::{SqlClient, within};
use crate::postgres::{Conninfo, PostgresError};
use crate::preflight::absent::NewTable;
use crate::preflight::finding::{Finding, Severity, Subject};
use crate::preflight::kafka::TOPIC_MISSING;
use crate::preflight::report::Report;
use crate::preflight::setup::SetupPlan;
use crate::preflight::wanted::StoredProgress;
use crate::preflight::{self, Captured, Examination};
use crate::resume;

impl Start<'_> {
    /// An ordinary session, and what the check of Postgres found; no check at a reconnection.
    pub(super) async fn examined(
        &self,
        conninfo: &Conninfo,
    ) -> Result<(SqlClient, Option<Examination>), StartError> {
        let sql = SqlClient::connect(conninfo).await?;
        if self.memory.checked {
            return Ok((sql, None));
        }
        let (name, unknown) = (&self.memory.application_name, StoredProgress::Unknown);
        let examining = preflight::of_config(self.config, name, unknown, &sql);
        let found = within(CHECK_TIMEOUT, "check the server", async {
            Ok(examining.await)
        });
        let found = Box::pin(found).await?;
        if sql.is_closed() {
            // What could not be read then is no finding.
            let doing = "check the server";
            return Err(PostgresError::Closed { doing }.into());
        }
        Ok((sql, Some(found)))
    }

    /// All complaints at once, of both servers; remembers the topics that are wanted, and gives what
    /// is to be created.
    pub(super) async fn judged(
        &mut self,
        found: Option<Examination>,
        stored: &Stored,
        topics: &Ensured,
    ) -> Result<(SetupPlan, Vec<NewTable>), StartError> {
        let Some(mut found) = found else {
            return Ok(Default::default());
        };
        let progress = stored.progress.as_ref();
        if progress.is_some() {
            found.leave_out_unwelcome(self.config);
        }
        let mut of_topics = preflight::kafka::topics_of_config(
            self.config,
            &found.captured,
            stored.never_again(),
            topics.topics(),
        )
        .await;
        if progress.is_some() {
            self.leave_out_without_topic(&mut found, &mut of_topics.findings);
        }
        let plan = found.plan;
        // Behind stored progress what is added has an identity.
        let is_first = progress.is_none();
        let publishes =
            plan.create_publication.is_some() || (is_first && plan.add_tables.is_some());
        let mut findings = found.findings;
        findings.extend(of_topics.findings);
        findings.retain(|finding| !is_for_later(finding, publishes, self.config.snapshot));
        let mode = self.config.snapshot;
        if !progress.map_or(mode.copies(), |stored| copies(mode, stored.snapshot)) {
            findings.iter_mut().for_each(nothing_is_read);
        }
        let report = Report::new(findings);
        self.observer.checked(&report);
        if report.refusal().is_some() {
            return Err(StartError::Refused(report));
        }
        let captured = found.captured.into_iter().filter_map(|table| table.topic);
        // Several tables may be routed to one.
        let captured: BTreeSet<String> = captured.collect();
        self.memory.topics = captured.into_iter().collect();
        let new = found.absent.into_iter().flat_map(|it| it.tables);
        Ok((plan, new.collect()))
    }

    /// A new table whose topic is not there, and may not be made, holds up no other.
    fn leave_out_without_topic(&self, found: &mut Examination, of_topics: &mut [Finding]) {
        let is_missing = |it: &Finding| it.code == TOPIC_MISSING && it.severity == Severity::Error;
        let name = |it: &Finding| match &it.subject {
            Subject::Topic(name) => Some(name.clone()),
            _ => None,
        };
        let missing = of_topics.iter().filter(|it| is_missing(it));
        let missing: BTreeSet<String> = missing.filter_map(name).collect();
        let is_without = |it: &&Captured| it.topic.as_ref().is_some_and(|it| missing.contains(it));
        let without = found.captured.iter().filter(is_without);
        let without: BTreeSet<String> = without.map(|it| it.relation.full_name()).collect();
        let is_left = |it: &NewTable| without.contains(&it.full_name());
        let publication = &self.config.postgres.publication;
        found.leave_out(publication, |it| it.tables.iter().any(is_left));
        let needed = found.captured.iter().filter_map(|it| it.topic.as_ref());
        let needed: BTreeSet<&String> = needed.chain([&self.config.topics.progress]).collect();
        for finding in of_topics.iter_mut().filter(|it| is_missing(it)) {
            if name(finding).is_some_and(|it| !needed.contains(&it)) {
                finding.severity = Severity::Warning;
            }
        }
    }

    /// Tables that came to match while nobody ran have rows that no copy reads: they are asked for as those
    /// of a table that is found later.
    pub(super) fn ask_for_new(
        &self,
        plan: &mut SetupPlan,
        new: &[NewTable],
        stored: Option<&Progress>,
    ) {
        let (Some(stored), Some(add_tables)) = (stored, &mut plan.add_tables) else {
            // The first copy reads them, if rows are wanted.
            return;
        };
        let is_copied = copies(self.config.snapshot, stored.snapshot);
        let new_rows = NewRows::of(self.config);
        let of = |it: &NewTable| match is_copied {
            true => Rows::Unwanted,
            false => new_rows.of_table(&it.schema, &it.name, it.is_ordered),
        };
        let tables: Vec<(String, Rows)> = new.iter().map(|it| (it.full_name(), of(it))).collect();
        if let Some(asks) = new_rows.ask_for(&tables) {
            *add_tables = format!("{add_tables} {asks}");
        }
        for (table, rows) in tables {
            match is_copied {
                true => info!(
                    table,
                    "a new table goes into the publication, and the copy reads its rows"
                ),
                false => info!(table, %rows, "a new table goes into the publication"),
            }
        }
    }

    /// A publication is not made behind stored progress.
    pub(super) fn publication_is_kept(
        &self,
        stored: &Progress,
        plan: &SetupPlan,
    ) -> Result<(), StartError> {
        if plan.create_publication.is_none() {
            return Ok(());
        }
        let publication = &self.config.postgres.publication;
        let halted = resume::publication_is_gone(publication, stored);
        Err(StartError::Halted(halted))
    }
}

/// Whether all that is published is copied at a start of the process, where a copy stood like that.
pub(super) fn copies(mode: SnapshotMode, stored: SnapshotState) -> bool {
    mode == SnapshotMode::Always || (stored == SnapshotState::Running && mode.copies())
}

/// Without rows to be read, the stream needs no right to read them.
fn nothing_is_read(finding: &mut Finding) {
    let is_of_rows = matches!(
        finding.code,
        "TABLE_SELECT" | "SCHEMA_USAGE" | "SNAPSHOT_OF_NOTHING"
    );
    if is_of_rows {
        finding.severity = finding.severity.min(Severity::Warning);
    }
}

/// Findings that the start itself handles better: a slot in use and a sender that is not free yet
/// are waited for, a Kafka that does not answer is asked again, what is missing is made; and a table
/// without identity that somebody else has published is broken already, with or without this run.
fn is_for_later(finding: &Finding, publishes: bool, mode: SnapshotMode) -> bool {
    match finding.code {
        "SLOT_LOST" | "SLOT_RECREATED" => mode == SnapshotMode::WhenNeeded,
        "SLOT_ACTIVE" | "SENDERS_FULL" => true,
        code if code.starts_with("KAFKA_") => true,
        "PK_MISSING" | "IDENTITY_NOTHING" | "IDENTITY_INDEX_GONE" => {
            !publishes && finding.severity == Severity::Error
        }
        // It is looked for again first.
        "TOPIC_GONE" => true,
        TOPIC_MISSING => finding.severity == Severity::Info,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_under_way_reads_what_was_published_meanwhile() {
        let (running, done, none) = (
            SnapshotState::Running,
            SnapshotState::Finished,
            SnapshotState::None,
        );
        assert!(copies(SnapshotMode::Initial, running));
        assert!(copies(SnapshotMode::Always, done));
        assert!(!copies(SnapshotMode::Initial, done));
        // It was asked for once, and is not any more.
        assert!(!copies(SnapshotMode::NoData, running));
        assert!(!copies(SnapshotMode::NoData, none));
    }
}
