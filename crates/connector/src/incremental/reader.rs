//! The task that reads one request: table after table, a few chunks ahead of the stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use relay::{CHUNK_PREFIX, Chunk, ChunkOutcome, ChunkSnapshot, Watermark};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tracing::{info, warn};

use super::hand_in::ReadSettings;
use super::place::{self, Server};
use super::request::Request;
use super::table::{self, ChunkTable, Span};
use crate::copy;
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{Class, PostgresError};

/// What the reader sends to the loop. It waits for each answer: what follows depends on it.
pub(super) enum Item {
    /// From now on changes of the table are to be noted.
    Open { window: u64, relation: u32 },
    /// Rows that were read; their watermark is written after the answer.
    Chunk {
        chunk: Chunk,
        table: Arc<ChunkTable>,
    },
    /// This chunk will not come.
    Abandon { window: u64 },
    /// How far the request has come.
    Note(Box<Request>),
    /// Nothing is left of it.
    Over(Box<Request>),
}

/// An item, and who waits for it to be taken in.
pub(super) type Sent = (Item, oneshot::Sender<()>);

/// Why the reading ended before the end.
pub(super) enum Stop {
    /// This table cannot be read, for this reason.
    Refused(String),
    /// It was altered: its reading goes on with another look.
    Altered,
    Failed(PostgresError),
    /// The connection ended, or somebody stopped it.
    Unwanted,
}

