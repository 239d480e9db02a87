//! What stands on the stage: Postgres, the broker, and walferry between them, run as a user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use xtask::servers::process::ServerProcess;
use xtask::servers::{Directory, Durability, Port, PostgresOptions, PostgresServer, directory};

use super::broker::Broker;
use super::shop;
use crate::binary;

const DATABASE: &str = "shop";
const ROLE: &str = "walferry";

/// Generous: a debug build on a busy machine, with a real Kafka that creates topics.
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often a wait asks Postgres again.
const LOOK: Duration = Duration::from_millis(20);

/// The parts, in the order in which they go when dropped: walferry first.
pub(super) struct Stage {
    walferry: Option<ServerProcess>,
    broker: Broker,
    postgres: PostgresServer,
    directory: Directory,
    name: String,
    admin_port: Port,
}

impl Stage {
    /// Postgres with the shop in it, and the broker.
    pub(super) fn set(postgres: PostgresServer, broker: Broker) -> Result<Self> {
        // In a Kafka of its own the demo is called what a user would call it. In somebody else's it
        // must not meet the topics and the progress of an earlier one.
        let name = match &broker {
            Broker::Embedded(_) => DATABASE.to_owned(),
            Broker::Given(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
                format!("shop_{}", now.as_secs())
            }
        };
        postgres.execute("postgres", &format!("create role {ROLE} login replication"))?;
        postgres.execute(
            "postgres",
            &format!("create database {DATABASE} owner {ROLE}"),
        )?;
        let stage = Self {
            walferry: None,
            broker,
            postgres,
            directory: directory("demo")?,
            name,
            admin_port: Port::reserve()?,
        };
        stage.execute(shop::SCHEMA)?;
        for topic in stage.topics() {
            stage.broker.make_topic(&topic)?;
        }
        stage
            .broker
            .make_topic(&format!("walferry.progress.{}", stage.slot()))?;
        Ok(stage)
    }

    /// Starts a throw-away Postgres for it.
    pub(super) fn postgres(major: u32) -> Result<PostgresServer> {
        // As in production: a commit that does not wait for its flush is sent only when the WAL
        // writer comes round, up to 200 ms later.
        let options = PostgresOptions {
            major,
            durability: Durability::Safe,
            ..PostgresOptions::default()
        };
        Ok(PostgresServer::start(&options)?)
    }

    /// Runs SQL as the service would, in the role that owns the tables.
    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        let sql = format!("set role {ROLE}; {sql}");
        Ok(self.postgres.execute(DATABASE, &sql)?)
    }

    /// The database, as walferry and the shop's service reach it.
    pub(super) fn url(&self) -> String {
        format!(
            "postgresql://{ROLE}@127.0.0.1:{}/{DATABASE}",
            self.postgres.port()
        )
    }

    /// The topics into which the shop's tables go.
    pub(super) fn topics(&self) -> Vec<String> {
        shop::TABLES
            .iter()
            .map(|table| format!("{}.public.{table}", self.name))
            .collect()
    }

    /// The Kafka.
    pub(super) fn bootstrap_servers(&self) -> String {
        self.broker.bootstrap_servers()
    }

    /// walferry's page.
    pub(super) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.admin_port.number())
    }

    /// The slot's name.
    pub(super) fn slot(&self) -> String {
        format!("walferry_{}", self.name)
    }

    /// Where walferry's configuration is.
    pub(super) fn config_file(&self) -> PathBuf {
        self.directory.path().join("walferry.yaml")
    }

    /// The configuration: what a user would write.
    pub(super) fn yaml(&self) -> String {
        let name = &self.name;
        let url = self.url();
        let bootstrap_servers = self.bootstrap_servers();
        let create = self.broker.create();
        let port = self.admin_port.number();
        format!(
            "name: {name}\n\
             postgres:\n  url: {url}\n\
             kafka:\n  bootstrap.servers: {bootstrap_servers}\n\
             topics:\n  prefix: {name}\n  partitions: 1\n  create: {create}\n\
             tables:\n  include: [ \"public.*\" ]\n\
             snapshot:\n  snapshot.mode: no_data\n\
             envelope:\n  decimal.handling.mode: string\n\
             admin:\n  listen: 127.0.0.1:{port}\n"
        )
    }

    /// Runs `walferry run` and waits until it has the slot. Returns how long that took.
    pub(super) fn start_walferry(&mut self, program: &Path) -> Result<Duration> {
        fs::write(self.config_file(), self.yaml())?;
        let log = self.directory.path().join("walferry.log");
        let mut command = binary::command(program);
        command.arg("run").arg("-c").arg(self.config_file());
        let start = Instant::now();
        self.walferry = Some(ServerProcess::spawn(&mut command, &log, "TERM")?);
        let active = format!(
            "select 1::text from pg_replication_slots where slot_name = '{}' and active",
            self.slot()
        );
        while self.postgres.query_text(DATABASE, &active)?.is_empty() {
            self.ensure_walferry_runs()?;
            ensure!(
                start.elapsed() < READY_LIMIT,
                "walferry does not stream after {READY_LIMIT:?}; its log ends:\n{}",
                self.walferry_log()
            );
            thread::sleep(LOOK);
        }
        Ok(start.elapsed())
    }

    /// Fails, with the end of its log, when walferry has ended.
    pub(super) fn ensure_walferry_runs(&mut self) -> Result<()> {
        match self.walferry.as_mut().and_then(ServerProcess::try_wait) {
            None => Ok(()),
            Some(status) => bail!(
                "walferry ended with {status}; its log ends:\n{}",
                self.walferry_log()
            ),
        }
    }

    /// The end of walferry's log.
    pub(super) fn walferry_log(&self) -> String {
        self.walferry
            .as_ref()
            .map(ServerProcess::log_tail)
            .unwrap_or_default()
    }

    /// Waits until the slot is confirmed up to the end of what is written now; says how far it is
    /// and how far WAL goes.
    pub(super) fn confirmed(&self) -> Result<(String, String)> {
        let end = self.text("select pg_current_wal_flush_lsn()::text")?;
        let slot = self.slot();
        let reached = format!(
            "select (confirmed_flush_lsn >= '{end}')::text from pg_replication_slots \
             where slot_name = '{slot}'"
        );
        let start = Instant::now();
        while self.text(&reached)? != "true" && start.elapsed() < Duration::from_secs(15) {
            thread::sleep(LOOK);
        }
        let confirmed = format!(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{slot}'"
        );
        Ok((self.text(&confirmed)?, end))
    }

    fn text(&self, sql: &str) -> Result<String> {
        let rows = self.postgres.query_text(DATABASE, sql)?;
        rows.into_iter()
            .next()
            .with_context(|| format!("no answer to: {sql}"))
    }

    /// Ends walferry as an operator would, by SIGTERM. Returns how long that took.
    pub(super) fn stop_walferry(&mut self) -> Result<Duration> {
        let Some(mut walferry) = self.walferry.take() else {
            return Ok(Duration::ZERO);
        };
        let start = Instant::now();
        walferry.signal(Signal::TERM);
        let status = walferry.wait(STOP_LIMIT).with_context(|| {
            format!(
                "walferry does not stop; its log ends:\n{}",
                walferry.log_tail()
            )
        })?;
        ensure!(
            status.success(),
            "walferry ended with {status}:\n{}",
            walferry.log_tail()
        );
        Ok(start.elapsed())
    }
}
