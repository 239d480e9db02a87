//! A throw-away Apache Kafka: one broker in KRaft mode, which is its own controller.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

use super::leash::Directory;
use super::process::{self, ServerProcess};
use super::{Port, ServerError, leash, maven, versions};

/// A JVM's start on two busy cores, with recovery of its logs after kill -9.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What kind of broker to start.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The JVM's `-Xmx`.
    pub heap_mib: u32,
    /// Lines for `server.properties`, later ones win.
    pub properties: Vec<(String, String)>,
    /// For a test that comes between the broker and its controller.
    pub controller: Option<ControllerPorts>,
}

/// Where the controller listens, and where its broker looks for it: a proxy that leads there.
#[derive(Debug, Clone, Copy)]
pub struct ControllerPorts {
    /// The controller's own port.
    pub listens: u16,
    /// The port that the broker connects to.
    pub sought: u16,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            heap_mib: 512,
            properties: Vec::new(),
            controller: None,
        }
    }
}

impl KafkaOptions {
    /// Adds one property.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running broker; killed and removed when dropped.
#[derive(Debug)]
pub struct KafkaServer {
    process: Option<ServerProcess>,
    jars: PathBuf,
    options: KafkaOptions,
    client_port: Port,
    controller_port: Port,
    directory: Directory,
}

impl KafkaServer {
    /// Provisions the artifacts, formats the storage, starts, and waits until metadata is answered.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the broker does not come up.
    pub fn start(options: &KafkaOptions) -> Result<Self, ServerError> {
        let mut server = Self {
            process: None,
            jars: jars()?,
            options: options.clone(),
            client_port: Port::reserve()?,
            controller_port: Port::reserve()?,
            directory: leash::directory("kafka")?,
        };
        let properties = server.properties_file();
        fs::write(&properties, server.properties()).map_err(ServerError::file(&properties))?;
        let mut format = server.java("kafka.tools.StorageTool")?;
        format
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(&properties);
        process::run(&mut format, "formatting Kafka's storage")?;
        server.restart()?;
        Ok(server)
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9): same data, same ports.
    ///
    /// # Errors
    /// When it does not come up; the message carries the end of its log.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        if self
            .process
            .as_mut()
            .is_some_and(|process| process.try_wait().is_none())
        {
            return Ok(());
        }
        let mut command = self.java("kafka.Kafka")?;
        command.arg(self.properties_file());
        let log = self.log_file();
        let address = self.bootstrap_servers();
        let process = self
            .process
            .insert(ServerProcess::spawn(&mut command, &log, "KILL")?);
        let ready = process::wait_until(START_LIMIT, || {
            if process.try_wait().is_some() {
                return Some(false);
            }
            answers_metadata(&address).then_some(true)
        });
        if ready == Some(true) {
            return Ok(());
        }
        Err(ServerError::NotReady {
            server: format!("Kafka {}", versions::KAFKA),
            waited: START_LIMIT,
            log: process.log_tail(),
        })
    }

    /// SIGTERM, and waits for the controlled shutdown.
    ///
    /// # Errors
    /// When it does not end in 30 seconds; it is killed then.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.signal(Signal::TERM);
        match process.wait(STOP_LIMIT) {
            Some(_) => Ok(()),
            None => Err(ServerError::Refused {
                server: "Kafka".to_owned(),
                message: format!("did not stop in {STOP_LIMIT:?}:\n{}", process.log_tail()),
            }),
        }
    }

    /// kill -9.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: sockets stay open, nothing is answered.
    pub fn pause(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::STOP);
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::CONT);
        }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.client_port.number())
    }

    /// The broker's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// What the broker wrote.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("kafka.log")
    }

    /// A `java` that runs one of Kafka's own classes, for example
    /// `org.apache.kafka.tools.TopicCommand`.
    ///
    /// # Errors
    /// When there is no Java.
    pub fn tool(&self, class: &str) -> Result<Command, ServerError> {
        self.java(class)
    }

    fn java(&self, class: &str) -> Result<Command, ServerError> {
        // C1 alone would start faster, but a broker that lives for minutes is better compiled.
        maven::java(
            &self.jars,
            self.options.heap_mib,
            &["-Djava.awt.headless=true"],
            class,
        )
    }

    fn properties_file(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    fn properties(&self) -> String {
        let client = self.client_port.number();
        let own = self.controller_port.number();
        let ControllerPorts { listens, sought } =
            self.options.controller.unwrap_or(ControllerPorts {
                listens: own,
                sought: own,
            });
        let logs = self.directory.path().join("logs");
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{sought}\n\
             listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{listens}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{client}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n",
            logs.display()
        );
        let own = ONE_BROKER.iter().map(|(name, value)| (*name, *value));
        let given = self
            .options
            .properties
            .iter()
            .map(|(name, value)| (&**name, &**value));
        for (name, value) in own.chain(given) {
            let _ = writeln!(text, "{name}={value}"); // writing to a String cannot fail
        }
        text
    }
}

/// Kafka's own jars, from the cache or provisioned.
fn jars() -> Result<PathBuf, ServerError> {
    let core = format!("kafka_{}", versions::KAFKA_SCALA);
    maven::jars(
        &format!("kafka-{}", versions::KAFKA),
        &[
            ("org.apache.kafka", &core, versions::KAFKA),
            ("org.apache.kafka", "kafka-tools", versions::KAFKA),
            ("org.slf4j", "slf4j-simple", versions::SLF4J),
        ],
    )
}

fn answers_metadata(address: &str) -> bool {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("log_level", "0")
        .set("reconnect.backoff.ms", "50")
        .create::<BaseConsumer>();
    let Ok(consumer) = consumer else { return false };
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(1));
    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// Any 16 bytes in URL-safe base64 are a cluster id.
const CLUSTER_ID: &str = "d2FsZmVycnktdGVzdHMtMQ";

/// What one broker alone needs, and what makes it small and quick.
const ONE_BROKER: [(&str, &str); 14] = [
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("default.replication.factor", "1"),
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    ("controlled.shutdown.enable", "true"),
];
