//! The task that leads the readers: one snapshot, its tables, their pieces, and so many readers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::catalog::CopyTable;
use super::error::CopyError;
use super::items::{Item, Items, Stop, send};
use super::kept_wal::Room;
use super::locks::Locks;
use super::notes::Noted;
use super::pieces::Done;
use super::reader::{Plan, PlannedTable, Reader, spans};
use super::snapshot::{self, Snapshot, Source};
use super::standing;
use super::tables;
use super::wanted::Wanted;
use crate::postgres::Conninfo;
use crate::postgres::sql::{self, CutWithTask};
use crate::telemetry::TableProgress;

/// Reads everything that is not done, or to the first error.
pub(super) async fn read(source: Source, wanted: Wanted, noted: Noted, room: Room, items: Items) {
    if let Err(Stop::Failed(error)) = read_all(source, &wanted, &noted, room, &items).await {
        // Nobody may be listening any more, which is well.
        let _ = items.send(Err(error)).await;
    }
}

async fn read_all(
    source: Source,
    wanted: &Wanted,
    noted: &Noted,
    room: Room,
    items: &Items,
) -> Result<(), Stop> {
    standing::stream_first(&source, room, items).await?;
    let snapshot = Snapshot::of(source).await.map_err(CopyError::beginning)?;
    let Snapshot {
        sql,
        conninfo,
        point,
        xid,
        slot,
    } = snapshot;
    let sql = CutWithTask(sql);
    let since = snapshot::since(&sql).await.map_err(CopyError::beginning)?;
    snapshot::bound_locks(&sql, wanted.how.lock_timeout)
        .await
        .map_err(CopyError::beginning)?;
    let (tables, locks, chosen) = tables::locked(&sql, wanted).await?;
    let plan = Arc::new(plan(&tables, noted, locks, wanted));
    if !noted.is_empty() {
        let done = plan.tables.iter();
        let done = done.filter(|table| table.left.load(Ordering::Relaxed) == 0);
        info!(
            tables_done = done.count(),
            "going on with a copy that was begun before"
        );
    }
    let readers = wanted.how.readers.unwrap_or_else(|| suitable(plan.bytes));
    let readers = readers.min(plan.pieces()).max(1);
    info!(tables = tables.len(), readers, %point, "copying the rows that are there");
    let point = Item::Point {
        point,
        xid,
        slot,
        since,
        tables,
        chosen,
    };
    send(items, point).await?;
    let mut others = JoinSet::new();
    if readers > 1 {
        let name = snapshot::export(&sql).await.map_err(CopyError::beginning)?;
        for _ in 1..readers {
            others.spawn(join(
                conninfo.clone(),
                wanted.how.lock_timeout,
                name.clone(),
                Arc::clone(&plan),
                items.clone(),
            ));
        }
    }
    let first = Reader::new(&sql, &plan, items).await?;
    first.read().await?;
    while let Some(ended) = others.join_next().await {
        ended.unwrap_or(Err(Stop::Unwanted))?;
        // What another could not read, and gave back.
        first.read().await?;
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
    lock_timeout: Duration,
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
    let sql = CutWithTask(sql);
    snapshot::bound_locks(&sql, lock_timeout)
        .await
        .map_err(CopyError::beginning)?;
    let (plan, items) = (&*plan, &items);
    match Reader::new(&sql, plan, items).await?.read().await {
        // Somebody waits to change the table, and whoever has no lock yet waits behind him. The leader
        // has one.
        Err(Stop::Failed(error)) if plan.locks == Locks::Held && error.is_lock_timeout() => {
            warn!(%error, "the copy goes on with a reader less");
            Ok(())
        }
        ended => ended,
    }
}

/// What is left to read of all of them.
fn plan(tables: &[Arc<CopyTable>], noted: &Noted, locks: Locks, wanted: &Wanted) -> Plan {
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
        // Rows move, and the stream does not tell all of what was written.
        let is_untold = table.size.outside || wanted.has_silent_writes;
        let again = part.filter(|_| is_untold && table.size.by_block && !done.is_empty());
        let spans = spans(pieces, again.map(|part| part.since));
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
            is_left_out: AtomicBool::new(false),
        });
        queue.extend(spans.into_iter().map(|span| (number, span)));
    }
    wanted.gauge.begin(progress);
    Plan {
        gauge: wanted.gauge.clone(),
        asked: wanted.asked.clone(),
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
