//! `cargo xtask demo`: a real Postgres, a Kafka, walferry between them, and a shop in which
//! something happens.
//!
//! It does what a user would do by hand, says what it does, and shows the events as they arrive.
//! Whatever it starts or writes is gone afterwards, also after Ctrl-C; only in a Kafka of yours
//! (`--kafka`) its topics stay.

mod arrivals;
mod broker;
mod event;
mod line;
mod screen;
mod shop;
mod stage;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xtask::servers::versions;

use self::arrivals::{Arrival, Arrivals};
use self::broker::Broker;
use self::screen::{Form, Screen};
use self::shop::{ACTS, Act};
use self::stage::Stage;
use crate::binary::{self, Profile};

/// Without a further event for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for an event that should not come to come.
const SILENCE: Duration = Duration::from_millis(500);

/// How often a wait looks at whether walferry still runs.
const LOOK: Duration = Duration::from_millis(200);

/// How many events of the busy hour a person is shown; a pipe gets all.
const SHOWN: usize = 10;

/// Arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Publish to this Kafka instead of an embedded broker
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Changes in the busy hour after the story; 0 leaves it out
    #[arg(long, default_value_t = 1_000)]
    rows: u32,
    /// Print whole records, one JSON object a line, instead of one-liners
    #[arg(long)]
    json: bool,
    /// Stay until Ctrl-C, so that you can change rows yourself
    #[arg(long)]
    keep: bool,
    /// Postgres' major version, 14 to 18
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT, value_name = "MAJOR")]
    postgres: u32,
    /// Build walferry as it is deployed; takes longer to build, less to run
    #[arg(long)]
    release: bool,
}

