//! The examples of the documentation as a person runs them: the very files, as processes that are
//! killed and started again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use xtask::servers::process::{self, ServerProcess};
use xtask::servers::programs;
use xtask::servers::{Directory, PostgresServer, directory};

use super::topic::committed_offsets;

/// Long enough for a backlog on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Of each program's output, the last lines.
const LINES: usize = 60;

/// A file of the examples, by its path below `docs/examples`.
#[must_use]
pub fn file(path: &str) -> PathBuf {
    xtask::workspace_root().join("docs/examples").join(path)
}

/// The statements of a file of the examples.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn script(path: &str) -> String {
    let path = file(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A Python that runs one of the examples.
///
/// # Panics
/// When there is no Python, or its packages cannot be had.
#[must_use]
pub fn python(path: &str) -> Command {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        programs::python(&file("requirements.txt")).expect("a Python for the examples")
    });
    let mut command = Command::new(python);
    command.arg(file(path)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A walferry with an example's configuration.
#[must_use]
pub fn walferry(subcommand: &str, path: &str) -> Command {
    let mut command = super::walferry::command(subcommand, &file(path));
    command.env("WALFERRY_ADMIN_LISTEN", "off");
    command
}

/// Runs a command to its end.
///
/// # Panics
/// With what it wrote, when it ends with anything but 0.
pub fn run(mut command: Command) {
    let output = command.output().expect("a program");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a database and runs files of the examples in it.
///
/// # Panics
/// When the server refuses.
pub fn database(postgres: &PostgresServer, name: &str, scripts: &[&str]) {
    super::sql(postgres, &format!("CREATE DATABASE {name}"));
    for text in scripts {
        let done = postgres.execute(name, text);
        done.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A program that is killed and started again.
pub struct Program {
    name: String,
    command: Box<dyn Fn() -> Command>,
    process: Option<ServerProcess>,
    directory: Directory,
    starts: usize,
}

impl Program {
    /// One that does not run yet; `command` is asked at each start.
    ///
    /// # Panics
    /// When there is no directory for its output.
    #[must_use]
    pub fn new(name: &str, command: impl Fn() -> Command + 'static) -> Self {
        Self {
            name: name.to_owned(),
            command: Box::new(command),
            process: None,
            directory: directory("example").expect("a directory"),
            starts: 0,
        }
    }

    /// The same, running.
    #[must_use]
    pub fn started(name: &str, command: impl Fn() -> Command + 'static) -> Self {
        let mut program = Self::new(name, command);
        program.start();
        program
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it; killed first, if it runs.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&mut self) {
        self.kill9();
        let mut command = (self.command)();
        let process = ServerProcess::spawn(&mut command, &self.log_file(), "KILL");
        self.process = Some(process.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
        self.starts += 1;
    }

    /// kill -9.
    ///
    /// # Panics
    /// When it had ended by itself: what survives kills does not end for less.
    pub fn kill9(&mut self) {
        if self.process.is_some() {
            self.assert_running();
        }
        self.process = None;
    }

    /// It runs.
    ///
    /// # Panics
    /// When it has ended by itself.
    pub fn assert_running(&mut self) {
        let ended = self
            .process
            .as_mut()
            .map(|process| (process.try_wait(), process.log_tail()));
        match ended {
            Some((None, _)) => {}
            Some((Some(status), log)) => {
                panic!("{} ended by itself: {status}\n{log}", self.name)
            }
            None => panic!("{} was not started", self.name),
        }
    }

    /// SIGTERM, and its end; 128 + n for signal n, as a shell says it.
    ///
    /// # Panics
    /// When it has ended before, or does not end in time.
    pub fn stop(&mut self) -> i32 {
        self.assert_running();
        if let Some(process) = &self.process {
            process.signal(Signal::TERM);
        }
        self.wait()
    }

    /// Waits for its own end; the code as with [`stop`](Self::stop).
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let mut process = self.process.take().expect("a running program");
        let status = process.wait(LIMIT);
        let status = status.unwrap_or_else(|| panic!("{} does not end", self.name));
        let code = status.code().or(status.signal().map(|n| 128 + n));
        code.expect("a code or a signal")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("output.log")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = fs::read_to_string(self.log_file()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            eprintln!(
                "---- {}, started {} times\n{last}\n----",
                self.name, self.starts
            );
        }
    }
}

/// Waits until a consumer group has committed the end of a topic.
///
/// # Panics
/// When it does not in time, or one of the consumers has ended by itself.
pub fn wait_consumed(bootstrap_servers: &str, group: &str, topic: &str, consumers: &mut [Program]) {
    let mut seen = None;
    let done = process::wait_until(LIMIT, || {
        for consumer in &mut *consumers {
            consumer.assert_running();
        }
        seen = committed_offsets(bootstrap_servers, group, topic);
        let mut offsets = seen.as_ref()?.iter();
        offsets
            .all(|(committed, end)| committed == end)
            .then_some(())
    });
    assert!(
        done.is_some(),
        "{group} reads {topic} to its end: not within {LIMIT:?}; committed and end: {seen:?}"
    );
}
