//! The check before anything is touched: all complaints at once, each with what mends it.
//!
//! Rows are read with few set-based queries and judged by pure functions, one file a subject:
//!
//! ```text
//! server.rs  rights.rs  slot.rs  publication.rs  tables.rs  identity.rs  columns.rs
//! copied.rs  topic_names.rs  column_rules.rs  outbox_columns.rs  parts.rs  standby.rs
//!    rows ─────────────────── judge(wanted, rows) ──────────────────────> Finding ──> Report
//!                                        └──> SetupPlan: what `run` may create
//! ```
//!
//! Does not change anything, does not decide whether to start, and does not read positions.

pub mod absent;
pub mod column_rules;
pub mod columns;
pub mod copied;
pub mod finding;
pub mod identity;
pub mod kafka;
mod of_config;
pub mod outbox_columns;
pub mod parts;
pub mod parts_judged;
pub mod publication;
pub mod quote;
pub mod report;
pub mod rights;
pub mod server;
pub mod setup;
pub mod slot;
mod standby;
pub mod tables;
pub mod topic_names;
pub mod wanted;
mod whole;

use std::collections::BTreeSet;

pub use of_config::of_config;
use tokio_postgres::Client;
pub use whole::whole;

use absent::Absent;
use columns::Columns;
use envelope::TypeDetails;
use finding::{Finding, Subject};
use identity::Indexes;
use publication::Publication;
use server::SlotNeed;
use setup::SetupPlan;
use slot::Slot;
use tables::{Kind, Relation, Selection};
use wanted::{Action, Wanted};

use crate::postgres::sql;

/// What the check of Postgres found.
#[derive(Debug, Default)]
pub struct Examination {
    /// Everything there is to say, unsorted.
    pub findings: Vec<Finding>,
    /// The tables under whose names changes arrive, by schema and name.
    pub captured: Vec<Captured>,
    /// What `run` may create before it starts.
    pub plan: SetupPlan,
    /// The tables that the publication leaves out, if it is there.
    pub absent: Vec<Absent>,
    /// The server, when it could be asked.
    pub server: Option<server::Server>,
}

/// A table to be captured, as far as Kafka is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The table.
    pub relation: Relation,
    /// The topic of its events; none where they name it themselves.
    pub topic: Option<String>,
    /// Its records have a key.
    pub keyed: bool,
    /// It has columns without a small bound.
    pub large_values: bool,
}

/// Checks Postgres over an ordinary SQL session.
///
/// A part that cannot be read becomes a finding `CHECK_FAILED` and does not hide the others.
pub async fn examine(client: &Client, wanted: &Wanted<'_>) -> Examination {
    let mut findings = Vec::new();
    let (server, role, slot, publication, relations) = tokio::join!(
        server::read(client, wanted.slot, wanted.prepared_age),
        rights::read(client),
        slot::read(client, wanted.slot),
        publication::read(client, wanted.publication),
        tables::read(client),
    );
    let server = kept(server, "server settings", &mut findings);
    let is_standby = server.as_ref().is_some_and(|server| server.in_recovery);
    let wanted = &match is_standby {
        true => wanted.on_standby(),
        false => *wanted,
    };
    let facts = Facts {
        wanted,
        server,
        role: kept(role, "role", &mut findings),
        slot: kept(slot, "replication slot", &mut findings),
        publication: kept(publication, "publication", &mut findings),
    };
    let relations = kept(relations, "tables", &mut findings);
    findings.extend(facts.judge_server());
    let mut examination = Examination::default();
    if let Some(relations) = relations {
        let partitions = facts
            .known_publication()
            .map_or(wanted.partitions, |publication| publication.partitions);
        let selection = tables::select(&relations, wanted.captures, partitions);
        findings.extend(tables::judge(wanted, &relations, &selection, partitions));
        findings.extend(copied::judge(wanted, &selection.captured));
        findings.extend(topic_names::judge(wanted, &selection.captured));
        let bystanders = facts.bystanders(&relations, &selection);
        let mut details = Details::read(client, &selection, &bystanders, &mut findings).await;
        facts
            .ask_for_parts(client, &selection, &mut details, &mut findings)
            .await;
        examination.plan = facts.plan(&selection, &details);
        findings.extend(facts.judge_tables(&relations, &selection, &details, &examination.plan));
        if let Some(indexes) = &details.indexes
            && facts.needs_identity()
        {
            findings.extend(identity::judge_bystanders(&bystanders, indexes));
        }
        if let (Some(publication), Some(indexes)) = (facts.known_publication(), &details.indexes) {
            examination.absent = absent::list(wanted, publication, &selection, indexes);
        }
        examination.captured = captured(wanted, &selection, &details);
    }
    examination.findings = findings;
    examination.server = facts.server;
    examination
}

