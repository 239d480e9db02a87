//! A competitor that runs, whatever it is.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use xtask::servers::process::ServerProcess;
use xtask::servers::{DebeziumConnect, DebeziumOptions};

/// What the others need tens of megabytes for; the JVM is given what its tuning asks for.
const DEBEZIUM_HEAP_MIB: u32 = 1024;

/// How much of a log is shown when something went wrong.
const LOG_LINES: usize = 25;

/// A process that is killed when dropped.
#[derive(Debug)]
pub(super) enum Running {
    /// One of the native programs.
    Process(ServerProcess),
    /// A Connect worker with the connector in it.
    Debezium(DebeziumConnect),
}

impl Running {
    /// Starts Debezium with these connector properties.
    ///
    /// # Errors
    /// When Java or the artifacts cannot be had.
    pub(super) fn debezium(
        bootstrap_servers: &str,
        connector: Vec<(String, String)>,
    ) -> Result<Self> {
        let options = DebeziumOptions {
            bootstrap_servers: bootstrap_servers.to_owned(),
            heap_mib: DEBEZIUM_HEAP_MIB,
            worker: Vec::new(),
            connector,
        };
        Ok(Self::Debezium(DebeziumConnect::start(&options)?))
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it could not be started.
    pub(super) fn pid(&self) -> Result<u32> {
        match self {
            Self::Process(process) => Ok(process.pid()),
            Self::Debezium(connect) => connect.pid().context("Connect does not run"),
        }
    }

    /// The end of its log.
    #[must_use]
    pub(super) fn log_tail(&self) -> String {
        match self {
            Self::Process(process) => process.log_tail(),
            Self::Debezium(connect) => {
                let log = fs::read_to_string(connect.log_file()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            }
        }
    }

    /// Ends it: one that stops by itself must do so now, and well; the others are asked to.
    ///
    /// # Errors
    /// When it ends with an error, or not in time.
    pub(super) fn end(self, how: End) -> Result<()> {
        match (self, how) {
            (Self::Process(mut process), how) => {
                if how == End::Asked {
                    process.signal(Signal::TERM);
                }
                let status = process.wait(Duration::from_secs(20)).with_context(|| {
                    format!("it does not end; its log:\n{}", process.log_tail())
                })?;
                ensure!(
                    status.success(),
                    "it ended with {status}:\n{}",
                    process.log_tail()
                );
                Ok(())
            }
            (Self::Debezium(mut connect), _) => {
                connect.kill9();
                Ok(())
            }
        }
    }
}

/// Why a competitor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was started with an end position and has reached it.
    ByItself,
    /// We ask it to (SIGTERM).
    Asked,
}
