//! What the progress topic holds of one slot, and what a start makes of it.

use pgoutput::Lsn;

use crate::ledger::{Mark, Split};

/// The durable state of one slot: the value of its record in the progress topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The cluster, as `IDENTIFY_SYSTEM` names it.
    pub system_identifier: u64,
    /// The timeline the position was reached on.
    pub timeline: u32,
    /// First part of every event's identity: begins as the system identifier, and grows when an
    /// operator accepts that positions start over.
    pub epoch: u64,
    /// Every transaction whose commit record starts before this position is in Kafka.
    pub commit_end_lsn: Lsn,
    /// How much of the transaction after it is in Kafka, too.
    pub split: Option<Split>,
    /// How far the copy of the existing rows has come.
    pub snapshot: SnapshotState,
    /// A fingerprint of the settings that decide which records a transaction makes: with others,
    /// the count in `split` would mean other records.
    pub shape: u64,
    /// So many ordinals of rows that have no transaction of the server's may have been used.
    pub chunk_ordinals: u64,
}

impl Progress {
    /// The position alone.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            end: self.commit_end_lsn,
            split: self.split,
        }
    }
}

/// How far the copy of the existing rows has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// None was asked for.
    None,
    /// Begun and not ended: the rows published so far will be published again.
    Running,
    /// All rows are in Kafka.
    Finished,
}
