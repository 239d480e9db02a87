//! What a snapshot sees, in the words of `pg_current_snapshot()`.

/// A snapshot's transactions, by their 64-bit ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSnapshot {
    /// All before are visible, or rolled back.
    xmin: u64,
    /// None from here on is.
    xmax: u64,
    /// Those between that are not.
    in_progress: Vec<u64>,
}

impl ChunkSnapshot {
    /// Reads `xmin:xmax:xip,xip`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
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
    #[must_use]
    pub fn sees(&self, xid: u32) -> bool {
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
        let snapshot = ChunkSnapshot::parse("10:20:10,14,15").unwrap();
        let seen: Vec<u32> = (8..23).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        let quiet = ChunkSnapshot::parse("7:7:").unwrap();
        assert!(quiet.sees(6) && !quiet.sees(7));
        for text in ["", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(ChunkSnapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_of_the_stream_wrap_around() {
        let turn = 1u64 << 32;
        let text = format!("{}:{}:{}", turn - 3, turn + 5, turn - 3);
        let snapshot = ChunkSnapshot::parse(&text).unwrap();
        assert!(!snapshot.sees(u32::MAX - 2), "in progress, a turn before");
        assert!(snapshot.sees(u32::MAX));
        assert!(snapshot.sees(4));
        assert!(!snapshot.sees(5));
    }
}
