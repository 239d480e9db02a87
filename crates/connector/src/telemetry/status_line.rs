//! One line at the bottom of a terminal, and logs above it.
//!
//! Only on a terminal: elsewhere the same numbers are in `/metrics`, and a log has no bottom.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::{Telemetry, View};

/// The line, and the writer that keeps it below the logs. Clones share it.
#[derive(Clone, Debug)]
pub struct StatusLine(Arc<Mutex<Screen>>);

#[derive(Debug)]
enum Screen {
    /// Not a terminal, or JSON logs: there is no line.
    None,
    /// A terminal with this line at its bottom; empty for none yet.
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

    /// Draws the line anew every two seconds, for ever; drop the future to stop, then
    /// [`clear`](Self::clear) it.
    pub async fn keep(&self, telemetry: &Telemetry) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.draw(&render(&telemetry.view()));
        }
    }

    /// Takes the line away, as the last thing before the process ends.
    pub fn clear(&self) {
        self.draw("");
    }

    fn draw(&self, line: &str) {
        let mut screen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Screen::Terminal(shown) = &mut *screen {
            line.clone_into(shown);
            let _ = paint(&mut io::stderr().lock(), b"", shown);
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
            Screen::Terminal(shown) if !shown.is_empty() => paint(&mut out, bytes, shown)?,
            Screen::None | Screen::Terminal(_) => out.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Clears the line, writes `above`, and the line again. Wrapping is off while it is written, so that
/// a narrow window cuts it and the next clearing finds all of it.
fn paint(out: &mut dyn Write, above: &[u8], line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(above.len() + line.len() + 32);
    bytes.extend_from_slice(b"\r\x1b[2K");
    bytes.extend_from_slice(above);
    if !line.is_empty() {
        bytes.extend_from_slice(b"\x1b[?7l\x1b[2m");
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\x1b[0m\x1b[?7h");
    }
    out.write_all(&bytes)?;
    out.flush()
}

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
    parts.push(format!("confirmed {}", view.positions.confirmed));
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
const EVERY: Duration = Duration::from_secs(2);

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
    fn a_log_line_is_written_above_the_status_line() {
        let mut out = Vec::new();
        paint(&mut out, b"log\n", "status").unwrap();
        assert_eq!(out, b"\r\x1b[2Klog\n\x1b[?7l\x1b[2mstatus\x1b[0m\x1b[?7h");
        out.clear();
        paint(&mut out, b"", "").unwrap();
        assert_eq!(out, b"\r\x1b[2K");
    }
}
