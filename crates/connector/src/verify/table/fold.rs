//! The state that a topic gives, in bounded memory: of each key a checksum of its last row.
//!
//! Keys are known by their hashes. A pass takes those in a range; when they become too many, the
//! range is halved, and what falls out of it is left to the passes that follow.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::RangeInclusive;

use super::columns::{self, Row};

/// One pass.
#[derive(Debug)]
pub(super) struct Fold {
    keys: HashMap<u64, State, BuildHasherDefault<AsItIs>>,
    range: RangeInclusive<u64>,
    sample: u64,
    capacity: usize,
    masks: Masks,
}

/// What the topic says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    checksum: u64,
    /// The record's offset,
    pub(super) offset: i64,
    /// and its partition, by number.
    pub(super) place: u32,
    mask: u32,
}

/// A row of the table against the topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is of another pass, or not in the sample.
    NotNow,
    /// The topic says the same.
    Equal(Extent),
    /// The topic says something else.
    Different(State),
    /// The topic does not have its key.
    Missing,
}

/// Whether all of a row was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// It was.
    Whole,
    /// The topic does not have the values of some columns.
    Partial,
}

impl Fold {
    /// The first pass, of at most `capacity` keys, of which one in `sample` is taken.
    pub(super) fn new(capacity: usize, sample: u64) -> Self {
        // Made as large as it may become: while it grows, there would be two.
        let keys = HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default());
        Self {
            keys,
            range: 0..=u64::MAX,
            sample: sample.max(1),
            capacity: capacity.max(1),
            masks: Masks::default(),
        }
    }

    /// The pass behind this one, over as many keys.
    pub(super) fn next(mut self) -> Option<Self> {
        let width = self.range.end() - self.range.start();
        let first = self.range.end().checked_add(1)?;
        self.range = first..=first.saturating_add(width);
        self.keys.clear();
        Some(self)
    }

    /// How many keys there may be in so many bytes: a map has a power of two of places, and fills
    /// seven in eight of them.
    pub(super) fn capacity_of(bytes: usize) -> usize {
        const PLACE_BYTES: usize = size_of::<(u64, State)>() + 1;
        let places = (bytes / PLACE_BYTES).max(16);
        (1 << places.ilog2()) / 8 * 7
    }

    /// Whether a key is of this pass. The sample is taken by other bits than the range.
    pub(super) fn wants(&self, key: u64) -> bool {
        self.range.contains(&key)
            && (self.sample == 1
                || key
                    .wrapping_mul(SPREAD)
                    .rotate_left(32)
                    .is_multiple_of(self.sample))
    }

    /// The key has this row now.
    pub(super) fn set(&mut self, key: u64, row: &Row, (place, offset): (u32, i64)) {
        if !self.wants(key) {
            return;
        }
        let (mask, bits) = self.masks.number(row);
        let checksum = columns::checksum(row, bits).unwrap_or_default();
        let state = State {
            checksum,
            offset,
            place,
            mask,
        };
        self.keys.insert(key, state);
        while self.keys.len() > self.capacity && self.range.start() < self.range.end() {
            let (first, last) = (*self.range.start(), *self.range.end());
            self.range = first..=first + (last - first) / 2;
            self.keys.retain(|key, _| self.range.contains(key));
        }
    }

    /// The key has no row any more.
    pub(super) fn remove(&mut self, key: u64) {
        self.keys.remove(&key);
    }

    /// No key has a row any more.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }

    /// A row of the table; its key is done with.
    pub(super) fn compare(&mut self, key: u64, row: &Row) -> Verdict {
        if !self.wants(key) {
            return Verdict::NotNow;
        }
        let Some(state) = self.keys.remove(&key) else {
            return Verdict::Missing;
        };
        let bits = self.masks.bits(state.mask);
        if columns::checksum(row, bits) != Some(state.checksum) {
            return Verdict::Different(state);
        }
        let known = row.iter().flatten().count();
        let compared: u32 = bits.iter().map(|word| word.count_ones()).sum();
        Verdict::Equal(match compared as usize == known {
            true => Extent::Whole,
            false => Extent::Partial,
        })
    }

    /// Keys that were not asked for: the table does not have them.
    pub(super) fn rest(&self) -> impl Iterator<Item = &State> {
        self.keys.values()
    }
}

/// Sets of columns, each kept once: there are as many as columns go missing together.
#[derive(Debug, Default)]
struct Masks {
    numbers: HashMap<Vec<u64>, u32>,
    all: Vec<Vec<u64>>,
    scratch: Vec<u64>,
    last: u32,
}

