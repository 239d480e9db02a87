//! What is the same for every row of a transaction, and what tells two rows of it apart.

use pgoutput::{CommitLsn, Lsn, PgTimestamp};

/// Where and when a change happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// Counts the lives of a slot: part of every record's id.
    pub epoch: u64,
    /// Of the Begin message: identifies the transaction. During a snapshot, its consistent point;
    /// for a message outside of a transaction, the message's own position.
    pub commit_lsn: CommitLsn,
    /// When the transaction was committed, or the snapshot taken.
    pub commit_time: PgTimestamp,
    /// The transaction; 0 when there is none or it is not known.
    pub xid: u32,
    /// Of the XLogData that carried the change; `source.lsn`.
    pub data_start: Lsn,
    /// Name and position at the origin, for a transaction that was replicated from elsewhere.
    pub origin: Option<(&'a str, Lsn)>,
    /// Whether the row was read by a snapshot, and where in it.
    pub snapshot: SnapshotMark,
    /// Ordinal in the transaction of the change's first record.
    pub first_ordinal: u64,
    /// The time of processing, nanoseconds since 1970-01-01: `ts_ms`, `ts_us`, `ts_ns`.
    pub now_unix_nanos: i64,
}

impl Context<'_> {
    /// `source.txId`: a row of an incremental snapshot is of no transaction.
    pub(crate) fn tx_id(&self) -> Option<u32> {
        let known = Some(self.xid).filter(|xid| *xid != 0);
        known.filter(|_| self.snapshot != SnapshotMark::Incremental)
    }

    /// `source.lsn`: nor does it have a position; where it was published is in the sequence.
    pub(crate) fn lsn(&self) -> Option<Lsn> {
        Some(self.data_start).filter(|_| self.snapshot != SnapshotMark::Incremental)
    }
}

/// `source.snapshot`, in Debezium's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotMark {
    /// A streamed change.
    #[default]
    Streaming,
    /// The very first row of a snapshot.
    First,
    /// The first row of a table.
    FirstInDataCollection,
    /// A row between others.
    Row,
    /// The last row of a table.
    LastInDataCollection,
    /// The very last row of a snapshot.
    Last,
    /// A row of an incremental snapshot.
    Incremental,
}

impl SnapshotMark {
    /// Whether it came among the stream's transactions, whose commit its sequence then tells.
    pub(crate) const fn is_in_stream(self) -> bool {
        matches!(self, Self::Streaming | Self::Incremental)
    }

    /// Debezium's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "false",
            Self::First => "first",
            Self::FirstInDataCollection => "first_in_data_collection",
            Self::Row => "true",
            Self::LastInDataCollection => "last_in_data_collection",
            Self::Last => "last",
            Self::Incremental => "incremental",
        }
    }
}
