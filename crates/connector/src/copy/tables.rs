//! Which tables are copied, in which order; their locks, and whether they came in time.

use std::cmp::Reverse;
use std::sync::Arc;

use super::asked::{self, Chosen};
use super::catalog::{self, CopyTable, Rewritten};
use super::error::{CopyError, Step};
use super::leader::Wanted;
use super::reader::Locks;
use crate::config::{TableFilter, TableOrder};
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};

/// The tables whose rows are wanted, in their order, locked as far as that can be done ahead.
pub(super) async fn locked(
    sql: &SqlClient,
    wanted: &Wanted,
) -> Result<(Vec<Arc<CopyTable>>, Locks, Option<Chosen>), CopyError> {
    let how = &wanted.how;
    let (mut tables, locks, chosen) = match &wanted.asked {
        Some(asked) => {
            let (tables, locks, chosen) = asked::locked(sql, wanted, asked).await?;
            (tables, locks, Some(chosen))
        }
        None => {
            let mut tables = listed(sql, &wanted.publication, &wanted.tables).await?;
            tables.retain(|table| how.includes(&table.qualified_name()));
            let locks = lock_ahead(sql, &tables).await?;
            (tables, locks, None)
        }
    };
    // Once they are locked: to ask for a size takes a lock, too, and says nothing of whose it waits for.
    let measured = catalog::measure(sql, &mut tables).await;
    measured
        .map_err(sql::sql(LISTING))
        .map_err(CopyError::beginning)?;
    for table in &mut tables {
        let (schema, name) = table.name();
        if let Some(outbox) = &wanted.outbox
            && outbox.has_table(schema, name)
        {
            table.read_as_events(outbox.fields.timestamp.as_deref());
        }
        // What was asked for goes before what is set.
        let select = how.selects.get(&table.qualified_name());
        if table.is_read_by_statement() {
            table.size.by_block = false;
            table.size.outside = false;
        } else if let Some(select) = select {
            table.read_by(select);
        }
    }
    match how.order {
        TableOrder::Disabled => {}
        TableOrder::Ascending => tables.sort_by_key(|table| table.size.rows),
        TableOrder::Descending => tables.sort_by_key(|table| Reverse(table.size.rows)),
    }
    let tables = tables.into_iter().map(Arc::new).collect();
    Ok((tables, locks, chosen))
}

/// The published tables that are wanted, in a snapshot's session, locked against being dropped or
/// rewritten.
pub(crate) async fn locked_tables(
    sql: &SqlClient,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<Arc<CopyTable>>, CopyError> {
    let tables = listed(sql, publication, filter).await?;
    lock_ahead(sql, &tables).await?;
    Ok(tables.into_iter().map(Arc::new).collect())
}

pub(super) async fn listed(
    sql: &SqlClient,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<CopyTable>, CopyError> {
    let tables = catalog::tables(sql, publication, filter).await;
    tables
        .map_err(sql::sql(LISTING))
        .map_err(CopyError::beginning)
}

/// Locks the tables against being dropped or rewritten for as long as the copy takes. So many that they
/// would fill the server's table of locks are locked piece by piece.
async fn lock_ahead(sql: &SqlClient, tables: &[CopyTable]) -> Result<Locks, CopyError> {
    if tables.len() > LOCKED_AHEAD_MAX {
        return Ok(Locks::EachPiece);
    }
    for table in tables {
        let locked = sql.batch_execute(&lock(table)).await;
        locked.map_err(not_locked(table))?;
    }
    all_unchanged(sql, tables).await?;
    Ok(Locks::Held)
}

/// Refuses tables that were rewritten between the snapshot and their locks.
pub(super) async fn all_unchanged(sql: &SqlClient, tables: &[CopyTable]) -> Result<(), CopyError> {
    let oids: Vec<u32> = tables.iter().map(CopyTable::oid).collect();
    let rewritten = async { Rewritten::prepare(sql).await?.of(sql, &oids).await };
    unchanged(rewritten.await)
}

/// Locks one table, so that one that cannot be locked is named.
pub(super) fn lock(table: &CopyTable) -> String {
    format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.source())
}

/// It could not be locked.
pub(super) fn not_locked(table: &CopyTable) -> impl Fn(tokio_postgres::Error) -> CopyError {
    move |error| {
        let error = sql::sql("lock the table")(error);
        CopyError::of(&table.qualified_name(), Step::Lock, error)
    }
}

/// Refuses tables that were rewritten since the snapshot: they would look empty.
pub(super) fn unchanged(
    rewritten: Result<Vec<String>, tokio_postgres::Error>,
) -> Result<(), CopyError> {
    let rewritten = rewritten.map_err(sql::sql(LISTING));
    match rewritten.map_err(CopyError::beginning)?.into_iter().next() {
        Some(table) => Err(CopyError::beginning(PostgresError::Rewritten { table })),
        None => Ok(()),
    }
}

const LISTING: &str = "list the tables to be copied";
/// A session's locks share a table of `max_locks_per_transaction` (64) for each connection.
pub(super) const LOCKED_AHEAD_MAX: usize = 1000;