/// Plays the demo; quietly to its end where nobody reads its events any more (`| head`).
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match play(arguments) {
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn play(arguments: &Arguments) -> Result<ExitCode> {
    let form = if arguments.json {
        Form::Json
    } else {
        Form::Line
    };
    let mut screen = Screen::new(form);
    let mut stage = set_the_stage(arguments, &mut screen)?;
    let mut arrivals = Arrivals::of(&stage.bootstrap_servers(), &stage.topics())?;
    // Until the consumer knows its partitions; nothing has happened yet that could come.
    ensure!(
        arrivals.next(SILENCE)?.is_none(),
        "an event came before there was a change"
    );
    tell_the_story(&mut stage, &mut arrivals, &mut screen)?;
    let rate = match usize::try_from(arguments.rows)? {
        0 => None,
        rows => Some(busy_hour(rows, &mut stage, &mut arrivals, &mut screen)?),
    };
    sum_up(&stage, &arrivals, rate, &mut screen)?;
    if arguments.keep {
        keep(&mut stage, &mut arrivals, &mut screen)?;
    }
    screen.step("Good-bye");
    let took = stage.stop_walferry()?;
    screen.say(&format!(
        "walferry drained and stopped in {took:.1?}, exit code 0"
    ));
    if arguments.kafka.is_some() {
        screen.say(&format!(
            "These topics stay in your Kafka: {}",
            stage.topics().join(", ")
        ));
        screen.say(&format!(
            "and walferry's own: walferry.progress.{}",
            stage.slot()
        ));
    }
    drop(stage);
    screen.say("Postgres, its data and all files of the demo are gone.");
    if !arguments.keep {
        screen
            .say("Next: --keep lets you change rows yourself; README.md says how to run walferry");
        screen.say("      between your own Postgres and Kafka.");
    }
    Ok(ExitCode::SUCCESS)
}

fn set_the_stage(arguments: &Arguments, screen: &mut Screen) -> Result<Stage> {
    screen.step("Building walferry");
    let profile = if arguments.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let program = binary::build(profile)?;

    screen.step("Starting Postgres");
    let start = Instant::now();
    let postgres = Stage::postgres(arguments.postgres)?;
    let binaries = postgres.binaries();
    screen.say(&format!(
        "Postgres {} ({}), a throw-away server with wal_level=logical, in {:.1?}",
        binaries.version(),
        binaries.program("postgres").display(),
        start.elapsed()
    ));

    screen.step("Finding Kafka");
    let broker = Broker::start(arguments.kafka.as_deref())?;
    let what = match &broker {
        Broker::Embedded(_) => {
            "an embedded broker, librdkafka's mock cluster (--kafka names a real one)"
        }
        Broker::Given(_) => "yours",
    };
    screen.say(&format!("{}, {what}", broker.bootstrap_servers()));

    screen.step("Opening the shop");
    let mut stage = Stage::set(postgres, broker)?;
    screen.say(&format!(
        "tables {} at {}",
        shop::TABLES.join(", "),
        stage.url()
    ));

    screen.step("Running walferry");
    let file = stage.config_file();
    let took = stage.start_walferry(&program)?;
    screen.quote(&format!("$ cat {}", file.display()));
    screen.quote(&stage.yaml());
    screen.quote(&format!("$ walferry run -c {}", file.display()));
    screen.say(&format!(
        "streaming from slot {} after {took:.1?}",
        stage.slot()
    ));
    Ok(stage)
}

fn tell_the_story(stage: &mut Stage, arrivals: &mut Arrivals, screen: &mut Screen) -> Result<()> {
    screen.step("Something happens in the shop");
    for act in &ACTS {
        eprintln!();
        screen.say(act.says);
        screen.quote(act.sql);
        stage.execute(act.sql)?;
        let mut came = collect(act, stage, arrivals)?;
        // Each table has its topic, and topics are read in any order: the id tells the order of the
        // commits.
        came.sort_by(|left, right| left.event.by_commit(&right.event));
        for arrival in &came {
            screen.show(arrival)?;
        }
    }
    Ok(())
}

/// Waits for the act's records; where there should be none, waits to see that none comes.
fn collect(act: &Act, stage: &mut Stage, arrivals: &mut Arrivals) -> Result<Vec<Arrival>> {
    let mut came = Vec::new();
    if act.records == 0 {
        let unwanted = arrivals.next(SILENCE)?;
        ensure!(
            unwanted.is_none(),
            "an event came of what was rolled back: {}",
            act.sql
        );
    }
    let start = Instant::now();
    while came.len() < act.records {
        came.extend(arrivals.next(LOOK)?);
        patience(start, stage, came.len(), act.records)?;
    }
    Ok(came)
}

fn patience(since: Instant, stage: &mut Stage, came: usize, expected: usize) -> Result<()> {
    stage.ensure_walferry_runs()?;
    ensure!(
        since.elapsed() < PATIENCE,
        "{came} of {expected} events came, then none for {PATIENCE:?}; walferry's log ends:\n{}",
        stage.walferry_log()
    );
    Ok(())
}

/// Many orders, as fast as one connection commits them. Returns events a second.
fn busy_hour(
    rows: usize,
    stage: &mut Stage,
    arrivals: &mut Arrivals,
    screen: &mut Screen,
) -> Result<f64> {
    let records = shop::busy_hour_records(rows);
    screen.step(&format!(
        "A busy hour: {records} changes, five in each transaction"
    ));
    let start = Instant::now();
    let writer = shop::busy_hour(&stage.url(), rows);
    let mut last = Instant::now();
    let mut came = 0;
    while came < records {
        match arrivals.next(LOOK)? {
            Some(arrival) => {
                came += 1;
                last = Instant::now();
                if came <= SHOWN || !screen.is_watched() {
                    screen.show(&arrival)?;
                } else {
                    screen.pass(&arrival);
                }
            }
            None if writer.is_finished() => patience(last, stage, came, records)?,
            None => stage.ensure_walferry_runs()?,
        }
    }
    let seconds = arrivals
        .tally
        .latest()
        .map_or(0.0, |latest| (latest - start).as_secs_f64());
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the shop's writer panicked"))??;
    if screen.is_watched() && came > SHOWN {
        screen.say(&format!("… and {} more", came - SHOWN));
    }
    let extra = arrivals.next(SILENCE)?;
    ensure!(extra.is_none(), "more events came than there were changes");
    Ok(f64::from(u32::try_from(came)?) / seconds.max(1e-6))
}

fn sum_up(
    stage: &Stage,
    arrivals: &Arrivals,
    rate: Option<f64>,
    screen: &mut Screen,
) -> Result<()> {
    screen.step("Summary");
    let tally = &arrivals.tally;
    let repeats = match tally.repeats() {
        0 => "every change, none twice".to_owned(),
        repeats => format!("{repeats} of them repeats, each with the id it had"),
    };
    screen.say(&format!("events     {}: {repeats}", tally.records()));
    for table in tally.by_table() {
        screen.say(&format!("           {table}"));
    }
    if let Some(rate) = rate {
        screen.say(&format!(
            "rate       {rate:.0} events/s in the busy hour, as fast as the shop committed"
        ));
    }
    if let (Some(p50), Some(p99), Some(max)) =
        (tally.latency(50), tally.latency(99), tally.latency(100))
    {
        screen.say(&format!(
            "latency    commit to consumer: half within {p50:.1?}, 99 of 100 within {p99:.1?}, \
             all within {max:.1?}"
        ));
    }
    let (confirmed, end) = stage.confirmed()?;
    screen.say(&format!(
        "confirmed  {confirmed} by slot {}, WAL written up to {end}",
        stage.slot()
    ));
    Ok(())
}

/// Shows what you do yourself, until Ctrl-C.
fn keep(stage: &mut Stage, arrivals: &mut Arrivals, screen: &mut Screen) -> Result<()> {
    let interrupted = on_interrupt()?;
    screen.step("Your turn; Ctrl-C ends it");
    screen.say(&format!("psql \"{}\"", stage.url()));
    screen.say(&format!("Kafka at {}", stage.bootstrap_servers()));
    screen.say(&format!(
        "lag, throughput and slot health: {}",
        stage.admin_url()
    ));
    while !interrupted.load(Ordering::Relaxed) {
        if let Some(arrival) = arrivals.next(LOOK)? {
            screen.show(&arrival)?;
        }
        stage.ensure_walferry_runs()?;
    }
    Ok(())
}

/// From now on the first Ctrl-C only sets a flag; the second ends us, and the servers with us.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let set = Arc::clone(&flag);
    thread::spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                set.store(true, Ordering::Relaxed);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    });
    Ok(flag)
}
