//! libpq's keys: which there are, which variables stand for them, and what their values mean.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pgwire::ChannelBinding;
use thiserror::Error;

use super::text::{self, SpellingError};
use super::{
    Address, ClientCertificate, Conninfo, ConninfoError, Host, Keepalives, RootCertificates,
    SslMode, SslNegotiation, SslSettings, TcpSettings,
};
use crate::secret::Secret;

/// libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// The first that lets us in.
    #[default]
    Any,
    /// One where transactions can write.
    ReadWrite,
    /// One where they cannot.
    ReadOnly,
    /// Not in recovery.
    Primary,
    /// In recovery.
    Standby,
    /// In recovery if there is one, else any.
    PreferStandby,
}

/// One thing wrong with a connection string.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// It cannot be cut into settings.
    #[error(transparent)]
    Spelling(#[from] SpellingError),
    /// No key of libpq's.
    #[error("there is no connection parameter '{key}'{}", nearest.map(|near| format!(
        "; did you mean '{near}'?")).unwrap_or_default())]
    UnknownKey {
        /// As written.
        key: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// An unknown key right after a password is more likely the password's second half.
    #[error("what follows the password is no connection parameter; quote a password with spaces")]
    AfterPassword,
    /// libpq has it, walferry does not.
    #[error("connection parameter '{key}' is not supported: {instead}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A value its key does not take.
    #[error("connection parameter '{key}'{}: {expected}", source_of(.variable))]
    Value {
        /// The key.
        key: &'static str,
        /// The environment variable that it came from, if it did.
        variable: Option<&'static str>,
        /// What it takes.
        expected: &'static str,
    },
    /// Nothing tells the role.
    #[error("no user: write it into the URL, or set PGUSER")]
    NoUser,
}

fn source_of(variable: &Option<&'static str>) -> String {
    variable
        .map(|name| format!(" (from {name})"))
        .unwrap_or_default()
}

