//! What can go wrong with a Postgres server, and whether trying again can help.

use std::io;
use std::time::Duration;

use pgwire::command::CommandError;
use pgwire::{HandshakeError, ServerError, SqlState, WireError};
use thiserror::Error;
use tokio_postgres::error::{DbError, Severity};

use super::condition;

/// Whether the same attempt may succeed later with nothing changed by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again after a while.
    Retry,
    /// Somebody must change something first.
    Permanent,
}

/// An error of a connection or a command.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// The server refused a command or ended the session.
    #[error("{doing}: {error}")]
    Server {
        /// What we were about.
        doing: &'static str,
        /// The server's words.
        error: ServerError,
    },
    /// No session came about.
    #[error("{host}: {error}")]
    Handshake {
        /// Which server.
        host: String,
        /// Why.
        error: HandshakeError,
    },
    /// The peer's bytes are not the protocol.
    #[error("{doing}: {error}")]
    Wire {
        /// What we were about.
        doing: &'static str,
        /// What was wrong.
        error: WireError,
    },
    /// The socket failed.
    #[error("{doing}: {error}")]
    Io {
        /// What we were about, with the host.
        doing: String,
        /// The system's error.
        error: io::Error,
    },
    /// Took too long.
    #[error("{doing}: no answer within {} s", .after.as_secs_f32())]
    Timeout {
        /// What we were about, with the host.
        doing: String,
        /// How long we waited.
        after: Duration,
    },
    /// The server closed the connection and said nothing: a cut, a crash, or `wal_sender_timeout`.
    #[error("{doing}: the server closed the connection without a word")]
    Closed {
        /// What we were about.
        doing: &'static str,
    },
    /// The server ended the stream in good order, as when it shuts down.
    #[error("the server ended the replication stream")]
    StreamEnded,
    /// From 18 on a missing publication is a warning, and its changes are left out: an error here.
    #[error("the server leaves changes out: {0}")]
    PublicationSkipped(ServerError),
    /// TLS could not be set up as asked for.
    #[error("TLS with {host}: {reason}")]
    Tls {
        /// Which server.
        host: String,
        /// Why.
        reason: String,
    },
    /// A certificate or key file that cannot be used.
    #[error("{setting} {path}: {reason}")]
    CertificateFile {
        /// The connection parameter.
        setting: &'static str,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The server is not of the kind that `target_session_attrs` asks for.
    #[error("{host}: the server is {found}, target_session_attrs asks for another")]
    WrongServer {
        /// Which server.
        host: String,
        /// What it is.
        found: &'static str,
    },
    /// The session was closed, and what answers now is not the server of the stream.
    #[error("the server of the stream does not answer, or has been started anew")]
    OtherServer,
    /// No host would do.
    #[error("no server could be used: {}", .0.iter().map(ToString::to_string)
        .collect::<Vec<_>>().join("; "))]
    NoHost(Vec<PostgresError>),
    /// A command that this server cannot take; nothing was sent.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An answer without what it must hold.
    #[error("the answer to {command} has no usable '{field}'")]
    Answer {
        /// The command.
        command: &'static str,
        /// The column.
        field: &'static str,
    },
    /// A table is not stored any more as a copy's snapshot knows it.
    #[error("table {table} was rewritten or emptied while its copy began: it begins again")]
    Rewritten {
        /// Which.
        table: String,
    },
    /// Rows cannot be read on the server of `snapshot.from` and joined to the stream.
    #[error("snapshot.from: {reason}")]
    Standby {
        /// Why.
        reason: String,
    },
    /// An error of an ordinary SQL session.
    #[error("{doing}: {}", sql_message(.error))]
    Sql {
        /// What we were about.
        doing: &'static str,
        /// Its error.
        error: tokio_postgres::Error,
    },
    /// The same while rows are read: the server's words may hold a row's values, and are not told.
    #[error("{doing}: {}", rows_message(.error))]
    Rows {
        /// What we were about.
        doing: &'static str,
        /// Its error.
        error: tokio_postgres::Error,
    },
}

