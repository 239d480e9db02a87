//! What was changed of one table, and by whom: kept once, however many windows look at it.
//!
//! A window is a place in this list, from which on it has to look. What lies before the first of these
//! places is let go.
//!
//! ```text
//!   let go │ keys, numbered: k k k k k k k k k k k k k k k
//!          │ runs:           └─ writer 7 ─┘└ 9 ┘└─ 8 ────┘
//!          │                 ▲        ▲         ▲
//!          │               window   window    window
//! ```

use std::collections::VecDeque;
use std::iter::once;
use std::sync::Arc;

use super::ChunkSnapshot;
use super::filled::{Newer, Partial};
use super::snapshot::Writer;

/// How much is kept of changes for all open windows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptChanges {
    /// Changes.
    pub changes: usize,
    /// Bytes, with the rows of those after which the stream lacks a large value.
    pub bytes: usize,
}

impl Default for KeptChanges {
    /// So many changes take 10 MiB if each has a transaction of its own, 4 MiB in a single one.
    fn default() -> Self {
        Self {
            changes: 262_144,
            bytes: 32 << 20,
        }
    }
}

impl KeptChanges {
    pub(super) const NONE: Self = Self {
        changes: 0,
        bytes: 0,
    };

    pub(super) fn and(self, more: Self) -> Self {
        Self {
            changes: self.changes.saturating_add(more.changes),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    pub(super) fn fits(self, most: Self) -> bool {
        self.changes <= most.changes && self.bytes <= most.bytes
    }
}

/// Where a window begins to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    touch: u64,
    mark: u64,
}

/// A change of the whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was emptied.
    Emptied(Writer),
    /// Who knows what was done.
    Unknown(Writer),
}

impl Mark {
    /// What one takes.
    pub(super) const COST: KeptChanges = KeptChanges {
        changes: 1,
        bytes: size_of::<Self>(),
    };
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Where what is kept begins.
    begin: Place,
    /// Where the newest window begins to look.
    newest: Place,
    /// The names of keys that were touched.
    keys: VecDeque<u128>,
    /// Who touched them.
    runs: VecDeque<Run>,
    /// Of those after which the stream has not all of the row, the new rows, by the number of the touch.
    partials: VecDeque<(u64, Arc<Partial>)>,
    /// What these hold on to.
    partial_bytes: usize,
    marks: VecDeque<Mark>,
}

/// Touches of one transaction, from this number on.
#[derive(Debug)]
struct Run {
    from: u64,
    writer: Writer,
}

impl Changes {
    /// Where a window begins to look that is opened now.
    pub(super) fn open(&mut self) -> Place {
        self.newest = self.end();
        self.newest
    }

    fn end(&self) -> Place {
        Place {
            touch: self.begin.touch + self.keys.len() as u64,
            mark: self.begin.mark + self.marks.len() as u64,
        }
    }

    pub(super) fn kept(&self) -> KeptChanges {
        KeptChanges {
            changes: self.keys.len() + self.marks.len(),
            bytes: self.keys.len() * size_of::<u128>()
                + self.runs.len() * size_of::<Run>()
                + self.marks.len() * Mark::COST.bytes
                + self.partial_bytes,
        }
    }

    /// What one more touch takes.
    pub(super) fn cost(&self, writer: Writer, partial: Option<&Arc<Partial>>) -> KeptChanges {
        let run = match self.goes_on(writer) {
            true => 0,
            false => size_of::<Run>(),
        };
        KeptChanges {
            changes: 1,
            bytes: size_of::<u128>() + run + partial.map_or(0, held),
        }
    }

    fn goes_on(&self, writer: Writer) -> bool {
        self.runs.back().is_some_and(|it| it.writer == writer)
    }

    pub(super) fn touched(&mut self, writer: Writer, key: u128, partial: Option<&Arc<Partial>>) {
        let number = self.end().touch;
        if !self.goes_on(writer) {
            let from = number;
            self.runs.push_back(Run { from, writer });
        }
        if let Some(partial) = partial {
            self.partial_bytes += held(partial);
            self.partials.push_back((number, Arc::clone(partial)));
        }
        self.keys.push_back(key);
    }

    /// Whether all windows have this mark already.
    pub(super) fn has(&self, mark: Mark) -> bool {
        self.marks.back() == Some(&mark) && self.newest.mark < self.end().mark
    }