/// Key and environment variable of what walferry takes.
const KEYS: [(&str, Option<&str>); 29] = [
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("port", Some("PGPORT")),
    ("dbname", Some("PGDATABASE")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("passfile", Some("PGPASSFILE")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("keepalives", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("keepalives_count", None),
    ("tcp_user_timeout", None),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslcompression", None),
    ("sslsni", None),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("application_name", Some("PGAPPNAME")),
    ("fallback_application_name", None),
    ("options", Some("PGOPTIONS")),
    ("client_encoding", None),
    ("gssencmode", None),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("replication", None),
];

/// What libpq knows beside, and what to do instead.
const UNSUPPORTED: [(&str, &str); 18] = [
    ("service", "write the service's settings into the URL"),
    ("servicefile", "write the service's settings into the URL"),
    ("sslcrl", "revocation lists are not read"),
    ("sslcrldir", "revocation lists are not read"),
    (
        "sslpassword",
        "store the key unencrypted, readable by its owner only",
    ),
    ("sslcertmode", "leave sslcert away, or name it"),
    ("sslkeylogfile", "session keys are not written out"),
    (
        "ssl_min_protocol_version",
        "TLS 1.2 is the least that is spoken",
    ),
    ("ssl_max_protocol_version", "TLS 1.2 and 1.3 are spoken"),
    ("min_protocol_version", "protocol 3.0 is spoken"),
    ("max_protocol_version", "protocol 3.0 is spoken"),
    ("require_auth", "channel_binding=require forces SCRAM"),
    (
        "requirepeer",
        "keep strangers out of the socket's directory",
    ),
    (
        "krbsrvname",
        "there is no Kerberos; use scram-sha-256 or a client certificate",
    ),
    (
        "gsslib",
        "there is no GSSAPI; use scram-sha-256 or a client certificate",
    ),
    (
        "gssdelegation",
        "there is no GSSAPI; use scram-sha-256 or a client certificate",
    ),
    (
        "oauth_issuer",
        "there is no OAuth; use scram-sha-256 or a client certificate",
    ),
    (
        "oauth_client_id",
        "there is no OAuth; use scram-sha-256 or a client certificate",
    ),
];

const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// A value and the variable that it came from.
struct Value {
    text: String,
    variable: Option<&'static str>,
}

/// The settings of a string and its environment, and what was found wrong on the way.
pub(super) struct Settings {
    values: Vec<(&'static str, Value)>,
    home: Option<PathBuf>,
    login: Option<String>,
    pub(super) problems: Vec<Problem>,
}

impl Settings {
    pub(super) fn read(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConninfoError> {
        let given = text::settings(text).map_err(|error| ConninfoError {
            problems: vec![error.into()],
        })?;
        let filled = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut settings = Settings {
            values: Vec::new(),
            home: filled("HOME").map(PathBuf::from),
            login: filled("USER").or_else(|| filled("LOGNAME")),
            problems: Vec::new(),
        };
        let mut after_password = false;
        for setting in given {
            let known = KEYS.iter().find(|(key, _)| *key == setting.key);
            if let Some((key, _)) = known {
                settings.values.retain(|(other, _)| other != key);
                settings.values.push((
                    key,
                    Value {
                        text: setting.value,
                        variable: None,
                    },
                ));
            } else {
                settings
                    .problems
                    .push(unknown(&setting.key, after_password));
            }
            after_password = setting.key == "password";
        }
        for (key, variable) in KEYS {
            let Some(variable) = variable else { continue };
            if !settings.values.iter().any(|(known, _)| *known == key)
                && let Some(text) = filled(variable)
            {
                settings.values.push((
                    key,
                    Value {
                        text,
                        variable: Some(variable),
                    },
                ));
            }
        }
        settings.values.retain(|(_, value)| !value.text.is_empty());
        Ok(settings)
    }

    /// Everything typed; `None` only together with a problem.
    pub(super) fn conninfo(&mut self) -> Option<Conninfo> {
        self.refuse_what_cannot_be_kept();
        let hosts = self.hosts();
        let user = self.text("user").or_else(|| self.login.clone());
        if user.is_none() {
            self.problems.push(Problem::NoUser);
        }
        let ssl = self.ssl();
        let tcp = self.tcp();
        let connect_timeout = self.seconds("connect_timeout", Duration::from_secs(10));
        let target_session_attrs = self.parsed("target_session_attrs");
        let channel_binding = self.channel_binding();
        let passfile = self
            .text("passfile")
            .map(PathBuf::from)
            .or_else(|| self.home.as_ref().map(|home| home.join(".pgpass")));
        let user = user?;
        Some(Conninfo {
            hosts,
            dbname: self.text("dbname").unwrap_or_else(|| user.clone()),
            user,
            target_session_attrs,
            connect_timeout,
            tcp,
            ssl,
            channel_binding,
            application_name: self
                .text("application_name")
                .or_else(|| self.text("fallback_application_name"))
                .unwrap_or_else(|| "walferry".to_owned()),
            options: self.text("options"),
            password: self.text("password").map(Secret::new),
            passfile,
        })
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).map(|value| value.text.clone())
    }

    fn wrong(&mut self, key: &'static str, expected: &'static str) {
        let variable = self.value(key).and_then(|value| value.variable);
        self.problems.push(Problem::Value {
            key,
            variable,
            expected,
        });
    }

    fn parsed<T: FromStr<Err = &'static str> + Default>(&mut self, key: &'static str) -> T {
        let Some(text) = self.text(key) else {
            return T::default();
        };
        text.parse().unwrap_or_else(|expected| {
            self.wrong(key, expected);
            T::default()
        })
    }

    fn number(&mut self, key: &'static str) -> Option<i64> {
        let text = self.text(key)?;
        let number = text.trim().parse::<i64>().ok();
        if number.is_none_or(|number| number > i64::from(i32::MAX)) {
            self.wrong(key, "takes a whole number");
            return None;
        }
        number
    }

    /// Seconds; zero or less is none, as in libpq.
    fn seconds(&mut self, key: &'static str, default: Duration) -> Option<Duration> {
        match self.number(key) {
            None => Some(default),
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        }
    }

    fn refuse_what_cannot_be_kept(&mut self) {
        for (key, accepted, expected) in [
            (
                "client_encoding",
                ["UTF8", "auto"],
                "walferry reads UTF8 only: leave it away",
            ),
            (
                "gssencmode",
                ["disable", "prefer"],
                "there is no GSSAPI: leave it away",
            ),
            (
                "load_balance_hosts",
                ["disable", "disable"],
                "hosts are tried in order only",
            ),
            (
                "sslcompression",
                ["0", "0"],
                "there is no compression in TLS: leave it away",
            ),
            (
                "sslsni",
                ["1", "1"],
                "the host's name is always sent: leave it away",
            ),
            (
                "replication",
                ["database", "database"],
                "walferry sets it: leave it away",
            ),
        ] {
            if self
                .text(key)
                .is_some_and(|text| !accepted.contains(&text.as_str()))
            {
                self.wrong(key, expected);
            }
        }
    }

    fn hosts(&mut self) -> Vec<Host> {
        let list = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect())
                .unwrap_or_default()
        };
        let names = list(self.text("host"));
        let addresses = list(self.text("hostaddr"));
        let ports = list(self.text("port"));
        let count = names.len().max(addresses.len()).max(1);
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            self.wrong("hostaddr", "takes as many addresses as 'host' has names");
        }
        if ports.len() > 1 && ports.len() != count {
            self.wrong("port", "takes one port, or one for each host");
        }
        let mut hosts = Vec::new();
        for index in 0..count {
            let name = names.get(index).map_or("", String::as_str);
            let address = addresses.get(index).map_or("", String::as_str);
            let port = ports
                .get(index)
                .or_else(|| ports.first())
                .map_or("", String::as_str);
            let port = self.port(port);
            hosts.push(self.host(name, address, port));
        }
        hosts
    }

    fn port(&mut self, text: &str) -> u16 {
        match text.parse::<u16>() {
            _ if text.is_empty() => 5432,
            Ok(port) if port > 0 => port,
            _ => {
                // Not quoted: in a URL it may be a password with a raw ':' or '/'.
                self.wrong(
                    "port",
                    "takes a number from 1 to 65535 (in a URL, write '/' and ':' of a password \
                     as %2F and %3A)",
                );
                5432
            }
        }
    }

    fn host(&mut self, name: &str, address: &str, port: u16) -> Host {
        if !address.is_empty() {
            let parsed = address.parse::<IpAddr>();
            let shown = if name.is_empty() { address } else { name };
            let address = match parsed {
                Ok(ip) => Address::Ip(ip),
                Err(_) => {
                    self.wrong("hostaddr", "takes IP addresses; names go into 'host'");
                    Address::Lookup
                }
            };
            return Host {
                name: shown.to_owned(),
                address,
                port,
            };
        }
        let name = if name.is_empty() {
            SOCKET_DIRECTORY
        } else {
            name
        };
        let address = match name.parse::<IpAddr>() {
            Ok(address) => Address::Ip(address),
            Err(_) if name.starts_with('/') => Address::UnixDirectory(PathBuf::from(name)),
            Err(_) => Address::Lookup,
        };
        Host {
            name: name.to_owned(),
            address,
            port,
        }
    }

    fn tcp(&mut self) -> TcpSettings {
        let on = self.number("keepalives").is_none_or(|on| on != 0);
        let idle = self.seconds("keepalives_idle", Duration::from_secs(10));
        let interval = self.seconds("keepalives_interval", Duration::from_secs(5));
        let count = self
            .number("keepalives_count")
            .and_then(|count| u32::try_from(count).ok());
        let milliseconds = self.number("tcp_user_timeout").unwrap_or(20_000);
        TcpSettings {
            keepalives: on.then(|| Keepalives {
                idle: idle.unwrap_or(Duration::from_secs(10)),
                interval: interval.unwrap_or(Duration::from_secs(5)),
                count: count.filter(|count| *count > 0).unwrap_or(3),
            }),
            user_timeout: u64::try_from(milliseconds)
                .ok()
                .filter(|milliseconds| *milliseconds > 0)
                .map(Duration::from_millis),
        }
    }

    fn ssl(&mut self) -> SslSettings {
        let in_home = |name: &str| {
            self.home
                .as_ref()
                .map(|home| home.join(".postgresql").join(name))
        };
        let root = match self.text("sslrootcert") {
            Some(word) if word == "system" => RootCertificates::System,
            Some(path) => RootCertificates::File(PathBuf::from(path)),
            None => RootCertificates::Default(in_home("root.crt")),
        };
        let client = match (self.text("sslcert"), self.text("sslkey")) {
            (None, None) => in_home("postgresql.crt")
                .zip(in_home("postgresql.key"))
                .map(|(certificate, key)| ClientCertificate {
                    certificate,
                    key,
                    named: false,
                }),
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate: PathBuf::from(certificate),
                key: PathBuf::from(key),
                named: true,
            }),
            (certificate, _) => {
                let key = if certificate.is_some() {
                    "sslkey"
                } else {
                    "sslcert"
                };
                self.wrong(key, "is missing: a certificate and its key go together");
                None
            }
        };
        let said = self.text("sslmode").is_some();
        let mut mode: SslMode = self.parsed("sslmode");
        if root == RootCertificates::System && mode != SslMode::VerifyFull {
            if said {
                self.wrong("sslmode", "must be verify-full with sslrootcert=system");
            }
            mode = SslMode::VerifyFull;
        }
        let negotiation = self.parsed("sslnegotiation");
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            self.wrong(
                "sslnegotiation",
                "can be direct only with sslmode=require or better",
            );
        }
        SslSettings {
            mode,
            negotiation,
            root,
            client,
        }
    }

    fn channel_binding(&mut self) -> ChannelBinding {
        match self.text("channel_binding").as_deref() {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => {
                self.wrong("channel_binding", "takes disable, prefer or require");
                ChannelBinding::Prefer
            }
        }
    }
}

fn unknown(key: &str, after_password: bool) -> Problem {
    if let Some((key, instead)) = UNSUPPORTED.iter().find(|(known, _)| *known == key) {
        return Problem::Unsupported { key, instead };
    }
    if after_password {
        return Problem::AfterPassword;
    }
    let nearest = KEYS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(known, key), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known);
    Problem::UnknownKey {
        key: key.escape_default().to_string(),
        nearest,
    }
}

impl FromStr for TargetSessionAttrs {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "any" => Ok(TargetSessionAttrs::Any),
            "read-write" => Ok(TargetSessionAttrs::ReadWrite),
            "read-only" => Ok(TargetSessionAttrs::ReadOnly),
            "primary" => Ok(TargetSessionAttrs::Primary),
            "standby" => Ok(TargetSessionAttrs::Standby),
            "prefer-standby" => Ok(TargetSessionAttrs::PreferStandby),
            _ => Err("takes any, read-write, read-only, primary, standby or prefer-standby"),
        }
    }
}

impl FromStr for SslNegotiation {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "postgres" => Ok(SslNegotiation::Postgres),
            "direct" => Ok(SslNegotiation::Direct),
            _ => Err("takes postgres or direct"),
        }
    }
}
