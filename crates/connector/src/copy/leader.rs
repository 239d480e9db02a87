//! The task that leads the readers: one snapshot, its tables, their pieces, and so many readers.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::Item;
use super::catalog::{self, CopyTable};
use super::error::{CopyError, Step};
use super::notes::Noted;
use super::pieces::Done;
use super::reader::{Locks, Plan, PlannedTable, Reader, Span};
use super::snapshot::{self, Snapshot, Source};
use crate::config::{CopySettings, TableFilter, TableOrder};
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{Conninfo, PostgresError};
use crate::telemetry::{SnapshotGauge, TableProgress};

/// Which tables, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those of this publication,
    pub publication: String,
    /// as far as the configuration wants them.
    pub tables: TableFilter,
    /// How they are read.
    pub how: CopySettings,
    /// Whether the run ends with the copy.
    pub is_all: bool,
    /// Where is told how far it is.
    pub gauge: SnapshotGauge,
}

/// How an item or an error reaches the loop.
pub(super) type Items = Sender<Result<Item, CopyError>>;

/// Reads everything that is not done, or to the first error.
pub(super) async fn read(source: Source, wanted: Wanted, noted: Noted, items: Items) {
    if let Err(Stop::Failed(error)) = read_all(source, &wanted, &noted, &items).await {
        // Nobody may be listening any more, which is well.
        let _ = items.send(Err(error)).await;
    }
}

/// Why the reading ended before the end.
pub(super) enum Stop {
    Failed(CopyError),
    /// The connection ended: nobody wants the rows any more.
    Unwanted,
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Failed(error)
    }
}

/// Sends one item.
pub(super) async fn send(items: &Items, item: Item) -> Result<(), Stop> {
    items.send(Ok(item)).await.map_err(|_| Stop::Unwanted)
}

async fn read_all(
    source: Source,
    wanted: &Wanted,
    noted: &Noted,
    items: &Items,
) -> Result<(), Stop> {
    let snapshot = Snapshot::of(source).await.map_err(CopyError::beginning)?;
    let Snapshot {
        sql,
        conninfo,
        point,
        xid,
        slot,
    } = snapshot;
    let _cut = Cut(sql.abort_handle());
    let since = snapshot::since(&sql).await.map_err(CopyError::beginning)?;
    snapshot::bound_locks(&sql, wanted.how.lock_timeout)
        .await
        .map_err(CopyError::beginning)?;
    let tables = tables(&sql, wanted).await?;
    let locks = lock_ahead(&sql, &tables).await?;
    let plan = Arc::new(plan(&tables, noted, locks, wanted.gauge.clone()));
    let readers = wanted.how.readers.unwrap_or_else(|| suitable(plan.bytes));
    let readers = readers.min(plan.pieces()).max(1);
    info!(tables = tables.len(), readers, %point, "copying the rows that are there");
    let point = Item::Point {
        point,
        xid,
        slot,
        since,
        tables,
    };
    send(items, point).await?;
    let mut others = JoinSet::new();
    if readers > 1 {
        let name = snapshot::export(&sql).await.map_err(CopyError::beginning)?;
        for _ in 1..readers {
            others.spawn(join(
                conninfo.clone(),
                name.clone(),
                Arc::clone(&plan),
                items.clone(),
            ));
        }
    }
    let first = Reader {
        sql: &sql,
        plan: &plan,
        items,
    };
    first.read().await?;
    while let Some(ended) = others.join_next().await {
        ended.unwrap_or(Err(Stop::Unwanted))?;
    }
    sql.batch_execute("COMMIT")
        .await
        .map_err(sql::sql("end the snapshot"))
        .map_err(CopyError::beginning)?;
    let rows = plan.rows();
    plan.gauge.end();
    send(items, Item::Over { rows }).await
}

/// Another reader of the snapshot. Where the server has no room for it, the others do without.
async fn join(
    conninfo: Conninfo,
    snapshot: String,
    plan: Arc<Plan>,
    items: Items,
) -> Result<(), Stop> {
    let sql = match snapshot::join(&conninfo, &snapshot).await {
        Ok(sql) => sql,
        Err(error) => {
            warn!(%error, "the copy goes on with a reader less");
            return Ok(());
        }
    };
    let _cut = Cut(sql.abort_handle());
    let (plan, items) = (&*plan, &items);
    Reader {
        sql: &sql,
        plan,
        items,
    }
    .read()
    .await
}

async fn tables(sql: &SqlClient, wanted: &Wanted) -> Result<Vec<Arc<CopyTable>>, CopyError> {
    let tables = catalog::tables(sql, &wanted.publication, &wanted.tables).await;
    let tables = tables
        .map_err(sql::sql(LISTING))
        .map_err(CopyError::beginning)?;
    let (mut tables, how) = (tables, &wanted.how);
    tables.retain(|table| how.includes(&table.qualified_name()));
    for table in &mut tables {
        if let Some(select) = how.selects.get(&table.qualified_name()) {
            table.read_by(select);
        }
    }
    match how.order {
        TableOrder::Disabled => {}
        TableOrder::Ascending => tables.sort_by_key(|table| table.size.rows),
        TableOrder::Descending => tables.sort_by_key(|table| Reverse(table.size.rows)),
    }
    Ok(tables.into_iter().map(Arc::new).collect())
}

