//! What a snapshot sees: by the ids of `pg_current_snapshot()`, or, on a standby, by what was replayed.

use pgoutput::{CommitLsn, Lsn};

/// Who wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) xid: u32,
    pub(crate) commit_lsn: CommitLsn,
}

/// What is visible in a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkSnapshot {
    /// What these ids tell.
    Of(TransactionIds),
    /// A standby shows transactions in the order of their commits, each once its commit is replayed: those
    /// whose commit record starts before this position are visible, of those behind nothing is known. Its
    /// `pg_current_snapshot()` does not list the ones that are running.
    Replayed(Lsn),
}

impl ChunkSnapshot {
    /// Reads `xmin:xmax:xip,xip`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        TransactionIds::parse(text).map(Self::Of)
    }

    /// Whether a committed transaction is visible for certain.
    pub(crate) fn sees(&self, writer: Writer) -> bool {
        match self {
            Self::Of(ids) => ids.see(writer.xid),
            Self::Replayed(before) => writer.commit_lsn.0 < *before,
        }
    }
}

/// A snapshot's transactions, by their 64-bit ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionIds {
    /// All before are visible, or rolled back.
    xmin: u64,
    /// None from here on is.
    xmax: u64,
    /// Those between that are not.
    in_progress: Vec<u64>,
}

impl TransactionIds {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let xmin = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let ids = parts.next()?.split(',').filter(|id| !id.is_empty());
        let mut in_progress = ids.map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        in_progress.sort_unstable();
        Some(Self {
            xmin,
            xmax,
            in_progress,
        })
    }

    /// Whether a committed transaction is visible. The stream tells the low half of its id, and the other
    /// half is that of the snapshot's own time: running transactions are never 2^31 apart.
    pub(crate) fn see(&self, xid: u32) -> bool {
        let low = u32::try_from(self.xmax & u64::from(u32::MAX)).unwrap_or_default();
        let ahead = xid.wrapping_sub(low);
        if ahead < 1 << 31 {
            return false;
        }
        let full = self.xmax.saturating_sub(u64::from(low.wrapping_sub(xid)));
        full < self.xmin || self.in_progress.binary_search(&full).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_and_asked() {
        let snapshot = TransactionIds::parse("10:20:10,14,15").unwrap();
        let seen: Vec<u32> = (8..23).filter(|xid| snapshot.see(*xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        let quiet = TransactionIds::parse("7:7:").unwrap();
        assert!(quiet.see(6) && !quiet.see(7));
        for text in ["", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(TransactionIds::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_standby_shows_what_is_replayed() {
        let snapshot = ChunkSnapshot::Replayed(Lsn::new(0x100));
        let sees = |commit| {
            let commit_lsn = CommitLsn(Lsn::new(commit));
            snapshot.sees(Writer { xid: 7, commit_lsn })
        };
        assert!(sees(0xF8) && !sees(0x100) && !sees(0x108));
    }

    #[test]
    fn ids_of_the_stream_wrap_around() {
        let turn = 1u64 << 32;
        let text = format!("{}:{}:{}", turn - 3, turn + 5, turn - 3);
        let snapshot = TransactionIds::parse(&text).unwrap();
        assert!(!snapshot.see(u32::MAX - 2), "in progress, a turn before");
        assert!(snapshot.see(u32::MAX));
        assert!(snapshot.see(4));
        assert!(!snapshot.see(5));
    }
}
