//! What can be wrong with the stream itself.

use envelope::EncodeError;
use pgoutput::{CommitLsn, DecodeError, Lsn};
use thiserror::Error;

/// The stream broke its own grammar, or holds something that cannot be published.
#[derive(Debug, Error)]
pub enum RelayError {
    /// Bytes that are no message of pgoutput.
    #[error("the server sent a malformed message at or after {near}: {source}")]
    Decode {
        /// The last position known to be good.
        near: Lsn,
        /// What is malformed about it.
        source: DecodeError,
    },
    /// A message where it may not stand.
    #[error(
        "the server sent {message} {place}, near {near}; reconnecting starts the stream afresh"
    )]
    OutOfPlace {
        /// The message's name.
        message: &'static str,
        /// Where it stood.
        place: &'static str,
        /// The last position known to be good.
        near: Lsn,
    },
    /// A commit that is not the one announced.
    #[error("the transaction begun for {} was committed at {}", .begun.0, .committed.0)]
    ForeignCommit {
        /// The commit position that Begin announced.
        begun: CommitLsn,
        /// The one that Commit gave.
        committed: CommitLsn,
    },
    /// A change of a table that was not described before.
    #[error("a change of relation {oid}, which was not described, in the transaction at {}", .commit_lsn.0)]
    UnknownRelation {
        /// The relation's oid.
        oid: u32,
        /// The transaction.
        commit_lsn: CommitLsn,
    },
    /// A value that cannot be published in the chosen mode.
    #[error("at {}: {source}", .commit_lsn.0)]
    Encode {
        /// The transaction.
        commit_lsn: CommitLsn,
        /// Which column, and what to set.
        source: EncodeError,
    },
    /// A prepared transaction whose changes the slot does not have any more.
    #[error(
        "the prepared transaction {gid:?} was committed at {}, but its changes were sent before this \
         slot's position and will not come again", .commit_lsn.0
    )]
    PreparedGone {
        /// The name it was prepared under.
        gid: String,
        /// Its commit.
        commit_lsn: CommitLsn,
    },
    /// The same in the copy of the rows that were there before.
    #[error("a row of the first copy: {0}")]
    EncodeCopied(EncodeError),
}