impl PostgresError {
    /// The SQLSTATE, where the server gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<SqlState> {
        match self {
            PostgresError::Server { error, .. }
            | PostgresError::PublicationSkipped(error)
            | PostgresError::Handshake {
                error: HandshakeError::Server(error),
                ..
            } => Some(error.sqlstate),
            PostgresError::Sql { error, .. } | PostgresError::Rows { error, .. } => {
                SqlState::parse(error.code()?.code())
            }
            PostgresError::NoHost(errors) => errors.last().and_then(PostgresError::sqlstate),
            _ => None,
        }
    }

    /// Retry, unless it is proven permanent. What a slot's state adds to that is the supervisor's.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            PostgresError::Handshake {
                error: HandshakeError::Server(_),
                ..
            }
            | PostgresError::Server { .. }
            | PostgresError::Sql { .. }
            | PostgresError::Rows { .. } => self.sqlstate().map_or(Class::Retry, sqlstate_class),
            PostgresError::Handshake {
                error: HandshakeError::Wire(_),
                ..
            }
            | PostgresError::Io { .. }
            | PostgresError::Timeout { .. }
            | PostgresError::Closed { .. }
            | PostgresError::StreamEnded
            | PostgresError::Rewritten { .. }
            | PostgresError::OtherServer
            | PostgresError::WrongServer { .. } => Class::Retry,
            // A certificate may have run out at the other end or here: people mend that.
            PostgresError::Handshake { .. }
            | PostgresError::Wire { .. }
            | PostgresError::PublicationSkipped(_)
            | PostgresError::Tls { .. }
            | PostgresError::Standby { .. }
            | PostgresError::CertificateFile { .. }
            | PostgresError::Command(_)
            | PostgresError::Answer { .. } => Class::Permanent,
            PostgresError::NoHost(errors) => {
                if errors.iter().all(|error| error.class() == Class::Permanent) {
                    Class::Permanent
                } else {
                    Class::Retry
                }
            }
        }
    }

    /// Whether no session came about, whatever was wanted of it.
    #[must_use]
    pub fn is_of_connecting(&self) -> bool {
        matches!(
            self,
            PostgresError::Handshake { .. }
                | PostgresError::NoHost(_)
                | PostgresError::Tls { .. }
                | PostgresError::CertificateFile { .. }
        )
    }

    /// Whether it says something of the statement, and would be said again: not of the session, the
    /// server or a moment.
    #[must_use]
    pub fn is_of_statement(&self) -> bool {
        if self.is_of_connecting() || self.has_ended_session() {
            return false;
        }
        self.sqlstate().is_some_and(|state| match state.class() {
            // The connection, a deadlock, resources, an operator, the system.
            "08" | "40" | "53" | "57" | "58" => state.as_str() == QUERY_CANCELED,
            _ => true,
        })
    }

    /// Whether a table that a statement names is not there.
    #[must_use]
    pub fn is_of_absent_table(&self) -> bool {
        self.sqlstate()
            .is_some_and(|state| state.as_str() == "42P01")
    }

    fn has_ended_session(&self) -> bool {
        let (PostgresError::Sql { error, .. } | PostgresError::Rows { error, .. }) = self else {
            return false;
        };
        let severity = error.as_db_error().and_then(DbError::parsed_severity);
        matches!(severity, Some(Severity::Fatal | Severity::Panic))
    }

    /// Whether a lock was not to be had in time.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        self.sqlstate()
            .is_some_and(|state| state.as_str() == "55P03")
    }

    /// What a server refused with this SQLSTATE.
    #[cfg(test)]
    pub(crate) fn of_sqlstate(code: &str) -> Self {
        let error = ServerError {
            severity: pgwire::Severity::Fatal,
            sqlstate: SqlState::parse(code).unwrap(),
            message: "m".to_owned(),
            detail: Some("canary".to_owned()),
            hint: None,
        };
        let doing = "start replication";
        Self::Server { doing, error }
    }

    /// Whether the slot is in other hands (`object_in_use`).
    #[must_use]
    pub fn is_slot_in_use(&self) -> bool {
        self.sqlstate()
            .is_some_and(|state| state.as_str() == "55006")
    }

    /// Whether the server did not accept who we say we are.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        match self {
            PostgresError::Handshake {
                error: HandshakeError::Server(error),
                ..
            } => error.sqlstate.class() == "28",
            PostgresError::Handshake { error, .. } => !matches!(error, HandshakeError::Wire(_)),
            PostgresError::NoHost(errors) => errors.iter().any(PostgresError::is_authentication),
            _ => false,
        }
    }
}

