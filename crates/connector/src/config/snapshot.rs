//! The section `snapshot`: which rows that are there are published, when, and how they are read.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use super::postgres::Postgres;
use super::reader::Reader;
use super::settings::Environment;
use crate::postgres::Conninfo;

/// When the rows that are there are published (Debezium's `snapshot.mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// At the first start; then changes.
    Initial,
    /// At each start of the process; then changes.
    Always,
    /// At the first start; the process ends when they are published.
    InitialOnly,
    /// Never: changes only.
    NoData,
    /// At the first start, and when the slot is lost: it is made anew then.
    WhenNeeded,
}

impl SnapshotMode {
    /// Whether rows that are there may be published at all.
    #[must_use]
    pub fn copies(self) -> bool {
        self != Self::NoData
    }

    fn parse(text: &str) -> Result<Written, String> {
        Ok(match text {
            "initial" => Written::Mode(Self::Initial),
            "always" => Written::Mode(Self::Always),
            "initial_only" => Written::Mode(Self::InitialOnly),
            "no_data" => Written::Mode(Self::NoData),
            "when_needed" => Written::Mode(Self::WhenNeeded),
            "configuration_based" => Written::BySwitches,
            "never" => return Err("is no word any more; for changes only write no_data".to_owned()),
            "custom" => {
                let reason = "loads a Java class in Debezium, and walferry loads none; \
                              configuration_based chooses by two switches";
                return Err(reason.to_owned());
            }
            _ => {
                let words = "write one of initial, always, initial_only, no_data, when_needed, \
                             configuration_based";
                return Err(words.to_owned());
            }
        })
    }
}

enum Written {
    Mode(SnapshotMode),
    BySwitches,
}

/// How the rows that are there are read.
#[derive(Clone, Debug)]
pub struct CopySettings {
    /// How many may read at once; none: as it suits the machine and the tables.
    pub readers: Option<usize>,
    /// How long a lock may be waited for.
    pub lock_timeout: Duration,
    /// The standby that the rows are read on; none: where the slot is.
    pub from: Option<Conninfo>,
    /// How much WAL the server may keep meanwhile, in bytes; none: as the server's own limit tells.
    pub wal_max: Option<u64>,
    /// Which of the wanted tables have their rows copied: all of them, or those whose names match.
    pub include: Option<Vec<Regex>>,
    /// The table of signals, whose rows are none.
    pub signal_table: Option<String>,
    /// Which come first.
    pub order: TableOrder,
    /// Statements to read tables by, by `schema.table`.
    pub selects: BTreeMap<String, String>,
}

/// The order in which tables are read, by how many rows they have
/// (Debezium's `snapshot.tables.order.by.row.count`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOrder {
    /// By name.
    Disabled,
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

impl CopySettings {
    /// An entry of the list, as a person wrote it.
    #[must_use]
    pub fn written(entry: &Regex) -> &str {
        let text = entry.as_str();
        let inner = text.strip_prefix("^(?:");
        inner.and_then(|it| it.strip_suffix(")$")).unwrap_or(text)
    }

    /// Whether this table's rows are copied, if it is wanted at all.
    #[must_use]
    pub fn includes(&self, qualified_name: &str) -> bool {
        let include = self.include.as_ref();
        let are_signals = self.signal_table.as_deref() == Some(qualified_name);
        !are_signals
            && include.is_none_or(|list| list.iter().any(|name| name.is_match(qualified_name)))
    }
}

/// The mode, and how to read.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<(SnapshotMode, CopySettings)> {
    let mode = read_mode(reader);
    let readers: Option<Option<usize>> = match reader.is_set(THREADS) {
        true => reader.count(THREADS).map(Some),
        false => Some(None),
    };
    let lock_timeout: Option<i64> = reader.count("snapshot.snapshot.lock.timeout.ms");
    let wal_max = match reader.is_set(WAL_MAX) {
        true => reader.bytes(WAL_MAX).map(Some),
        false => Some(None),
    };
    let include = match reader.is_set(INCLUDE) {
        true => reader.parsed_list(INCLUDE, whole).map(Some),
        false => Some(None),
    };
    let order = reader.parsed("snapshot.snapshot.tables.order.by.row.count", |text| {
        Ok(match text {
            "ascending" => TableOrder::Ascending,
            "descending" => TableOrder::Descending,
            _ => TableOrder::Disabled,
        })
    });
    let selects = read_selects(reader);
    let settings = CopySettings {
        readers: readers?,
        lock_timeout: Duration::from_millis(lock_timeout?.unsigned_abs()),
        from: None,
        wal_max: wal_max?,
        include: include?,
        signal_table: None,
        order: order?,
        selects: selects?,
    };
    Some((mode?, settings))
}