/// What could be read, apart from the tables.
struct Facts<'a> {
    wanted: &'a Wanted<'a>,
    server: Option<server::Server>,
    role: Option<rights::Role>,
    slot: Option<Option<Slot>>,
    publication: Option<Option<Publication>>,
}

impl Facts<'_> {
    fn known_slot(&self) -> Option<&Slot> {
        self.slot.as_ref().and_then(Option::as_ref)
    }

    fn known_publication(&self) -> Option<&Publication> {
        self.publication.as_ref().and_then(Option::as_ref)
    }

    fn judge_server(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(server) = &self.server {
            let need = match self.slot {
                Some(None) => SlotNeed::New,
                _ => SlotNeed::Exists,
            };
            let reading = self.known_slot().is_some_and(|slot| slot.reader.is_some());
            findings.extend(server::judge(
                self.wanted.application_name,
                server,
                need,
                reading,
            ));
            if let Some(slot) = &self.slot {
                findings.extend(slot::judge(self.wanted, &server.database, slot.as_ref()));
            }
        }
        findings.extend(self.role.as_ref().and_then(rights::replication));
        findings
    }

    /// Does, or will, the publication publish UPDATE or DELETE?
    fn needs_identity(&self) -> bool {
        let actions = self
            .known_publication()
            .map_or(self.wanted.actions, |p| &p.actions);
        actions.iter().copied().any(Action::needs_identity)
    }

    /// Tables that the publication publishes although nobody asked for them.
    fn bystanders<'t>(
        &self,
        relations: &'t [Relation],
        selection: &Selection<'_>,
    ) -> Vec<&'t Relation> {
        let Some(publication) = self.known_publication() else {
            return Vec::new();
        };
        let held: BTreeSet<u32> = selection.holders.iter().map(|r| r.oid).collect();
        let published = |oid: &u32| publication.tables.contains_key(oid);
        relations
            .iter()
            .filter(|r| r.kind == Kind::Table && !r.unlogged && !held.contains(&r.oid))
            .filter(|r| published(&r.oid) || r.ancestors.iter().any(published))
            .collect()
    }

    /// What the server says of the parts of tables that are wanted; nothing where it has none.
    async fn ask_for_parts(
        &self,
        client: &Client,
        selection: &Selection<'_>,
        details: &mut Details,
        findings: &mut Vec<Finding>,
    ) {
        let (publication, indexes) = (self.known_publication(), details.indexes.as_ref());
        if let Some(indexes) = indexes {
            let answers = parts::read(client, self.wanted, selection, publication, indexes);
            details.parts = kept(answers.await, "row filters", findings);
        }
    }

    /// Nothing is planned on what could not be read.
    fn plan(&self, selection: &Selection<'_>, details: &Details) -> SetupPlan {
        match (&self.slot, &self.publication, &details.parts) {
            (Some(slot), Some(publication), Some(parts)) => {
                let (slot, publication) = (slot.as_ref(), publication.as_ref());
                let changed = publication.map_or_else(Vec::new, |publication| {
                    parts_judged::to_change(self.wanted, publication, selection, parts)
                });
                setup::plan(self.wanted, slot, publication, selection, &changed)
            }
            _ => SetupPlan::default(),
        }
    }

    fn judge_tables(
        &self,
        relations: &[Relation],
        selection: &Selection<'_>,
        details: &Details,
        plan: &SetupPlan,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let wanted = self.wanted;
        if let (Some(role), Some(publication)) = (&self.role, &self.publication) {
            let publication = publication.as_ref();
            findings.extend(rights::judge(wanted, role, plan, publication, selection));
        }
        if let Some(columns) = &details.columns {
            findings.extend(columns::judge(
                wanted,
                &selection.captured,
                columns,
                &details.types,
            ));
            findings.extend(outbox_columns::judge(wanted, &selection.captured, columns));
            if let Some(publication) = &self.publication {
                findings.extend(publication::judge(
                    wanted,
                    self.slot.as_ref().and_then(Option::as_ref),
                    publication.as_ref(),
                    relations,
                    selection,
                    columns,
                ));
            }
        }
        if let (Some(columns), Some(indexes)) = (&details.columns, &details.indexes) {
            if let Some(answers) = &details.parts {
                findings.extend(parts_judged::judge(&parts_judged::Seen {
                    wanted,
                    server: self.server.as_ref(),
                    publication: self.known_publication(),
                    selection,
                    columns,
                    indexes,
                    answers,
                }));
            }
            let captured = &selection.captured;
            let types = &details.types;
            findings.extend(column_rules::partition_fields(
                wanted, captured, columns, indexes,
            ));
            findings.extend(column_rules::judge(
                wanted, captured, columns, types, indexes,
            ));
        }
        if let Some(indexes) = &details.indexes {
            let actions = self
                .known_publication()
                .map_or(wanted.actions, |p| &p.actions);
            let fails = actions.iter().copied().any(Action::needs_identity);
            findings.extend(identity::judge(&selection.holders, indexes, fails));
        }
        findings
    }
}

