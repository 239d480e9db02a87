//! The grammar of the stream: what may follow what, and what of it was published before.

use envelope::{Context, SnapshotMark};
use pgoutput::{Begin, Commit, CommitLsn, Lsn, Message, PgTimestamp};

use crate::error::RelayError;
use crate::incremental::Writer;
use crate::ledger::{Mark, Split};

/// The transaction that is being received.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: CommitLsn,
    pub(crate) commit_time: PgTimestamp,
    pub(crate) xid: u32,
    /// Where it was committed first, when it came here through another server.
    pub(crate) origin: Option<(String, Lsn)>,
    /// The number its next record gets.
    pub(crate) next_ordinal: u64,
    pub(crate) replay: Replay,
}

/// Whether an earlier run has published a transaction already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Nothing of it.
    New,
    /// Its first records, so many.
    First(u64),
    /// All of it.
    Whole,
}

impl Transaction {
    pub(crate) fn begin(begin: &Begin, done: Mark) -> Self {
        Self {
            commit_lsn: begin.commit_lsn,
            commit_time: begin.commit_time,
            xid: begin.xid,
            origin: None,
            next_ordinal: 0,
            replay: Replay::of(begin.commit_lsn, done),
        }
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer {
            xid: self.xid,
            commit_lsn: self.commit_lsn,
        }
    }

    /// What every event of this transaction says besides its row. `at` is the message's own
    /// position, for `source.lsn`.
    pub(crate) fn context(&self, epoch: u64, at: Lsn, now_unix_nanos: i64) -> Context<'_> {
        Context {
            epoch,
            commit_lsn: self.commit_lsn,
            commit_time: self.commit_time,
            xid: self.xid,
            data_start: at,
            origin: self
                .origin
                .as_ref()
                .map(|(name, lsn)| (name.as_str(), *lsn)),
            snapshot: SnapshotMark::Streaming,
            first_ordinal: self.next_ordinal,
            now_unix_nanos,
        }
    }

    /// Checks that a commit belongs to this transaction.
    pub(crate) fn ends_with(&self, commit: &Commit) -> Result<(), RelayError> {
        if self.commit_lsn == commit.commit_lsn {
            return Ok(());
        }
        Err(RelayError::ForeignCommit {
            begun: self.commit_lsn,
            committed: commit.commit_lsn,
        })
    }
}

impl Replay {
    /// The server sends a transaction if and only if its commit record starts at or after the
    /// confirmed position; the same rule tells what is done already.
    pub(crate) fn of(commit_lsn: CommitLsn, done: Mark) -> Self {
        match done.split {
            Some(Split {
                commit_lsn: split,
                records_done,
            }) if split == commit_lsn => Self::First(records_done),
            _ if commit_lsn.0 < done.end => Self::Whole,
            _ => Self::New,
        }
    }

    /// The number of the first record that is still to be published.
    pub(crate) fn first_ordinal(self) -> u64 {
        if let Self::First(records_done) = self {
            records_done
        } else {
            0
        }
    }
}

/// The name of a message, for the errors.
pub(crate) fn name(message: &Message<'_>) -> &'static str {
    match message {
        Message::Begin(_) => "Begin",
        Message::Commit(_) => "Commit",
        Message::Origin(_) => "Origin",
        Message::Relation(_) => "Relation",
        Message::Type(_) => "Type",
        Message::Insert(_) => "Insert",
        Message::Update(_) => "Update",
        Message::Delete(_) => "Delete",
        Message::Truncate(_) => "Truncate",
        Message::Logical(_) => "Message",
        Message::BeginPrepare(_) => "Begin Prepare",
        Message::Prepare(_) => "Prepare",
        Message::CommitPrepared(_) => "Commit Prepared",
        Message::RollbackPrepared(_) => "Rollback Prepared",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit_at(lsn: u64) -> CommitLsn {
        CommitLsn(Lsn::new(lsn))
    }

    #[test]
    fn a_transaction_is_done_if_its_commit_record_starts_before_the_mark() {
        let done = Mark::at(Lsn::new(100));
        assert_eq!(Replay::of(commit_at(99), done), Replay::Whole);
        assert_eq!(Replay::of(commit_at(100), done), Replay::New);
    }

    #[test]
    fn a_split_transaction_goes_on_where_it_was_left() {
        let split = Some(Split {
            commit_lsn: commit_at(120),
            records_done: 7,
        });
        let done = Mark {
            end: Lsn::new(100),
            split,
        };
        assert_eq!(Replay::of(commit_at(99), done), Replay::Whole);
        assert_eq!(Replay::of(commit_at(120), done), Replay::First(7));
        assert_eq!(Replay::of(commit_at(130), done), Replay::New);
    }
}
