//! The servers of one benchmark, what is in them, and how each competitor is started against them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::competitor::{
    Addresses, Competitor, PUBLICATION, Phase, Program, Socket, debezium_properties, walferry_yaml,
};
use super::load::Load;
use super::running::Running;
use super::topic::{self, Topic};
use super::workload::Database;
use crate::binary;
use xtask::servers::process::{ServerProcess, wait_until};
use xtask::servers::{
    Directory, Durability, KafkaOptions, KafkaServer, PostgresOptions, PostgresServer, directory,
};

const USER: &str = "postgres";
const DATABASE: &str = "postgres";

/// One Postgres, one Kafka, the tables, a publication of them.
pub(super) struct World {
    postgres: PostgresServer,
    kafka: KafkaServer,
    database: Database,
    directory: Directory,
    walferry: Option<PathBuf>,
}

impl World {
    /// Starts the servers and makes the tables. `walferry` is the release binary, where it takes
    /// part.
    ///
    /// # Errors
    /// When a server cannot be had; the message says what to install.
    pub(super) fn start(major: u32, walferry: Option<PathBuf>) -> Result<Self> {
        let options = PostgresOptions {
            major,
            durability: Durability::Safe,
            ..PostgresOptions::default()
        };
        // Postgres' own default; the tests' servers have less.
        let postgres = PostgresServer::start(
            &options
                .with("shared_buffers", "128MB")
                .with("max_prepared_transactions", "16"),
        )?;
        let kafka = KafkaServer::start(&KafkaOptions {
            heap_mib: 1024,
            ..KafkaOptions::default()
        })?;
        topic::warm_up(&kafka.bootstrap_servers())?;
        let database = Database::connect(&postgres.socket_url_for(DATABASE))?;
        for load in Load::ALL {
            if let Some(create) = load.create() {
                database.execute(&create)?;
            }
        }
        let tables = Load::ALL.into_iter().filter(|load| load.create().is_some());
        let tables = tables.map(Load::name).collect::<Vec<_>>().join(", ");
        database.execute(&format!(
            "create publication {PUBLICATION} for table {tables}"
        ))?;
        Ok(Self {
            postgres,
            kafka,
            database,
            directory: directory("bench")?,
            walferry,
        })
    }

    /// A superuser's session.
    #[must_use]
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Postgres, over its unix socket.
    #[must_use]
    pub(super) fn url(&self) -> String {
        self.postgres.socket_url_for(DATABASE)
    }

    /// Postgres' own version.
    #[must_use]
    pub(super) fn postgres_version(&self) -> &str {
        self.postgres.binaries().version()
    }

    /// Whether `who` can run here; else why not.
    #[must_use]
    pub(super) fn obstacle(&self, who: Competitor) -> Option<String> {
        match who.program {
            Program::PgRecvlogical => self.pg_recvlogical().is_none().then(|| {
                "there is no pg_recvlogical; install Postgres' client programs \
                 (Debian: apt-get install postgresql-client)"
                    .to_owned()
            }),
            Program::Debezium => None,
            Program::Walferry => self
                .walferry
                .is_none()
                .then(|| "it was not built".to_owned()),
        }
    }

    fn pg_recvlogical(&self) -> Option<PathBuf> {
        self.postgres.binaries().client_program("pg_recvlogical")
    }

