//! The section `postgres`.

use std::time::Duration;

use super::Create;
use super::problem::Origin;
use super::reader::Reader;
use super::secret_source::{SecretError, SecretSource};
use super::settings::Environment;
use crate::postgres::Conninfo;

/// The section `postgres`.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// `postgres.url`, with what the `PG*` variables say beside it. Connect with
    /// [`Postgres::connect_to`], which adds the password.
    pub conninfo: Conninfo,
    /// The password that wins over one in the URL.
    pub password: Option<SecretSource>,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Whether slot and publication are created.
    pub create: Create,
    /// How long to wait between two tries to connect.
    pub backoff: Backoff,
    /// `postgres.prepared.transaction.age`: older ones count as forgotten.
    pub prepared_age: Duration,
}

impl Postgres {
    /// Where to connect to and how, the password read anew. Call it for each connect, where
    /// blocking is allowed.
    ///
    /// # Errors
    /// The password's file or command did not give it.
    pub fn connect_to(&self) -> Result<Conninfo, SecretError> {
        let conninfo = self.conninfo.clone();
        match &self.password {
            None => Ok(conninfo),
            Some(source) => Ok(conninfo.with_password(source.read()?)),
        }
    }
}

/// The waits between two tries; each is twice the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    environment: &Environment,
    name: Option<&str>,
) -> Option<Postgres> {
    let conninfo = read_conninfo(reader, environment);
    let password = reader.secret("postgres.password").map(|(source, _)| source);
    let slot = reader.text_or("postgres.slot", name.map(slot_for), slot_name);
    let publication = reader.text_or("postgres.publication", slot.clone(), publication_name);
    let create = reader.word("postgres.create");
    let min = reader.duration("postgres.reconnect.backoff.min");
    let max = reader.duration("postgres.reconnect.backoff.max");
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let path = "postgres.reconnect.backoff.min";
        reader.report(
            Origin::File,
            path,
            "is longer than postgres.reconnect.backoff.max",
        );
    }
    let prepared_age = reader.duration("postgres.prepared.transaction.age");
    Some(Postgres {
        prepared_age: prepared_age?,
        conninfo: conninfo?,
        password,
        slot: slot?,
        publication: publication?,
        create: create?,
        backoff: Backoff {
            min: min?,
            max: max?,
        },
    })
}

fn read_conninfo(reader: &mut Reader<'_>, environment: &Environment) -> Option<Conninfo> {
    let (url, origin) = reader.secret_text("postgres.url")?;
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    match Conninfo::parse(url.expose(), &lookup) {
        Ok(conninfo) => {
            reader.note("postgres.url", conninfo.target(), origin);
            Some(conninfo)
        }
        Err(error) => {
            for problem in error.problems {
                reader.report(origin.clone(), "postgres.url", problem.to_string());
            }
            None
        }
    }
}

fn slot_for(name: &str) -> String {
    let legal = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    format!("walferry_{}", name.chars().map(legal).collect::<String>())
}

/// Postgres' rule for slot names (`ReplicationSlotValidateName`).
fn slot_name(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.len() > IDENTIFIER_MAX || !text.chars().all(legal) {
        return Err(format!(
            "is no slot name: lower-case letters, digits and _, up to {IDENTIFIER_MAX}"
        ));
    }
    Ok(())
}

fn publication_name(text: &str) -> Result<(), String> {
    if text.len() > IDENTIFIER_MAX {
        return Err(format!("is longer than {IDENTIFIER_MAX} bytes"));
    }
    Ok(())
}

/// `NAMEDATALEN` less its zero byte.
const IDENTIFIER_MAX: usize = 63;
