//! What a person sees while it runs: on a terminal a bar, in a pipe a line when something begins.
//! All on stderr; stdout is for the result.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug)]
pub(super) struct Display {
    terminal: bool,
}

impl Display {
    /// Looks whether stderr is a terminal.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            terminal: stderr().is_terminal(),
        }
    }

    /// Says what comes next.
    pub(super) fn step(&self, text: &str) {
        if self.terminal {
            eprintln!("\x1b[1m{text}\x1b[0m");
        } else {
            eprintln!("{text}");
        }
    }

    /// Says something by the way.
    pub(super) fn note(&self, text: &str) {
        eprintln!("  {text}");
    }

    /// A bar that goes to `end`, or a spinner when `end` is 0; gone when dropped.
    #[must_use]
    pub(super) fn bar(&self, label: &str, end: u64) -> Bar {
        if !self.terminal {
            eprintln!("  {label}");
            return Bar {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = if end == 0 {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::new(end)
        };
        let template = if end == 0 {
            "  {spinner} {msg} {elapsed}"
        } else {
            "  {msg:28} {wide_bar:.cyan/dim} {human_pos}/{human_len} {per_sec} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

/// One step's progress.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// It is so far.
    pub(super) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
