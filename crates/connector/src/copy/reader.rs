//! One of the tasks that read: piece after piece of the plan, by COPY.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::OnceCell;
use tracing::{debug, info};

use super::Item;
use super::catalog::CopyTable;
use super::error::{CopyError, Step};
use super::leader::{Items, Stop, send};
use super::pieces::Blocks;
use super::tables::{lock, unchanged};
use crate::postgres::sql::{self, SqlClient};
use crate::telemetry::SnapshotGauge;

/// What all readers share.
pub(super) struct Plan {
    pub(super) tables: Vec<PlannedTable>,
    /// What nobody has taken yet: tables' numbers, and which of their rows.
    pub(super) queue: Mutex<VecDeque<(usize, Span)>>,
    pub(super) locks: Locks,
    /// About how much there is to read.
    pub(super) bytes: u64,
    pub(super) rows: AtomicU64,
    pub(super) gauge: SnapshotGauge,
}

/// A table of the plan.
pub(super) struct PlannedTable {
    pub(super) table: Arc<CopyTable>,
    /// Set once its description was sent: rows come after it.
    pub(super) described: OnceCell<()>,
    /// Pieces that are not sent.
    pub(super) left: AtomicUsize,
}

/// Which rows of a table are read in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Those in these blocks,
    pub(super) blocks: Blocks,
    /// and before them all that a transaction from this one on has written.
    pub(super) since: Option<u64>,
}

/// How tables are kept from being dropped or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// The leader holds them all.
    Held,
    /// Each piece takes its own, and looks whether it came in time.
    EachPiece,
}

impl Plan {
    /// How many pieces there are.
    pub(super) fn pieces(&self) -> usize {
        let queue = self.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Rows sent so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Nothing of this piece was read.
    fn give_back(&self, table: usize, span: Span) {
        let queue = self.queue.lock();
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.push_front((table, span));
    }

    fn next(&self) -> Option<(usize, Span)> {
        let queue = self.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// What is left of a table, and, if some of it was read before, from which transaction on its rows are
/// looked through again: with the last piece and before it, so that whoever finds no piece left knows
/// that this is done, too.
pub(super) fn spans(pieces: Vec<Blocks>, since: Option<u64>) -> Vec<Span> {
    let span = |blocks| Span {
        blocks,
        since: None,
    };
    let mut spans: Vec<Span> = pieces.into_iter().map(span).collect();
    if let Some(last) = spans.last_mut() {
        last.since = since;
    }
    spans
}

/// The rows that a transaction from this one on has written, as a condition in SQL.
fn written_since(since: u64) -> String {
    // `xmin` is the low half of a transaction's id.
    let low = since & 0xFFFF_FFFF;
    format!("pg_catalog.age(xmin) <= pg_catalog.age('{low}'::pg_catalog.xid)")
}

/// A session in the snapshot's transaction.
pub(super) struct Reader<'a> {
    pub(super) sql: &'a SqlClient,
    pub(super) plan: &'a Plan,
    pub(super) items: &'a Items,
}

impl Reader<'_> {
    /// Reads pieces until there are none; one that it gets no lock for is given back.
    pub(super) async fn read(&self) -> Result<(), Stop> {
        const DOING: &str = "begin to read tables";
        let saved = self.sql.batch_execute("SAVEPOINT piece").await;
        saved
            .map_err(sql::sql(DOING))
            .map_err(CopyError::beginning)?;
        while let Some((number, span)) = self.plan.next() {
            let Some(planned) = self.plan.tables.get(number) else {
                continue;
            };
            let read = self.read_piece(number, planned, span).await;
            if let Err(Stop::Failed(error)) = &read
                && error.is_lock_timeout()
            {
                self.plan.give_back(number, span);
            }
            read?;
        }
        Ok(())
    }

    async fn read_piece(
        &self,
        number: usize,
        planned: &PlannedTable,
        span: Span,
    ) -> Result<(), Stop> {
        let table = &planned.table;
        self.begin_piece(table).await?;
        let described = planned
            .described
            .get_or_try_init(|| self.describe(number, table));
        described.await?;
        let Span { blocks, since } = span;
        if let Some(since) = since {
            self.read_rows(number, table, &written_since(since)).await?;
        }
        self.read_rows(number, table, &blocks.to_string()).await?;
        self.plan.gauge.read_piece(number);
        send(
            self.items,
            Item::Piece {
                table: number,
                blocks,
            },
        )
        .await?;
        if planned.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let name = table.qualified_name();
            if self.plan.tables.len() <= TABLES_TOLD_MAX {
                info!(table = name, "read the table");
            } else {
                debug!(table = name, "read the table");
            }
            send(self.items, Item::TableOver { table: number }).await?;
        }
        Ok(())
    }

