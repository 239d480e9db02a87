//! Tables that the configuration wants and the publication leaves out: made, or renamed into a
//! pattern, since the start. Their changes are not in the stream, and nothing there tells of them.

use relay::SIGNAL_PREFIX;
use serde_json::json;
use tokio_postgres::Client;

use crate::config::TableFilter;
use crate::preflight::finding::{Finding, Severity};
use crate::preflight::identity::{self, Indexes};
use crate::preflight::quote::{identifier, literal};
use crate::preflight::tables::{Relation, Selection};
use crate::preflight::wanted::Part;
use crate::preflight::{publication, setup, tables};

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unpublished {
    /// `schema.table`.
    pub table: String,
    /// The statement that takes it in.
    pub remedy: String,
    /// Whether a part of it is wanted. One that the replica identity does not cover would have the server refuse
    /// the application's updates; a start looks at that, and nobody else.
    pub is_part: bool,
    /// Why it is not taken in as it is.
    pub obstacle: Option<Obstacle>,
}

/// What a start would refuse, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// The check's name for it.
    pub code: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl From<Finding> for Obstacle {
    fn from(finding: Finding) -> Self {
        Self {
            code: finding.code,
            fix: finding.fix(),
            problem: finding.problem,
        }
    }
}

impl Unpublished {
    /// Takes it in, and in the same transaction asks for the rows it has, if they are wanted. Whoever holds the
    /// table (`CREATE INDEX CONCURRENTLY`, `VACUUM`, an `ALTER` that is not committed) is not waited for for
    /// long: a later look tries again.
    ///
    /// # Errors
    /// What the server answered: not everybody may change a publication.
    pub async fn take_in(&self, client: &Client, rows: bool) -> Result<(), tokio_postgres::Error> {
        // One message of the protocol, and so one transaction.
        let bounded = format!("SET LOCAL lock_timeout = '2s'; {}", self.statements(rows));
        client.batch_execute(&bounded).await
    }

    /// The statements for that.
    #[must_use]
    pub fn statements(&self, rows: bool) -> String {
        match rows {
            true => format!("{}; {}", self.remedy, ask_for(&[self.table.as_str()])),
            false => self.remedy.clone(),
        }
    }
}

/// The statements that ask for the rows of these tables, in the transaction that publishes them.
#[must_use]
pub fn ask_for(tables: &[&str]) -> String {
    let statements: Vec<String> = tables.chunks(ASKED_AT_ONCE).map(statement).collect();
    statements.join("; ")
}

fn statement(tables: &[&str]) -> String {
    let id = match tables {
        [first, others @ ..] if !others.is_empty() => format!("new-{first}-and-{}", others.len()),
        _ => format!("new-{}", tables.concat()),
    };
    let names: Vec<String> = tables.iter().map(|table| regex::escape(table)).collect();
    let data = json!({ "data-collections": names });
    let signal = json!({ "id": id, "type": "execute-snapshot", "data": data });
    format!(
        "SELECT pg_catalog.pg_logical_emit_message(true, {}, {})",
        literal(SIGNAL_PREFIX),
        literal(&signal.to_string())
    )
}

/// So that a signal keeps to its size (64 KiB), however long the names are.
const ASKED_AT_ONCE: usize = 100;

/// Lists them. None while there is no such publication: that ends the stream by itself.
///
/// # Errors
/// What the server answered.
pub async fn find(
    client: &Client,
    publication: &str,
    wanted: &TableFilter,
) -> Result<Vec<Unpublished>, tokio_postgres::Error> {
    let Some(published) = publication::read(client, publication).await? else {
        return Ok(Vec::new());
    };
    let relations = tables::read(client).await?;
    let captures = |schema: &str, table: &str| wanted.matches(schema, table);
    let selection = tables::select(&relations, &captures, published.partitions);
    let left_out = selection
        .captured
        .iter()
        .filter(|relation| !published.tables.contains_key(&relation.oid));
    let left_out: Vec<&Relation> = left_out.copied().collect();
    let oids = holders(&selection, &left_out).into_iter();
    let oids: Vec<u32> = oids.map(|it| it.oid).collect();
    let indexes = match oids.is_empty() {
        true => Indexes::new(),
        false => identity::read(client, &oids).await?,
    };
    let needs_identity = published.actions.iter().any(|it| it.needs_identity());
    let publication = identifier(publication);
    let told = left_out.into_iter().map(|relation| {
        let part = wanted.part(&relation.schema, &relation.name);
        let is_part = part.is_some();
        let part = part.map(|part| Part {
            row_filter: part.row_filter.clone(),
            columns: part.columns.clone(),
        });
        let item = setup::item_of(relation, part.unwrap_or_default());
        let remedy = format!("ALTER PUBLICATION {publication} ADD TABLE {item}");
        let obstacle = match relation.owned {
            true => objection(&holders(&selection, &[relation]), &indexes, needs_identity),
            false => Some(foreign(&remedy)),
        };
        Unpublished {
            table: relation.full_name(),
            remedy,
            is_part,
            obstacle,
        }
    });
    Ok(told.collect())
}

/// Those that hold the rows of these tables: the partitions of a partitioned one.
fn holders<'a>(selection: &Selection<'a>, tables: &[&Relation]) -> Vec<&'a Relation> {
    let is_of = |holder: &&Relation| {
        let mut tables = tables.iter();
        tables.any(|it| it.oid == holder.oid || holder.ancestors.contains(&it.oid))
    };
    selection.holders.iter().copied().filter(is_of).collect()
}

/// A table without a replica identity had better not be published: its application's updates would fail.
fn objection(holders: &[&Relation], indexes: &Indexes, needs_identity: bool) -> Option<Obstacle> {
    let findings = identity::judge(holders, indexes, needs_identity).into_iter();
    let mut errors = findings.filter(|it| it.severity == Severity::Error);
    errors.next().map(Obstacle::from)
}

fn foreign(remedy: &str) -> Obstacle {
    Obstacle {
        code: "TABLE_OWNER",
        problem: "Only its owner may publish it.".to_owned(),
        fix: format!("{remedy}; as its owner or a superuser"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signal_is_too_large_however_many_tables_are_new() {
        let long = "x".repeat(63);
        let names: Vec<String> = (0..1_001).map(|n| format!("{long}.{n}.{long}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let asked = ask_for(&names);
        let statements: Vec<&str> = asked.split("; ").collect();
        assert_eq!(statements.len(), 11);
        assert!(statements.iter().all(|it| it.len() < 64 << 10));
        let regex = |name: &str| format!("\"{}\"", name.replace('.', "\\\\."));
        assert!(names.iter().all(|name| asked.contains(&regex(name))));
    }
}
