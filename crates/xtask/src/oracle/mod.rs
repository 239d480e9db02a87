//! `cargo xtask oracle`: the same SQL through real Debezium and through walferry, and a comparison of
//! every topic, key, value and header. Cases, records and documented differences are in
//! `tests/oracle`.

mod case;
mod connect;
mod differences;
mod normal;
mod place;
mod report;
mod run;
mod statements;
mod topics;
mod walferry;

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use xtask::servers::{
    DebeziumConnect, DebeziumOptions, KafkaOptions, KafkaServer, PostgresOptions, PostgresServer,
    directory, versions,
};

use self::case::Case;
use self::differences::Differences;
use self::run::World;
use crate::binary::{self, Profile};

/// How many cases run at once: most of a case is waiting.
const JOBS: usize = 4;
const CONNECT_HEAP_MIB: u32 = 768;

/// Arguments of `cargo xtask oracle`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Cases by name, `types*` for all that begin so; without any, all that are not pending
    cases: Vec<String>,
    /// Run Debezium alone and write what it says beside the cases
    #[arg(long)]
    record: bool,
    /// Run walferry alone and compare with the records
    #[arg(long, conflicts_with = "record")]
    recorded: bool,
    /// Run walferry alone and write what it says of cases that differ as a whole (NAME.walferry)
    #[arg(long, conflicts_with_all = ["record", "recorded"])]
    accept: bool,
    /// The pending cases in place of the others
    #[arg(long, conflicts_with = "cases")]
    pending: bool,
    /// Postgres' major version, 14 to 18
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT)]
    postgres: u32,
    /// How many cases run at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
    /// Show what walferry said, too: in this directory
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<std::path::PathBuf>,
}

enum Verdict {
    Same,
    Recorded(usize),
    Skipped(String),
    Different(String),
    Failed(String),
}

/// Runs the cases and prints a summary.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let start = Instant::now();
    let cases = match arguments.pending {
        true => case::find(&case::pending()?)?,
        false => case::find(&arguments.cases)?,
    };
    let differences = Differences::read()?;
    let verdicts = judge(arguments, &cases, &differences)?;
    let mut out = std::io::stdout().lock();
    let (mut good, mut skipped, mut bad) = (0, 0, 0);
    for (case, verdict) in cases.iter().zip(&verdicts) {
        match verdict {
            Verdict::Same | Verdict::Recorded(_) => good += 1,
            Verdict::Skipped(why) => {
                skipped += 1;
                writeln!(out, "{}: skipped, {why}", case.name)?;
            }
            Verdict::Different(how) | Verdict::Failed(how) => {
                bad += 1;
                writeln!(out, "{}: {how}", case.name)?;
            }
        }
    }
    let complete = arguments.cases.is_empty()
        && !arguments.record
        && !arguments.accept
        && !arguments.pending
        && skipped == 0
        && bad == 0;
    let unused = match complete {
        true => differences.unused(&cases),
        false => Vec::new(),
    };
    for difference in &unused {
        writeln!(
            out,
            "differences.txt: Debezium does not say this: {difference}"
        )?;
    }
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        out,
        "{good} as expected, {bad} not, {skipped} skipped, in {seconds:.1} s"
    )?;
    let passed = bad == 0 && unused.is_empty();
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The types, which each major may print in its own way.
const ON_ALL_MAJORS: [&str; 5] = ["types*", "arrays*", "special*", "schemas*", "ext_*"];