    /// Lets go of the locks of the piece before; takes its own where the leader has none.
    async fn begin_piece(&self, table: &Arc<CopyTable>) -> Result<(), Stop> {
        const DOING: &str = "begin a piece of the table";
        let begun = self.sql.batch_execute("ROLLBACK TO SAVEPOINT piece").await;
        let begun = begun.map_err(sql::sql(DOING));
        begun.map_err(|error| CopyError::of(&table.qualified_name(), Step::Begin, error))?;
        if self.plan.locks == Locks::EachPiece {
            lock(self.sql, table).await?;
            unchanged(self.sql, &[table.oid()]).await?;
        }
        Ok(())
    }

    async fn describe(&self, number: usize, table: &CopyTable) -> Result<(), Stop> {
        const DOING: &str = "describe a table to be copied";
        let details = table.describe(self.sql).await.map_err(sql::sql(DOING));
        let details =
            details.map_err(|error| CopyError::of(&table.qualified_name(), Step::Read, error))?;
        let details = Box::new(details);
        send(
            self.items,
            Item::Table {
                table: number,
                details,
            },
        )
        .await
    }

    /// Sends the rows that meet a condition, in batches.
    async fn read_rows(
        &self,
        number: usize,
        table: &CopyTable,
        condition: &str,
    ) -> Result<(), Stop> {
        const DOING: &str = "read its rows";
        let failed =
            |error| CopyError::of(&table.qualified_name(), Step::Read, sql::sql(DOING)(error));
        let statement = table.copy_statement(condition);
        let lines = self.sql.copy_out(&statement).await.map_err(failed)?;
        let mut lines = pin!(lines);
        let mut batch = Vec::new();
        let (mut rows, mut flushed) = (0, 0);
        loop {
            let line = match lines.next().now_or_never() {
                Some(line) => line,
                None => {
                    // While the server is slower than Kafka, nothing waits for company.
                    self.flush(number, &mut batch, rows - flushed).await?;
                    flushed = rows;
                    lines.next().await
                }
            };
            let Some(line) = line else { break };
            rows += 1;
            if batch.capacity() == 0 {
                batch.reserve(BATCH_BYTES);
            }
            batch.extend_from_slice(&line.map_err(failed)?);
            if batch.len() >= BATCH_BYTES - BATCH_BYTES / 8 {
                self.flush(number, &mut batch, rows - flushed).await?;
                flushed = rows;
            }
        }
        self.flush(number, &mut batch, rows - flushed).await?;
        self.plan.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    async fn flush(&self, table: usize, batch: &mut Vec<u8>, rows: u64) -> Result<(), Stop> {
        if batch.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(batch);
        self.plan.gauge.read(table, rows, lines.len() as u64);
        send(self.items, Item::Rows { table, lines }).await
    }
}

/// Of more tables the log tells how far it is, and not each.
const TABLES_TOLD_MAX: usize = 100;
/// A batch is worth a channel's price, and small against the limits of what is in flight.
const BATCH_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_since_is_a_condition() {
        assert_eq!(
            written_since((3 << 32) + 735),
            "pg_catalog.age(xmin) <= pg_catalog.age('735'::pg_catalog.xid)"
        );
    }

    #[test]
    fn no_table_is_done_before_what_was_written_since_is_read() {
        let pieces = vec![Blocks(0, 4), Blocks(8, Blocks::END)];
        let [first, last] = spans(pieces, Some(7))[..] else {
            panic!("two pieces");
        };
        assert_eq!((first.since, last.since), (None, Some(7)));
        assert_eq!(spans(Vec::new(), Some(7)), []);
    }
}
