//! The messages around a transaction's changes: Begin, Commit, Origin, and logical messages.

use alloc::vec::Vec;
use core::fmt;

use crate::cursor::{Cursor, put_counted, put_string};
use crate::error::DecodeError;
use crate::lsn::{CommitLsn, EndLsn, Lsn};
use crate::stream::PgTimestamp;

type Result<T> = core::result::Result<T, DecodeError>;

/// A committed transaction starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// `final_lsn`: where the commit record starts. It names the transaction.
    pub commit_lsn: CommitLsn,
    /// When it committed, by the server's clock.
    pub commit_time: PgTimestamp,
    /// The transaction's id, 32 bits without the epoch.
    pub xid: u32,
}

impl Begin {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Begin> {
        Ok(Begin {
            commit_lsn: CommitLsn(Lsn::new(cursor.u64("final_lsn")?)),
            commit_time: PgTimestamp(cursor.i64("commit_time")?),
            xid: cursor.u32("xid")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.commit_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.commit_time.0.to_be_bytes());
        out.extend_from_slice(&self.xid.to_be_bytes());
    }
}

/// The transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The same as its Begin's.
    pub commit_lsn: CommitLsn,
    /// Where the commit record ends: confirming this position confirms the transaction.
    pub end_lsn: EndLsn,
    /// When it committed, by the server's clock.
    pub commit_time: PgTimestamp,
}

impl Commit {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Commit> {
        cursor.flags("flags", 0)?;
        Ok(Commit {
            commit_lsn: CommitLsn(Lsn::new(cursor.u64("commit_lsn")?)),
            end_lsn: EndLsn(Lsn::new(cursor.u64("end_lsn")?)),
            commit_time: PgTimestamp(cursor.i64("commit_time")?),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.commit_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.end_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.commit_time.0.to_be_bytes());
    }
}

/// The transaction was applied here by replication from elsewhere. May come more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The commit's position on the origin server.
    pub origin_lsn: Lsn,
    /// The replication origin's name.
    pub name: &'a str,
}

impl<'a> Origin<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Origin<'a>> {
        Ok(Origin {
            origin_lsn: Lsn::new(cursor.u64("origin_lsn")?),
            name: cursor.string("origin name")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.origin_lsn.as_u64().to_be_bytes());
        put_string(out, self.name);
    }
}

/// What `pg_logical_emit_message` wrote. `Debug` tells the content's length, not the content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// True inside a transaction; false ones come when they are decoded, even if the transaction
    /// around them rolls back.
    pub transactional: bool,
    /// Where the message's WAL record ends.
    pub lsn: Lsn,
    /// The prefix given by the caller.
    pub prefix: &'a str,
    /// The content; any bytes.
    pub content: &'a [u8],
}

impl<'a> LogicalMessage<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<LogicalMessage<'a>> {
        Ok(LogicalMessage {
            transactional: cursor.bool("flags")?,
            lsn: Lsn::new(cursor.u64("lsn")?),
            prefix: cursor.string("prefix")?,
            content: cursor.counted("content")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.transactional));
        out.extend_from_slice(&self.lsn.as_u64().to_be_bytes());
        put_string(out, self.prefix);
        put_counted(out, self.content);
    }
}

impl fmt::Debug for LogicalMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogicalMessage")
            .field("transactional", &self.transactional)
            .field("lsn", &self.lsn)
            .field("prefix", &self.prefix)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}
