//! The result: medians, ratios, a table for people, JSON for machines. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::competitor::{Competitor, Program, Socket};
use super::drain::Drain;
use super::latency::Latency;
use super::load::Load;
use super::table::Table;

/// Everything one `cargo xtask bench` found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// UTC, ISO 8601.
    pub(super) date: String,
    /// What it ran on.
    pub(super) machine: Machine,
    /// Versions, by part.
    pub(super) versions: Vec<(String, String)>,
    /// Events of the backlog.
    pub(super) events: u64,
    /// Rows in each of its transactions.
    pub(super) rows_per_transaction: u64,
    /// How often everything was repeated.
    pub(super) runs: u32,
    /// In the order in which they ran.
    pub(super) results: Vec<Outcome>,
}

/// The machine, as far as it matters for reading the figures.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    /// Cores that everything shared.
    pub(super) cores: usize,
    /// `uname -r`.
    pub(super) kernel: String,
}

/// One competitor's results.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// For example `walferry_unix`.
    pub(super) name: &'static str,
    /// For people.
    #[serde(skip)]
    pub(super) competitor: Competitor,
    /// The drains, by load.
    pub(super) drains: BTreeMap<Load, Drained>,
    /// The medians of the latency runs.
    pub(super) latency: Option<Latency>,
    /// Each of them.
    pub(super) latencies: Vec<Latency>,
}

/// The drains of one load.
#[derive(Debug, Serialize)]
pub(super) struct Drained {
    /// The medians.
    pub(super) median: Drain,
    /// Each of them.
    pub(super) runs: Vec<Drain>,
}

impl Outcome {
    /// Takes the medians, each figure's own.
    #[must_use]
    pub(super) fn new(
        competitor: Competitor,
        drains: BTreeMap<Load, Vec<Drain>>,
        latencies: Vec<Latency>,
    ) -> Self {
        let latency = (!latencies.is_empty()).then(|| Latency {
            p50_millis: median(&latencies, |l| l.p50_millis),
            p95_millis: median(&latencies, |l| l.p95_millis),
            p99_millis: median(&latencies, |l| l.p99_millis),
            max_millis: median(&latencies, |l| l.max_millis),
            cpu_share: median(&latencies, |l| l.cpu_share),
            transactions_per_second: median(&latencies, |l| l.transactions_per_second),
            rss_peak_mib: median(&latencies, |l| l.rss_peak_mib),
        });
        Self {
            name: competitor.id(),
            competitor,
            drains: drains
                .into_iter()
                .filter(|(_, runs)| !runs.is_empty())
                .map(|(load, runs)| {
                    (
                        load,
                        Drained {
                            median: medians(&runs),
                            runs,
                        },
                    )
                })
                .collect(),
            latency,
            latencies,
        }
    }
}

impl Outcome {
    /// The medians of one load's drains.
    fn of(&self, load: Load) -> Option<Drain> {
        Some(self.drains.get(&load)?.median)
    }
}

/// The medians, each figure's own.
pub(super) fn medians(drains: &[Drain]) -> Drain {
    let optional = |figure: fn(&Drain) -> Option<f64>| {
        let all = drains.iter().all(|drain| figure(drain).is_some());
        all.then(|| median(drains, |drain| figure(drain).unwrap_or_default()))
    };
    Drain {
        events_per_second: median(drains, |d| d.events_per_second),
        events_per_second_from_start: median(drains, |d| d.events_per_second_from_start),
        cpu_micros_per_event: median(drains, |d| d.cpu_micros_per_event),
        cpu_micros_per_event_from_start: median(drains, |d| d.cpu_micros_per_event_from_start),
        bytes_per_second: optional(|d| d.bytes_per_second),
        rss_peak_mib: median(drains, |d| d.rss_peak_mib),
        first_event_millis: optional(|d| d.first_event_millis),
    }
}