/// As by `statement_timeout`: it would come again.
const QUERY_CANCELED: &str = "57014";

/// PostgreSQL manual, appendix A: the classes that only a person can mend.
fn sqlstate_class(sqlstate: SqlState) -> Class {
    match sqlstate.as_str() {
        // object_not_in_prerequisite_state: an invalidated slot, wal_level too low; but 55006,
        // object_in_use, is a slot whose former reader has not gone yet.
        "55000"
        // undefined_object, undefined_table, insufficient_privilege and all of "syntax error or
        // access rule violation".
        | "0A000" => Class::Permanent,
        // duplicate_object: another instance made it in the same moment, and it is there now.
        "42710" => Class::Retry,
        _ => match sqlstate.class() {
            // Authorization, catalog and schema names, access rules.
            "28" | "3D" | "3F" | "42" | "22" => Class::Permanent,
            _ => Class::Retry,
        },
    }
}

fn rows_message(error: &tokio_postgres::Error) -> String {
    let of_server = error.as_db_error().map(condition::of_rows);
    of_server.unwrap_or_else(|| sql_message(error))
}

/// tokio-postgres keeps the server's words in the error's source.
fn sql_message(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let source = std::error::Error::source(error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        },
        |error| {
            format!(
                "{} {}: {}",
                error.severity(),
                error.code().code(),
                one_line(error.message())
            )
        },
    )
}

/// A syntax error quotes a statement from there on, which may be over several lines.
pub(super) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> PostgresError {
        PostgresError::of_sqlstate(code)
    }

    #[test]
    fn retry_unless_proven_permanent() {
        for (code, class) in [
            ("55006", Class::Retry),
            ("57P01", Class::Retry),
            ("57P03", Class::Retry),
            ("53300", Class::Retry),
            ("08006", Class::Retry),
            ("58P01", Class::Retry),
            ("XX000", Class::Retry),
            ("40001", Class::Retry),
            ("55000", Class::Permanent),
            ("42704", Class::Permanent),
            ("42710", Class::Retry),
            ("42501", Class::Permanent),
            ("28P01", Class::Permanent),
            ("28000", Class::Permanent),
            ("3D000", Class::Permanent),
            ("0A000", Class::Permanent),
            ("22023", Class::Permanent),
        ] {
            assert_eq!(server(code).class(), class, "{code}");
        }
    }

    #[test]
    fn of_several_hosts_one_that_may_recover_is_enough() {
        let all =
            |codes: &[&str]| PostgresError::NoHost(codes.iter().map(|code| server(code)).collect());
        assert_eq!(all(&["28P01", "57P03"]).class(), Class::Retry);
        assert_eq!(all(&["28P01", "3D000"]).class(), Class::Permanent);
    }

    #[test]
    fn a_message_is_one_line() {
        let message = "unterminated quoted string at or near \"'a)\n   ORDER BY id\u{1b}\"";
        let line = "unterminated quoted string at or near \"'a) ORDER BY id \"";
        assert_eq!(one_line(message), line);
    }

    #[test]
    fn details_stay_out_of_messages() {
        assert!(!server("23505").to_string().contains("canary"));
    }
}
