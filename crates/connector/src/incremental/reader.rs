//! The task that reads one request: table after table, a few chunks ahead of the stream.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use relay::{Chunk, ChunkOutcome};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::chunks::{Chunks, ToLoop};
use super::hand_in::ReadSettings;
use super::request::Request;
use super::stopping::STOPPED_NOTHING;
use super::table::ChunkTable;
use super::telling::Telling;
use super::under_way::UnderWay;
use crate::copy;
use crate::postgres::PostgresError;
use crate::postgres::running::Running;
use crate::postgres::sql::{self, CutWithTask, SqlClient};

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
    pub(super) to_loop: ToLoop,
    pub(super) outcomes: mpsc::UnboundedReceiver<(u64, ChunkOutcome)>,
    pub(super) paused: watch::Receiver<bool>,
    /// When it was last noted how far it is.
    pub(super) noted_at: Instant,
    pub(super) telling: Telling,
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
                    warn!(
                        request = self.request.id,
                        reason, "SNAPSHOT_TABLE_LEFT_OUT: no row of the request is published"
                    );
                    self.request.add_problem(reason);
                    break;
                }
                Err(Stop::Altered) => {}
            }
            sleep(PAUSE).await;
        }
        self.request.end();
        let over = Item::Over(Box::new(self.request.clone()));
        let _ = self.to_loop.send(over).await;
    }

    /// Notes how far it is, if it may.
    async fn note_now_and_then(&mut self) -> Result<(), Stop> {
        if !self.request.may_be_noted(self.noted_at) {
            return Ok(());
        }
        self.noted_at = Instant::now();
        self.note().await
    }

    async fn note(&self) -> Result<(), Stop> {
        self.to_loop
            .send(Item::Note(Box::new(self.request.clone())))
            .await
    }

    async fn read_tables(&mut self) -> Result<(), Stop> {
        let session = CutWithTask(SqlClient::connect(&self.settings.conninfo).await?);
        let sql = &session;
        self.wait_for_running(sql).await?;
        if self.request.tables.is_none() {
            let published = self.published(sql).await?;
            let chosen = self.request.choose(&published).map_err(Stop::Refused)?;
            info!(
                request = self.request.id,
                tables = chosen.len(),
                "publishing rows beside the stream"
            );
            for pattern in self.request.stopped_in_vain(&published) {
                warn!(request = self.request.id, pattern, "{STOPPED_NOTHING}");
            }
            self.request.set_tables(chosen);
            self.note().await?;
        }
        while let Some(table) = self.next_table() {
            let before = self.request.rows;
            self.telling.begin_table(before);
            let problem = match self.read_table(sql, &table).await {
                Ok(()) => None,
                Err(Stop::Altered) => {
                    info!(table, "the table was altered; its reading goes on");
                    continue;
                }
                Err(Stop::Refused(reason)) => Some(reason),
                Err(Stop::Failed(error)) if error.is_of_statement() && !error.is_lock_timeout() => {
                    Some(error.to_string())
                }
                Err(stop) => return Err(stop),
            };
            match &problem {
                None => info!(
                    table,
                    rows = self.request.rows - before,
                    "read the table beside the stream"
                ),
                Some(reason) => warn!(
                    table,
                    reason, "SNAPSHOT_TABLE_LEFT_OUT: the table's rows are not published"
                ),
            }
            let problem = problem.map(|reason| format!("{table}: {reason}"));
            self.request.end_table(problem);
            self.note_now_and_then().await?;
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
    /// the stream, and a snapshot might not see it. Nor need the commit that the stream has just told of be
    /// seen, which may have published the table.
    async fn wait_for_running(&self, sql: &SqlClient) -> Result<(), Stop> {
        let running = Running::now(sql).await?;
        if running.are_over(sql).await? {
            return Ok(());
        }
        info!(
            request = self.request.id,
            "waiting for running transactions to end"
        );
        Ok(running.wait(sql).await?)
    }

    async fn read_table(&mut self, sql: &SqlClient, name: &str) -> Result<(), Stop> {
        let table = Arc::new(self.look(sql, name).await?);
        let chunks = Chunks {
            settings: Arc::clone(&self.settings),
            windows: Arc::clone(&self.windows),
            to_loop: self.to_loop.clone(),
            request: self.request.id.clone(),
            table,
        };
        let had_begun = self.request.after.is_some();
        let after = self.request.begin_table(chunks.table.order());
        if had_begun && after.is_none() {
            info!(
                table = name,
                "the table's key has changed: it is read from its beginning"
            );
        }
        let chunked = Arc::clone(&chunks.table);
        let by_partitions = chunked.copied.is_read_by_partitions();
        let mut under_way = UnderWay::new(chunks, after);
        let read = match self.read_chunks(sql, &chunked, &mut under_way).await {
            // One of them was dropped, or is called otherwise.
            Err(Stop::Failed(error)) if by_partitions && error.is_of_absent_table() => {
                Err(Stop::Altered)
            }
            read => read,
        };
        if !matches!(read, Err(Stop::Unwanted)) {
            under_way.abandon().await?;
        }
        read
    }

    async fn look(&self, sql: &SqlClient, name: &str) -> Result<ChunkTable, Stop> {
        let settings = &self.settings;
        let found = copy::published_table(sql, &settings.publication, &settings.tables, name).await;
        let found = found.map_err(sql::sql("look for the published table"))?;
        let found = found.ok_or_else(|| Stop::refused("it is gone, or not published any more"))?;
        let surrogate = self.request.surrogate_key.as_deref();
        let how = (surrogate, self.request.condition(name));
        let published = (
            &settings.options,
            settings.publication.as_str(),
            &settings.selects,
        );
        ChunkTable::look(sql, found, published, how).await
    }

    async fn read_chunks(
        &mut self,
        scout: &SqlClient,
        table: &ChunkTable,
        under_way: &mut UnderWay,
    ) -> Result<(), Stop> {
        loop {
            while let Ok(outcome) = self.outcomes.try_recv() {
                under_way.settle(outcome)?;
            }
            self.note_done(under_way).await?;
            let (request, rows) = (&self.request.id, self.request.rows);
            let telling = &mut self.telling;
            telling
                .now_and_then(scout, request, &table.copied, rows)
                .await?;
            under_way.cut(scout).await?;
            under_way.begin_wanted();
            if under_way.is_over() {
                return Ok(());
            }
            if under_way.has_room() && !*self.paused.borrow() {
                under_way.find_next(scout).await?;
            } else if under_way.is_empty() {
                let resumed = self.paused.wait_for(|paused| !paused).await;
                resumed.map_err(|_| Stop::Unwanted)?;
            } else {
                tokio::select! {
                    outcome = self.outcomes.recv() => under_way.settle(outcome.ok_or(Stop::Unwanted)?)?,
                    read = under_way.read() => read?,
                    () = sleep_until(self.telling.due()) => {}
                }
            }
        }
    }

    /// Notes the chunks that are done, up to the first that is not.
    async fn note_done(&mut self, under_way: &mut UnderWay) -> Result<(), Stop> {
        let mut news = false;
        while let Some(done) = under_way.take_done() {
            self.request.after = Some(done.to);
            self.request.rows += done.rows;
            self.request.chunks += 1;
            news = true;
        }
        match news {
            true => self.note_now_and_then().await,
            false => Ok(()),
        }
    }
}

/// Before another session is tried.
const PAUSE: Duration = Duration::from_secs(1);
