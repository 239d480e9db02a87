//! From the row's own clock to a consumer, at a steady rate of single-row transactions.
//!
//! The row carries `clock_timestamp()` of its insert; the arrival is the moment at which this
//! process has the record in hand. So the figure holds the commit itself (its wait for the disk),
//! the walsender, the competitor, the broker and the consumer: what a user would call latency, and
//! the same for every competitor.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rdkafka::{Message, Offset};

use super::competitor::{Competitor, Phase};
use super::display::Display;
use super::load::Load;
use super::meter::Meter;
use super::running::End;
use super::topic::Topic;
use super::workload::{self, Steady};
use super::world::World;

/// Long enough for a JVM to have started, and for its compiler to have seen the hot path.
const START_LIMIT: Duration = Duration::from_secs(90);
const WARM_UP: Duration = Duration::from_secs(5);

/// How long the window's last records may take.
const GRACE: Duration = Duration::from_secs(10);

/// Eight connections write at once, so commits are not quite in the order of the rows' clocks; by
/// so much at most.
const MARGIN: Duration = Duration::from_millis(100);

const POLL: Duration = Duration::from_millis(20);

/// One latency run's figures; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Latency {
    /// Half of the events came sooner.
    pub p50_millis: f64,
    /// 95 of 100 came sooner.
    pub p95_millis: f64,
    /// 99 of 100 came sooner.
    pub p99_millis: f64,
    /// The slowest.
    pub(super) max_millis: f64,
    /// CPU time over wall time, of one core.
    pub(super) cpu_share: f64,
    /// Transactions a second that the writer really reached.
    pub(super) transactions_per_second: f64,
    /// Peak resident set, in MiB.
    pub(super) rss_peak_mib: f64,
}

/// What a latency run is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Transactions a second.
    pub(super) per_second: u32,
    /// How long it is measured, after the warm-up.
    pub(super) window: Duration,
}

/// Measures `who`.
///
/// # Errors
/// When it ends, does not start, or loses events of the window.
pub(super) fn run(
    world: &World,
    who: Competitor,
    phase: Phase,
    plan: Plan,
    display: &Display,
) -> Result<Latency> {
    world.create_slot(who, phase)?;
    let topic = world.topic(who, phase)?;
    topic.read_from(Offset::Beginning)?;
    let process = world.start_competitor(who, phase, None)?;
    world.database().write_backlog(Load::Users, 1, 1, |_| ())?;
    ensure!(
        topic.poll(START_LIMIT)?.is_some(),
        "{who} published nothing within {START_LIMIT:?}:\n{}",
        process.log_tail()
    );

    let steady = Arc::new(Steady::default());
    let writer = {
        let (steady, url) = (Arc::clone(&steady), world.url());
        thread::spawn(move || workload::write_steadily(&url, plan.per_second, &steady))
    };
    let mut meter = Meter::new(process.pid()?);
    let window = observe(&topic, &mut meter, plan, who, display);
    steady.stop.store(true, Ordering::Relaxed);
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let window = window?;
    ensure!(!meter.has_ended(), "{who} ended:\n{}", process.log_tail());
    process.end(End::Asked).with_context(|| who.to_string())?;
    world.drop_slot(who, phase)?;
    window.figures(plan.window)
}

/// What was seen during the window.
struct Window {
    /// Of each of its events, in µs.
    latencies: Vec<i64>,
    cpu: Duration,
    rss_peak_mib: f64,
}

impl Window {
    fn figures(mut self, length: Duration) -> Result<Latency> {
        ensure!(!self.latencies.is_empty(), "no event of the window arrived");
        self.latencies.sort_unstable();
        let millis = |share| nearest_rank(&self.latencies, share) / 1e3;
        Ok(Latency {
            p50_millis: millis(0.50),
            p95_millis: millis(0.95),
            p99_millis: millis(0.99),
            max_millis: millis(1.0),
            cpu_share: self.cpu.as_secs_f64() / length.as_secs_f64(),
            transactions_per_second: float(self.latencies.len()) / length.as_secs_f64(),
            rss_peak_mib: self.rss_peak_mib,
        })
    }
}