/// What CI runs: all cases on `postgres`, and the types on the other majors.
pub(crate) fn run_recorded(postgres: u32) -> Result<(), Box<dyn Error>> {
    let mut failed = Vec::new();
    for major in versions::POSTGRES.iter().map(|release| release.major) {
        let types = ON_ALL_MAJORS.map(str::to_owned).into();
        let arguments = Arguments {
            cases: if major == postgres { Vec::new() } else { types },
            record: false,
            recorded: true,
            accept: false,
            pending: false,
            postgres: major,
            jobs: JOBS,
            keep: None,
        };
        if run(&arguments)? != ExitCode::SUCCESS {
            failed.push(major.to_string());
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not as recorded on Postgres {}", failed.join(", ")).into()),
    }
}

fn judge(arguments: &Arguments, cases: &[Case], differences: &Differences) -> Result<Vec<Verdict>> {
    let binary = match arguments.record {
        true => None,
        false => Some(binary::build(Profile::Dev)?),
    };
    let slots = (4 * arguments.jobs + 10).to_string();
    let options = PostgresOptions {
        major: arguments.postgres,
        ..PostgresOptions::default()
    };
    let postgres = PostgresServer::start(
        &options
            .with("max_replication_slots", &slots)
            .with("max_wal_senders", &slots),
    )?;
    let kafka = KafkaServer::start(&KafkaOptions::default())?;
    let connect = match arguments.recorded || arguments.accept {
        true => None,
        false => Some(DebeziumConnect::start(&DebeziumOptions {
            bootstrap_servers: kafka.bootstrap_servers(),
            heap_mib: CONNECT_HEAP_MIB,
            // Confirmed as soon as it is said: the runner waits for that.
            worker: vec![("offset.flush.interval.ms".to_owned(), "100".to_owned())],
            connector: Vec::new(),
        })?),
    };
    if let Some(connect) = &connect {
        connect.wait_rest()?;
    }
    let files = directory("oracle")?;
    let world = World {
        postgres: &postgres,
        kafka: &kafka,
        connect: connect.as_ref(),
        walferry: binary.as_deref(),
        directory: files.path(),
    };
    let next = AtomicUsize::new(0);
    let verdicts: Vec<Mutex<Option<Verdict>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let start = Instant::now();
                    let verdict = judge_case(&world, arguments, case, number, differences);
                    let verdict =
                        verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
                    eprintln!("{} {:.1?} {}", case.name, start.elapsed(), word(&verdict));
                    if let Ok(mut place) = verdicts[number].lock() {
                        *place = Some(verdict);
                    }
                }
            });
        }
    });
    let verdicts = verdicts.into_iter().map(|place| {
        let verdict = place.into_inner().ok().flatten();
        verdict.unwrap_or_else(|| Verdict::Failed("it was not run to its end".to_owned()))
    });
    Ok(verdicts.collect())
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same => "same".to_owned(),
        Verdict::Recorded(records) => format!("recorded, {records} records"),
        Verdict::Skipped(_) => "skipped".to_owned(),
        Verdict::Different(_) => "DIFFERENT".to_owned(),
        Verdict::Failed(_) => "FAILED".to_owned(),
    }
}

fn judge_case(
    world: &World<'_>,
    arguments: &Arguments,
    case: &Case,
    number: usize,
    differences: &Differences,
) -> Result<Verdict> {
    if let Some(need) = run::unmet_need(world, case)? {
        return Ok(Verdict::Skipped(need));
    }
    let said = run::run(world, case, number)?;
    let path = case.expected();
    if arguments.record {
        fs::write(&path, file_of(&said.debezium))?;
        return Ok(Verdict::Recorded(said.debezium.len()));
    }
    if arguments.accept {
        differences::write_whole(&case.name, &said.walferry)?;
        return Ok(Verdict::Recorded(said.walferry.len()));
    }
    let debezium = match arguments.recorded {
        true => {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{} (make it with --record)", path.display()))?;
            text.lines().map(str::to_owned).collect()
        }
        false => said.debezium,
    };
    if let Some(directory) = &arguments.keep {
        fs::create_dir_all(directory)?;
        fs::write(directory.join(&case.name), said.walferry.join("\n"))?;
    }
    let expected = differences.apply(&case.name, &debezium)?;
    Ok(match report::difference(&expected, &said.walferry) {
        None => Verdict::Same,
        Some(how) => Verdict::Different(how),
    })
}

/// A record a line.
fn file_of(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
