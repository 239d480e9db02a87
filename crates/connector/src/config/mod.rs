//! The configuration: read once, every bound checked here, all problems told at once.
//!
//! ```text
//! file ─► yaml ─► settings ─► reader ─► Config
//!                    ▲          ▲
//!              environment     keys (the table of everything that can be said)
//! ```
//!
//! What this room hands out is right as it stands: nobody checks it again. It asks no server;
//! whether tables, topics and rights fit is `preflight`'s to find.

pub mod admin;
mod columns;
pub mod debezium;
mod events;
pub mod kafka;
pub mod keys;
pub mod librdkafka;
mod names;
mod outbox;
pub mod postgres;
mod problem;
mod quantity;
mod reader;
mod routing;
mod secret_source;
mod settings;
mod signals;
mod snapshot;
mod substitute;
mod tables;
#[cfg(test)]
mod tests;
pub mod topic_settings;
mod yaml;

use std::hash::{Hash as _, Hasher as _};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub use self::admin::{Chosen, Listen};
pub use self::kafka::{Kafka, Property, PropertyValue, Topics};
pub use self::names::variable;
pub use self::postgres::{Backoff, Postgres};
pub use self::problem::{ConfigError, Origin, Problem};
pub use self::reader::Effective;
use self::reader::Reader;
pub use self::secret_source::{SecretError, SecretSource};
pub use self::settings::Environment;
pub use self::tables::{TableFilter, TablePart};
pub use envelope::TablePattern;
pub use signals::{NewTables, Signals};
pub use snapshot::{CopySettings, SnapshotMode, TableOrder};

/// Everything a run needs to know. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The connector's name.
    pub name: String,
    /// The section `postgres`.
    pub postgres: Postgres,
    /// The section `kafka`.
    pub kafka: Kafka,
    /// The section `topics`.
    pub topics: Topics,
    /// The section `tables`.
    pub tables: TableFilter,
    /// Whether changes of partitions are the partitioned table's, in a publication to be made.
    pub publish_via_partition_root: bool,
    /// `snapshot.snapshot.mode`.
    pub snapshot: SnapshotMode,
    /// The rest of the section `snapshot`.
    pub copy: CopySettings,
    /// `snapshot.incremental.snapshot.chunk.size`.
    pub chunk_rows: usize,
    /// Where signals come from.
    pub signals: Signals,
    /// The section `envelope`, with the topic prefix and the database's name.
    pub envelope: envelope::Options,
    /// `delivery`.
    pub delivery: Delivery,
    /// `admin.listen`.
    pub admin: Listen,
    /// The section `limits`.
    pub limits: Limits,
    /// `shutdown.timeout`.
    pub shutdown_timeout: Duration,
    /// Every key as it holds, for a listing; secrets are redacted.
    pub effective: Vec<Effective>,
}

/// Whether walferry creates what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// It does.
    Auto,
    /// It says what to create instead.
    Never,
}

/// The guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Every change at least once; a repeat has the id it had.
    AtLeastOnce,
}

/// What may wait for Kafka's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub in_flight_records: usize,
    /// Their bytes: keys, values and headers.
    pub in_flight_bytes: u64,
}

/// Gives an enum its words.
macro_rules! from_words {
    ($name:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(()),
                }
            }
        }
    };
}

from_words!(Create { "auto" => Auto, "never" => Never });
from_words!(Delivery { "at-least-once" => AtLeastOnce });

impl Config {
    /// A fingerprint of what decides which records a transaction makes: the tables and the
    /// envelope, as this version writes it.
    #[must_use]
    pub fn shape(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        let version = env!("CARGO_PKG_VERSION");
        format!("{version} {:?} {:?}", self.tables, self.envelope).hash(&mut hasher);
        hasher.finish()
    }

    /// Reads the file and the environment.
    ///
    /// # Errors
    /// The file cannot be read, or it is wrong; then with every problem at once.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
                limit: FILE_BYTES_MAX,
            });
        }
        let file = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::Invalid {
            file: file.clone(),
            problems: vec![Problem::at(Origin::File, "is not UTF-8 text")],
        })?;
        Self::parse(&file, &text, environment)
    }

    /// Reads a file's text; `file` is its name in the problems.
    ///
    /// # Errors
    /// The text is wrong; all its problems at once.
    pub fn parse(file: &str, text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let invalid = |problems| ConfigError::Invalid {
            file: file.to_owned(),
            problems,
        };
        let root = yaml::parse(text).map_err(|problem| invalid(vec![problem]))?;
        let settings = settings::collect(root, environment, &mut problems);
        let mut reader = Reader::new(settings, &mut problems);
        let config = read(&mut reader, environment);
        let effective = reader.finish();
        problems.sort_by(|a, b| a.origin.cmp(&b.origin).then_with(|| a.path.cmp(&b.path)));
        match config {
            Some(config) if problems.is_empty() => Ok(Self {
                effective,
                ..config
            }),
            _ => Err(invalid(problems)),
        }
    }
}

