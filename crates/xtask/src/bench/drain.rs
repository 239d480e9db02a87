//! One competitor drains one backlog: what that takes in time, CPU and memory.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::competitor::{Competitor, Phase, Program};
use super::display::Display;
use super::meter::Meter;
use super::running::{End, Running};
use super::topic::Topic;
use super::world::World;

/// How often progress is asked for: often enough to see the first event in time for its CPU
/// reading, seldom enough not to weigh on the broker.
const LOOK: Duration = Duration::from_millis(20);

/// Without any progress for so long, the run is given up.
const STALL: Duration = Duration::from_secs(120);

/// Records whose bytes are counted: one transaction of either load.
const SAMPLED: u64 = 1_000;

/// What waits in each competitor's slot.
#[derive(Debug)]
pub(super) struct Backlog {
    /// How many.
    pub(super) events: u64,
    /// The WAL position at which all of them are told.
    pub(super) end: String,
}

/// One drain's figures.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Drain {
    /// Events a second between the first and the last one's arrival. A reader that publishes
    /// nothing: see `whole`.
    pub(super) events_per_second: f64,
    /// Events a second between the start of the process and the last arrival, or the process's own
    /// end.
    pub(super) events_per_second_from_start: f64,
    /// CPU of the process while draining (from the first arrival seen), in µs an event.
    pub(super) cpu_micros_per_event: f64,
    /// CPU of the process from its start to its last event, in µs an event.
    pub(super) cpu_micros_per_event_from_start: f64,
    /// Keys and values a second, between the same two; their size is that of the first thousand
    /// records. None for a reader that publishes nothing.
    pub(super) bytes_per_second: Option<f64>,
    /// Peak resident set, in MiB.
    pub(super) rss_peak_mib: f64,
    /// From the start of the process to the first arrival in the topic, in milliseconds.
    pub(super) first_event_millis: Option<f64>,
}

/// Lets `who` drain the backlog that waits in its slot.
///
/// # Errors
/// When it ends early, stalls, or leaves the topic with another number of records than there are
/// events.
pub(super) fn run(
    world: &World,
    who: Competitor,
    phase: Phase,
    backlog: &Backlog,
    display: &Display,
) -> Result<Drain> {
    match who.program {
        Program::PgRecvlogical => thrown_away(world, who, phase, backlog, display),
        Program::Debezium | Program::Walferry => {
            let topic = world.topic(who, phase)?;
            let start = SystemTime::now();
            let process = world.start_competitor(who, phase, Some(&backlog.end))?;
            published(who, backlog, &topic, start, process, display)
        }
    }
}

/// `pg_recvlogical` ends by itself at the backlog's end.
fn thrown_away(
    world: &World,
    who: Competitor,
    phase: Phase,
    backlog: &Backlog,
    display: &Display,
) -> Result<Drain> {
    let _bar = display.bar(&who.to_string(), 0);
    let start = Instant::now();
    let process = world.start_competitor(who, phase, Some(&backlog.end))?;
    let mut meter = Meter::new(process.pid()?);
    while !meter.has_ended() {
        meter.read();
        thread::sleep(LOOK);
        ensure!(start.elapsed() < STALL, "{who} does not end");
    }
    let took = start.elapsed();
    let usage = meter.read();
    process
        .end(End::ByItself)
        .with_context(|| who.to_string())?;
    let (events, mib) = (backlog.events, usage.rss_peak_mib());
    Ok(Drain::thrown_away(events, took, usage.cpu, mib))
}

impl Drain {
    /// The figures of a reader that publishes nothing.
    #[must_use]
    pub(super) fn thrown_away(
        events: u64,
        took: Duration,
        cpu: Duration,
        rss_peak_mib: f64,
    ) -> Self {
        let events = float(events);
        let cpu = cpu.as_secs_f64() * 1e6 / events;
        Self {
            events_per_second: events / took.as_secs_f64(),
            events_per_second_from_start: events / took.as_secs_f64(),
            cpu_micros_per_event: cpu,
            cpu_micros_per_event_from_start: cpu,
            bytes_per_second: None,
            rss_peak_mib,
            first_event_millis: None,
        }
    }
}

/// Looks at the topic until all events are there.
fn published(
    who: Competitor,
    backlog: &Backlog,
    topic: &Topic,
    start: SystemTime,
    process: Running,
    display: &Display,
) -> Result<Drain> {
    let events = backlog.events;
    let bar = display.bar(&who.to_string(), events);
    let mut meter = Meter::new(process.pid()?);
    let mut before_first = Duration::ZERO;
    let mut seen = 0;
    let mut moved = Instant::now();
    while seen < events {
        let usage = meter.read();
        let records = topic.records()?;
        if records > seen {
            moved = Instant::now();
        }
        if records == 0 {
            before_first = usage.cpu;
        }
        seen = records;
        bar.set(seen);
        let ended = seen < events && meter.has_ended() && topic.records()? < events;
        ensure!(
            !ended,
            "{who} ended after {seen} of {events} events:\n{}",
            process.log_tail()
        );
        ensure!(
            moved.elapsed() < STALL,
            "{who} stands still after {seen} of {events} events:\n{}",
            process.log_tail()
        );
        thread::sleep(LOOK);
    }
    let usage = meter.read();
    process
        .end(End::ByItself)
        .with_context(|| who.to_string())?;
    let records = topic.records()?;
    let said = format!("{who} wrote {records} records for {events} events");
    match who.program {
        // Connect's producer repeats what was acknowledged too late.
        Program::Debezium if records > events => display.note(&said),
        _ => ensure!(records == events, said),
    }

    let start_millis = float(u64::try_from(
        start.duration_since(UNIX_EPOCH)?.as_millis(),
    )?);
    let first_millis = float(u64::try_from(topic.appended_at_millis(0)?)?);
    let last_millis = float(u64::try_from(topic.appended_at_millis(events - 1)?)?);
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(events);
    let events_per_second = float(events) * 1e3 / (last_millis - first_millis).max(1.0);
    let sampled = events.min(SAMPLED);
    let bytes = float(topic.bytes_of_first(sampled)?) / float(sampled);
    Ok(Drain {
        events_per_second,
        bytes_per_second: Some(bytes * events_per_second),
        events_per_second_from_start: float(events) * 1e3 / (last_millis - start_millis).max(1.0),
        cpu_micros_per_event: micros(usage.cpu.saturating_sub(before_first)),
        cpu_micros_per_event_from_start: micros(usage.cpu),
        rss_peak_mib: usage.rss_peak_mib(),
        first_event_millis: Some(first_millis - start_millis),
    })
}

/// Counts and milliseconds here are far below the 2^53 that a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
