//! What the server says of the parts of tables, rows and columns, that the configuration wants
//! published. What that means is judged in `parts_judged.rs`.
//!
//! A condition is parsed, on the table and on what its replica identity has of it, and two are compared
//! by how the planner writes them. What more a publication asks of it (no mutable function, no
//! subquery, …) only a publication tells: where walferry is to make one, it is tried, and rolled back.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Error};

use super::identity::{Identity, Indexes, resolve};
use super::publication::{Publication, Published};
use super::quote::identifier;
use super::setup;
use super::tables::{Relation, Selection};
use super::wanted::{Create, Part, Partitions, Wanted};

/// What the server says of one table's part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why the row filter is no condition on this table.
    pub invalid: Option<String>,
    /// Why it is none on the columns of the replica identity.
    pub beside_identity: Option<String>,
    /// Why no publication can publish this part.
    pub refused: Option<String>,
    /// The publication publishes exactly this part, or has yet to publish the table.
    pub is_published: bool,
}

/// Answers by table OID, for captured tables of which a part is wanted.
pub type Answers = BTreeMap<u32, Answer>;

/// Asks about each captured table of which a part is wanted.
///
/// # Errors
/// The session's; what the server has against a condition is an answer.
pub async fn read(
    client: &Client,
    wanted: &Wanted<'_>,
    selection: &Selection<'_>,
    publication: Option<&Publication>,
    indexes: &Indexes,
) -> Result<Answers, Error> {
    let mut answers = Answers::new();
    for &table in &selection.captured {
        let Some(part) = table.part(wanted) else {
            continue;
        };
        let mut answer = Answer::default();
        if let Some(filter) = &part.row_filter {
            answer.invalid = refused(client, &table.sql_name(), filter).await?;
            if answer.invalid.is_none() {
                let carried = carried(table, selection, indexes);
                answer.beside_identity = beside(client, table, &carried, filter).await?;
            }
        }
        let published = publication.and_then(|publication| publication.tables.get(&table.oid));
        answer.is_published = match published {
            Some(published) => same_part(client, table, &part, published).await?,
            None => true,
        };
        let is_well = answer.invalid.is_none() && answer.beside_identity.is_none();
        let is_to_come = published.is_none() || !answer.is_published;
        if wanted.create == Create::Auto && is_well && is_to_come {
            answer.refused = tried(client, wanted, table).await?;
        }
        answers.insert(table.oid, answer);
    }
    Ok(answers)
}

/// The columns that updates and deletes name the old row by, of each table that holds its rows; none
/// for a table with the whole row or nothing.
pub(crate) fn carried<'a>(
    table: &Relation,
    selection: &Selection<'_>,
    indexes: &'a Indexes,
) -> BTreeSet<&'a [String]> {
    let holders = selection.holders_of(&[table]).into_iter();
    holders
        .filter_map(|holder| {
            let own = indexes.get(&holder.oid).map_or(&[][..], Vec::as_slice);
            match resolve(holder.identity, own) {
                Identity::PrimaryKey(index) | Identity::Index(index) => Some(&index.columns[..]),
                Identity::Full | Identity::Missing(_) => None,
            }
        })
        .collect()
}

async fn beside(
    client: &Client,
    table: &Relation,
    carried: &BTreeSet<&[String]>,
    filter: &str,
) -> Result<Option<String>, Error> {
    for columns in carried {
        let columns: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
        let of_identity = format!(
            "(SELECT {} FROM {}) AS {}",
            columns.join(", "),
            table.sql_name(),
            identifier(&table.name)
        );
        let refused = refused(client, &of_identity, filter).await?;
        if refused.is_some() {
            return Ok(refused);
        }
    }
    Ok(None)
}

/// What a publication has against the part. Nothing is left of the trial; where it cannot be made (no
/// right, no writing, a lock), nothing is found.
async fn tried(
    client: &Client,
    wanted: &Wanted<'_>,
    table: &Relation,
) -> Result<Option<String>, Error> {
    // Not so long that autovacuum is sent away for it (`deadlock_timeout`).
    let trial = format!(
        "BEGIN; SET LOCAL lock_timeout = '500ms'; CREATE PUBLICATION {} FOR TABLE {} \
         WITH (publish_via_partition_root = {})",
        identifier(&format!("walferry_trial_{}", table.oid)),
        setup::item(wanted, table),
        wanted.partitions == Partitions::Root
    );
    let outcome = client.batch_execute(&trial).await;
    client.batch_execute("ROLLBACK TRANSACTION").await?;
    let Err(error) = outcome else {
        return Ok(None);
    };
    let Some(answer) = error.as_db_error() else {
        return Err(error);
    };
    let is_of_the_trial = [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::DUPLICATE_OBJECT,
    ]
    .contains(answer.code());
    Ok((!is_of_the_trial).then(|| told(answer)))
}

/// The server's message, with what it adds.
fn told(answer: &DbError) -> String {
    match answer.detail() {
        Some(detail) => format!("{}: {}", answer.message(), detail.trim_end_matches('.')),
        None => answer.message().to_owned(),
    }
}

/// What the server has against a condition, which is parsed and not run.
async fn refused(client: &Client, from: &str, filter: &str) -> Result<Option<String>, Error> {
    // A line of its own, lest a comment at its end take the parenthesis with it.
    let query = format!("SELECT 1 FROM {from} WHERE (\n{filter}\n)");
    match client.prepare(&query).await {
        Ok(_) => Ok(None),
        Err(error) => match error.as_db_error() {
            Some(answer) => Ok(Some(told(answer))),
            None => Err(error),
        },
    }
}

async fn same_part(
    client: &Client,
    table: &Relation,
    part: &Part,
    published: &Published,
) -> Result<bool, Error> {
    let same_columns = match (&part.columns, &published.columns) {
        (Some(wanted), Some(published)) => {
            BTreeSet::from_iter(wanted) == BTreeSet::from_iter(published)
        }
        _ => true,
    };
    let same_rows = match (&part.row_filter, &published.row_filter) {
        (Some(wanted), Some(published)) => same(client, table, [wanted, published]).await?,
        (Some(_), None) => false,
        (None, _) => true,
    };
    Ok(same_columns && same_rows)
}

/// Whether two conditions are one to the server. Where our role may not ask the planner, only those that
/// differ in spaces and parentheses alone are.
async fn same(client: &Client, table: &Relation, filters: [&str; 2]) -> Result<bool, Error> {
    let squeezed = filters.map(|filter| {
        let mut text = filter.to_owned();
        text.retain(|c| !c.is_whitespace() && !matches!(c, '(' | ')'));
        text
    });
    if squeezed[0] == squeezed[1] {
        return Ok(true);
    }
    let mut written = Vec::new();
    for filter in filters {
        let from = table.sql_name();
        let query = format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT (\n{filter}\n) FROM {from}");
        match client.query(&query, &[]).await {
            Ok(rows) => {
                let lines: Result<Vec<String>, Error> =
                    rows.iter().map(|row| row.try_get(0)).collect();
                written.push(lines?);
            }
            Err(error) if error.as_db_error().is_some() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(written[0] == written[1])
}
