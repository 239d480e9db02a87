//! Where the servers are and with which secrets: read anew for every connection, so that a password
//! that was rotated is found without a restart.

use tokio::task::{JoinError, spawn_blocking};

use crate::config::{Config, Postgres};
use crate::kafka::Properties;
use crate::postgres::Conninfo;

/// A secret could not be read, or what came of it cannot be used; in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// The connection string with what the configuration adds.
///
/// # Errors
/// The file or the command that gives the password could not be read.
pub async fn conninfo(config: &Config) -> Result<Conninfo, Unreadable> {
    let postgres = config.postgres.clone();
    let read = spawn_blocking(move || postgres.connect_to().map_err(|error| unreadable(&error)));
    read.await.unwrap_or_else(panicked)
}

/// The standby that rows are read on, if there is one. Its roles and passwords are the primary's.
///
/// # Errors
/// As [`conninfo`].
pub async fn standby(config: &Config) -> Result<Option<Conninfo>, Unreadable> {
    let Some(conninfo) = config.copy.from.clone() else {
        return Ok(None);
    };
    let postgres = Postgres {
        conninfo,
        ..config.postgres.clone()
    };
    let read = spawn_blocking(move || postgres.connect_to().map_err(|error| unreadable(&error)));
    read.await.unwrap_or_else(panicked).map(Some)
}

/// The librdkafka properties.
///
/// # Errors
/// A file or a command that gives a value could not be read, or properties contradict each other.
pub async fn properties(config: &Config) -> Result<Properties, Unreadable> {
    let kafka = config.kafka.clone();
    let read = spawn_blocking(move || {
        let pairs = kafka.pairs().map_err(|error| unreadable(&error))?;
        let plain = pairs
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_owned()));
        Properties::parse(plain).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Unreadable(problems.join("; "))
        })
    });
    read.await.unwrap_or_else(panicked)
}

fn unreadable(error: &impl ToString) -> Unreadable {
    Unreadable(error.to_string())
}

fn panicked<T>(_: JoinError) -> Result<T, Unreadable> {
    Err(Unreadable("reading secrets failed".to_owned()))
}
