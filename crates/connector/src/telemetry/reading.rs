//! The plain numbers that the driver and the supervisor hand over.

use std::sync::Arc;

use envelope::Operation;
use pgoutput::{Lsn, PgTimestamp};

/// The driver's numbers at one moment. Totals count from the start of its run.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// How far the stream was read: ends of commits and keepalives.
    pub received_lsn: Lsn,
    /// How far records were handed to Kafka.
    pub published_lsn: Lsn,
    /// How far Kafka has acknowledged everything.
    pub acknowledged_lsn: Lsn,
    /// How far Postgres was told that it may forget.
    pub confirmed_lsn: Lsn,
    /// Commit time of the oldest transaction that is not confirmed.
    pub oldest_pending: Option<PgTimestamp>,
    /// Records that Kafka has not acknowledged.
    pub in_flight_records: u64,
    /// Their bytes.
    pub in_flight_bytes: u64,
    /// The most of the former.
    pub limit_records: u64,
    /// The most of the latter.
    pub limit_bytes: u64,
    /// Total bytes read from the server.
    pub received_bytes: u64,
    /// Total bytes of keys and values handed to Kafka.
    pub published_bytes: u64,
    /// Total transactions seen to their commit.
    pub transactions: u64,
    /// Total records handed to Kafka.
    pub records: u64,
    /// What the Kafka client last said about a connection; it may be long ago.
    pub kafka_error: Option<String>,
    /// Total events by table.
    pub tables: Vec<TableCounts>,
}

/// How many events of one table there were.
#[derive(Clone, Debug)]
pub struct TableCounts {
    /// `schema.table`; shared, so that handing over ten thousand of them copies no text.
    pub table: Arc<str>,
    /// By operation.
    pub counts: Counts,
}

/// Events by operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Operation::ALL.len()]);

impl FromIterator<(Operation, u64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (Operation, u64)>>(counts: I) -> Self {
        let mut all = Self::default();
        for (operation, count) in counts {
            all.0[operation as usize] += count;
        }
        all
    }
}

impl Counts {
    /// Each operation with its count, in the order of [`Operation::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Operation, u64)> + '_ {
        Operation::ALL
            .into_iter()
            .map(|operation| (operation, self.0[operation as usize]))
    }

    pub(super) fn add(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The process has begun.
    Starting,
    /// Servers are asked, slot and topics are made ready.
    Checking,
    /// Rows that were there are published.
    Snapshot,
    /// Changes are published.
    Streaming,
    /// A connection was lost; it is tried again.
    Retrying,
    /// Nothing more is read, since it was told to stop or the connection is lost: waiting for Kafka's
    /// acknowledgements.
    Draining,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Checking,
        Self::Snapshot,
        Self::Streaming,
        Self::Retrying,
        Self::Draining,
    ];

    /// Its word in metrics and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Checking => "checking",
            Self::Snapshot => "snapshot",
            Self::Streaming => "streaming",
            Self::Retrying => "retrying",
            Self::Draining => "draining",
        }
    }
}

/// The two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// The source.
    Postgres,
    /// The target.
    Kafka,
}

impl Peer {
    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
        }
    }
}

/// What `pg_replication_slots` says about our slot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SlotHealth {
    /// The slot's name.
    pub name: String,
    /// `wal_status`.
    pub wal_status: WalStatus,
    /// Bytes of WAL that the server keeps for it: from `restart_lsn` to the end.
    pub retained_bytes: u64,
    /// `safe_wal_size`: bytes that may still be written before it can be lost; `None` is no bound.
    pub safe_wal_bytes: Option<i64>,
}

/// Whether the server holds the WAL that the slot needs: `wal_status` (Postgres' manual,
/// `pg_replication_slots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond `max_wal_size`, and kept for the slot.
    Extended,
    /// No longer kept: gone at the next checkpoint, unless the slot catches up before.
    Unreserved,
    /// Gone.
    Lost,
}

impl WalStatus {
    /// Every status, the best first.
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Extended, Self::Unreserved, Self::Lost];

    /// The server's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Extended => "extended",
            Self::Unreserved => "unreserved",
            Self::Lost => "lost",
        }
    }

    /// From the server's word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}
