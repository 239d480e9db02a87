//! How far it has come: a bar on a terminal, else a line in the log now and then.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

/// What is shown while something is read.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    what: String,
    length: u64,
    done: u64,
    told: Instant,
}

impl Meter {
    /// A `length` of 0 is not known.
    pub(super) fn new(what: String, length: u64) -> Self {
        const FORM: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta_precise}";
        const ENDLESS: &str = "{msg} {spinner} {human_pos} {per_sec}";
        let bar = stderr().is_terminal().then(|| {
            let (known, form) = match length {
                0 => (None, ENDLESS),
                _ => (Some(length), FORM),
            };
            let bar = ProgressBar::with_draw_target(known, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.set_message(what.clone());
            bar
        });
        Self {
            bar,
            what,
            length,
            done: 0,
            told: Instant::now(),
        }
    }

    /// One more.
    pub(super) fn tick(&mut self) {
        self.done += 1;
        // A look at the clock for each record would be felt.
        if !self.done.is_multiple_of(4096) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.told.elapsed() > LOG_EVERY {
            self.told = Instant::now();
            let of = (self.length > 0).then_some(self.length);
            info!(done = self.done, of, "{}", self.what);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const LOG_EVERY: Duration = Duration::from_secs(10);
