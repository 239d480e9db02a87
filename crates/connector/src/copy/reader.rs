//! The task that reads: table after table in one snapshot, by COPY.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;
use tracing::info;

use super::catalog::{self, CopyTable};
use super::error::{CopyError, Step};
use super::marks::{LookAhead, Placed};
use super::snapshot::{Snapshot, Source};
use super::{Item, MarkedRow};
use crate::config::TableFilter;
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};

/// Which tables.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those of this publication,
    pub publication: String,
    /// as far as the configuration wants them.
    pub tables: TableFilter,
}

/// How an item or an error reaches the loop.
pub(super) type Items = Sender<Result<Item, CopyError>>;

/// Reads everything, or to the first error.
pub(super) async fn read(source: Source, wanted: Wanted, items: Items) {
    if let Err(Stop::Failed(error)) = read_all(source, &wanted, &items).await {
        // Nobody may be listening any more, which is well.
        let _ = items.send(Err(error)).await;
    }
}

/// Why the reading ended before the end.
enum Stop {
    Failed(CopyError),
    /// The connection ended: nobody wants the rows any more.
    Unwanted,
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Failed(error)
    }
}

async fn read_all(source: Source, wanted: &Wanted, items: &Items) -> Result<(), Stop> {
    let Snapshot {
        sql,
        point,
        xid,
        slot,
    } = Snapshot::of(source).await.map_err(CopyError::beginning)?;
    let _cut = Cut(sql.abort_handle());
    let mut out = Out::new(items);
    out.send(Item::Point { point, xid, slot }).await?;
    let tables = tables(&sql, wanted).await?;
    info!(tables = tables.len(), %point, "copying the rows that are there");
    let mut rows = 0;
    for mut table in tables {
        const DOING: &str = "describe a table to be copied";
        let described = table.describe(&sql).await.map_err(sql::sql(DOING));
        described.map_err(|error| CopyError::of(&table.qualified_name(), Step::Read, error))?;
        rows += read_table(&sql, table, &mut out).await?;
    }
    if let Some(last) = out.look.finish() {
        out.row(last).await?;
    }
    out.flush().await?;
    sql.batch_execute("COMMIT")
        .await
        .map_err(sql::sql("end the snapshot"))
        .map_err(CopyError::beginning)?;
    out.send(Item::Over { rows }).await
}

/// The tables, locked against being dropped or rewritten for as long as the copy takes.
pub(crate) async fn tables(sql: &SqlClient, wanted: &Wanted) -> Result<Vec<CopyTable>, CopyError> {
    const DOING: &str = "list the tables to be copied";
    let tables = catalog::tables(sql, &wanted.publication, &wanted.tables)
        .await
        .map_err(sql::sql(DOING))
        .map_err(CopyError::beginning)?;
    // One by one, so that one that cannot be locked is named.
    for table in &tables {
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.source());
        let locked = sql.batch_execute(&lock).await;
        let locked = locked.map_err(sql::sql("lock the table"));
        locked.map_err(|error| CopyError::of(&table.qualified_name(), Step::Lock, error))?;
    }
    let rewritten = catalog::rewritten(sql, &tables).await;
    let rewritten = rewritten.map_err(sql::sql(DOING));
    match rewritten.map_err(CopyError::beginning)?.into_iter().next() {
        Some(table) => Err(CopyError::beginning(PostgresError::Rewritten { table })),
        None => Ok(tables),
    }
}

async fn read_table(sql: &SqlClient, table: CopyTable, out: &mut Out<'_>) -> Result<u64, Stop> {
    const DOING: &str = "read its rows";
    let (name, begun) = (table.qualified_name(), Instant::now());
    let failed = |error| CopyError::of(&name, Step::Read, sql::sql(DOING)(error));
    let number = out.tables.len();
    let statement = table.copy_statement();
    out.tables.push(Arc::new(table));
    let lines = sql.copy_out(&statement).await.map_err(failed)?;
    let mut lines = pin!(lines);
    let mut rows = 0;
    loop {
        let line = match lines.next().now_or_never() {
            Some(line) => line,
            None => {
                // While the server is slower than Kafka, nothing waits for company.
                out.flush().await?;
                lines.next().await
            }
        };
        let Some(line) = line else { break };
        rows += 1;
        let line = line.map_err(failed)?;
        if let Some(placed) = out.look.push(number, line) {
            out.row(placed).await?;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    info!(table = name, rows, seconds, "read the table");
    Ok(rows)
}

/// Rows on their way to the loop, in batches.
struct Out<'a> {
    items: &'a Items,
    look: LookAhead<Bytes>,
    batch: Vec<MarkedRow>,
    batch_bytes: usize,
    /// Those read so far, by number.
    tables: Vec<Arc<CopyTable>>,
    /// The one whose rows are sent.
    announced: Option<usize>,
}

impl<'a> Out<'a> {
    fn new(items: &'a Items) -> Self {
        Self {
            items,
            look: LookAhead::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            tables: Vec::new(),
            announced: None,
        }
    }

    async fn row(&mut self, placed: Placed<Bytes>) -> Result<(), Stop> {
        let Placed { table, row, mark } = placed;
        if self.announced != Some(table) {
            self.flush().await?;
            self.announced = Some(table);
            if let Some(table) = self.tables.get(table) {
                self.send(Item::Table(Arc::clone(table))).await?;
            }
        }
        self.batch_bytes += row.len();
        self.batch.push(MarkedRow { line: row, mark });
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let rows = std::mem::take(&mut self.batch);
        self.send(Item::Rows(rows)).await
    }

    async fn send(&self, item: Item) -> Result<(), Stop> {
        self.items.send(Ok(item)).await.map_err(|_| Stop::Unwanted)
    }
}

/// Ends the session with the task: a COPY that nobody wants would be read to its end otherwise.
struct Cut(AbortHandle);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A batch is worth a channel's price, and small against the limits of what is in flight.
const BATCH_ROWS: usize = 512;
const BATCH_BYTES: usize = 256 << 10;
