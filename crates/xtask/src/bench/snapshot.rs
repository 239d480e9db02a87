//! `cargo xtask bench snapshot`: the rows that are there, from the start of the process to the last
//! row in Kafka, beside Debezium's snapshot and beside parallel COPY that throws everything away.
//!
//! *rows/s* counts from the first arrival to the last, as with the drains; *from start* from the
//! start of the process, which for short tables is mostly the way there. The COPY reads by ranges of
//! blocks over as many connections as there are cores, and its figure goes from its start to its end.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::competitor::{Competitor, Phase, Program};
use super::display::Display;
use super::drain::{self, Backlog, Drain};
use super::load::Load;
use super::report::{medians, ratio, rounded, thousands};
use super::table::Table;
use super::workload::Database;
use super::world::World;
use super::{ROWS_PER_TRANSACTION, settle};
use crate::binary::{self, Profile};
use xtask::servers::versions;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rows of the small table; the wide one has a fifth, the many tables have ten each
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Repeat everything so often and show the medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PROGRAM")]
    only: Vec<Who>,
    /// Only these tables, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TABLES")]
    tables: Vec<Tables>,
    /// Postgres' major version
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT, value_name = "MAJOR")]
    postgres: u32,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    /// COPY over several connections, to nowhere.
    Copy,
    Debezium,
    Walferry,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tables {
    /// One of 8 columns.
    Users,
    /// One of 60 columns.
    Mixed,
    /// Ten thousand of two columns, into one topic.
    Many,
}

impl Tables {
    fn describe(self, rows: u64) -> String {
        let rows = thousands(self.rows(rows));
        match self {
            Self::Users => format!("{rows} rows of 8 columns in one table"),
            Self::Mixed => format!("{rows} rows of 60 columns in one table"),
            Self::Many => format!("{rows} rows of 2 columns in {} tables", thousands(MANY)),
        }
    }

    fn rows(self, rows: u64) -> u64 {
        match self {
            Self::Users => rows,
            Self::Mixed => rows.div_ceil(5),
            Self::Many => MANY * MANY_ROWS,
        }
    }
}

const MANY: u64 = 10_000;
const MANY_ROWS: u64 = 10;

const WHO: [(Who, Option<Competitor>); 3] = [
    (Who::Copy, None),
    (Who::Debezium, Some(Competitor::ALL[2])),
    (Who::Walferry, Some(Competitor::ALL[3])),
];

