//! One of the tasks that read: piece after piece of the plan, by COPY.

use std::collections::VecDeque;
use std::iter::once;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use tokio_postgres::Statement;
use tracing::{debug, info};

use super::asked::Asked;
use super::catalog::{CopyTable, Rewritten};
use super::error::{CopyError, Step};
use super::items::{Item, Items, Stop, send};
use super::locks::{Locks, lock, not_locked, unchanged};
use super::pieces::Blocks;
use crate::postgres::sql::{self, Describe, SqlClient};
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
    /// Of a copy that was asked for: what, and which tables are not read any more.
    pub(super) asked: Option<Asked>,
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

/// Which rows of a table are read in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Those in these blocks,
    pub(super) blocks: Blocks,
    /// and before them all that a transaction from this one on has written.
    pub(super) since: Option<u64>,
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
    sql: &'a SqlClient,
    plan: &'a Plan,
    items: &'a Items,
    /// Asked once a table.
    describe: Describe,
    /// Asked once a piece that takes its own lock.
    rewritten: Rewritten,
}

impl<'a> Reader<'a> {
    /// Prepares the session, which is inside the snapshot's transaction.
    pub(super) async fn new(
        sql: &'a SqlClient,
        plan: &'a Plan,
        items: &'a Items,
    ) -> Result<Self, Stop> {
        // The same few questions for each of perhaps thousands of tables.
        const SAVE: &str = "SET LOCAL plan_cache_mode = force_generic_plan; SAVEPOINT piece";
        let prepared = async {
            let describe = Describe::prepare(sql).await?;
            let rewritten = Rewritten::prepare(sql).await?;
            sql.batch_execute(SAVE).await?;
            Ok((describe, rewritten))
        };
        let prepared = prepared.await.map_err(sql::sql("begin to read tables"));
        let (describe, rewritten) = prepared.map_err(CopyError::beginning)?;
        Ok(Self {
            sql,
            plan,
            items,
            describe,
            rewritten,
        })
    }

    /// Reads pieces until there are none; one that it gets no lock for, where the leader has one, is
    /// given back.
    pub(super) async fn read(&self) -> Result<(), Stop> {
        while let Some((number, span)) = self.plan.next() {
            let Some(planned) = self.plan.tables.get(number) else {
                continue;
            };
            if self.passes_over(planned) {
                self.plan.gauge.read_piece(number);
            } else {
                let read = self.read_piece(number, planned, span).await;
                if let Err(Stop::Failed(error)) = &read
                    && self.plan.locks == Locks::Held
                    && error.is_lock_timeout()
                {
                    self.plan.give_back(number, span);
                    return read;
                }
                self.without_table(number, planned, read).await?;
            }
            self.end_piece(number, planned).await?;
        }
        Ok(())
    }

    /// Whether the table's pieces are passed over.
    fn passes_over(&self, planned: &PlannedTable) -> bool {
        let asked = self.plan.asked.as_ref();
        if asked.is_some_and(|it| it.passes_over(&planned.table.qualified_name())) {
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
        let is_asked = self.plan.asked.is_some();
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
        let Span { blocks, since } = span;
        let statement = self.begin_piece(number, planned, blocks).await?;
        let mut rows = 0;
        if let Some(since) = since {
            let again = table.copy_statement(&written_since(since));
            let again = self.sql.prepare(&again).await.map_err(not_read(table))?;
            rows += self.read_rows(number, table, &again).await?;
        }
        rows += self.read_rows(number, table, &statement).await?;
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

    /// Lets go of the locks of the piece before; takes its own where the leader has none. The table's
    /// description is sent if it was not. Gives the statement that reads the rows.
    ///
    /// All of it is asked at once: the server takes it in this order.
    async fn begin_piece(
        &self,
        number: usize,
        planned: &PlannedTable,
        blocks: Blocks,
    ) -> Result<Statement, Stop> {
        let table = &planned.table;
        let takes_lock = self.plan.locks == Locks::EachPiece;
        let mut begin = "ROLLBACK TO SAVEPOINT piece".to_owned();
        if takes_lock {
            begin.push_str("; ");
            begin.push_str(&lock(table));
        }
        let rewritten = async {
            match takes_lock {
                true => self.rewritten.of(self.sql, once(&**table)).await,
                false => Ok(Vec::new()),
            }
        };
        let described = planned
            .described
            .get_or_try_init(|| self.describe(number, table));
        let statement = table.copy_statement(&blocks.to_string());
        let prepared = async {
            if let Some(bare) = table.bare() {
                self.sql.prepare(bare).await?;
            }
            self.sql.prepare(&statement).await
        };
        let (begun, rewritten, described, statement) = tokio::join!(
            self.sql.batch_execute(&begin),
            rewritten,
            described,
            prepared,
        );
        begun.map_err(not_locked(table))?;
        unchanged(rewritten)?;
        described?;
        Ok(statement.map_err(not_read(table))?)
    }

    async fn describe(&self, number: usize, table: &CopyTable) -> Result<(), Stop> {
        let types = table.types();
        let details = self.describe.ask(self.sql, table.oid(), &types).await;
        let details = Box::new(details.map_err(not_read(table))?);
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
    async fn read_rows(
        &self,
        number: usize,
        table: &CopyTable,
        statement: &Statement,
    ) -> Result<u64, Stop> {
        let failed = not_read(table);
        let lines = self.sql.copy_out(statement).await.map_err(&failed)?;
        let mut lines = pin!(lines);
        let mut batch = Vec::new();
        let (mut rows, mut flushed) = (0, 0);
        let mut company = pin!(sleep(COMPANY_TIME));
        loop {
            let line = tokio::select! {
                biased;
                line = lines.next() => line,
                // While the server is slower than Kafka, nothing waits for long.
                () = &mut company, if !batch.is_empty() => {
                    self.flush(number, &mut batch, rows - flushed).await?;
                    flushed = rows;
                    continue;
                }
            };
            let Some(line) = line else { break };
            rows += 1;
            if batch.capacity() == 0 {
                batch.reserve(BATCH_BYTES);
                company.as_mut().reset(Instant::now() + COMPANY_TIME);
            }
            batch.extend_from_slice(&line.map_err(&failed)?);
            if batch.len() >= BATCH_BYTES - BATCH_BYTES / 8 {
                self.flush(number, &mut batch, rows - flushed).await?;
                flushed = rows;
            }
        }
        self.flush(number, &mut batch, rows - flushed).await?;
        self.plan.rows.fetch_add(rows, Ordering::Relaxed);
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

/// Its rows could not be read.
fn not_read(table: &CopyTable) -> impl Fn(tokio_postgres::Error) -> CopyError {
    move |error| {
        let error = sql::rows("read its rows")(error);
        CopyError::of(&table.qualified_name(), Step::Read, error)
    }
}

/// Of more tables the log tells how far it is, and not each.
const TABLES_TOLD_MAX: usize = 100;
/// How long the first row of a batch waits for the last one, where the server is slower than Kafka.
const COMPANY_TIME: Duration = Duration::from_millis(4);
/// A batch is worth a thread's waking, and still in its core's cache when the loop takes it.
const BATCH_BYTES: usize = 64 << 10;

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
