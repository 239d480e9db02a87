//! One of the tasks that read: piece after piece of the plan, by COPY.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::OnceCell;
use tracing::{debug, info};

use super::Item;
use super::asked::Unwanted;
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
    /// Of a copy that was asked for: tables that are not wanted any more.
    pub(super) unwanted: Option<Unwanted>,
}

/// A table of the plan.
pub(super) struct PlannedTable {
    pub(super) table: Arc<CopyTable>,
    /// Set once its description was sent: rows come after it.
    pub(super) described: OnceCell<()>,
    /// Pieces that are not sent.
    pub(super) left: AtomicUsize,
    /// Whether nothing more of it is read.
    pub(super) is_left_out: AtomicBool,
}

/// Which rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Those in these blocks.
    Blocks(Blocks),
    /// All that a transaction from this one on has written.
    Since(u64),
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

    fn next(&self) -> Option<(usize, Span)> {
        let queue = self.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Span {
    /// As a condition in SQL; empty for all rows.
    fn condition(self) -> String {
        match self {
            Self::Blocks(blocks) => blocks.to_string(),
            // `xmin` is the low half of a transaction's id.
            Self::Since(since) => {
                let low = since & 0xFFFF_FFFF;
                format!("pg_catalog.age(xmin) <= pg_catalog.age('{low}'::pg_catalog.xid)")
            }
        }
    }
}

/// A session in the snapshot's transaction.
pub(super) struct Reader<'a> {
    pub(super) sql: &'a SqlClient,
    pub(super) plan: &'a Plan,
    pub(super) items: &'a Items,
}

impl Reader<'_> {
    /// Reads pieces until there are none.
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
            if self.passes_over(planned) {
                self.plan.gauge.read_piece(number);
            } else {
                let read = self.read_piece(number, planned, span).await;
                self.without_table(number, planned, read).await?;
            }
            self.end_piece(number, planned).await?;
        }
        Ok(())
    }

    /// Whether the table's pieces are passed over.
    fn passes_over(&self, planned: &PlannedTable) -> bool {
        let unwanted = self.plan.unwanted.as_ref();
        if unwanted.is_some_and(|them| them.has(&planned.table.qualified_name())) {
            planned.is_left_out.store(true, Ordering::Release);
        }
        planned.is_left_out.load(Ordering::Acquire)
    }

    /// What was asked for goes on without a table that cannot be read; that is told once.
    async fn without_table(
        &self,
        table: usize,
        planned: &PlannedTable,
        read: Result<(), Stop>,
    ) -> Result<(), Stop> {
        let is_asked = self.plan.unwanted.is_some();
        let reason = match read {
            Err(Stop::Failed(error)) if is_asked && error.leaves_out() => error.reason(),
            read => return read,
        };
        self.plan.gauge.read_piece(table);
        match planned.is_left_out.swap(true, Ordering::AcqRel) {
            true => Ok(()),
            false => send(self.items, Item::LeftOut { table, reason }).await,
        }
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
        let rows = self.read_rows(number, table, span).await?;
        self.plan.rows.fetch_add(rows, Ordering::Relaxed);
        let blocks = match span {
            Span::Blocks(blocks) => Some(blocks),
            Span::Since(_) => None,
        };
        self.plan.gauge.read_piece(number);
        send(
            self.items,
            Item::Piece {
                table: number,
                blocks,
                rows,
            },
        )
        .await
    }

    /// One piece less is left of a table.
    async fn end_piece(&self, number: usize, planned: &PlannedTable) -> Result<(), Stop> {
        let table = &planned.table;
        if planned.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let name = table.qualified_name();
            if planned.is_left_out.load(Ordering::Acquire) {
                debug!(table = name, "left the table");
            } else if self.plan.tables.len() <= TABLES_TOLD_MAX {
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

    /// Sends the rows in batches; tells how many there were.
    async fn read_rows(&self, number: usize, table: &CopyTable, span: Span) -> Result<u64, Stop> {
        const DOING: &str = "read its rows";
        let failed =
            |error| CopyError::of(&table.qualified_name(), Step::Read, sql::sql(DOING)(error));
        let statement = table.copy_statement(&span.condition());
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
        Ok(rows)
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
    fn a_span_is_a_condition() {
        assert_eq!(Span::Blocks(Blocks::ALL).condition(), "");
        assert_eq!(
            Span::Since((3 << 32) + 735).condition(),
            "pg_catalog.age(xmin) <= pg_catalog.age('735'::pg_catalog.xid)"
        );
    }
}
