//! Where things are said: the story on stderr, the events on stdout, so that a pipe gets events
//! alone.

use std::io::{IsTerminal, Write, stderr, stdout};

use anyhow::Result;

use super::arrivals::Arrival;
use super::line::{BOLD, DIM, Lines, Style};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One line for a person.
    Line,
    /// The whole record, one JSON object a line.
    Json,
}

/// The terminal, or what stands in its place.
pub(super) struct Screen {
    form: Form,
    story: Style,
    events: Style,
    lines: Lines,
    steps: u32,
}

impl Screen {
    /// Colours only where a terminal shows them, and never where `NO_COLOR` forbids them.
    pub(super) fn new(form: Form) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = |terminal: bool| match terminal && !plain {
            true => Style::Coloured,
            false => Style::Plain,
        };
        Self {
            form,
            story: style(stderr().is_terminal()),
            events: style(stdout().is_terminal()),
            lines: Lines::default(),
            steps: 0,
        }
    }

    /// Whether a person watches the events scroll by.
    pub(super) fn is_watched(&self) -> bool {
        stdout().is_terminal() && self.form == Form::Line
    }

    /// The next step begins.
    pub(super) fn step(&mut self, text: &str) {
        self.steps += 1;
        eprintln!(
            "{}",
            self.story.paint(BOLD, &format!("\n{}. {text}", self.steps))
        );
    }

    /// Something about the present step.
    pub(super) fn say(&self, text: &str) {
        eprintln!("   {text}");
    }

    /// A text as it is: SQL, a file.
    pub(super) fn quote(&self, text: &str) {
        for line in text.lines() {
            eprintln!("   {}", self.story.paint(DIM, &format!("  {line}")));
        }
    }

    /// An event.
    pub(super) fn show(&mut self, arrival: &Arrival) -> Result<()> {
        let mut out = stdout().lock();
        match self.form {
            Form::Json => writeln!(out, "{}", arrival.json)?,
            Form::Line => {
                writeln!(out, "   {}", self.lines.render(&arrival.event, self.events))?;
            }
        }
        Ok(())
    }

    /// Takes note of an event without showing it.
    pub(super) fn pass(&mut self, arrival: &Arrival) {
        self.lines.render(&arrival.event, self.events);
    }
}