impl Stop {
    pub(super) fn refused(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

impl From<PostgresError> for Stop {
    fn from(error: PostgresError) -> Self {
        Self::Failed(error)
    }
}

/// The reader's end.
pub(super) struct Reader {
    pub(super) settings: Arc<ReadSettings>,
    pub(super) windows: Arc<AtomicU64>,
    pub(super) request: Request,
    pub(super) items: mpsc::Sender<Sent>,
    pub(super) outcomes: mpsc::UnboundedReceiver<(u64, ChunkOutcome)>,
    pub(super) paused: watch::Receiver<bool>,
    /// Looked at again in each session.
    pub(super) server: Server,
}

/// A chunk that was read.
struct UnderWay {
    window: u64,
    after: Option<Vec<String>>,
    to: Vec<String>,
    /// Rows published, once Kafka has them.
    done: Option<u64>,
}

/// What reading a chunk gave.
struct Read {
    window: u64,
    to: Vec<String>,
    rows: usize,
    bytes: usize,
}

impl Reader {
    /// Reads until nothing is left; what may mend by itself is tried again.
    pub(super) async fn run(mut self) {
        loop {
            match self.read_tables().await {
                Ok(()) => break,
                Err(Stop::Unwanted) => return,
                Err(Stop::Failed(error)) => {
                    warn!(request = self.request.id, %error, "the snapshot is gone on with in a moment");
                }
                Err(Stop::Refused(reason)) => {
                    self.request.problems.push(reason);
                    break;
                }
                Err(Stop::Altered) => {}
            }
            sleep(PAUSE).await;
        }
        self.request.end();
        let over = Item::Over(Box::new(self.request.clone()));
        let _ = self.send(over).await;
    }

    /// Sends one item, and waits until it is taken in.
    async fn send(&self, item: Item) -> Result<(), Stop> {
        let (taken, answer) = oneshot::channel();
        let sent = self.items.send((item, taken)).await;
        sent.map_err(|_| Stop::Unwanted)?;
        answer.await.map_err(|_| Stop::Unwanted)
    }

    async fn note(&self) -> Result<(), Stop> {
        self.send(Item::Note(Box::new(self.request.clone()))).await
    }

    async fn read_tables(&mut self) -> Result<(), Stop> {
        let sql = SqlClient::connect(&self.settings.conninfo).await?;
        let _cut = Cut(&sql);
        self.server = Server::of(&sql).await?;
        self.wait_for_running(&sql).await?;
        if self.request.tables.is_none() {
            let chosen = self.request.choose(&self.published(&sql).await?);
            if chosen.is_empty() {
                return Err(Stop::refused("no published table matches"));
            }
            info!(
                request = self.request.id,
                tables = chosen.len(),
                "publishing rows beside the stream"
            );
            self.request.tables = Some(chosen);
            self.note().await?;
        }
        while let Some(table) = self.next_table() {
            let problem = match self.read_table(&sql, &table).await {
                Ok(()) => None,
                Err(Stop::Altered) => {
                    info!(table, "the table was altered; its reading goes on");
                    continue;
                }
                Err(Stop::Refused(reason)) => Some(reason),
                Err(Stop::Failed(error)) if error.class() == Class::Permanent => {
                    Some(error.to_string())
                }
                Err(stop) => return Err(stop),
            };
            match &problem {
                None => info!(
                    table,
                    rows = self.request.rows,
                    "read the table beside the stream"
                ),
                Some(reason) => warn!(
                    table,
                    reason, "SNAPSHOT_TABLE_LEFT_OUT: the table's rows are not published"
                ),
            }
            let problem = problem.map(|reason| format!("{table}: {reason}"));
            self.request.end_table(problem);
            self.note().await?;
        }
        Ok(())
    }

    fn next_table(&self) -> Option<String> {
        self.request.tables.as_ref()?.first().cloned()
    }

    async fn published(&self, sql: &SqlClient) -> Result<Vec<String>, Stop> {
        let settings = &self.settings;
        let found = copy::published(sql, &settings.publication, &settings.tables).await?;
        let names = found
            .into_iter()
            .map(|(schema, name)| format!("{schema}.{name}"));
        Ok(names
            .filter(|name| !settings.is_signal_table(name))
            .collect())
    }

    /// Waits for the transactions that run now. One of them may have its commit in the log before the
    /// stream's first message, or have written to a table before it was published: neither would be in
    /// the stream, and a snapshot might not see it.
    async fn wait_for_running(&self, sql: &SqlClient) -> Result<(), Stop> {
        const DOING: &str = "wait for running transactions";
        const NOW: &str =
            "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text";
        const ENDED: &str = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) \
             >= $1::text::pg_catalog.xid8";
        let begun: String = ask_one(sql, DOING, NOW, &[]).await?;
        let mut looks: u32 = 0;
        loop {
            let ended = ask_one(sql, DOING, ENDED, &[(&begun, Type::TEXT)]).await?;
            if ended {
                return Ok(());
            }
            looks += 1;
            if looks == 10 {
                info!(
                    request = self.request.id,
                    "waiting for running transactions to end"
                );
            }
            sleep(AGAIN).await;
        }
    }

    async fn read_table(&mut self, sql: &SqlClient, name: &str) -> Result<(), Stop> {
        let table = Arc::new(self.look(sql, name).await?);
        let mut under_way = VecDeque::new();
        let read = self.read_chunks(sql, &table, &mut under_way).await;
        if !matches!(read, Err(Stop::Unwanted)) {
            for chunk in under_way {
                self.send(Item::Abandon {
                    window: chunk.window,
                })
                .await?;
            }
        }
        read
    }

    async fn look(&self, sql: &SqlClient, name: &str) -> Result<ChunkTable, Stop> {
        let settings = &self.settings;
        let tables = copy::published_tables(sql, &settings.publication, &settings.tables).await;
        let tables = tables.map_err(sql::sql("list the published tables"))?;
        let found = tables.into_iter().find(|it| it.qualified_name() == name);
        let found = found.ok_or_else(|| Stop::refused("it is gone, or not published any more"))?;
        let surrogate = self.request.surrogate_key.as_deref();
        let how = (surrogate, self.request.condition(name));
        ChunkTable::look(sql, found, &settings.options, how).await
    }

    async fn read_chunks(
        &mut self,
        sql: &SqlClient,
        table: &Arc<ChunkTable>,
        under_way: &mut VecDeque<UnderWay>,
    ) -> Result<(), Stop> {
        let mut after = self.request.after.clone();
        let most = self.settings.chunk_rows;
        let mut rows = most.min(FIRST_ROWS);
        let mut more = true;
        loop {
            while let Ok(outcome) = self.outcomes.try_recv() {
                self.settle(sql, table, under_way, outcome).await?;
            }
            if more && under_way.len() < UNDER_WAY && !*self.paused.borrow() {
                let to = None;
                let span = Span {
                    after: after.as_deref(),
                    to,
                };
                let Some(read) = self.read_chunk(sql, table, span, rows).await? else {
                    more = false;
                    continue;
                };
                rows = (CHUNK_BYTES * read.rows.max(1) / read.bytes.max(1)).clamp(1, most);
                under_way.push_back(UnderWay {
                    window: read.window,
                    after: after.replace(read.to.clone()),
                    to: read.to,
                    done: None,
                });
            } else if let (true, true) = (under_way.is_empty(), more) {
                let resumed = self.paused.wait_for(|paused| !paused).await;
                resumed.map_err(|_| Stop::Unwanted)?;
            } else if under_way.is_empty() {
                return Ok(());
            } else {
                let outcome = self.outcomes.recv().await.ok_or(Stop::Unwanted)?;
                self.settle(sql, table, under_way, outcome).await?;
            }
        }
    }

    /// What became of a chunk: it is noted once all before it are done; or it is read again.
    async fn settle(
        &mut self,
        sql: &SqlClient,
        table: &Arc<ChunkTable>,
        under_way: &mut VecDeque<UnderWay>,
        (window, outcome): (u64, ChunkOutcome),
    ) -> Result<(), Stop> {
        let Some(chunk) = under_way.iter_mut().find(|it| it.window == window) else {
            return Ok(());
        };
        match outcome {
            ChunkOutcome::Done { rows } => chunk.done = Some(rows),
            ChunkOutcome::Again(why) => {
                tracing::debug!(?why, "a chunk is read again");
                sleep(AGAIN).await;
                let (after, to) = (chunk.after.as_deref(), Some(chunk.to.as_slice()));
                let span = Span { after, to };
                match self.read_chunk(sql, table, span, 0).await? {
                    Some(read) => chunk.window = read.window,
                    None => chunk.done = Some(0),
                }
            }
        }
        let mut news = false;
        while let Some(done) = under_way.front().and_then(|it| it.done) {
            let Some(chunk) = under_way.pop_front() else {
                break;
            };
            self.request.after = Some(chunk.to);
            self.request.rows += done;
            self.request.chunks += 1;
            news = true;
        }
        if news { self.note().await } else { Ok(()) }
    }

    /// Reads a chunk and writes its watermark; none, when there are no rows.
    async fn read_chunk(
        &self,
        sql: &SqlClient,
        table: &Arc<ChunkTable>,
        span: Span<'_>,
        rows: usize,
    ) -> Result<Option<Read>, Stop> {
        let window = self.windows.fetch_add(1, Ordering::Relaxed) + 1;
        let relation = table.copied.oid();
        self.send(Item::Open { window, relation }).await?;
        let read = self.read_rows(sql, table, span, (window, rows)).await;
        let (chunk, read) = match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.send(Item::Abandon { window }).await?;
                return Ok(None);
            }
            Err(stop) => {
                // The session may be the reason; then the next question tells.
                let _ = sql.batch_execute("ROLLBACK").await;
                self.send(Item::Abandon { window }).await?;
                return Err(stop);
            }
        };
        let watermark = chunk.watermark.clone();
        let table = Arc::clone(table);
        self.send(Item::Chunk { chunk, table }).await?;
        let Watermark::Message(name) = watermark else {
            return Ok(Some(read));
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        const EMIT: &str = "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)::text";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&CHUNK_PREFIX, Type::TEXT), (&name, Type::TEXT)];
        let emitted = sql.query_typed(EMIT, &parameters).await;
        if let Err(error) = emitted.map_err(sql::sql("write a watermark")) {
            // Perhaps it is written all the same: then it means nothing.
            self.send(Item::Abandon { window }).await?;
            return Err(error.into());
        }
        Ok(Some(read))
    }

    async fn read_rows(
        &self,
        sql: &SqlClient,
        table: &ChunkTable,
        span: Span<'_>,
        (window, rows): (u64, usize),
    ) -> Result<Option<(Chunk, Read)>, Stop> {
        const DOING: &str = "read a chunk of the table";
        let failed = sql::sql(DOING);
        let settings = &self.settings;
        let replayed = self.server.replayed(sql).await?;
        // Locked before the snapshot is taken: what it then sees, nobody rewrites.
        let begin = format!(
            "SET row_security = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS SHARE MODE",
            settings.lock_timeout.as_millis(),
            table.copied.source()
        );
        sql.batch_execute(&begin).await.map_err(&failed)?;
        let (snapshot, fingerprint) = table::fingerprint(sql, table.copied.oid()).await?;
        if fingerprint != table.fingerprint {
            return Err(Stop::Altered);
        }
        let seen = self.server.replayed(sql).await?;
        let to = match span.to {
            Some(to) => Some(to.to_vec()),
            None => {
                let bound = table.bound_statement(span, rows);
                let found = sql.query_typed(&bound, &[]).await.map_err(&failed)?;
                let found = found.first().map(|row| row.try_get(0)).transpose();
                found.map_err(&failed)?
            }
        };
        let Some(to) = to else {
            sql.batch_execute("COMMIT").await.map_err(&failed)?;
            return Ok(None);
        };
        let span = Span {
            to: Some(&to),
            ..span
        };
        let lines = sql.copy_out(&table.copy_statement(span)).await;
        let mut lines = pin!(lines.map_err(&failed)?);
        let (mut bytes, mut count) = (Vec::new(), 0);
        while let Some(line) = lines.next().await {
            bytes.extend_from_slice(&line.map_err(&failed)?);
            count += 1;
        }
        sql.batch_execute("COMMIT").await.map_err(&failed)?;
        let (watermark, snapshot) = match replayed.zip(seen) {
            Some((before, seen)) => {
                let position = place::behind_snapshot(sql, seen).await?;
                let watermark = Watermark::Position(position);
                (watermark, ChunkSnapshot::Replayed(before))
            }
            None => self.by_message(&snapshot, window)?,
        };
        let read_bytes = bytes.len();
        let chunk = Chunk {
            watermark,
            window,
            snapshot,
            lines: bytes,
        };
        let read = Read {
            window,
            to,
            rows: count,
            bytes: read_bytes,
        };
        Ok(Some((chunk, read)))
    }

    /// The content of the message that is to be written, and what the snapshot sees.
    fn by_message(&self, snapshot: &str, window: u64) -> Result<(Watermark, ChunkSnapshot), Stop> {
        let (settings, id) = (&self.settings, &self.request.id);
        let name = format!("{}/{id}/{}/{window}", settings.slot, settings.nonce);
        let snapshot = ChunkSnapshot::parse(snapshot).ok_or(PostgresError::Answer {
            command: "SELECT",
            field: "pg_current_snapshot",
        })?;
        Ok((Watermark::Message(name.into_bytes()), snapshot))
    }
}

async fn ask_one<T: for<'a> tokio_postgres::types::FromSql<'a>>(
    sql: &SqlClient,
    doing: &'static str,
    query: &str,
    parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> Result<T, Stop> {
    let rows = sql.query_typed(query, parameters).await;
    let rows = rows.map_err(sql::sql(doing))?;
    let row = rows.first().ok_or(Stop::Unwanted)?;
    Ok(row.try_get(0).map_err(sql::sql(doing))?)
}

/// Ends the session with the task.
struct Cut<'a>(&'a SqlClient);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.abort_handle().abort();
    }
}

/// Chunks that wait for their watermark, or for Kafka.
const UNDER_WAY: usize = 4;
/// About so many bytes in a chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Before it is known how large rows are.
const FIRST_ROWS: usize = 256;
/// Before a chunk is read again.
const AGAIN: Duration = Duration::from_millis(100);
/// Before another session is tried.
const PAUSE: Duration = Duration::from_secs(1);