/// How to read the drain's figures; the module of the benchmark says the same at length.
const DRAIN_LEGEND: &str =
    "  events/s: from the first record's arrival in the topic to the last one's, by the broker's clock
  from start: the same, from the start of the process; CPU: of the process, while it drains
  MB/s: keys and values, millions of bytes, before the producer's compression
  pg_recvlogical publishes nothing: its figures go from its start to its end
";

impl Report {
    /// The tables, as they are printed.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for load in Load::ALL {
            if self
                .results
                .iter()
                .any(|outcome| outcome.of(load).is_some())
            {
                let _ = writeln!(
                    text,
                    "Drain: {} {} in transactions of {}, waiting in each slot; {}\n\n{}\n{}",
                    thousands(load.events(self.events)),
                    load.describe(),
                    thousands(self.rows_per_transaction),
                    self.repeated(),
                    self.drain_table(load),
                    DRAIN_LEGEND
                );
            }
        }
        if self.results.iter().any(|outcome| outcome.latency.is_some()) {
            let _ = writeln!(
                text,
                "Latency: from the row's clock_timestamp() to the consumer, commit included; {}\n\n{}",
                self.repeated(),
                self.latency_table()
            );
        }
        let goals = self.goals();
        if !goals.is_empty() {
            let _ = write!(text, "Goals\n\n{}", goal_table(&goals));
        }
        text
    }

    fn repeated(&self) -> String {
        match self.runs {
            1 => "one run".to_owned(),
            runs => format!("medians of {runs} runs"),
        }
    }

    fn drain_table(&self, load: Load) -> String {
        let mut table = Table::new(&[
            "",
            "events/s",
            "from start",
            "CPU µs/event",
            "MB/s",
            "peak MiB",
            "first event ms",
            "× Debezium",
            "CPU 1/×",
            "× pg_recvlogical",
        ]);
        let debezium = self.drain(load, Program::Debezium, Socket::Tcp);
        for outcome in &self.results {
            let Some(drain) = outcome.of(load) else {
                continue;
            };
            let recvlogical = self.drain(load, Program::PgRecvlogical, outcome.competitor.socket);
            let speed = |other: Option<Drain>| {
                other.map(|other| drain.events_per_second / other.events_per_second)
            };
            let cpu = debezium.map(|other| other.cpu_micros_per_event / drain.cpu_micros_per_event);
            table.row(vec![
                outcome.competitor.to_string(),
                rounded(drain.events_per_second),
                rounded(drain.events_per_second_from_start),
                format!("{:.2}", drain.cpu_micros_per_event),
                drain
                    .bytes_per_second
                    .map_or_else(String::new, |bytes| rounded(bytes / 1e6)),
                rounded(drain.rss_peak_mib),
                drain.first_event_millis.map_or_else(String::new, rounded),
                ratio(speed(debezium)),
                ratio(cpu),
                ratio(speed(recvlogical)),
            ]);
        }
        table.to_string()
    }

    fn latency_table(&self) -> String {
        let mut table = Table::new(&[
            "",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "CPU of a core",
            "tx/s",
            "peak MiB",
        ]);
        for outcome in &self.results {
            let Some(latency) = outcome.latency else {
                continue;
            };
            table.row(vec![
                outcome.competitor.to_string(),
                format!("{:.1}", latency.p50_millis),
                format!("{:.1}", latency.p95_millis),
                format!("{:.1}", latency.p99_millis),
                format!("{:.1}", latency.max_millis),
                format!("{:.1} %", latency.cpu_share * 100.0),
                rounded(latency.transactions_per_second),
                rounded(latency.rss_peak_mib),
            ]);
        }
        table.to_string()
    }

    fn drain(&self, load: Load, program: Program, socket: Socket) -> Option<Drain> {
        let wanted = Competitor { program, socket };
        self.results
            .iter()
            .find(|outcome| outcome.competitor == wanted)?
            .of(load)
    }

    /// An outbox beside plain CDC: as fast, but for a tenth.
    fn outbox_goals(&self, who: Competitor, users: Drain, goals: &mut Vec<Goal>) {
        for (load, what) in [
            (Load::Outbox, "outbox table, × plain CDC"),
            (Load::Messages, "outbox messages, × plain CDC"),
        ] {
            let drain = self.drain(load, who.program, who.socket);
            let share = drain.map(|drain| drain.events_per_second / users.events_per_second);
            goals.extend(share.map(|share| Goal::at_least(who, what, 0.9, share)));
        }
    }

    /// What this project promises, against what was measured, as far as it was.
    fn goals(&self) -> Vec<Goal> {
        let debezium = self.drain(Load::Users, Program::Debezium, Socket::Tcp);
        let mut goals = Vec::new();
        for (socket, least) in [(Socket::Unix, 4.0), (Socket::Tcp, 2.5)] {
            let who = Competitor {
                program: Program::Walferry,
                socket,
            };
            let Some(outcome) = self
                .results
                .iter()
                .find(|outcome| outcome.competitor == who)
            else {
                continue;
            };
            if let Some(drain) = outcome.of(Load::Users) {
                let speed = debezium.map(|d| drain.events_per_second / d.events_per_second);
                goals.extend(speed.map(|s| Goal::at_least(who, "drain, × Debezium", least, s)));
                let cpu = drain.cpu_micros_per_event;
                goals.push(Goal::at_most(who, "CPU µs/event", 4.0, cpu));
                goals.push(Goal::at_most(who, "peak MiB", 64.0, drain.rss_peak_mib));
                let first = drain.first_event_millis;
                goals.extend(first.map(|ms| Goal::at_most(who, "first event ms", 300.0, ms)));
                self.outbox_goals(who, drain, &mut goals);
            }
            if let Some(latency) = outcome.latency {
                goals.push(Goal::at_most(
                    who,
                    "latency p50 ms",
                    5.0,
                    latency.p50_millis,
                ));
                goals.push(Goal::at_most(
                    who,
                    "latency p99 ms",
                    25.0,
                    latency.p99_millis,
                ));
            }
        }
        goals
    }
}

