//! walferry as a user runs it: the contract's YAML in a file, the binary as a process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use xtask::servers::process::{self, ServerProcess, Usage};
use xtask::servers::{KafkaServer, Port, PostgresServer};

use super::runs::{Run, Runs};

/// Start, check, first connection: a busy machine needs longer than the 300 ms we promise.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// What an optimized binary keeps resident of itself.
const CODE_BYTES: u64 = 16 << 20;

/// A walferry.yaml with its directory, and the port of its page.
pub struct Config {
    /// Slot, publication and progress are named after it.
    name: String,
    bootstrap_servers: String,
    /// Section and key to the YAML of the value; the empty section is the top level.
    settings: BTreeMap<(String, String), String>,
    admin: Port,
    runs: Arc<Runs>,
}

impl Config {
    /// The contract's file: all tables of `public` in database `postgres`, one partition a topic,
    /// changes from now on. The name is unique and also the topics' prefix.
    ///
    /// # Panics
    /// When there is no directory or port for it.
    #[must_use]
    pub fn new(purpose: &str, postgres: &PostgresServer, kafka: &KafkaServer) -> Self {
        let name = super::unique(purpose);
        let admin = Port::reserve().expect("a port");
        let mut config = Self {
            bootstrap_servers: kafka.bootstrap_servers(),
            settings: BTreeMap::new(),
            runs: Arc::new(Runs::new()),
            name,
            admin,
        };
        let listen = format!("127.0.0.1:{}", config.admin.number());
        for (key, value) in [
            ("name", config.name.clone()),
            ("postgres.url", postgres.url()),
            ("kafka.bootstrap.servers", kafka.bootstrap_servers()),
            ("topics.prefix", config.name.clone()),
            ("topics.partitions", "1".to_owned()),
            ("tables.include", "[ \"public.*\" ]".to_owned()),
            ("snapshot.snapshot.mode", "no_data".to_owned()),
            ("admin.listen", listen),
        ] {
            config = config.set(key, &value);
        }
        config
    }

    /// Sets `section.key` (the key may hold dots) or a key of the top level to a YAML value.
    #[must_use]
    pub fn set(mut self, key: &str, yaml: &str) -> Self {
        let (section, key) = key.split_once('.').unwrap_or(("", key));
        self.settings
            .insert((section.to_owned(), key.to_owned()), yaml.to_owned());
        self
    }

    /// The same connector once more: same name, slot and topics, its own file and page.
    ///
    /// # Panics
    /// When there is no directory or port for it.
    #[must_use]
    pub fn another_instance(&self) -> Self {
        let admin = Port::reserve().expect("a port");
        let listen = format!("127.0.0.1:{}", admin.number());
        let other = Self {
            name: self.name.clone(),
            bootstrap_servers: self.bootstrap_servers.clone(),
            settings: self.settings.clone(),
            admin,
            runs: Arc::new(Runs::new()),
        };
        other.set("admin.listen", &listen)
    }

    /// An outbox of the table `public.outbox` and of messages, whose events go to topics below the name.
    #[must_use]
    pub fn with_outbox(self) -> Self {
        let topic = format!("'{}.${{routedByValue}}'", self.name);
        self.set("outbox.table", "public.outbox")
            // Events that say they are old are deleted by their topic as such.
            .set("topics.retention.ms", "\"-1\"")
            .set("outbox.message.prefix", "outbox")
            .set("outbox.route.topic.replacement", &topic)
            .set("outbox.value.converter", "string")
            .set("outbox.key.converter", "string")
    }

    /// Takes a key out.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        let (section, key) = key.split_once('.').unwrap_or(("", key));
        self.settings.remove(&(section.to_owned(), key.to_owned()));
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slot and the publication, unless set otherwise.
    #[must_use]
    pub fn slot(&self) -> String {
        format!("walferry_{}", self.name)
    }

