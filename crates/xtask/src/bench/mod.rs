//! `cargo xtask bench`: walferry beside `pg_recvlogical` and a tuned Debezium, in one run, on the
//! same backlog, into the same real Kafka.
//!
//! Everything shares this machine's cores, so absolute figures drift with what else it does: the
//! ratios are the result. One competitor runs at a time. It is a measurement, never a test: nothing
//! fails because something was slow.
//!
//! *Arrival* is the moment at which the broker appended the record (its own clock, read from the
//! log afterwards). *events/s* counts from the first arrival to the last; *from start* counts from
//! the start of the process, which is where a JVM pays for its warm-up. *CPU µs/event* is the
//! process's own time while it drains.

mod competitor;
mod display;
mod drain;
mod latency;
mod load;
mod meter;
mod report;
mod running;
mod snapshot;
mod table;
mod topic;
mod ways;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::competitor::{Competitor, Phase, Program};
use self::display::Display;
use self::drain::Backlog;
use self::latency::Plan;
use self::load::Load;
use self::report::{Machine, Outcome, Report};
use self::world::World;
use xtask::servers::versions;

use crate::binary::{self, Profile};

/// The backlog's shape.
const ROWS_PER_TRANSACTION: u64 = 1_000;

/// Lets the servers finish what the last competitor left them to do.
const REST: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Events of the small table's backlog, in transactions of 1,000; the wide one's has a fifth
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Repeat everything so often and show the medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PROGRAM")]
    only: Vec<Program>,
    /// Only these backlogs, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "LOAD")]
    load: Vec<Load>,
    /// Leave out the latency runs
    #[arg(long)]
    skip_latency: bool,
    /// Leave out the drains
    #[arg(long, conflicts_with = "skip_latency")]
    skip_drain: bool,
    /// How long a latency run is measured, after five seconds of warm-up
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    latency_seconds: u64,
    /// Single-row transactions a second in the latency run
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    latency_rate: u32,
    /// Postgres' major version
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT, value_name = "MAJOR")]
    postgres: u32,
}

/// Benchmarks of their own.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// The rows that are there, beside Debezium's snapshot and parallel COPY
    Snapshot(snapshot::Arguments),
    /// What each way of agreeing costs the service and its database
    Ways(ways::Arguments),
}

/// Runs the benchmark: progress on stderr, the tables on stdout, all figures in `target/bench/`.
///
/// # Errors
/// When a server cannot be had, or a competitor fails or loses events.
pub(crate) fn run(args: &Arguments) -> Result<ExitCode> {
    match &args.what {
        Some(What::Snapshot(args)) => return snapshot::run(args),
        Some(What::Ways(args)) => return ways::run(args),
        None => {}
    }
    let display = Display::new();
    let wanted = |who: &Competitor| args.only.is_empty() || args.only.contains(&who.program);
    let walferry = if Competitor::ALL
        .iter()
        .any(|c| c.program == Program::Walferry && wanted(c))
    {
        display.step("Building walferry (release)");
        Some(binary::build(Profile::Release)?)
    } else {
        None
    };
    display.step("Starting Postgres and Kafka, and warming Kafka up");
    let world = World::start(args.postgres, walferry)?;
    let mut competitors = Vec::new();
    for who in Competitor::ALL.into_iter().filter(wanted) {
        match world.obstacle(who) {
            None => competitors.push(who),
            Some(reason) => display.note(&format!("without {who}: {reason}")),
        }
    }
    ensure!(!competitors.is_empty(), "nobody is left to measure");
    let results = measure(args, &world, &competitors, &display)?;
    let report = report(args, &world, results)?;
    let mut out = stdout().lock();
    write!(out, "\n{}", report.text())?;
    let path = save(&report)?;
    writeln!(out, "All figures: {}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn measure(
    args: &Arguments,
    world: &World,
    competitors: &[Competitor],
    display: &Display,
) -> Result<Vec<Outcome>> {
    let mut drains = vec![BTreeMap::<Load, Vec<_>>::new(); competitors.len()];
    let mut latencies = vec![Vec::new(); competitors.len()];
    let plan = Plan {
        per_second: args.latency_rate,
        window: Duration::from_secs(args.latency_seconds),
    };
    for run in 1..=args.runs {
        for load in Load::ALL {
            if args.skip_drain || (!args.load.is_empty() && !args.load.contains(&load)) {
                continue;
            }
            let phase = Phase::Drain { load, run };
            let backlog = write_backlog(args, world, competitors, (load, phase), display)?;
            display.step(&format!("Draining it, run {run} of {}", args.runs));
            for (who, drains) in competitors.iter().zip(&mut drains) {
                settle(world)?;
                let drained = drain::run(world, *who, phase, &backlog, display)?;
                drains.entry(load).or_default().push(drained);
                world.drop_slot(*who, phase)?;
            }
        }
        if args.skip_latency || !competitors.iter().any(|who| who.publishes()) {
            continue;
        }
        display.step(&format!(
            "Latency at {} transactions a second, run {run} of {}",
            args.latency_rate, args.runs
        ));
        let phase = Phase::Latency { run };
        for (who, latencies) in competitors.iter().zip(&mut latencies) {
            if who.publishes() {
                settle(world)?;
                latencies.push(latency::run(world, *who, phase, plan, display)?);
            }
        }
    }
    let figures = competitors.iter().zip(drains).zip(latencies);
    Ok(figures
        .map(|((who, drains), latencies)| Outcome::new(*who, drains, latencies))
        .collect())
}

/// All slots first, then the rows: the same backlog waits in each.
fn write_backlog(
    args: &Arguments,
    world: &World,
    competitors: &[Competitor],
    (load, phase): (Load, Phase),
    display: &Display,
) -> Result<Backlog> {
    let events = load.events(args.events);
    display.step(&format!(
        "Writing a backlog of {events} {}",
        load.describe()
    ));
    let database = world.database();
    if load.create().is_some() {
        // A run before this one left its rows, and keys of some of them come again.
        database.execute(&format!("truncate {}", load.name()))?;
    }
    for who in competitors {
        world.create_slot(*who, phase)?;
    }
    let bar = display.bar("write", events);
    database.write_backlog(load, events, ROWS_PER_TRANSACTION, |written| {
        bar.set(written)
    })?;
    let end = database.text("select pg_current_wal_insert_lsn()::text")?;
    // One more commit, so that the server has something to send beyond the end.
    database.execute("comment on table users is 'the backlog ends before this'")?;
    Ok(Backlog { events, end })
}

fn settle(world: &World) -> Result<()> {
    world.database().execute("checkpoint")?;
    thread::sleep(REST);
    Ok(())
}

fn report(args: &Arguments, world: &World, results: Vec<Outcome>) -> Result<Report> {
    let date = "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let version = |part: &str, version: &str| (part.to_owned(), version.to_owned());
    Ok(Report {
        date: world.database().text(date)?,
        machine: Machine {
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
        },
        versions: vec![
            version("postgres", world.postgres_version()),
            version("kafka", versions::KAFKA),
            version("debezium", versions::DEBEZIUM),
            version("walferry", env!("CARGO_PKG_VERSION")),
        ],
        events: args.events,
        rows_per_transaction: ROWS_PER_TRANSACTION,
        runs: args.runs,
        results,
    })
}

/// Writes `bench/<date>.json` under cargo's target directory.
fn save(report: &Report) -> Result<PathBuf> {
    let directory = binary::target_directory().join("bench");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{}.json", report.date.replace(':', "")));
    fs::write(&path, serde_json::to_string_pretty(report)?)?;
    Ok(path)
}