/// Reads for the warm-up and the window, and on until an event written safely after the window has
/// come: then all of the window's are there.
fn observe(
    topic: &Topic,
    meter: &mut Meter,
    plan: Plan,
    who: Competitor,
    display: &Display,
) -> Result<Window> {
    let bar = display.bar(&who.to_string(), plan.window.as_secs());
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        topic.poll(POLL)?;
    }
    let start = Instant::now();
    let opens = unix_micros()?;
    let closes = opens + i64::try_from(plan.window.as_micros())?;
    let beyond = closes + i64::try_from(MARGIN.as_micros())?;
    let cpu_before = meter.read().cpu;
    let mut at_close = None;
    let mut latencies = Vec::new();
    let mut newest = opens;
    while newest < beyond || at_close.is_none() {
        let elapsed = start.elapsed();
        ensure!(
            elapsed < plan.window + GRACE,
            "{who} is more than {GRACE:?} behind"
        );
        bar.set(elapsed.as_secs());
        if elapsed >= plan.window && at_close.is_none() {
            at_close = Some(meter.read());
        }
        let Some(message) = topic.poll(POLL)? else {
            continue;
        };
        let arrived = unix_micros()?;
        let written = written_at(message.payload().unwrap_or_default())?;
        newest = newest.max(written);
        if (opens..closes).contains(&written) {
            latencies.push(arrived - written);
        }
    }
    let usage = at_close.context("the window did not close")?;
    Ok(Window {
        latencies,
        cpu: usage.cpu.saturating_sub(cpu_before),
        rss_peak_mib: usage.rss_peak_mib(),
    })
}

/// The row's `updated_at`. Only `after` has one, since all events are inserts: the first is the
/// one. No JSON parser, so that reading costs as little as may be beside what is measured.
pub(super) fn written_at(value: &[u8]) -> Result<i64> {
    const FIELD: &[u8] = b"\"updated_at\":";
    let start = value
        .windows(FIELD.len())
        .position(|window| window == FIELD)
        .context("an event has no updated_at")?;
    let digits = value
        .iter()
        .skip(start + FIELD.len())
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|&byte| char::from(byte)).collect();
    digits
        .parse()
        .with_context(|| format!("updated_at is {digits:?}, not microseconds"))
}

/// The smallest value that is not below `share` of all; `sorted` is ascending and not empty.
pub(super) fn nearest_rank(sorted: &[i64], share: f64) -> f64 {
    let rank = (share * float(sorted.len())).ceil();
    let index = (0..sorted.len()).find(|&index| float(index + 1) >= rank);
    let value = index.and_then(|index| sorted.get(index)).or(sorted.last());
    value.map_or(0.0, |&micros| {
        Duration::from_micros(micros.max(0).unsigned_abs()).as_secs_f64() * 1e6
    })
}

/// Now, in µs since 1970: the unit of the row's own clock.
pub(super) fn unix_micros() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros(),
    )?)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let sorted: Vec<i64> = (1..=200).collect();
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|s| nearest_rank(&sorted, s)),
            [100.0, 190.0, 198.0, 200.0]
        );
        assert_eq!([0.5, 1.0].map(|s| nearest_rank(&[7], s)), [7.0, 7.0]);
    }

    #[test]
    fn finds_the_rows_clock() {
        let value =
            br#"{"before":null,"after":{"id":1,"updated_at":1795457000123456,"meta":"{}"}}"#;
        assert_eq!(written_at(value).unwrap(), 1_795_457_000_123_456);
        assert!(written_at(br#"{"after":{"updated_at":null}}"#).is_err());
        assert!(written_at(b"").is_err());
    }
}
