//! A table in pieces: ranges of the blocks of its heap, which are read one by one, by several readers,
//! and by another run where this one does not come to the end. Pure.
//!
//! Rows do not keep to their blocks: an update may write the new version of one that is not read yet
//! into a block that is. A later run, with a newer snapshot, therefore looks through what is done for
//! rows that were written since ([`Part::since`]), beside reading the rest.

use std::fmt;

use pgoutput::Lsn;
use serde::{Deserialize, Serialize};

/// Blocks from the first on and before the second; [`Blocks::END`] is the table's end, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blocks(pub u32, pub u32);

impl Blocks {
    /// Beyond every block: `MaxBlockNumber` is the number before.
    pub const END: u32 = u32::MAX;
    /// All of a table.
    pub const ALL: Self = Self(0, Self::END);
}

/// The condition on `ctid`; nothing for all blocks.
impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => Ok(()),
            Self(0, end) => write!(f, "ctid < '({end},0)'"),
            Self(start, Self::END) => write!(f, "ctid >= '({start},0)'"),
            Self(start, end) => write!(f, "ctid >= '({start},0)' AND ctid < '({end},0)'"),
        }
    }
}

/// Ranges that are done: in order, and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done(Vec<Blocks>);

impl Done {
    /// Adds a range.
    pub fn insert(&mut self, blocks: Blocks) {
        let Blocks(mut start, mut end) = blocks;
        self.0.retain(|known| {
            let apart = known.1 < start || known.0 > end;
            if !apart {
                start = start.min(known.0);
                end = end.max(known.1);
            }
            apart
        });
        let at = self.0.partition_point(|known| known.0 < start);
        self.0.insert(at, Blocks(start, end));
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.as_slice() == [Blocks::ALL]
    }

    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left to do.
    fn holes(&self) -> Vec<Blocks> {
        let mut holes = Vec::new();
        let mut at = 0;
        for Blocks(start, end) in &self.0 {
            if at < *start {
                holes.push(Blocks(at, *start));
            }
            at = *end;
        }
        if at < Blocks::END {
            holes.push(Blocks(at, Blocks::END));
        }
        holes
    }

    /// What is left to do, in pieces of at most so many blocks; the last takes in whatever is beyond
    /// `blocks`, where the table was seen to end.
    #[must_use]
    pub fn pieces(&self, blocks: u32, of: u32) -> Vec<Blocks> {
        let of = of.max(1);
        let mut pieces = Vec::new();
        for Blocks(mut start, end) in self.holes() {
            while start < end {
                // From multiples to multiples, so that pieces fit together again.
                let next = (start / of).saturating_add(1).saturating_mul(of);
                let next = if next >= blocks { end } else { next.min(end) };
                pieces.push(Blocks(start, next));
                start = next;
            }
        }
        pieces
    }
}

/// How far the copy of a table has come: what is kept in the progress topic of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The files that the table's blocks were in; others hold other rows in their blocks.
    pub storage: String,
    /// The earliest point that some of it was read at: the stream from there on belongs to it.
    #[serde(with = "lsn_text")]
    pub point: Lsn,
    /// Every transaction before this id (`xid8`) had ended by the snapshots of all that is done (their
    /// `xmin`). What one from it on has written may be missing there.
    pub since: u64,
    /// Whose rows Kafka has.
    pub done: Done,
}

/// As Postgres writes it.
mod lsn_text {
    use pgoutput::Lsn;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(lsn: &Lsn, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(lsn)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Lsn, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| D::Error::custom("not an LSN"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(ranges: &[(u32, u32)]) -> Done {
        let mut done = Done::default();
        for (start, end) in ranges {
            done.insert(Blocks(*start, *end));
        }
        done
    }

    #[test]
    fn ranges_grow_together() {
        assert_eq!(done(&[(4, 8), (0, 2), (2, 4)]), done(&[(0, 8)]));
        assert_eq!(done(&[(0, 2), (4, 6)]).0, [Blocks(0, 2), Blocks(4, 6)]);
        assert!(done(&[(4, Blocks::END), (0, 4)]).is_whole());
        assert!(!done(&[(0, 4)]).is_whole());
        assert!(done(&[]).is_empty());
    }

    #[test]
    fn the_last_piece_is_open() {
        assert_eq!(
            done(&[]).pieces(10, 4),
            [Blocks(0, 4), Blocks(4, 8), Blocks(8, Blocks::END)]
        );
        assert_eq!(done(&[]).pieces(0, 4), [Blocks::ALL]);
        assert_eq!(done(&[]).pieces(4, 4), [Blocks::ALL]);
        assert_eq!(
            done(&[(4, 8)]).pieces(10, 4),
            [Blocks(0, 4), Blocks(8, Blocks::END)]
        );
        assert_eq!(done(&[(0, Blocks::END)]).pieces(10, 4), []);
    }

    #[test]
    fn a_condition_names_the_blocks() {
        let text = |start, end| Blocks(start, end).to_string();
        assert_eq!(Blocks::ALL.to_string(), "");
        assert_eq!(text(0, 4), "ctid < '(4,0)'");
        assert_eq!(text(4, 8), "ctid >= '(4,0)' AND ctid < '(8,0)'");
        assert_eq!(text(8, Blocks::END), "ctid >= '(8,0)'");
    }

    proptest! {
        /// However much is done, the pieces are the rest: nothing twice, nothing left out.
        #[test]
        fn pieces_and_what_is_done_make_the_table(
            ranges in proptest::collection::vec((0u32..100, 0u32..20), 0..12),
            blocks in 0u32..120,
            of in 0u32..30,
        ) {
            let mut whole = Done::default();
            let mut seen = [false; 140];
            for (start, length) in ranges {
                if length > 0 {
                    whole.insert(Blocks(start, start + length));
                }
                seen.iter_mut().skip(start as usize).take(length as usize).for_each(|s| *s = true);
            }
            for piece in whole.pieces(blocks, of) {
                for block in piece.0..piece.1.min(140) {
                    prop_assert!(!seen[block as usize], "block {block} twice");
                    seen[block as usize] = true;
                }
                whole.insert(piece);
            }
            prop_assert!(whole.is_whole());
            prop_assert!(seen.iter().all(|seen| *seen));
        }
    }
}
