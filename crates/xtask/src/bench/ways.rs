//! `cargo xtask bench ways`: what each way of agreeing costs the service and its database, and how long
//! its events take. The same small transaction in each: one account's balance changes.
//!
//! First at a steady rate, for the times: of the transaction as the service sees it, and from the row's
//! clock to the consumer. Then as fast as four connections can, for transactions a second. The WAL is
//! that of the steady part. All of it with a walferry that publishes, but for the first way.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::{Message, Offset};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::competitor::{Competitor, Phase};
use super::display::Display;
use super::latency::{nearest_rank, unix_micros, written_at};
use super::report::{ratio, rounded};
use super::running::End;
use super::table::Table;
use super::topic::Topic;
use super::workload;
use super::world::World;
use crate::binary::{self, Profile};
use xtask::servers::versions;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds of each part of each way
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Transactions a second of the steady part
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Postgres' major version
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT, value_name = "MAJOR")]
    postgres: u32,
}

/// A way of agreeing, as the service sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The change, and nobody is told.
    Alone,
    /// Table CDC.
    Cdc,
    /// An outbox by message.
    Message,
    /// An outbox table whose rows are deleted at once.
    InsertDelete,
    /// An outbox table whose rows stay.
    Insert,
    /// The change and a message, prepared, then committed.
    TwoPhase,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Alone,
        Self::Cdc,
        Self::Message,
        Self::InsertDelete,
        Self::Insert,
        Self::TwoPhase,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Alone => "the change alone, not published",
            Self::Cdc => "table CDC",
            Self::Message => "outbox, message",
            Self::InsertDelete => "outbox, row inserted and deleted",
            Self::Insert => "outbox, row inserted and left",
            Self::TwoPhase => "two-phase commit, with a message",
        }
    }

    /// For slots and prefixes.
    pub(super) fn id(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// What walferry is told to publish.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Alone | Self::Cdc => "tables:\n  include: [ public.account ]",
            Self::Message | Self::TwoPhase => "outbox:\n  message.prefix: outbox",
            Self::InsertDelete | Self::Insert => "outbox:\n  table: public.ways_outbox",
        }
    }

    /// Behind the prefix.
    pub(super) fn topic(self) -> &'static str {
        match self {
            Self::Alone | Self::Cdc => "public.account",
            _ => "account",
        }
    }

    /// The transaction's statements for account `id`, as texts: what a service would send.
    fn statements(self, id: u64, number: u64) -> Vec<String> {
        let change = format!(
            "UPDATE account SET balance = balance + 1, updated_at = {MICROS} WHERE id = {id}"
        );
        let payload = format!("jsonb_build_object('account', {id}, 'updated_at', {MICROS})");
        let message = format!(
            "SELECT pg_logical_emit_message(true, 'outbox', jsonb_build_object('id', \
             gen_random_uuid(), 'aggregatetype', 'account', 'aggregateid', '{id}', 'type', 'Changed', \
             'payload', {payload})::text)"
        );
        let event = format!("md5('{number} {id}')::uuid");
        let insert = format!(
            "INSERT INTO ways_outbox VALUES ({event}, 'account', '{id}', 'Changed', {payload})"
        );
        let delete = format!("DELETE FROM ways_outbox WHERE id = {event}");
        let begin = "BEGIN".to_owned();
        let commit = "COMMIT".to_owned();
        match self {
            Self::Alone | Self::Cdc => vec![begin, change, commit],
            Self::Message => vec![begin, change, message, commit],
            Self::Insert => vec![begin, change, insert, commit],
            Self::InsertDelete => vec![begin, change, insert, delete, commit],
            Self::TwoPhase => vec![
                begin,
                change,
                message,
                format!("PREPARE TRANSACTION 'ways_{number}'"),
                format!("COMMIT PREPARED 'ways_{number}'"),
            ],
        }
    }
}

/// Microseconds since 1970, by the server's clock.
const MICROS: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

const TABLES: &str = "
    CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL, updated_at bigint)
        WITH (fillfactor = 50);
    INSERT INTO account SELECT g, 0, 0 FROM generate_series(0, 9999) g;
    CREATE TABLE ways_outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text,
                              payload jsonb);
    ALTER PUBLICATION bench ADD TABLE account, ways_outbox";

const CONNECTIONS: u64 = 4;
const ACCOUNTS: u64 = 10_000;

/// One way's figures.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    per_second: f64,
    commit_millis: [f64; 2],
    wal_bytes: f64,
    event_millis: Option<[f64; 2]>,
}

/// Runs the benchmark: progress on stderr, the table on stdout.
///
/// # Errors
/// When a server cannot be had, or walferry fails.
pub(super) fn run(args: &Arguments) -> Result<ExitCode> {
    let display = Display::new();
    display.step("Building walferry (release)");
    let walferry = binary::build(Profile::Release)?;
    display.step("Starting Postgres and Kafka, and warming Kafka up");
    let world = World::start(args.postgres, Some(walferry))?;
    world.database().execute(TABLES)?;
    world.database().execute("VACUUM ANALYZE")?;
    let mut costs = Vec::new();
    for way in Way::ALL {
        display.step(way.name());
        costs.push((way, measure(&world, way, args)?));
    }
    write!(stdout().lock(), "\n{}", text(args, &costs))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(world: &World, way: Way, args: &Arguments) -> Result<Cost> {
    let who = Competitor::ALL[3];
    let phase = Phase::Ways { way };
    let seconds = Duration::from_secs(args.seconds);
    if way == Way::Alone {
        let (wal_bytes, steady) = steady_part(world, way, args)?;
        return Ok(Cost {
            per_second: as_fast_as_can_be(world, way, seconds)?,
            commit_millis: of(&steady),
            wal_bytes,
            event_millis: None,
        });
    }
    world.create_slot(who, phase)?;
    let topic = world.topic(who, phase)?;
    topic.read_from(Offset::Beginning)?;
    let process = world.start_competitor(who, phase, None)?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || read(&topic, &stop))
    };
    let (wal_bytes, steady) = steady_part(world, way, args)?;
    stop.store(true, Ordering::Relaxed);
    let mut events = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    events.sort_unstable();
    let per_second = as_fast_as_can_be(world, way, seconds)?;
    process.end(End::Asked)?;
    world.drop_slot(who, phase)?;
    Ok(Cost {
        per_second,
        commit_millis: of(&steady),
        wal_bytes,
        event_millis: Some(of(&events)),
    })
}

