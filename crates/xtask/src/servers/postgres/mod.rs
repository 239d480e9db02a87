//! A throw-away Postgres: own data directory, own loopback port and unix socket, `wal_level=logical`.

mod binaries;
mod data;
mod session;
mod standby;
mod superuser;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use self::superuser::Account;
use super::leash::Directory;
use super::process::{self, ServerProcess};
use super::{Port, ServerError, leash, versions};

pub use self::binaries::Binaries;
pub use self::standby::Slots;

/// A first start on a busy machine, after kill -9, with recovery.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A fast shutdown waits for walsenders; a connector that misbehaves must fail its test, not hang it.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What happens to commits when the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// `fsync` off: for tests in which the machine does not lose power.
    #[default]
    Fast,
    /// As in production.
    Safe,
}

/// `pg_ctl stop -m`'s modes that make sense here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, a checkpoint is written, walsenders may send the rest.
    Fast,
    /// As after a crash: recovery at the next start.
    Immediate,
}

/// Where the data directory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cluster {
    /// A copy of one that initdb made before: quick, and with the same system identifier as all
    /// other copies.
    #[default]
    Copied,
    /// By initdb: a few seconds, and a system identifier of its own.
    New,
}

/// What kind of server to start.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// 14 to 18.
    pub major: u32,
    /// See [`Durability`].
    pub durability: Durability,
    /// See [`Cluster`].
    pub cluster: Cluster,
    /// Lines for `postgresql.conf`, later ones win: `("max_slot_wal_keep_size", "1MB")`.
    pub settings: Vec<(String, String)>,
    /// `pg_hba.conf` as a whole; `None` trusts everyone on loopback and on the socket.
    pub hba: Option<String>,
    /// Files put into the data directory, mode 0600: `("server.crt", …)`.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            major: versions::POSTGRES_MAJOR_DEFAULT,
            durability: Durability::default(),
            cluster: Cluster::default(),
            settings: Vec::new(),
            hba: None,
            files: Vec::new(),
        }
    }
}