    /// Makes the slot of `who`: what is written from now on waits in it.
    ///
    /// # Errors
    /// When the server refuses.
    pub(super) fn create_slot(&self, who: Competitor, phase: Phase) -> Result<()> {
        let slot = who.slot(phase);
        self.database.text(&format!(
            "select slot_name::text from pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ))?;
        Ok(())
    }

    /// Drops the slot of `who`, once the server has noticed that its reader is gone.
    ///
    /// # Errors
    /// When it stays in use.
    pub(super) fn drop_slot(&self, who: Competitor, phase: Phase) -> Result<()> {
        let slot = who.slot(phase);
        let mut last = None;
        let dropped = wait_until(Duration::from_secs(20), || {
            let end =
                "select count(pg_terminate_backend(active_pid))::text from pg_replication_slots";
            let drop = format!("select pg_drop_replication_slot('{slot}')::text");
            let outcome = self
                .database
                .text(&format!("{end} where slot_name = '{slot}' and active"))
                .and_then(|_| self.database.text(&format!("{drop} || ''")));
            last = outcome.err();
            last.is_none().then_some(())
        });
        match (dropped, last) {
            (Some(()), _) => Ok(()),
            (None, Some(error)) => Err(error),
            (None, None) => bail!("slot {slot} stays in use"),
        }
    }

    /// Makes the topic into which `who` publishes the table.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(super) fn topic(&self, who: Competitor, phase: Phase) -> Result<Topic> {
        let prefix = who.topic_prefix(phase);
        let name = format!("{prefix}.{}", phase.topic());
        let topic = Topic::create(&self.kafka.bootstrap_servers(), &name)?;
        topic.records()?; // so that the connection stands before the clock runs
        Ok(topic)
    }

    /// Starts `who`; those that can, stop by themselves at `end`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_competitor(
        &self,
        who: Competitor,
        phase: Phase,
        end: Option<&str>,
    ) -> Result<Running> {
        match who.program {
            Program::PgRecvlogical => self.start_pg_recvlogical(who, phase, end),
            Program::Debezium => self.start_debezium(who, phase),
            Program::Walferry => self.start_walferry(who, phase, end),
        }
    }

    fn start_pg_recvlogical(
        &self,
        who: Competitor,
        phase: Phase,
        end: Option<&str>,
    ) -> Result<Running> {
        let program = self
            .pg_recvlogical()
            .context("there is no pg_recvlogical")?;
        let port = self.postgres.port();
        let host = match who.socket {
            Socket::Unix => self.postgres.socket_directory().display().to_string(),
            Socket::Tcp => "127.0.0.1".to_owned(),
        };
        let mut command = Command::new(program);
        command
            .arg(format!(
                "--dbname=host={host} port={port} user={USER} dbname={DATABASE}"
            ))
            .arg(format!("--slot={}", who.slot(phase)))
            .args(["--start", "--no-loop", "--file=/dev/null"])
            .args(["--option=proto_version=1"])
            .arg(format!("--option=publication_names={PUBLICATION}"));
        if phase.has_messages() {
            command.arg("--option=messages=true");
        }
        if let Some(end) = end {
            command.arg(format!("--endpos={end}"));
        }
        self.spawn(&mut command, who, phase)
    }

    fn start_walferry(&self, who: Competitor, phase: Phase, end: Option<&str>) -> Result<Running> {
        let program = self.walferry.as_ref().context("walferry was not built")?;
        let config = self
            .directory
            .path()
            .join(format!("{}.yaml", who.slot(phase)));
        fs::write(&config, walferry_yaml(who, phase, &self.addresses()))?;
        let mut command = binary::command(program);
        command.arg("run").arg("-c").arg(&config);
        if let Some(end) = end {
            command.args(["--until", end]);
        }
        self.spawn(&mut command, who, phase)
    }

    fn spawn(&self, command: &mut Command, who: Competitor, phase: Phase) -> Result<Running> {
        let log = self
            .directory
            .path()
            .join(format!("{}.log", who.slot(phase)));
        Ok(Running::Process(ServerProcess::spawn(
            command, &log, "TERM",
        )?))
    }

    fn start_debezium(&self, who: Competitor, phase: Phase) -> Result<Running> {
        let properties = debezium_properties(who, phase, &self.addresses());
        Running::debezium(&self.kafka.bootstrap_servers(), properties)
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            socket_dir: self.postgres.socket_directory().to_owned(),
            postgres_port: self.postgres.port(),
            user: USER,
            database: DATABASE,
            bootstrap_servers: self.kafka.bootstrap_servers(),
        }
    }
}
