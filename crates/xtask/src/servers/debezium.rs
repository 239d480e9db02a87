//! Debezium in Kafka Connect standalone: the other side of the benchmarks, and the oracle of what
//! an event looks like.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::leash::Directory;
use super::process::{self, ServerProcess, Usage};
use super::{Port, ServerError, leash, maven, versions};

/// Connect scans its class path for plugins before it does anything else.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What kind of worker to start, and the one connector in it.
#[derive(Debug, Clone)]
pub struct DebeziumOptions {
    /// The Kafka to write to, `host:port`.
    pub bootstrap_servers: String,
    /// The JVM's `-Xmx`.
    pub heap_mib: u32,
    /// Worker properties, later ones win over our own.
    pub worker: Vec<(String, String)>,
    /// Connector properties; `name` and `connector.class` are given already. Without any, the worker
    /// has no connector until one is made through its REST interface.
    pub connector: Vec<(String, String)>,
}

/// A running worker; killed and removed when dropped.
#[derive(Debug)]
pub struct DebeziumConnect {
    process: Option<ServerProcess>,
    jars: PathBuf,
    heap_mib: u32,
    rest_port: Port,
    directory: Directory,
}

/// Name of the connector in the worker.
const CONNECTOR: &str = "oracle";

impl DebeziumConnect {
    /// Provisions the artifacts and starts the worker; does not wait (see
    /// [`wait_running`](Self::wait_running)), so that a benchmark can take the time.
    ///
    /// # Errors
    /// When Java or Maven is missing.
    pub fn start(options: &DebeziumOptions) -> Result<Self, ServerError> {
        let mut connect = Self {
            process: None,
            jars: jars()?,
            heap_mib: options.heap_mib,
            rest_port: Port::reserve()?,
            directory: leash::directory("connect")?,
        };
        let offsets = connect
            .directory
            .path()
            .join("offsets")
            .display()
            .to_string();
        let rest = format!("http://127.0.0.1:{}", connect.rest_port.number());
        let worker = [
            ("bootstrap.servers", options.bootstrap_servers.as_str()),
            ("offset.storage.file.filename", &offsets),
            ("listeners", &rest),
            (
                "key.converter",
                "org.apache.kafka.connect.json.JsonConverter",
            ),
            (
                "value.converter",
                "org.apache.kafka.connect.json.JsonConverter",
            ),
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
            ("connector.client.config.override.policy", "All"),
            // Every plugin here has a manifest: no scan of ninety jars.
            ("plugin.discovery", "service_load"),
        ];
        connect.write("worker.properties", &worker, &options.worker)?;
        let connector = [
            ("name", CONNECTOR),
            (
                "connector.class",
                "io.debezium.connector.postgresql.PostgresConnector",
            ),
            ("tasks.max", "1"),
            ("plugin.name", "pgoutput"),
        ];
        if !options.connector.is_empty() {
            connect.write("connector.properties", &connector, &options.connector)?;
        }
        connect.restart()?;
        Ok(connect)
    }

    /// Starts the worker again after [`stop`](Self::stop) or [`kill9`](Self::kill9), with the
    /// offsets it had stored.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        let class = "org.apache.kafka.connect.cli.ConnectStandalone";
        let mut command = maven::java(&self.jars, self.heap_mib, &[], class)?;
        command.arg(self.directory.path().join("worker.properties"));
        let connector = self.directory.path().join("connector.properties");
        if connector.is_file() {
            command.arg(connector);
        }
        let log = self.log_file();
        self.process = None;
        self.process = Some(ServerProcess::spawn(&mut command, &log, "KILL")?);
        Ok(())
    }

    /// Where the worker's REST interface listens on loopback.
    #[must_use]
    pub fn rest_port(&self) -> u16 {
        self.rest_port.number()
    }

    /// Waits until the REST interface answers.
    ///
    /// # Errors
    /// When two minutes pass.
    pub fn wait_rest(&self) -> Result<(), ServerError> {
        let port = self.rest_port();
        let answers = || get(port, "/connectors").filter(|answer| answer.contains(" 200 "));
        process::wait_until(START_LIMIT, answers)
            .map(drop)
            .ok_or_else(|| ServerError::NotReady {
                server: format!("Debezium {}", versions::DEBEZIUM),
                waited: START_LIMIT,
                log: process::tail(&fs::read_to_string(self.log_file()).unwrap_or_default()),
            })
    }

    /// Waits until the connector's task says RUNNING.
    ///
    /// # Errors
    /// When the worker ends, the task fails, or two minutes pass.
    pub fn wait_running(&mut self) -> Result<(), ServerError> {
        let port = self.rest_port.number();
        let log = self.log_file();
        let not_ready = |log: String| ServerError::NotReady {
            server: format!("Debezium {}", versions::DEBEZIUM),
            waited: START_LIMIT,
            log,
        };
        let Some(process) = self.process.as_mut() else {
            return Err(not_ready("not started".to_owned()));
        };
        let running = process::wait_until(START_LIMIT, || {
            if process.try_wait().is_some() {
                return Some(false);
            }
            match task_state(port)?.as_str() {
                "RUNNING" => Some(true),
                "FAILED" => Some(false),
                _ => None,
            }
        });
        if running == Some(true) {
            return Ok(());
        }
        Err(not_ready(process::tail(
            &fs::read_to_string(log).unwrap_or_default(),
        )))
    }

    /// SIGTERM, and waits; kills it after 30 seconds.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(STOP_LIMIT);
        }
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// The JVM's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The JVM's memory and processor time.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        process::usage(self.pid()?)
    }

    /// What the worker wrote.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("connect.log")
    }

    fn write(
        &self,
        file: &str,
        own: &[(&str, &str)],
        given: &[(String, String)],
    ) -> Result<(), ServerError> {
        let given = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut text = String::new();
        for (name, value) in own.iter().copied().chain(given) {
            let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\")); // a String: cannot fail
        }
        let path = self.directory.path().join(file);
        fs::write(&path, text).map_err(ServerError::file(&path))
    }
}

fn jars() -> Result<PathBuf, ServerError> {
    maven::jars(
        &format!(
            "debezium-{}-connect-{}",
            versions::DEBEZIUM,
            versions::KAFKA
        ),
        &[
            ("org.apache.kafka", "connect-runtime", versions::KAFKA),
            ("org.apache.kafka", "connect-json", versions::KAFKA),
            (
                "io.debezium",
                "debezium-connector-postgres",
                versions::DEBEZIUM,
            ),
            (
                "io.debezium",
                "debezium-connect-plugins",
                versions::DEBEZIUM,
            ),
            ("org.slf4j", "slf4j-simple", versions::SLF4J),
        ],
    )
}

/// `state` of task 0 by Connect's REST interface; `None` while there is no answer yet.
fn task_state(port: u16) -> Option<String> {
    let answer = get(port, &format!("/connectors/{CONNECTOR}/status"))?;
    let body = answer.get(answer.find('{')?..=answer.rfind('}')?)?;
    let status: serde_json::Value = serde_json::from_str(body).ok()?;
    Some(status.pointer("/tasks/0/state")?.as_str()?.to_owned())
}

/// The whole answer, head and body.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