/// Bytes of WAL a transaction, and how long each took, in µs and sorted.
fn steady_part(world: &World, way: Way, args: &Arguments) -> Result<(f64, Vec<i64>)> {
    let at = "SELECT pg_current_wal_insert_lsn()::text";
    let before = world.database().text(at)?;
    let seconds = Duration::from_secs(args.seconds);
    let mut took = write(&world.url(), way, seconds, Some(args.rate))?;
    let bytes = world.database().text(&format!(
        "SELECT (pg_current_wal_insert_lsn() - '{before}')::text"
    ))?;
    took.sort_unstable();
    Ok((bytes.parse::<f64>()? / float(took.len()), took))
}

fn as_fast_as_can_be(world: &World, way: Way, seconds: Duration) -> Result<f64> {
    let begun = Instant::now();
    let took = write(&world.url(), way, seconds, None)?;
    Ok(float(took.len()) / begun.elapsed().as_secs_f64())
}

/// Transactions over all connections, at a rate or as fast as can be; how long each took, in µs.
fn write(url: &str, way: Way, length: Duration, rate: Option<u32>) -> Result<Vec<i64>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut writers = JoinSet::new();
        for first in 0..CONNECTIONS {
            let client = workload::open(url).await?;
            writers.spawn(write_one(client, way, first, (length, rate)));
        }
        let mut took = Vec::new();
        while let Some(outcome) = writers.join_next().await {
            took.extend(outcome??);
        }
        Ok(took)
    })
}

async fn write_one(
    client: Client,
    way: Way,
    first: u64,
    (length, rate): (Duration, Option<u32>),
) -> Result<Vec<i64>> {
    let period = rate.map(|rate| Duration::from_secs(CONNECTIONS) / rate);
    let begun = Instant::now();
    let mut due = begun;
    let mut took = Vec::new();
    let mut number = first + u64::try_from(unix_micros()?)? * CONNECTIONS;
    while begun.elapsed() < length {
        if let Some(period) = period {
            tokio::time::sleep_until(due.into()).await;
            due += period;
        }
        // Each connection has accounts of its own: none waits for another's lock.
        number += CONNECTIONS;
        let id = number * 7 % (ACCOUNTS / CONNECTIONS) * CONNECTIONS + first;
        let started = Instant::now();
        for statement in way.statements(id, number) {
            client.batch_execute(&statement).await.context(statement)?;
        }
        took.push(i64::try_from(started.elapsed().as_micros())?);
    }
    Ok(took)
}

/// How old each event was when it came, in µs.
fn read(topic: &Topic, stop: &AtomicBool) -> Result<Vec<i64>> {
    let mut ages = Vec::new();
    let mut quiet = Instant::now();
    while !stop.load(Ordering::Relaxed) || quiet.elapsed() < GRACE {
        let Some(message) = topic.poll(POLL)? else {
            continue;
        };
        quiet = Instant::now();
        let value = message.payload().unwrap_or_default();
        // An update has the old row before the new one only where the table's identity is full.
        ages.push(unix_micros()? - written_at(value)?);
    }
    Ok(ages)
}

const POLL: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_secs(1);

/// The median and the 99th of a hundred, in ms.
fn of(sorted: &[i64]) -> [f64; 2] {
    if sorted.is_empty() {
        return [0.0; 2];
    }
    [0.5, 0.99].map(|share| nearest_rank(sorted, share) / 1e3)
}

fn text(args: &Arguments, costs: &[(Way, Cost)]) -> String {
    let mut table = Table::new(&[
        "",
        "tx/s",
        "of the first",
        "tx p50 ms",
        "tx p99 ms",
        "WAL B/tx",
        "event p50 ms",
        "event p99 ms",
    ]);
    let first = costs.first().map_or(1.0, |(_, cost)| cost.per_second);
    for (way, cost) in costs {
        let millis = |figure: Option<f64>| figure.map_or_else(String::new, |f| format!("{f:.1}"));
        table.row(vec![
            way.name().to_owned(),
            rounded(cost.per_second),
            ratio(Some(cost.per_second / first)),
            millis(Some(cost.commit_millis[0])),
            millis(Some(cost.commit_millis[1])),
            rounded(cost.wal_bytes),
            millis(cost.event_millis.map(|[p50, _]| p50)),
            millis(cost.event_millis.map(|[_, p99]| p99)),
        ]);
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Ways: tx/s as fast as {CONNECTIONS} connections can, the rest at {} a second, {} s each\n\n{table}",
        args.rate, args.seconds
    );
    text
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}