/// Runs the benchmark: progress on stderr, the tables on stdout.
///
/// # Errors
/// When a server cannot be had, or a competitor fails or loses rows.
pub(super) fn run(args: &Arguments) -> Result<ExitCode> {
    let display = Display::new();
    display.step("Building walferry (release)");
    let walferry = binary::build(Profile::Release)?;
    display.step("Starting Postgres and Kafka, and warming Kafka up");
    let world = World::start(args.postgres, Some(walferry))?;
    let mut out = stdout().lock();
    for tables in [Tables::Users, Tables::Mixed, Tables::Many] {
        if !args.tables.is_empty() && !args.tables.contains(&tables) {
            continue;
        }
        fill(&world, tables, args.rows, &display)?;
        let mut results = Vec::new();
        for (who, competitor) in WHO {
            if !args.only.is_empty() && !args.only.contains(&who) {
                continue;
            }
            let drains = (1..=args.runs).map(|run| {
                settle(&world)?;
                match competitor {
                    None => copied(&world, tables, args.rows),
                    Some(competitor) => {
                        let phase = Phase::Snapshot { tables, run };
                        snapshot(&world, competitor, phase, tables.rows(args.rows), &display)
                    }
                }
            });
            let drains = drains.collect::<Result<Vec<_>>>()?;
            results.push((who, medians(&drains)));
        }
        write!(out, "\n{}", text(tables, args, &results))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows, analysed and written back, so that everybody finds them at rest.
fn fill(world: &World, tables: Tables, rows: u64, display: &Display) -> Result<()> {
    display.step(&format!("Writing {}", tables.describe(rows)));
    let database = world.database();
    match tables {
        Tables::Users => write(database, Load::Users, rows, display)?,
        // Each transaction inserts as many rows as it then updates.
        Tables::Mixed => write(database, Load::Mixed, 2 * tables.rows(rows), display)?,
        Tables::Many => database.execute(&format!(
            "do $$ begin for i in 1..{MANY} loop
                 execute format('create table many_%s (id int primary key, v text)', i);
                 execute format('insert into many_%s select g, ''row '' || g
                     from generate_series(1, {MANY_ROWS}) g', i);
                 execute format('alter publication bench add table many_%s', i);
                 if i % 500 = 0 then commit; end if;
             end loop; end $$"
        ))?,
    }
    database.execute("vacuum analyze")
}

fn write(database: &Database, load: Load, events: u64, display: &Display) -> Result<()> {
    let bar = display.bar("write", events);
    database.write_backlog(load, events, ROWS_PER_TRANSACTION, |written| {
        bar.set(written)
    })
}

fn snapshot(
    world: &World,
    who: Competitor,
    phase: Phase,
    rows: u64,
    display: &Display,
) -> Result<Drain> {
    let end = world
        .database()
        .text("select pg_current_wal_insert_lsn()::text")?;
    let backlog = Backlog { events: rows, end };
    let drained = drain::run(world, who, phase, &backlog, display)?;
    if who.program == Program::Walferry || who.program == Program::Debezium {
        world.drop_slot(who, phase)?;
    }
    Ok(drained)
}

/// Reads everything over as many connections as there are cores.
fn copied(world: &World, tables: Tables, rows: u64) -> Result<Drain> {
    let statements = match tables {
        Tables::Users => by_blocks(world, "users")?,
        Tables::Mixed => by_blocks(world, "mixed")?,
        Tables::Many => (1..=MANY)
            .map(|i| format!("copy many_{i} to stdout"))
            .collect(),
    };
    let connections = thread::available_parallelism().map_or(2, usize::from);
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|first| {
            let mine = statements.iter().skip(first).step_by(connections);
            let (url, mine) = (world.url(), mine.cloned().collect::<Vec<_>>());
            thread::spawn(move || Database::connect(&url)?.read_away(&mine))
        })
        .collect();
    let mut read = 0;
    for worker in workers {
        let of_one = worker.join();
        read += of_one.map_err(|_| anyhow::anyhow!("a reader panicked"))??;
    }
    let took = begun.elapsed();
    let wanted = tables.rows(rows);
    ensure!(read == wanted, "COPY read {read} of {wanted} rows");
    Ok(Drain::thrown_away(wanted, took, Duration::ZERO, 0.0))
}

/// Pieces of 128 MiB, taken in turn.
fn by_blocks(world: &World, table: &str) -> Result<Vec<String>> {
    const BLOCKS: u64 = 16_384;
    let pages = format!("select (pg_relation_size('{table}') / 8192)::text");
    let pages: u64 = world.database().text(&pages)?.parse()?;
    let piece = (pages / 8).clamp(1, BLOCKS);
    let starts = (0..=pages).step_by(usize::try_from(piece)?);
    Ok(starts
        .map(|start| {
            let end = start + piece;
            format!(
                "copy (select * from {table} where ctid >= '({start},0)' and ctid < '({end},0)') to stdout"
            )
        })
        .collect())
}

fn text(tables: Tables, args: &Arguments, results: &[(Who, Drain)]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Snapshot: {}; {} run(s)\n",
        tables.describe(args.rows),
        args.runs
    );
    let mut table = Table::new(&[
        "",
        "rows/s",
        "from start",
        "CPU µs/row",
        "MB/s",
        "peak MiB",
        "× Debezium",
        "from start ×",
        "CPU 1/×",
        "× COPY",
    ]);
    let of = |wanted| {
        results
            .iter()
            .find(|(who, _)| *who == wanted)
            .map(|(_, drain)| *drain)
    };
    let (copy, debezium) = (of(Who::Copy), of(Who::Debezium));
    for (who, drain) in results {
        let speed = |other: Option<Drain>| {
            other.map(|other| drain.events_per_second / other.events_per_second)
        };
        let from_start = debezium
            .map(|other| drain.events_per_second_from_start / other.events_per_second_from_start);
        let is_copy = *who == Who::Copy;
        let figure = |text: String| if is_copy { String::new() } else { text };
        let cpu = debezium.filter(|_| !is_copy);
        let cpu = cpu.map(|other| other.cpu_micros_per_event / drain.cpu_micros_per_event);
        let name = match who {
            Who::Copy => "COPY to /dev/null, parallel",
            Who::Debezium => "Debezium, tuned, TCP",
            Who::Walferry => "walferry, unix socket",
        };
        table.row(vec![
            name.to_owned(),
            rounded(drain.events_per_second),
            rounded(drain.events_per_second_from_start),
            figure(format!("{:.2}", drain.cpu_micros_per_event)),
            drain
                .bytes_per_second
                .map_or_else(String::new, |bytes| rounded(bytes / 1e6)),
            figure(rounded(drain.rss_peak_mib)),
            ratio(speed(debezium)),
            ratio(from_start),
            ratio(cpu),
            ratio(speed(copy)),
        ]);
    }
    let _ = write!(text, "{table}");
    text
}
