//! Which tables are copied, and in which order.

use std::cmp::Reverse;
use std::sync::Arc;

use super::asked::{self, Chosen};
use super::catalog::{self, CopyTable};
use super::error::CopyError;
use super::locks::{Locks, lock_ahead};
use super::wanted::Wanted;
use crate::config::{TableFilter, TableOrder};
use crate::postgres::sql::{self, SqlClient};

/// The tables whose rows are wanted, in their order, locked as far as that can be done ahead.
pub(super) async fn locked(
    sql: &SqlClient,
    wanted: &Wanted,
) -> Result<(Vec<Arc<CopyTable>>, Locks, Option<Chosen>), CopyError> {
    let how = &wanted.how;
    let (mut tables, locks, chosen) = match &wanted.asked {
        Some(asked) => {
            let published = listed(sql, &wanted.publication, &wanted.tables).await?;
            let (tables, locks, chosen) = asked::locked(sql, published, wanted, asked).await?;
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
        if let Some(outbox) = wanted.outbox_of(table) {
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

async fn listed(
    sql: &SqlClient,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<CopyTable>, CopyError> {
    let tables = catalog::tables(sql, publication, filter).await;
    tables
        .map_err(sql::sql(LISTING))
        .map_err(CopyError::beginning)
}

const LISTING: &str = "list the tables to be copied";