    pub(super) fn marked(&mut self, mark: Mark) {
        self.marks.push_back(mark);
    }

    /// No window looks at what lies before.
    pub(super) fn let_go_before(&mut self, place: Place) {
        let_go(&mut self.keys, place.touch - self.begin.touch);
        let_go(&mut self.marks, place.mark - self.begin.mark);
        let ended = self.runs.iter().skip(1);
        let ended = ended.take_while(|it| it.from <= place.touch).count() as u64;
        let_go(&mut self.runs, ended);
        let before = self.partials.iter();
        let before = before.take_while(|(number, _)| *number < place.touch);
        let (mut count, mut bytes) = (0, 0);
        before.for_each(|(_, partial)| (count, bytes) = (count + 1, bytes + held(partial)));
        let_go(&mut self.partials, count);
        self.partial_bytes -= bytes;
        self.begin = place;
    }

    pub(super) fn since(&self, from: Place) -> Since<'_> {
        let changes = self;
        Since { changes, from }
    }

    fn key(&self, number: u64) -> Option<u128> {
        let place = usize::try_from(number.checked_sub(self.begin.touch)?).ok()?;
        self.keys.get(place).copied()
    }

    fn partial(&self, number: u64) -> Option<&Partial> {
        let found = self.partials.binary_search_by_key(&number, |(it, _)| *it);
        self.partials
            .get(found.ok()?)
            .map(|(_, partial)| &**partial)
    }
}

/// What a window looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since<'a> {
    changes: &'a Changes,
    from: Place,
}

/// The touches that a snapshot does not see, by key, those of one key the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unseen(Vec<u64>);

impl<'a> Since<'a> {
    fn marks(self) -> impl Iterator<Item = Mark> {
        let before = self.from.mark - self.changes.begin.mark;
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        self.changes.marks.iter().skip(before).copied()
    }

    pub(super) fn is_emptied_unseen(self, snapshot: &ChunkSnapshot) -> bool {
        let mut marks = self.marks();
        marks.any(|it| matches!(it, Mark::Emptied(by) if !snapshot.sees(by)))
    }

    /// Whether a transaction did who knows what, and is not seen.
    pub(super) fn is_unknown_unseen(self, snapshot: &ChunkSnapshot) -> bool {
        let mut marks = self.marks();
        marks.any(|it| matches!(it, Mark::Unknown(by) if !snapshot.sees(by)))
    }

    pub(super) fn unseen(self, snapshot: &ChunkSnapshot) -> Unseen {
        let Self { changes, from } = self;
        let next = changes.runs.iter().skip(1).map(|it| it.from);
        let ends = next.chain(once(changes.end().touch));
        let runs = changes.runs.iter().zip(ends);
        let unseen = runs.filter(|(run, end)| *end > from.touch && !snapshot.sees(run.writer));
        let numbers = unseen.flat_map(|(run, end)| run.from.max(from.touch)..end);
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable_by_key(|number| (changes.key(*number), *number));
        Unseen(numbers)
    }

    /// What the stream has of a key, if it was touched.
    pub(super) fn newer(self, unseen: &Unseen, key: u128) -> Option<Newer<'a>> {
        let (changes, numbers) = (self.changes, &unseen.0);
        let first = numbers.partition_point(|it| changes.key(*it) < Some(key));
        let behind = numbers.get(first..).unwrap_or_default();
        let is_its = |it: &&u64| changes.key(**it) == Some(key);
        let mut its = behind.iter().take_while(is_its).peekable();
        its.peek()?;
        let mut newer = Newer::default();
        its.for_each(|it| newer.touched(changes.partial(*it)));
        Some(newer)
    }
}

/// With its entry.
fn held(partial: &Arc<Partial>) -> usize {
    size_of::<(u64, Arc<Partial>)>() + partial.bytes()
}

/// Drops the first ones, and gives memory back once much of it is not needed. It stays a power of two, and so
/// grows to what it needs and not to twice as much.
fn let_go<T>(items: &mut VecDeque<T>, count: u64) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    items.drain(..count.min(items.len()));
    if items.capacity() / 4 > items.len() {
        items.shrink_to((2 * items.len()).next_power_of_two());
    }
}