impl Masks {
    fn number(&mut self, row: &Row) -> (u32, &[u64]) {
        columns::mask(row, &mut self.scratch);
        // Nearly always the one of the row before.
        if self.all.get(self.last as usize) != Some(&self.scratch) {
            self.last = match self.numbers.get(&self.scratch) {
                Some(number) => *number,
                None => {
                    let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
                    self.numbers.insert(self.scratch.clone(), number);
                    self.all.push(self.scratch.clone());
                    number
                }
            };
        }
        (self.last, self.bits(self.last))
    }

    fn bits(&self, number: u32) -> &[u64] {
        self.all.get(number as usize).map_or(&[], Vec::as_slice)
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        // The table takes its places from the low bits and its tags from the high ones, which a
        // range makes alike.
        self.0 = key.wrapping_mul(SPREAD).rotate_left(32);
    }
}

/// Any odd number with many ones (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Keys that are spread as hashes are.
    fn key(number: u64) -> u64 {
        number.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    fn row(value: u64) -> Row {
        // Every seventh has a column that is not in the log.
        vec![
            Some(1),
            (!value.is_multiple_of(7)).then_some(value),
            Some(value % 3),
        ]
    }

    fn whole(value: u64) -> Row {
        vec![Some(1), Some(value), Some(value % 3)]
    }

    #[derive(Clone, Copy, Debug)]
    enum Change {
        Set(u64, u64),
        Remove(u64),
        Clear,
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            20 => (0u64..50, 0u64..30).prop_map(|(key, value)| Change::Set(key, value)),
            5 => (0u64..50).prop_map(Change::Remove),
            1 => Just(Change::Clear),
        ];
        proptest::collection::vec(change, 0..200)
    }

    proptest! {
        #[test]
        fn passes_together_say_what_one_map_says(
            changes in changes(),
            table in proptest::collection::btree_map(0u64..50, 0u64..30, 0..50),
            capacity in 1usize..60,
            sample in 1u64..4,
        ) {
            let mut topic = BTreeMap::new();
            for change in &changes {
                match *change {
                    Change::Set(key, value) => drop(topic.insert(key, value)),
                    Change::Remove(key) => drop(topic.remove(&key)),
                    Change::Clear => topic.clear(),
                }
            }
            let all = Fold::new(1000, sample);
            let wanted = |number: &u64| all.wants(key(*number));
            let (mut found, mut extra, mut passes) = (BTreeMap::new(), 0, 0);
            let mut pass = Some(Fold::new(capacity, sample));
            while let Some(mut fold) = pass {
                passes += 1;
                for change in &changes {
                    match *change {
                        Change::Set(number, value) => fold.set(key(number), &row(value), (0, 0)),
                        Change::Remove(number) => fold.remove(key(number)),
                        Change::Clear => fold.clear(),
                    }
                }
                prop_assert!(fold.keys.len() <= capacity);
                for (&number, &value) in &table {
                    let verdict = match fold.compare(key(number), &whole(value)) {
                        Verdict::NotNow => continue,
                        Verdict::Equal(Extent::Whole) => "equal",
                        Verdict::Equal(Extent::Partial) => "partial",
                        Verdict::Different(_) => "different",
                        Verdict::Missing => "missing",
                    };
                    prop_assert_eq!(found.insert(number, verdict), None, "looked at twice");
                }
                extra += fold.rest().count();
                pass = fold.next();
            }
            prop_assert!(capacity < 50 || passes == 1);
            for (number, value) in table.iter().filter(|it| wanted(it.0)) {
                let expected = match topic.get(number) {
                    None => "missing",
                    Some(other) if other % 7 == 0 && other % 3 == value % 3 => "partial",
                    Some(other) if other % 7 != 0 && other == value => "equal",
                    Some(_) => "different",
                };
                prop_assert_eq!(found.remove(number), Some(expected));
            }
            prop_assert!(found.is_empty(), "not in the sample");
            let alone = topic.keys().filter(|it| !table.contains_key(it) && wanted(it)).count();
            prop_assert_eq!(extra, alone);
        }
    }

    #[test]
    fn a_map_stays_within_its_bytes() {
        for megabytes in [8, 48, 64, 100] {
            let capacity = Fold::capacity_of(megabytes << 20);
            let fold = Fold::new(capacity, 1);
            // Grown once, it would have twice as much room.
            assert_eq!(fold.keys.capacity(), capacity);
            assert!(capacity * 66 > megabytes << 19, "{capacity} are few");
        }
    }

    #[test]
    fn a_sample_is_about_one_in_so_many_in_every_range() {
        let mut fold = Fold::new(10, 100);
        fold.range = 0..=u64::MAX / 4;
        let taken = (0..1_000_000).filter(|it| fold.wants(key(*it))).count();
        assert!((2_000..3_000).contains(&taken), "{taken}");
    }
}
