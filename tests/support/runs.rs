//! The runs of one configuration: their logs, and how each ended. A test that fails prints them, so
//! that a failure on a machine that nobody can look into explains itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use xtask::servers::{Directory, directory};

/// Of each log, the last lines.
const LINES: usize = 200;
/// Of many runs (kill -9 again and again), the last.
const RUNS: usize = 5;

/// A directory with a log for each run.
pub(super) struct Runs {
    directory: Directory,
    /// Of each run, how it ended, once its test has let go of it.
    ends: Mutex<Vec<Option<String>>>,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self {
            directory: directory("walferry").expect("a directory"),
            ends: Mutex::default(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self, number: usize) -> PathBuf {
        self.directory().join(format!("walferry.{number}.log"))
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, Vec<Option<String>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runs {
    /// Comes after the last of its runs, whatever the order of a test's variables.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let ends = self.ends();
        for (number, end) in ends
            .iter()
            .enumerate()
            .skip(ends.len().saturating_sub(RUNS))
        {
            let log = self.log(number);
            let text = fs::read_to_string(&log).unwrap_or_else(|error| error.to_string());
            let lines: Vec<&str> = text.lines().collect();
            let left_out = lines.len().saturating_sub(LINES);
            eprintln!(
                "---- {}, run {} of {}: {} ({left_out} lines left out)\n{}\n----",
                log.display(),
                number + 1,
                ends.len(),
                end.as_deref().unwrap_or("not waited for"),
                lines[left_out..].join("\n")
            );
        }
    }
}

/// One of them.
pub(super) struct Run {
    runs: Arc<Runs>,
    number: usize,
    log: PathBuf,
}

impl Run {
    pub(super) fn new(runs: &Arc<Runs>) -> Self {
        let mut ends = runs.ends();
        ends.push(None);
        let number = ends.len() - 1;
        Self {
            runs: Arc::clone(runs),
            number,
            log: runs.log(number),
        }
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// `status` is none when it had not ended by itself.
    pub(super) fn ended(&self, status: Option<ExitStatus>) {
        let end = status.map_or_else(
            || "it ran until the test ended it".to_owned(),
            |status| status.to_string(),
        );
        self.runs.ends()[self.number] = Some(end);
    }
}
