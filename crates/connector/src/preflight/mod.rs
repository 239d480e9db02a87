//! The check before anything is touched: all complaints at once, each with what mends it.
//!
//! Rows are read with few set-based queries and judged by pure functions, one file a subject:
//!
//! ```text
//! server.rs  rights.rs  slot.rs  publication.rs  tables.rs  identity.rs  columns.rs
//! topic_names.rs
//!    rows ─────────────────── judge(wanted, rows) ──────────────────────> Finding ──> Report
//!                                        └──> SetupPlan: what `run` may create
//! ```
//!
//! Does not change anything, does not decide whether to start, and does not read positions.

pub mod columns;
pub mod finding;
pub mod identity;
pub mod publication;
pub mod quote;
pub mod report;
pub mod rights;
pub mod server;
pub mod setup;
pub mod slot;
pub mod tables;
pub mod topic_names;
pub mod wanted;

use tokio_postgres::Client;

use finding::{Finding, Subject};
use server::SlotNeed;
use setup::SetupPlan;
use tables::Relation;
use wanted::{Action, Wanted};

/// What the check of Postgres found.
#[derive(Debug, Default)]
pub struct Examination {
    /// Everything there is to say, unsorted.
    pub findings: Vec<Finding>,
    /// The tables under whose names changes arrive, by schema and name.
    pub captured: Vec<Relation>,
    /// What `run` may create before it starts.
    pub plan: SetupPlan,
    /// The server, when it could be asked.
    pub server: Option<server::Server>,
}

/// Checks Postgres over an ordinary SQL session.
///
/// A part that cannot be read becomes a finding `CHECK_FAILED` and does not hide the others.
pub async fn examine(client: &Client, wanted: &Wanted<'_>) -> Examination {
    let mut findings = Vec::new();
    let (server, role, slot, publication, relations) = tokio::join!(
        server::read(client),
        rights::read(client),
        slot::read(client, wanted.slot),
        publication::read(client, wanted.publication),
        tables::read(client),
    );
    let server = kept(server, "server settings", &mut findings);
    let role = kept(role, "role", &mut findings);
    let slot = kept(slot, "replication slot", &mut findings);
    let publication = kept(publication, "publication", &mut findings);
    let relations = kept(relations, "tables", &mut findings);

    let known_slot = slot.as_ref().and_then(Option::as_ref);
    if let Some(server) = &server {
        let need = if slot == Some(None) {
            SlotNeed::New
        } else {
            SlotNeed::Exists
        };
        let reading = known_slot.is_some_and(|slot| slot.reader.is_some());
        findings.extend(server::judge(wanted, server, need, reading));
        if let Some(slot) = &slot {
            findings.extend(slot::judge(wanted, &server.database, slot.as_ref()));
        }
    }
    let mut examination = Examination {
        server,
        ..Examination::default()
    };
    if let (Some(publication), Some(relations)) = (publication, relations) {
        let publication = publication.as_ref();
        let partitions = publication.map_or(wanted.partitions, |p| p.partitions);
        let selection = tables::select(&relations, wanted.captures, partitions);
        findings.extend(tables::judge(wanted, &relations, &selection, partitions));
        findings.extend(topic_names::judge(wanted, &selection.captured));
        if slot.is_some() {
            examination.plan = setup::plan(wanted, known_slot, publication, &selection);
        }
        if let Some(role) = &role {
            let plan = &examination.plan;
            findings.extend(rights::judge(wanted, role, plan, publication, &selection));
        }
        let seen = Seen {
            wanted,
            publication,
            relations: &relations,
            selection: &selection,
        };
        findings.extend(seen.details(client).await);
        examination.captured = selection.captured.into_iter().cloned().collect();
    }
    examination.findings = findings;
    examination
}

/// What is known when columns and indexes of the chosen tables are asked for.
struct Seen<'a> {
    wanted: &'a Wanted<'a>,
    publication: Option<&'a publication::Publication>,
    relations: &'a [Relation],
    selection: &'a tables::Selection<'a>,
}

impl Seen<'_> {
    async fn details(&self, client: &Client) -> Vec<Finding> {
        let mut findings = Vec::new();
        let captured: Vec<u32> = self.selection.captured.iter().map(|r| r.oid).collect();
        let exposed = self.exposed();
        let exposed_oids: Vec<u32> = exposed.iter().map(|r| r.oid).collect();
        let (columns, indexes) = tokio::join!(
            columns::read(client, &captured),
            identity::read(client, &exposed_oids)
        );
        if let Some(columns) = kept(columns, "columns", &mut findings) {
            let (wanted, selection) = (self.wanted, self.selection);
            findings.extend(columns::judge(wanted, &selection.captured, &columns));
            findings.extend(publication::judge(
                wanted,
                self.publication,
                self.relations,
                selection,
                &columns,
            ));
        }
        if let Some(indexes) = kept(indexes, "indexes", &mut findings) {
            let actions = self.publication.map_or(self.wanted.actions, |p| &p.actions);
            let fails = actions.iter().copied().any(Action::needs_identity);
            findings.extend(identity::judge(&self.selection.holders, &indexes, fails));
        }
        findings
    }

    /// Tables whose UPDATE and DELETE depend on an identity.
    fn exposed(&self) -> Vec<&Relation> {
        self.selection.holders.clone()
    }
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
