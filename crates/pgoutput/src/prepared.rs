//! The messages of two-phase commit, which a slot with `two_phase` on sends (from Postgres 15 on):
//! Begin Prepare and Prepare around a prepared transaction's changes, Commit Prepared and Rollback
//! Prepared in their own places later.

use alloc::vec::Vec;

use crate::cursor::{Cursor, put_string};
use crate::error::DecodeError;
use crate::lsn::{EndLsn, Lsn};
use crate::stream::PgTimestamp;

type Result<T> = core::result::Result<T, DecodeError>;

/// A prepared transaction, at its beginning, its PREPARE or its COMMIT PREPARED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared<'a> {
    /// Where the record of PREPARE (for Commit Prepared: of the commit) starts.
    pub lsn: Lsn,
    /// Where that record ends.
    pub end_lsn: EndLsn,
    /// When it was prepared, or committed.
    pub time: PgTimestamp,
    /// The transaction's id, 32 bits without the epoch.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: &'a str,
}

/// A prepared transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackPrepared<'a> {
    /// Where the record of PREPARE ends.
    pub prepare_end_lsn: EndLsn,
    /// Where the record of the rollback ends.
    pub rollback_end_lsn: EndLsn,
    /// When it was prepared.
    pub prepare_time: PgTimestamp,
    /// When it was rolled back.
    pub rollback_time: PgTimestamp,
    /// The transaction's id, 32 bits without the epoch.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: &'a str,
}

impl<'a> Prepared<'a> {
    /// Begin Prepare, which has no flags.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        Ok(Self {
            lsn: Lsn::new(cursor.u64("lsn")?),
            end_lsn: EndLsn(Lsn::new(cursor.u64("end_lsn")?)),
            time: PgTimestamp(cursor.i64("time")?),
            xid: cursor.u32("xid")?,
            gid: cursor.string("gid")?,
        })
    }

    /// Prepare and Commit Prepared.
    pub(crate) fn read_behind_flags(cursor: &mut Cursor<'a>) -> Result<Self> {
        cursor.flags("flags", 0)?;
        Self::read(cursor)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lsn.as_u64().to_be_bytes());
        out.extend_from_slice(&self.end_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.xid.to_be_bytes());
        put_string(out, self.gid);
    }

    pub(crate) fn write_behind_flags(&self, out: &mut Vec<u8>) {
        out.push(0);
        self.write(out);
    }
}

impl<'a> RollbackPrepared<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        cursor.flags("flags", 0)?;
        Ok(Self {
            prepare_end_lsn: EndLsn(Lsn::new(cursor.u64("prepare_end_lsn")?)),
            rollback_end_lsn: EndLsn(Lsn::new(cursor.u64("rollback_end_lsn")?)),
            prepare_time: PgTimestamp(cursor.i64("prepare_time")?),
            rollback_time: PgTimestamp(cursor.i64("rollback_time")?),
            xid: cursor.u32("xid")?,
            gid: cursor.string("gid")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.prepare_end_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.rollback_end_lsn.0.as_u64().to_be_bytes());
        out.extend_from_slice(&self.prepare_time.0.to_be_bytes());
        out.extend_from_slice(&self.rollback_time.0.to_be_bytes());
        out.extend_from_slice(&self.xid.to_be_bytes());
        put_string(out, self.gid);
    }
}