/// The published tables that are wanted, in a snapshot's session, locked against being dropped or
/// rewritten.
pub(crate) async fn locked_tables(
    sql: &SqlClient,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<Arc<CopyTable>>, CopyError> {
    let tables = catalog::tables(sql, publication, filter).await;
    let tables = tables
        .map_err(sql::sql(LISTING))
        .map_err(CopyError::beginning)?;
    let tables: Vec<_> = tables.into_iter().map(Arc::new).collect();
    lock_ahead(sql, &tables).await?;
    Ok(tables)
}

/// Locks the tables against being dropped or rewritten for as long as the copy takes. So many that they
/// would fill the server's table of locks are locked piece by piece.
async fn lock_ahead(sql: &SqlClient, tables: &[Arc<CopyTable>]) -> Result<Locks, CopyError> {
    if tables.len() > LOCKED_AHEAD_MAX {
        return Ok(Locks::EachPiece);
    }
    for table in tables {
        lock(sql, table).await?;
    }
    unchanged(sql, tables).await?;
    Ok(Locks::Held)
}

/// Locks one, so that one that cannot be locked is named.
pub(super) async fn lock(sql: &SqlClient, table: &CopyTable) -> Result<(), CopyError> {
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.source());
    let locked = sql.batch_execute(&lock).await;
    let locked = locked.map_err(sql::sql("lock the table"));
    locked.map_err(|error| CopyError::of(&table.qualified_name(), Step::Lock, error))
}

/// Refuses tables that were rewritten since the snapshot: they would look empty.
pub(super) async fn unchanged(sql: &SqlClient, tables: &[Arc<CopyTable>]) -> Result<(), CopyError> {
    let rewritten = catalog::rewritten(sql, tables).await;
    let rewritten = rewritten.map_err(sql::sql(LISTING));
    match rewritten.map_err(CopyError::beginning)?.into_iter().next() {
        Some(table) => Err(CopyError::beginning(PostgresError::Rewritten { table })),
        None => Ok(()),
    }
}

/// What is left to read of all of them.
fn plan(tables: &[Arc<CopyTable>], noted: &Noted, locks: Locks, gauge: SnapshotGauge) -> Plan {
    let nothing = Done::default();
    let mut queue = VecDeque::new();
    let mut planned = Vec::new();
    let mut bytes = 0;
    let mut progress = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let part = noted.get(&table.qualified_name());
        let part = part.filter(|part| part.storage == table.size.storage);
        let done = part.map_or(&nothing, |part| &part.done);
        let pieces = table.pieces(done);
        let again = part.filter(|_| table.size.outside && !done.is_empty() && !pieces.is_empty());
        let spans = pieces.into_iter().map(Span::Blocks);
        let spans: Vec<Span> = spans
            .chain(again.map(|part| Span::Since(part.since)))
            .collect();
        if !spans.is_empty() {
            bytes += table.size.bytes;
        }
        progress.push(TableProgress {
            table: table.qualified_name(),
            rows_estimated: table.size.rows,
            disk_bytes: table.size.bytes,
            pieces: spans.len(),
            ..TableProgress::default()
        });
        planned.push(PlannedTable {
            table: Arc::clone(table),
            described: OnceCell::new(),
            left: AtomicUsize::new(spans.len()),
        });
        queue.extend(spans.into_iter().map(|span| (number, span)));
    }
    gauge.begin(progress);
    Plan {
        gauge,
        tables: planned,
        queue: Mutex::new(queue),
        locks,
        bytes,
        rows: AtomicU64::new(0),
    }
}

/// As many as there are cores, if there is enough to read for each.
fn suitable(bytes: u64) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let worth = usize::try_from(bytes / BYTES_A_READER).unwrap_or(usize::MAX);
    worth.saturating_add(1).min(cores).min(READERS_MAX)
}

/// Ends the session with the task: a COPY that nobody wants would be read to its end otherwise.
struct Cut(AbortHandle);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const LISTING: &str = "list the tables to be copied";
/// A session's locks share a table of `max_locks_per_transaction` (64) for each connection.
const LOCKED_AHEAD_MAX: usize = 1000;
/// Less than this is read before another session has begun.
const BYTES_A_READER: u64 = 32 << 20;
/// One loop takes in what they read.
const READERS_MAX: usize = 8;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_suit_the_tables() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(suitable(0), 1);
        assert_eq!(suitable(BYTES_A_READER - 1), 1);
        assert_eq!(suitable(u64::MAX), cores.min(READERS_MAX));
    }
}