    /// The topic of a table of schema `public`.
    #[must_use]
    pub fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.name)
    }

    /// Where its Kafka is.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        let mut open = "";
        for ((section, key), value) in &self.settings {
            if section != open {
                let _ = writeln!(text, "{section}:"); // writing to a String cannot fail
                open = section;
            }
            let indent = if section.is_empty() { "" } else { "  " };
            let _ = writeln!(text, "{indent}{key}: {value}");
        }
        text
    }

    /// A command line of walferry with this file: `command("check").arg("--json")`.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        let path = self.runs.directory().join("walferry.yaml");
        fs::write(&path, self.yaml()).expect("walferry.yaml");
        command(subcommand, &path)
    }

    /// `run`, and waits until it says it is ready.
    ///
    /// # Panics
    /// With the end of its log when it ends, or is not ready in 30 seconds.
    #[must_use]
    pub fn start(&self) -> Walferry {
        let mut walferry = self.spawn();
        walferry.wait_ready();
        walferry
    }

    /// `run`, without waiting.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn(&self) -> Walferry {
        self.spawn_with(&[])
    }

    /// `run` with more arguments, without waiting.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn spawn_with(&self, arguments: &[&str]) -> Walferry {
        let run = Run::new(&self.runs);
        let mut command = self.command("run");
        command.args(arguments);
        let process = ServerProcess::spawn(&mut command, run.log(), "TERM").expect("walferry");
        Walferry {
            process,
            run,
            admin: self.admin.number(),
        }
    }

    /// `run --until now`: catches up, confirms, and ends with 0.
    ///
    /// # Panics
    /// When it ends otherwise, or not within `limit`.
    pub fn catch_up(&self, limit: Duration) {
        let mut walferry = self.spawn_with(&["--until", "now"]);
        let code = walferry.wait_exit(limit);
        assert_eq!(code, Some(0), "run --until now:\n{}", walferry.log());
    }

    /// `check`, to its end.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn check(&self, arguments: &[&str]) -> Output {
        self.command("check")
            .args(arguments)
            .output()
            .expect("walferry check")
    }
}

/// A command line of walferry with this file.
#[must_use]
pub fn command(subcommand: &str, file: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(subcommand.split(' ')).arg("-c").arg(file);
    for (name, _) in std::env::vars_os() {
        // A developer's own settings must not decide a test.
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("WALFERRY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The binary of the same build as this test, or `WALFERRY_BIN`.
fn binary() -> PathBuf {
    let given = std::env::var_os("WALFERRY_BIN").map(PathBuf::from);
    given.unwrap_or_else(|| built("walferry"))
}

/// A program of the same build as this test.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("our own path");
    let directory = here.ancestors().nth(2).unwrap_or(Path::new("."));
    let program = directory.join(name);
    assert!(
        program.is_file(),
        "{} is not there: cargo build -p {name}",
        program.display()
    );
    if let Some(source) = newer_source(&program) {
        let source = source.display();
        panic!("{source} is newer than the program under test: cargo build -p {name}");
    }
    program
}

/// A source that cargo noted for the program and that was written after it: `cargo test -p e2e`
/// does not build the program, and would judge the one of before.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let written = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    let built = written(program)?;
    let noted = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = noted.split_once(": ")?;
    sources
        .split_whitespace()
        .map(PathBuf::from)
        .find(|source| written(source).is_some_and(|written| written > built))
}

/// A running walferry; killed when dropped.
pub struct Walferry {
    process: ServerProcess,
    run: Run,
    admin: u16,
}

impl Drop for Walferry {
    fn drop(&mut self) {
        self.run.ended(self.process.try_wait());
    }
}

impl Walferry {
    /// Waits until `/health/ready` answers 200.
    ///
    /// # Panics
    /// With the end of its log when it ends, or is not ready in 30 seconds.
    pub fn wait_ready(&mut self) {
        let admin = self.admin;
        let process = &mut self.process;
        let ready = process::wait_until(READY_LIMIT, || match process.try_wait() {
            Some(_) => Some(false),
            None => get(admin, "/health/ready")
                .filter(|(code, _)| *code == 200)
                .map(|_| true),
        });
        assert_eq!(ready, Some(true), "walferry is not ready:\n{}", self.log());
    }

    /// kill -9, and waits.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGTERM: drain and end.
    pub fn sigterm(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Any other signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The exit code if it ends within `limit`; 128 + n for signal n, as a shell says it.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let code = |status: ExitStatus| status.code().or(status.signal().map(|n| 128 + n));
        self.process.wait(limit).and_then(code)
    }

    /// Does it still run?
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().is_none()
    }

    /// All it has written to stderr and stdout.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.run.log()).unwrap_or_default()
    }

    /// Its memory and processor time.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn usage(&self) -> Usage {
        process::usage(self.process.pid()).expect("walferry runs")
    }

    /// The most memory it ever had, if its code were as large as an optimized binary's: the one under
    /// test is not optimized and has nearly twice as much.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        let usage = self.usage();
        usage.rss_peak_bytes.saturating_sub(usage.rss_file_bytes) + CODE_BYTES
    }

    /// Status and body of a path of its page; `None` when it does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.admin, path)
    }

    /// `/metrics` as name with labels (as written there) to value; empty when it does not answer.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.get("/metrics").unwrap_or_default();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}