struct Goal {
    who: Competitor,
    what: &'static str,
    bound: String,
    measured: f64,
    reached: bool,
}

impl Goal {
    fn at_least(who: Competitor, what: &'static str, bound: f64, measured: f64) -> Self {
        Self {
            who,
            what,
            bound: format!("≥ {bound}"),
            measured,
            reached: measured >= bound,
        }
    }

    fn at_most(who: Competitor, what: &'static str, bound: f64, measured: f64) -> Self {
        Self {
            who,
            what,
            bound: format!("≤ {bound}"),
            measured,
            reached: measured <= bound,
        }
    }
}

fn goal_table(goals: &[Goal]) -> String {
    let mut table = Table::new(&["", "", "goal", "measured", ""]);
    for goal in goals {
        table.row(vec![
            goal.who.to_string(),
            goal.what.to_owned(),
            goal.bound.clone(),
            format!("{:.2}", goal.measured),
            if goal.reached { "reached" } else { "MISSED" }.to_owned(),
        ]);
    }
    table.to_string()
}

fn median<T>(of: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = of.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.as_slice() {
        [] => 0.0,
        all if all.len() % 2 == 1 => all[middle],
        all => f64::midpoint(all[middle - 1], all[middle]),
    }
}

/// Two decimals, or nothing.
pub(super) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.2}"))
}

/// No decimals, and a comma at the thousands.
pub(super) fn rounded(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let sign = if value < 0.0 && digits != "0" {
        "-"
    } else {
        ""
    };
    format!("{sign}{}", with_commas(&digits))
}

/// With commas.
pub(super) fn thousands(number: u64) -> String {
    with_commas(&number.to_string())
}

fn with_commas(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
