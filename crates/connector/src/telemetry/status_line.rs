//! A line at the bottom of a terminal, bars above it while existing rows are read, and logs above all.
//!
//! Only on a terminal: elsewhere the same numbers are in `/metrics`, and a log has no bottom.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgoutput::Lsn;
use tracing_subscriber::fmt::MakeWriter;

use super::snapshot::SnapshotView;
use super::{TableProgress, Telemetry, View};
use crate::words::counted;

/// The line, and the writer that keeps it below the logs. Clones share it.
#[derive(Clone, Debug)]
pub struct StatusLine(Arc<Mutex<Screen>>);

#[derive(Debug)]
enum Screen {
    /// Not a terminal, or JSON logs: there is no line.
    None,
    /// A terminal with this at its bottom, perhaps several lines; empty for nothing yet.
    Terminal(String),
}

impl StatusLine {
    /// On stderr, which is a terminal.
    pub(super) fn on_terminal() -> Self {
        Self(Arc::new(Mutex::new(Screen::Terminal(String::new()))))
    }

    /// None at all; logs are written as they are.
    pub(super) fn none() -> Self {
        Self(Arc::new(Mutex::new(Screen::None)))
    }

    /// Draws the line anew every two seconds and in each new stage, the bars more often, for ever; drop the
    /// future to stop, then [`clear`](Self::clear) it.
    pub async fn keep(&self, telemetry: &Telemetry) {
        let snapshot = telemetry.snapshot();
        let mut ticks = tokio::time::interval(BARS_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut line, mut rendered, mut before) = (String::new(), None, None);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = snapshot.news() => {}
            }
            let stage = telemetry.stage();
            let is_old = rendered.is_none_or(|at: Instant| at.elapsed() >= LINE_EVERY);
            if is_old || before != Some(stage) {
                line = render(&telemetry.view());
                (rendered, before) = (Some(Instant::now()), Some(stage));
            }
            let mut lines = snapshot.view().map_or_else(Vec::new, |view| bars(&view));
            lines.push(line.clone());
            self.draw(&lines.join("\n"));
        }
    }

    /// Takes the line away, as the last thing before the process ends.
    pub fn clear(&self) {
        self.draw("");
    }

    fn draw(&self, line: &str) {
        let mut screen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Screen::Terminal(shown) = &mut *screen
            && *shown != line
        {
            let before = std::mem::replace(shown, line.to_owned());
            let _ = paint(&mut io::stderr().lock(), &before, b"", shown);
        }
    }
}

impl<'a> MakeWriter<'a> for StatusLine {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        LogWriter(self.clone())
    }
}

