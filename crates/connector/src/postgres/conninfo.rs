//! Where the server is and how to get in: libpq's connection strings and `PG*` variables
//! ("Database Connection Control Functions", "Environment Variables").
//!
//! Pure: the environment is a function handed in, and no file is read here (certificates and the
//! password file are read when a connection is made). Every problem of a string is told at once,
//! and what libpq knows but walferry does not is refused by name rather than passed over.
//!
//! Differences from libpq, on purpose: `connect_timeout` is 10 s, TCP keepalives begin after 10 s
//! and `tcp_user_timeout` is 20 s unless said, so that a dead peer is found within 30 s; the unix
//! socket's directory is `/var/run/postgresql` unless said; `sslmode=allow` is refused.

mod keys;
mod text;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pgwire::ChannelBinding;
use thiserror::Error;

use self::keys::Settings;
pub use self::keys::{Problem, TargetSessionAttrs};
pub use self::text::SpellingError;
use crate::secret::Secret;

/// All that is needed to connect.
#[derive(Clone, Debug)]
pub struct Conninfo {
    /// The servers, in the order they are tried.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The database.
    pub dbname: String,
    /// Which kind of server will do.
    pub target_session_attrs: TargetSessionAttrs,
    /// For one host, from the name's lookup to the end of authentication; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// How a dead peer is found.
    pub tcp: TcpSettings,
    /// TLS.
    pub ssl: SslSettings,
    /// Whether SCRAM binds itself to the TLS session.
    pub channel_binding: ChannelBinding,
    /// As `pg_stat_replication` shows us. `walferry` unless said; a name listed in
    /// `synchronous_standby_names` would make commits wait for us.
    pub application_name: String,
    /// Command-line options for the backend.
    pub options: Option<String>,
    password: Option<Secret>,
    /// Where passwords are looked up when none is given.
    pub passfile: Option<PathBuf>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As written: for the certificate's name, the password file, and messages.
    pub name: String,
    /// Where to connect to.
    pub address: Address,
    /// The TCP port, or the number in the unix socket's name.
    pub port: u16,
}

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The host's name is looked up.
    Lookup,
    /// `hostaddr`, or a host written as an address.
    Ip(IpAddr),
    /// A directory with the socket `.s.PGSQL.port`.
    UnixDirectory(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::UnixDirectory(directory) => {
                write!(out, "{}/.s.PGSQL.{}", directory.display(), self.port)
            }
            _ if self.name.contains(':') => write!(out, "[{}]:{}", self.name, self.port),
            _ => write!(out, "{}:{}", self.name, self.port),
        }
    }
}

/// TCP options of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// `None` when `keepalives=0`.
    pub keepalives: Option<Keepalives>,
    /// How long sent bytes may stay unacknowledged; `None` leaves it to the system.
    pub user_timeout: Option<Duration>,
}

/// When probes are sent, and how many unanswered ones end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalives {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered probes.
    pub count: u32,
}

/// libpq's `sslmode`, without `allow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server has it, unverified. Anyone on the way can turn it off.
    #[default]
    Prefer,
    /// TLS, unverified unless a root certificate is given; then as `verify-ca`.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// And must be the host's.
    VerifyFull,
}

/// libpq's `sslnegotiation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslNegotiation {
    /// Ask first; every version.
    #[default]
    Postgres,
    /// TLS from the first byte; 17 and later.
    Direct,
}

/// Where trusted authorities come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    /// `sslrootcert=system`.
    System,
    /// A PEM file that must be there.
    File(PathBuf),
    /// libpq's default place, used when it exists.
    Default(Option<PathBuf>),
}

/// A client certificate and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and what leads to its authority.
    pub certificate: PathBuf,
    /// Its private key, unencrypted, readable by its owner only.
    pub key: PathBuf,
    /// Whether the two were named, or are libpq's default files that may be missing.
    pub named: bool,
}

/// All about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SslSettings {
    /// How much is asked for.
    pub mode: SslMode,
    /// How TLS begins.
    pub negotiation: SslNegotiation,
    /// Whom to trust.
    pub root: RootCertificates,
    /// Who we are.
    pub client: Option<ClientCertificate>,
}

/// A connection string that cannot be used, with everything wrong about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConninfoError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Conninfo {
    /// Reads a URL or keyword string; what it leaves open comes from the environment.
    ///
    /// # Errors
    /// Every problem of the string, none with a part of a password in it.
    pub fn parse(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConninfoError> {
        let mut settings = Settings::read(text, environment)?;
        let conninfo = settings.conninfo();
        match conninfo {
            Some(conninfo) if settings.problems.is_empty() => Ok(conninfo),
            _ => Err(ConninfoError {
                problems: settings.problems,
            }),
        }
    }

    /// The same with another password, from a file or a command of walferry's own configuration.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// The password given, if any; the password file is asked only without one.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// For messages: role, hosts and database, and nothing secret.
    #[must_use]
    pub fn target(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        format!(
            "{} at {}, database {}",
            self.user,
            hosts.join(","),
            self.dbname
        )
    }
}

impl FromStr for SslMode {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "disable" => Ok(SslMode::Disable),
            "prefer" => Ok(SslMode::Prefer),
            "require" => Ok(SslMode::Require),
            "verify-ca" => Ok(SslMode::VerifyCa),
            "verify-full" => Ok(SslMode::VerifyFull),
            "allow" => Err("allow tries without encryption first: use prefer, or require"),
            _ => Err("use disable, prefer, require, verify-ca or verify-full"),
        }
    }
}

#[cfg(test)]
mod tests;
