//! Which ordinals of one transaction were seen, and the holes between them.

use std::collections::BTreeMap;

/// Where a record was read: the number of its partition among those read, and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) place: usize,
    pub(super) offset: i64,
}

/// The ordinals seen of the transaction at hand. They come in ascending order but for stragglers, so
/// a whole transaction is one run, however long it is.
#[derive(Debug, Default)]
pub(super) struct Ordinals {
    /// First ordinal, last ordinal, and where the first was read; ascending, with holes between.
    runs: Vec<(u64, u64, At)>,
    /// Too many holes to be kept.
    overflown: bool,
}

/// Ordinals that are missing before one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The record behind it.
    pub(super) behind: At,
}

impl Ordinals {
    /// Whether the ordinal was seen before; if not, it is now.
    pub(super) fn add(&mut self, ordinal: u64, at: At) -> Before {
        // The run that begins at or before it.
        let next = self.runs.partition_point(|(first, ..)| *first <= ordinal);
        let joins_next = self
            .runs
            .get(next)
            .is_some_and(|(first, ..)| ordinal.checked_add(1) == Some(*first));
        if let Some((_, last, _)) = next.checked_sub(1).and_then(|it| self.runs.get_mut(it)) {
            if ordinal <= *last {
                return Before::Seen;
            }
            if *last + 1 == ordinal {
                *last = ordinal;
                if joins_next {
                    let (_, end, _) = self.runs.remove(next);
                    if let Some((_, last, _)) = self.runs.get_mut(next - 1) {
                        *last = end;
                    }
                }
                return Before::New;
            }
        }
        if joins_next && let Some((first, _, behind)) = self.runs.get_mut(next) {
            (*first, *behind) = (ordinal, at);
        } else if self.runs.len() < RUNS_MAX {
            self.runs.insert(next, (ordinal, ordinal, at));
        } else {
            self.overflown = true;
        }
        Before::New
    }

    /// The holes, in order; none when they are too many to be known.
    pub(super) fn holes(&self) -> Option<impl Iterator<Item = Hole>> {
        if self.overflown {
            return None;
        }
        let mut expected = 0;
        Some(self.runs.iter().filter_map(move |&(first, last, behind)| {
            let hole = (first > expected).then(|| Hole {
                first: expected,
                last: first - 1,
                behind,
            });
            expected = last.saturating_add(1);
            hole
        }))
    }

    /// The ordinal behind the last that was seen.
    pub(super) fn end(&self) -> u64 {
        self.runs
            .last()
            .map_or(0, |(_, last, _)| last.saturating_add(1))
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.overflown = false;
    }
}

/// Whether an ordinal was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    New,
    Seen,
}

/// Holes that are known, by transaction and first ordinal. A straggler that comes later fills its own.
#[derive(Debug, Default)]
pub(super) struct Holes {
    kept: BTreeMap<(u64, u64), Hole>,
    /// Those that were not kept, for there were too many.
    more: u64,
}

impl Holes {
    pub(super) fn push(&mut self, lsn: u64, hole: Hole) {
        if self.kept.len() < HOLES_MAX {
            self.kept.insert((lsn, hole.first), hole);
        } else {
            self.more += 1;
        }
    }

    /// Takes one ordinal out of its hole, if it is in one: what is missing before it is behind `at` then.
    pub(super) fn fill(&mut self, lsn: u64, ordinal: u64, at: At) {
        let at_or_before = self.kept.range((lsn, 0)..=(lsn, ordinal)).next_back();
        let Some((&key, &hole)) = at_or_before.filter(|(_, hole)| ordinal <= hole.last) else {
            return;
        };
        self.kept.remove(&key);
        if hole.first < ordinal {
            let (first, last, behind) = (hole.first, ordinal - 1, at);
            self.kept.insert(
                key,
                Hole {
                    first,
                    last,
                    behind,
                },
            );
        }
        if ordinal < hole.last {
            let first = ordinal + 1;
            self.kept.insert((lsn, first), Hole { first, ..hole });
        }
    }

    /// All of them with their transactions, and how many more there are.
    pub(super) fn into_all(self) -> (impl Iterator<Item = (u64, Hole)>, u64) {
        let kept = self.kept.into_iter().map(|((lsn, _), hole)| (lsn, hole));
        (kept, self.more)
    }
}

/// Where the last transactions end as far as they were seen, so that what comes late can tell of a hole
/// before it.
#[derive(Debug, Default)]
pub(super) struct Ends {
    kept: BTreeMap<u64, u64>,
    /// The last that was forgotten.
    forgotten: Option<u64>,
}

impl Ends {
    /// The ordinal behind the last that was seen; 0 where none was, and none where that is forgotten.
    pub(super) fn of(&self, lsn: u64) -> Option<u64> {
        let unseen = self.forgotten.is_none_or(|forgotten| lsn > forgotten);
        self.kept.get(&lsn).copied().or(unseen.then_some(0))
    }

    pub(super) fn set(&mut self, lsn: u64, end: u64) {
        self.kept.insert(lsn, end);
        if self.kept.len() > ENDS_MAX
            && let Some((first, _)) = self.kept.pop_first()
        {
            self.forgotten = self.forgotten.max(Some(first));
        }
    }
}

/// About 50 bytes each.
const ENDS_MAX: usize = 50_000;

/// 32 bytes each. A transaction with more holes than this is one whose topics are not all read.
const RUNS_MAX: usize = 1 << 16;

/// About 100 bytes each.
const HOLES_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const AT: At = At {
        place: 0,
        offset: 0,
    };

    fn missing(holes: impl Iterator<Item = Hole>) -> Vec<u64> {
        holes.flat_map(|hole| hole.first..=hole.last).collect()
    }

    proptest! {
        #[test]
        fn runs_are_a_set(ordinals in proptest::collection::vec(0u64..40, 0..60)) {
            let (mut runs, mut set) = (Ordinals::default(), BTreeSet::new());
            for ordinal in ordinals {
                let new = runs.add(ordinal, AT) == Before::New;
                prop_assert_eq!(new, set.insert(ordinal));
            }
            let end = set.last().copied().unwrap_or(0);
            let expected: Vec<u64> = (0..end).filter(|it| !set.contains(it)).collect();
            prop_assert_eq!(missing(runs.holes().unwrap()), expected);
        }

        #[test]
        fn a_straggler_fills_its_own_hole(late in proptest::collection::vec((0u64..3, 0u64..30), 0..60)) {
            let (mut holes, mut set) = (Holes::default(), BTreeSet::new());
            for (lsn, first, last) in [(0, 3, 9), (1, 0, 0), (1, 5, 25), (2, 7, 8)] {
                holes.push(lsn, Hole { first, last, behind: AT });
                set.extend((first..=last).map(|ordinal| (lsn, ordinal)));
            }
            for (lsn, ordinal) in late {
                holes.fill(lsn, ordinal, AT);
                set.remove(&(lsn, ordinal));
            }
            let (kept, more) = holes.into_all();
            let left: Vec<(u64, u64)> = kept
                .flat_map(|(lsn, hole)| (hole.first..=hole.last).map(move |it| (lsn, it)))
                .collect();
            prop_assert_eq!(left, set.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(more, 0);
        }
    }
}