/// Reads every section before it gives up on any, so that all problems are found.
fn read(reader: &mut Reader<'_>, environment: &Environment) -> Option<Config> {
    let name = reader.parsed("name", connector_name);
    let postgres = postgres::read(reader, environment, name.as_deref());
    let slot = postgres.as_ref().map(|postgres| postgres.slot.as_str());
    let kafka = kafka::read_kafka(reader);
    let topics = kafka::read_topics(reader, name.as_deref(), slot);
    let progress = topics.as_ref().map(|topics| topics.progress.as_str());
    let outbox = outbox::read(reader, progress);
    let signals = signals::read(reader);
    let tables = read_tables(reader, outbox.as_ref(), signals.as_ref());
    let via_root = reader.word("envelope.publish.via.partition.root");
    let snapshot = snapshot::read(reader);
    let from = snapshot::read_from(reader, environment, postgres.as_ref());
    let prefix = topics.as_ref().map_or("", |topics| topics.prefix.as_str());
    let database = postgres
        .as_ref()
        .map_or("", |postgres| postgres.conninfo.dbname.as_str());
    let envelope = events::read(reader, prefix, database);
    let delivery = reader.word("delivery");
    let admin = admin::read(reader);
    let records = reader.count("limits.in.flight.records");
    let bytes = reader.bytes("limits.in.flight.bytes");
    let shutdown_timeout = reader.duration("shutdown.timeout");
    let chunk_rows = reader.count("snapshot.incremental.snapshot.chunk.size");
    let (snapshot, copy) = snapshot?;
    Some(Config {
        name: name?,
        postgres: postgres?,
        kafka: kafka?,
        topics: topics?,
        tables: tables?,
        publish_via_partition_root: via_root?,
        snapshot,
        copy: CopySettings {
            signal_table: signals.as_ref().and_then(Signals::table_name),
            from: from?,
            ..copy
        },
        chunk_rows: chunk_rows?,
        signals: signals?,
        envelope: envelope::Options {
            outbox: outbox?,
            ..envelope?
        },
        delivery: delivery?,
        admin: admin?,
        limits: Limits {
            in_flight_records: records?,
            in_flight_bytes: bytes?,
        },
        shutdown_timeout: shutdown_timeout?,
        effective: Vec::new(),
    })
}

/// An outbox may be all that is wanted; one that is wrong may have been.
fn read_tables(
    reader: &mut Reader<'_>,
    outbox: Option<&Option<envelope::Outbox>>,
    signals: Option<&Signals>,
) -> Option<TableFilter> {
    let needs_tables = matches!(outbox, Some(None)) || reader.is_set("tables.include");
    let include = match needs_tables {
        true => reader.parsed_list("tables.include", TablePattern::parse),
        false => Some(Vec::new()),
    };
    let exclude = reader.parsed_list("tables.exclude", TablePattern::parse);
    let texts = |items: Vec<settings::Text>| items.into_iter().map(|item| item.value).collect();
    let parts = reader.table_parts().into_iter().filter_map(|part| {
        // A wrong pattern has been told of above.
        let pattern = TablePattern::parse(&part.pattern.value).ok()?;
        let part = TablePart {
            row_filter: part.row_filter.map(|filter| filter.value),
            columns: part.columns.map(texts),
        };
        Some((pattern, part))
    });
    let parts = parts.collect();
    let outbox = outbox.and_then(Option::as_ref);
    let outbox = outbox.map(|outbox| outbox.tables.clone());
    let mut beside = outbox.unwrap_or_default();
    beside.extend(signals.and_then(Signals::pattern));
    let filter = TableFilter::new(include?, exclude?).with_parts(parts);
    Some(filter.with_outbox(beside))
}

fn connector_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() > NAME_MAX || !text.chars().all(legal) {
        return Err(format!(
            "takes letters, digits, -, _ and ., up to {NAME_MAX} of them"
        ));
    }
    Ok(text.to_owned())
}

/// Far above any configuration; keeps a wrong file from being read whole.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Leaves room for `walferry_` in a slot's name.
const NAME_MAX: usize = 50;
