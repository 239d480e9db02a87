//! Chunks of one table: where each ends, its rows in a snapshot of its own, and its watermark.
//! Several are read at a time, each over a session of its own.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use relay::{CHUNK_PREFIX, Chunk, ChunkSnapshot, Watermark};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::{ToSql, Type};

use super::hand_in::ReadSettings;
use super::place::{self, Replay};
use super::reader::{Item, Sent, Stop};
use super::table::{self, ChunkTable, Span};
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};

/// The way to the loop.
#[derive(Clone)]
pub(super) struct ToLoop(pub(super) mpsc::Sender<Sent>);

impl ToLoop {
    /// Sends one item, and waits until it is taken in.
    pub(super) async fn send(&self, item: Item) -> Result<(), Stop> {
        let (taken, answer) = oneshot::channel();
        let sent = self.0.send((item, taken)).await;
        sent.map_err(|_| Stop::Unwanted)?;
        answer.await.map_err(|_| Stop::Unwanted)
    }
}

/// What reading chunks of a table needs.
#[derive(Clone)]
pub(super) struct Chunks {
    pub(super) settings: Arc<ReadSettings>,
    pub(super) windows: Arc<AtomicU64>,
    pub(super) to_loop: ToLoop,
    /// The request's id.
    pub(super) request: String,
    pub(super) table: Arc<ChunkTable>,
}

/// What reading a chunk gave.
pub(super) struct Read {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// How the reading of a chunk ended.
pub(super) enum Outcome {
    Read(Read),
    /// So many of its rows fit into one; the others are still on their way over the session, which is of
    /// no use any more.
    TooLarge {
        rows: usize,
    },
}

impl Chunks {
    /// A number for a chunk that is about to be read.
    pub(super) fn new_window(&self) -> u64 {
        self.windows.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The key of the last of the span's first rows, at most so many; none, when there are no rows.
    pub(super) async fn bound(
        &self,
        sql: &SqlClient,
        span: Span<'_>,
        rows: usize,
    ) -> Result<Option<Vec<String>>, Stop> {
        let bound = self.table.bound_statement(span, rows);
        let failed = sql::rows(DOING);
        let found = async {
            self.begin(sql).await?;
            let found = sql.query_typed(&bound, &[]).await.map_err(&failed)?;
            let found = found.first().map(|row| row.try_get(0)).transpose();
            sql.batch_execute("COMMIT").await.map_err(&failed)?;
            Ok(found.map_err(&failed)?)
        };
        let found = found.await;
        if found.is_err() {
            // The session may be the reason; then the next question tells.
            let _ = sql.batch_execute("ROLLBACK").await;
        }
        found
    }

    /// Reads the rows of a span and writes their watermark.
    pub(super) async fn read(
        &self,
        sql: &SqlClient,
        window: u64,
        span: Span<'_>,
    ) -> Result<Outcome, Stop> {
        let relation = self.table.copied.oid();
        self.to_loop.send(Item::Open { window, relation }).await?;
        let read = async {
            let (chunk, read) = match self.rows(sql, window, span).await? {
                Rows::Chunk(chunk, read) => (chunk, read),
                Rows::TooLarge { rows } => return Ok(Outcome::TooLarge { rows }),
            };
            let watermark = chunk.watermark.clone();
            let table = Arc::clone(&self.table);
            self.to_loop.send(Item::Chunk { chunk, table }).await?;
            let Watermark::Message(name) = watermark else {
                return Ok(Outcome::Read(read));
            };
            let name = String::from_utf8_lossy(&name).into_owned();
            const EMIT: &str = "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)::text";
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&CHUNK_PREFIX, Type::TEXT), (&name, Type::TEXT)];
            let emitted = sql.query_typed(EMIT, &parameters).await;
            emitted.map_err(sql::sql("write a watermark"))?;
            Ok(Outcome::Read(read))
        };
        let read = read.await;
        if !matches!(read, Ok(Outcome::Read(_))) {
            // Perhaps the watermark is written all the same: then it means nothing.
            self.to_loop.send(Item::Abandon { window }).await?;
        }
        read
    }

    /// Begins a transaction whose snapshot is given. The table is locked before it is taken: what it
    /// then sees, nobody rewrites. The session's watermarks wait for no synchronous standby: they mean nothing
    /// to one.
    async fn begin(&self, sql: &SqlClient) -> Result<String, Stop> {
        let begin = format!(
            "SET row_security = off; SET synchronous_commit = local; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS SHARE MODE",
            self.settings.lock_timeout.as_millis(),
            self.table.copied.lock_name()
        );
        sql.batch_execute(&begin).await.map_err(sql::sql(DOING))?;
        let (copied, publication) = (&self.table.copied, &self.settings.publication);
        let (snapshot, fingerprint) = table::fingerprint(sql, copied, publication).await?;
        if fingerprint != self.table.fingerprint {
            return Err(Stop::Altered);
        }
        Ok(snapshot)
    }

    async fn rows(&self, sql: &SqlClient, window: u64, span: Span<'_>) -> Result<Rows, Stop> {
        let failed = sql::rows(DOING);
        let before = Replay::of(sql).await?;
        let snapshot = self.begin(sql).await?;
        let seen = match before {
            Some(_) => Some(Replay::of_standby(sql).await?),
            None => None,
        };
        let lines = sql.copy_out(&self.table.copy_statement(span)).await;
        let mut lines = pin!(lines.map_err(&failed)?);
        let (mut bytes, mut rows) = (Vec::new(), 0);
        while let Some(line) = lines.next().await {
            bytes.extend_from_slice(&line.map_err(&failed)?);
            if bytes.len() > BYTES_MAX && rows > 0 {
                return Ok(Rows::TooLarge { rows });
            }
            rows += 1;
        }
        // It is held until Kafka has its rows; growing left room for as much again.
        bytes.shrink_to_fit();
        sql.batch_execute("COMMIT").await.map_err(&failed)?;
        let (watermark, snapshot) = match before.zip(seen) {
            Some((before, seen)) => {
                let position = place::behind_snapshot(sql, seen).await?;
                let watermark = Watermark::Position(position);
                (watermark, ChunkSnapshot::Replayed(before.end))
            }
            None => self.by_message(&snapshot, window)?,
        };
        let read = Read {
            rows,
            bytes: bytes.len(),
        };
        let chunk = Chunk {
            watermark,
            window,
            snapshot,
            lines: bytes,
        };
        Ok(Rows::Chunk(chunk, read))
    }

    /// The content of the message that is to be written, and what the snapshot sees.
    fn by_message(&self, snapshot: &str, window: u64) -> Result<(Watermark, ChunkSnapshot), Stop> {
        let (slot, nonce) = (&self.settings.slot, &self.settings.nonce);
        let name = format!("{slot}/{}/{nonce}/{window}", self.request);
        let snapshot = ChunkSnapshot::parse(snapshot).ok_or(PostgresError::Answer {
            command: "SELECT",
            field: "pg_current_snapshot",
        })?;
        Ok((Watermark::Message(name.into_bytes()), snapshot))
    }
}

enum Rows {
    Chunk(Chunk, Read),
    TooLarge { rows: usize },
}

const DOING: &str = "read a chunk of the table";
/// More than one row makes no larger chunk: several are held until Kafka has them.
const BYTES_MAX: usize = 2 << 20;
