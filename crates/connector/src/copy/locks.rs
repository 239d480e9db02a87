//! How tables are kept from being dropped or rewritten while they are read, and whether the locks came in
//! time.

use super::catalog::{CopyTable, Rewritten};
use super::error::{CopyError, Step};
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};

/// How tables are kept from being dropped or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// The leader holds them all.
    Held,
    /// Each piece takes its own, and looks whether it came in time.
    EachPiece,
}

/// Locks the tables against being dropped or rewritten for as long as the copy takes. So many that they
/// would fill the server's table of locks are locked piece by piece.
pub(super) async fn lock_ahead(sql: &SqlClient, tables: &[CopyTable]) -> Result<Locks, CopyError> {
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
    let rewritten = async { Rewritten::prepare(sql).await?.of(sql, tables.iter()).await };
    unchanged(rewritten.await)
}

/// Locks one table, so that one that cannot be locked is named.
pub(super) fn lock(table: &CopyTable) -> String {
    format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.lock_name())
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
    let rewritten = rewritten.map_err(sql::sql(COMPARING));
    match rewritten.map_err(CopyError::beginning)?.into_iter().next() {
        Some(table) => Err(CopyError::beginning(PostgresError::Rewritten { table })),
        None => Ok(()),
    }
}

const COMPARING: &str = "compare the tables with the snapshot";
/// A session's locks share a table of `max_locks_per_transaction` (64) for each connection.
pub(super) const LOCKED_AHEAD_MAX: usize = 1000;