impl PostgresOptions {
    /// Adds one setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server with a superuser `postgres`; stopped and removed when dropped.
#[derive(Debug)]
pub struct PostgresServer {
    process: Option<ServerProcess>,
    binaries: Binaries,
    account: Account,
    port: Port,
    directory: Directory,
}

impl PostgresServer {
    /// Finds or provisions the binaries, makes a data directory, starts, and waits until connections
    /// are accepted.
    ///
    /// # Errors
    /// When there is no such Postgres and none can be had, or when it does not start.
    pub fn start(options: &PostgresOptions) -> Result<Self, ServerError> {
        let binaries = Binaries::find(options.major)?;
        let account = Account::choose();
        let directory = leash::directory("pg")?;
        account.own(directory.path())?;
        let mut server = Self {
            process: None,
            binaries,
            account,
            port: Port::reserve()?,
            directory,
        };
        server.make_data_directory(options)?;
        server.restart()?;
        Ok(server)
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill9`](Self::kill9): same data, same port.
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
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data_directory());
        let log = self.log_file();
        // QUIT: the postmaster ends its children too, each of which leads a group of its own.
        let process = self
            .process
            .insert(ServerProcess::spawn(&mut command, &log, "QUIT")?);
        let status_file = self.directory.path().join("data/postmaster.pid");
        let ready = process::wait_until(START_LIMIT, || {
            if process.try_wait().is_some() {
                return Some(false);
            }
            // Line 8 is the postmaster's state since Postgres 10 (miscinit.h, pidfile.h).
            let status = fs::read_to_string(&status_file).unwrap_or_default();
            let ours = status.lines().next() == Some(process.pid().to_string().as_str());
            (ours && status.lines().nth(7).map(str::trim) == Some("ready")).then_some(true)
        });
        if ready == Some(true) {
            return Ok(());
        }
        Err(ServerError::NotReady {
            server: format!("Postgres {}", self.binaries.major()),
            waited: START_LIMIT,
            log: process.log_tail(),
        })
    }

    /// Stops it in an orderly way and waits for the end. Returns how long that took.
    ///
    /// # Errors
    /// When it does not end in 30 seconds; it is killed then.
    pub fn stop(&mut self, how: Shutdown) -> Result<Duration, ServerError> {
        let Some(mut process) = self.process.take() else {
            return Ok(Duration::ZERO);
        };
        let start = std::time::Instant::now();
        // The signals of `pg_ctl stop` (manual: "Shutting Down the Server").
        process.signal(match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        });
        if process.wait(STOP_LIMIT).is_some() {
            return Ok(start.elapsed());
        }
        process::kill_tree(process.pid());
        Err(ServerError::Refused {
            server: format!("Postgres {}", self.binaries.major()),
            message: format!("did not stop in {STOP_LIMIT:?}:\n{}", process.log_tail()),
        })
    }

    /// kill -9 of the postmaster and of all its children, as when the machine loses power.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process::kill_tree(process.pid());
        }
    }

    /// Appends settings to `postgresql.conf`; they count from the next (re)start or reload.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<(), ServerError> {
        let path = self.data_directory().join("postgresql.conf");
        let mut file = fs::File::options()
            .append(true)
            .open(&path)
            .map_err(ServerError::file(&path))?;
        for (name, value) in settings {
            writeln!(file, "{name} = '{}'", value.replace('\'', "''"))
                .map_err(ServerError::file(&path))?;
        }
        Ok(())
    }

    /// SIGHUP: reads `postgresql.conf` and `pg_hba.conf` again.
    pub fn reload(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::HUP);
        }
    }

    /// Runs SQL, without results. Several statements are one transaction unless they say otherwise.
    ///
    /// # Errors
    /// What the server says about it.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), ServerError> {
        self.query_text(database, sql).map(drop)
    }

    /// Runs SQL; the first column of all rows as Postgres' text, NULL as an empty string.
    ///
    /// # Errors
    /// What the server says about it.
    pub fn query_text(&self, database: &str, sql: &str) -> Result<Vec<String>, ServerError> {
        session::query_text(&self.socket_url_for(database), sql).map_err(|message| {
            ServerError::Refused {
                server: format!("Postgres {}", self.binaries.major()),
                message,
            }
        })
    }

    /// Its TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The directory of its unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// libpq URL over TCP, as the superuser, to database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for("postgres")
    }

    /// libpq URL over TCP, as the superuser.
    #[must_use]
    pub fn url_for(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// libpq URL over the unix socket, as the superuser.
    #[must_use]
    pub fn socket_url_for(&self, database: &str) -> String {
        let host = self.socket_directory().display();
        format!(
            "postgresql://postgres@/{database}?host={host}&port={}",
            self.port()
        )
    }

    /// libpq keyword string over the unix socket, as the superuser, to database `postgres`.
    #[must_use]
    pub fn conninfo(&self) -> String {
        let host = self.socket_directory().display();
        format!(
            "host={host} port={} user=postgres dbname=postgres",
            self.port()
        )
    }

    /// `PGDATA`.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the server wrote to stderr.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("postgres.log")
    }

    /// The postmaster's process id; backends are its [`process::descendants`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Where its programs are. Only some installations have `psql`, `pgbench` or `pg_recvlogical`.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.account.command(&self.binaries.program(program));
        command.current_dir(self.directory.path());
        command
    }

    fn make_data_directory(&self, options: &PostgresOptions) -> Result<(), ServerError> {
        data::make(
            options.cluster,
            &self.binaries,
            &self.account,
            self.directory.path(),
        )?;
        let data = self.data_directory();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
            .map_err(ServerError::file(&data))?;
        for (file, content) in &options.files {
            self.put_file(file, content)?;
        }
        if let Some(hba) = &options.hba {
            self.put_file("pg_hba.conf", hba.as_bytes())?;
        }
        let port = self.port().to_string();
        let socket = self.directory.path().display().to_string();
        self.configure(&[
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &socket),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("shared_buffers", "64MB"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ])?;
        if options.durability == Durability::Fast {
            // Not synchronous_commit: what has been committed must be in the WAL that is read.
            self.configure(&[("fsync", "off"), ("full_page_writes", "off")])?;
        }
        let settings: Vec<(&str, &str)> = options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.configure(&settings)
    }

    fn put_file(&self, name: &str, content: &[u8]) -> Result<(), ServerError> {
        let path = self.data_directory().join(name);
        fs::write(&path, content).map_err(ServerError::file(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(ServerError::file(&path))?;
        self.account.own(&path)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill9();
    }
}