/// Writes whole log lines above the status line.
#[derive(Debug)]
pub struct LogWriter(StatusLine);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let screen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stderr().lock();
        match &*screen {
            Screen::Terminal(shown) if !shown.is_empty() => paint(&mut out, shown, bytes, shown)?,
            Screen::None | Screen::Terminal(_) => out.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Clears the lines that are shown, writes `above`, and the new lines. Wrapping is off while they are
/// written, so that a narrow window cuts them and the next clearing finds all of them.
fn paint(out: &mut dyn Write, shown: &str, above: &[u8], line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(above.len() + line.len() + 32);
    bytes.extend_from_slice(b"\r\x1b[2K");
    for _ in shown.matches('\n') {
        bytes.extend_from_slice(b"\x1b[1A\x1b[2K");
    }
    bytes.extend_from_slice(above);
    if !line.is_empty() {
        bytes.extend_from_slice(b"\x1b[?7l\x1b[2m");
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\x1b[0m\x1b[?7h");
    }
    out.write_all(&bytes)?;
    out.flush()
}

/// A bar for each table whose rows are being read, and what is left; at the end, as long as a full one is
/// to be seen.
fn bars(snapshot: &SnapshotView) -> Vec<String> {
    if snapshot.over && snapshot.bars.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> = snapshot.bars.iter().take(BARS_MAX).map(bar).collect();
    if snapshot.paused {
        let tables = tables_read(snapshot);
        lines.push(format!(
            "{tables} · paused, until the server keeps less WAL"
        ));
        return lines;
    }
    let left = snapshot.seconds_left.map_or_else(String::new, |seconds| {
        format!(
            " · {} left",
            duration(Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX)))
        )
    });
    lines.push(format!(
        "{} · {} rows · {:.0} rows/s{left}",
        tables_read(snapshot),
        grouped(snapshot.rows),
        snapshot.rows_per_second,
    ));
    lines
}

fn tables_read(snapshot: &SnapshotView) -> String {
    let tables = counted(snapshot.tables as u64, "table");
    format!("{} of {tables} read", snapshot.tables_read)
}

fn bar(table: &TableProgress) -> String {
    let share = table.share().clamp(0.0, 1.0);
    let filled = (1..=BAR_WIDTH).filter(|&step| f64::from(step) <= share * f64::from(BAR_WIDTH));
    let filled = filled.count();
    let empty = usize::from(BAR_WIDTH) - filled;
    format!(
        "{:<32} {}{} {:>3.0} %  {} rows, {}",
        table.table,
        "█".repeat(filled),
        "░".repeat(empty),
        share * 100.0,
        grouped(table.rows),
        bytes(table.bytes),
    )
}

fn duration(left: Duration) -> String {
    let seconds = left.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

const BAR_WIDTH: u8 = 24;
const BARS_MAX: usize = 8;
/// Nobody waits for longer.
const SECONDS_MAX: f64 = 1e7;

/// The line's text.
pub(super) fn render(view: &View) -> String {
    let mut parts = vec![view.stage.as_str().to_owned()];
    if let Some(reason) = &view.reason {
        // One line only, and nothing that a terminal would obey.
        parts.push(
            reason
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
        );
    }
    parts.push(format!("{} records", grouped(view.totals.records)));
    parts.push(format!("{:.0}/s", view.records_per_second));
    parts.push(format!(
        "lag {}, {:.1} s",
        bytes(view.lag_bytes),
        view.lag_seconds
    ));
    let in_flight = &view.in_flight;
    parts.push(format!(
        "in flight {} ({})",
        grouped(in_flight.records),
        bytes(in_flight.bytes)
    ));
    if view.positions.confirmed != Lsn::ZERO {
        parts.push(format!("confirmed {}", view.positions.confirmed));
    }
    parts.join(" · ")
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    for (unit, size) in UNITS {
        if number >= size {
            let tenths = u128::from(number) * 10 / u128::from(size);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{number} B")
}

/// Often enough to be alive, seldom enough to be read.
const LINE_EVERY: Duration = Duration::from_secs(2);
const BARS_EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_reading() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (16 << 20, "16.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn a_table_that_is_read_has_a_bar() {
        let telemetry = Telemetry::new("shop");
        let table = TableProgress {
            table: "public.users".to_owned(),
            disk_bytes: 1 << 20,
            pieces: 4,
            ..TableProgress::default()
        };
        telemetry.snapshot().begin(vec![table]);
        telemetry.snapshot().read(0, 12_345, 2048);
        telemetry.snapshot().read_piece(0);
        let shown = || bars(&telemetry.snapshot().view().unwrap());
        let lines = shown();
        assert_eq!(
            lines[0],
            "public.users                     ██████░░░░░░░░░░░░░░░░░░  25 %  12,345 rows, 2.0 KiB"
        );
        assert!(
            lines[1].starts_with("0 of 1 table read · 12,345 rows · "),
            "{}",
            lines[1]
        );
        telemetry.snapshot().pause();
        let paused = &shown()[1];
        assert!(paused.starts_with("0 of 1 table read · paused"), "{paused}");
        (0..3).for_each(|_| telemetry.snapshot().read_piece(0));
        assert!(shown()[0].contains(" 100 %  12,345 rows"), "{}", shown()[0]);
        telemetry.snapshot().end();
        assert!(
            shown()[1].starts_with("1 of 1 table read"),
            "{}",
            shown()[1]
        );
        telemetry.snapshot().begin(Vec::new());
        telemetry.snapshot().end();
        assert!(shown().is_empty());
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(61)), "1 min 1 s");
        assert_eq!(duration(Duration::from_secs(7260)), "2 h 1 min");
    }

    #[test]
    fn a_log_line_is_written_above_the_status_line() {
        let mut out = Vec::new();
        paint(&mut out, "old", b"log\n", "status").unwrap();
        assert_eq!(out, b"\r\x1b[2Klog\n\x1b[?7l\x1b[2mstatus\x1b[0m\x1b[?7h");
        out.clear();
        paint(&mut out, "", b"", "").unwrap();
        assert_eq!(out, b"\r\x1b[2K");
        out.clear();
        paint(&mut out, "two\nlines", b"", "").unwrap();
        assert_eq!(out, b"\r\x1b[2K\x1b[1A\x1b[2K");
    }
}
