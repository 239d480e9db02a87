//! A session that writes: the same rows for every competitor.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use super::load::Load;

/// One transaction of the latency run. The row says when it was written: `updated_at`, in UTC as
/// all sessions here, is in Debezium's JSON the microseconds since 1970.
const INSERT_ONE: &str = "insert into users (name, email, balance, active, updated_at, meta)
    values ('user number ' || $1::int8, 'user.' || $1::int8 || '@example.com', 12.34, true,
            clock_timestamp() at time zone 'UTC', '{\"plan\": \"standard\", \"visits\": 7}')";

/// Connections that share the steady rate. A single one would have to commit, that is to wait for
/// the disk, within the time between two transactions.
const LATENCY_CONNECTIONS: u32 = 8;

/// A session with its runtime, for code that blocks.
pub(super) struct Database {
    runtime: Runtime,
    client: Client,
}

impl Database {
    /// Connects with a libpq URL or keyword string.
    ///
    /// # Errors
    /// When the server refuses.
    pub(super) fn connect(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime.block_on(open(url))?;
        Ok(Self { runtime, client })
    }

    /// Runs statements that give no rows.
    ///
    /// # Errors
    /// When the server refuses one.
    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        self.runtime
            .block_on(self.client.batch_execute(sql))
            .with_context(|| sql.to_owned())
    }

    /// The only column of the only row, as text.
    ///
    /// # Errors
    /// When the server refuses, or the answer is another.
    pub(super) fn text(&self, sql: &str) -> Result<String> {
        let row = self
            .runtime
            .block_on(self.client.query_one(sql, &[]))
            .with_context(|| sql.to_owned())?;
        row.try_get(0).with_context(|| sql.to_owned())
    }

    /// Runs COPY … TO STDOUT statements, and counts the rows that it forgets.
    ///
    /// # Errors
    /// When the server refuses.
    pub(super) fn read_away(&self, statements: &[String]) -> Result<u64> {
        self.runtime.block_on(async {
            let mut rows = 0;
            for statement in statements {
                let mut lines = pin!(self.client.copy_out(statement).await?);
                while let Some(line) = lines.next().await {
                    line?;
                    rows += 1;
                }
            }
            Ok(rows)
        })
    }

    /// Writes `events` events of a load in transactions of `per_transaction`, telling `progress` after
    /// each how many there are.
    ///
    /// # Errors
    /// When the server refuses.
    pub(super) fn write_backlog(
        &self,
        load: Load,
        events: u64,
        per_transaction: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut statements = Vec::new();
            for statement in load.transaction() {
                statements.push(self.client.prepare(&statement).await?);
            }
            let mut written = 0;
            while written < events {
                let rows = per_transaction.min(events - written);
                let (count, first) = (i64::try_from(rows)?, i64::try_from(written + 1)?);
                self.client.batch_execute("begin").await?;
                for statement in &statements {
                    self.client.execute(statement, &[&count, &first]).await?;
                }
                self.client.batch_execute("commit").await?;
                written += rows;
                progress(written);
            }
            Ok(())
        })
    }
}

/// A session whose times are in UTC.
pub(super) async fn open(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("cannot connect to the benchmark's Postgres")?;
    // Its error, if any, is also the error of the next query.
    tokio::spawn(connection);
    client.batch_execute("set timezone to 'UTC'").await?;
    Ok(client)
}

/// What the writer of the latency run and its reader tell each other.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// Transactions begun so far.
    pub(super) written: AtomicU64,
    /// Set to end the writing.
    pub(super) stop: AtomicBool,
}

/// Writes single-row transactions at `per_second` until told to stop. To be run in a thread of its
/// own.
///
/// # Errors
/// When the server refuses.
pub(super) fn write_steadily(url: &str, per_second: u32, steady: &Arc<Steady>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..LATENCY_CONNECTIONS {
            clients.push(open(url).await?);
        }
        let period = Duration::from_secs(1) * LATENCY_CONNECTIONS / per_second;
        let start = Instant::now();
        let mut writers = JoinSet::new();
        for (index, client) in (0..).zip(clients) {
            let first = start + period * index / LATENCY_CONNECTIONS;
            writers.spawn(write_every(client, first, period, Arc::clone(steady)));
        }
        while let Some(outcome) = writers.join_next().await {
            outcome??;
        }
        Ok(())
    })
}

/// Keeps to the schedule: a commit that took too long is followed by the next at once, so that the
/// rate holds.
async fn write_every(
    client: Client,
    first: Instant,
    period: Duration,
    steady: Arc<Steady>,
) -> Result<()> {
    let insert = client.prepare(INSERT_ONE).await?;
    let mut due = first;
    while !steady.stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due.into()).await;
        let number = i64::try_from(steady.written.fetch_add(1, Ordering::Relaxed))?;
        client.execute(&insert, &[&number]).await?;
        due += period;
    }
    Ok(())
}