/// The standby to read on, for the database that the stream is of.
pub(super) fn read_from(
    reader: &mut Reader<'_>,
    environment: &Environment,
    postgres: Option<&Postgres>,
) -> Option<Option<Conninfo>> {
    if !reader.is_set(FROM) {
        return Some(None);
    }
    let (url, origin) = reader.secret_text(FROM)?;
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let conninfo = match Conninfo::parse(url.expose(), &lookup) {
        Ok(conninfo) => conninfo,
        Err(error) => {
            for problem in error.problems {
                reader.report(origin.clone(), FROM, problem.to_string());
            }
            return None;
        }
    };
    reader.note(FROM, conninfo.target(), origin.clone());
    if conninfo.hosts.len() != 1 {
        let reason = "names several servers: a snapshot is of one, so name one standby";
        reader.report(origin, FROM, reason);
        return None;
    }
    if postgres.is_some_and(|postgres| postgres.conninfo.dbname != conninfo.dbname) {
        let reason = "names another database than postgres.url";
        reader.report(origin, FROM, reason);
        return None;
    }
    Some(Some(conninfo))
}

fn read_mode(reader: &mut Reader<'_>) -> Option<SnapshotMode> {
    let written = reader.parsed("snapshot.snapshot.mode", SnapshotMode::parse);
    let mut switch = |name: &str| {
        let path = format!("snapshot.snapshot.mode.configuration.based.{name}");
        reader.parsed(&path, |text| Ok(text == "true"))
    };
    let (data, stream) = (switch("snapshot.data"), switch("start.stream"));
    match (written?, data?, stream?) {
        (Written::Mode(mode), ..) => Some(mode),
        (Written::BySwitches, true, true) => Some(SnapshotMode::Initial),
        (Written::BySwitches, true, false) => Some(SnapshotMode::InitialOnly),
        (Written::BySwitches, false, true) => Some(SnapshotMode::NoData),
        (Written::BySwitches, false, false) => {
            let path = "snapshot.snapshot.mode";
            let reason = "configuration_based does nothing while both its switches are off: set \
                          snapshot.mode.configuration.based.snapshot.data, start.stream, or both";
            reader.report(reader.origin(path), path, reason);
            None
        }
    }
}

/// Debezium's list of tables, and a key with its statement for each.
fn read_selects(reader: &mut Reader<'_>) -> Option<BTreeMap<String, String>> {
    if !reader.is_set(SELECTS) {
        return Some(BTreeMap::new());
    }
    let tables = reader.parsed_list(SELECTS, |text| Ok(text.to_owned()))?;
    let mut selects = BTreeMap::new();
    let mut right = true;
    for table in tables {
        let path = format!("{SELECTS}.{table}");
        match reader.text_at(&path) {
            Some(statement) => {
                let statement = statement.trim().trim_end_matches(';').to_owned();
                selects.insert(table, statement);
            }
            None => {
                let reason = format!("has no statement for {table}: write it at {path}");
                reader.report(reader.origin(SELECTS), SELECTS, reason);
                right = false;
            }
        }
    }
    right.then_some(selects)
}

fn whole(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|_| "is no regular expression".to_owned())
}

const THREADS: &str = "snapshot.snapshot.max.threads";
const FROM: &str = "snapshot.from";
const WAL_MAX: &str = "snapshot.wal.max.bytes";
const INCLUDE: &str = "snapshot.snapshot.include.collection.list";
const SELECTS: &str = "snapshot.snapshot.select.statement.overrides";