/// Columns and indexes of the tables that matter.
struct Details {
    columns: Option<Columns>,
    types: Vec<TypeDetails>,
    indexes: Option<Indexes>,
    parts: Option<parts::Answers>,
}

impl Details {
    async fn read(
        client: &Client,
        selection: &Selection<'_>,
        bystanders: &[&Relation],
        findings: &mut Vec<Finding>,
    ) -> Self {
        let captured: Vec<u32> = selection.captured.iter().map(|r| r.oid).collect();
        let mut indexed: Vec<u32> = selection
            .holders
            .iter()
            .chain(bystanders)
            .map(|r| r.oid)
            .collect();
        indexed.extend(&captured);
        let (columns, indexes) = tokio::join!(
            columns::read(client, &captured),
            identity::read(client, &indexed)
        );
        let columns = kept(columns, "columns", findings);
        let types: Vec<u32> = columns.iter().flat_map(columns::type_oids).collect();
        let types = sql::describe(client, 0, &types).await;
        Self {
            columns,
            types: kept(types, "types", findings).unwrap_or_default().types,
            indexes: kept(indexes, "indexes", findings),
            parts: None,
        }
    }
}

fn captured(wanted: &Wanted<'_>, selection: &Selection<'_>, details: &Details) -> Vec<Captured> {
    let large = |table: &Relation| {
        let columns = details
            .columns
            .as_ref()
            .and_then(|columns| columns.get(&table.oid));
        columns.is_some_and(|columns| columns.iter().any(|column| column.toastable))
    };
    let keyed = |table: &Relation| {
        details
            .indexes
            .as_ref()
            .is_none_or(|indexes| identity::keyed(table, indexes))
            || wanted
                .envelope
                .columns
                .key(&table.schema, &table.name)
                .is_some()
    };
    selection
        .captured
        .iter()
        .map(|&table| Captured {
            relation: table.clone(),
            topic: (!wanted.envelope.is_outbox(&table.schema, &table.name))
                .then(|| wanted.envelope.topic(&table.schema, &table.name)),
            keyed: keyed(table),
            large_values: large(table),
        })
        .collect()
}

/// Keeps what could be read; what could not becomes a finding.
fn kept<T>(
    read: Result<T, tokio_postgres::Error>,
    part: &str,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    read.inspect_err(|error| findings.push(failed(part, error)))
        .ok()
}

fn failed(part: &str, error: &tokio_postgres::Error) -> Finding {
    let said = error.as_db_error().map_or_else(
        || error.to_string(),
        |answer| format!("{} (SQLSTATE {})", answer.message(), answer.code().code()),
    );
    Finding::error(
        "CHECK_FAILED",
        Subject::Server(part.to_owned()),
        format!("This part could not be checked: {said}"),
    )
    .text("mend that first; the other findings stand by themselves")
}
