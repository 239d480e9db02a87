//! Holds the records of topics to what walferry promises of them. Pure: no Kafka, no clock.
//!
//! It is fed all partitions merged by position (`place_of`): of the partitions' next records always
//! the one that stands first in the history; a repeat, which is behind what its partition has shown
//! before, at once. So what is new comes in the order of the history over all topics together, one
//! transaction at a time, and the memory that is needed does not grow with the topics.
//!
//! ```text
//!   record ──> id? ── no ──────────────────────────> FOREIGN
//!               │ of another epoch ────────────────> EARLIER_EPOCH, OTHER_EPOCH
//!               │ behind its partition's newest ───> seen before? DUPLICATE, DUPLICATE_DIFFERS
//!               │                                     never? ORDER (with a key)
//!               └ new ──> ordinals of the transaction ──> ELSEWHERE, and at its end GAP
//! ```

mod ordinals;
mod tally;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeSet, HashMap};

use ordinals::{At, Before, Ends, Hole, Holes, Ordinals};
use window::{Memory, Window};

use super::id::{Id, Position};
pub use tally::{Code, Counts, Found, Tally};

/// What is to be judged, and by what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The epoch of the stored progress; without one, that of the first record that has any.
    pub epoch: Option<u64>,
    /// Transactions whose commit record starts before it are published whole. Those after it are
    /// under way, and 0 says that nothing is known.
    pub published: u64,
    /// Whether a hole can be told from a record that need not be there.
    pub gaps: Gaps,
    /// The partitions that are read.
    pub places: Vec<Place>,
    /// How many topics they are of.
    pub topics: usize,
    /// How many records are remembered.
    pub remembered: usize,
}

/// Whether holes between ordinals are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// They are.
    Judged,
    /// Records may be missing for a good reason.
    NotJudged,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its topic, by number.
    pub topic: usize,
    /// Whether records before the first one that is there were deleted.
    pub truncated: bool,
}

/// One record, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Its partition, by number.
    pub place: usize,
    /// Its offset there.
    pub offset: i64,
    /// Its identity; none for a record without a valid one.
    pub id: Option<Id>,
    /// Whether it has a key. Without one it is in any partition, and on a replay in another.
    pub keyed: bool,
    /// Whether its transaction is a chunk's. Where a kill cut off such rows they come again in another
    /// one, and the end of theirs comes again behind fewer rows, by another id.
    pub of_chunk: bool,
    /// Of key and value without times of processing; 0 where they cannot be compared.
    pub digest: u64,
}

/// The state.
#[derive(Debug)]
pub struct Checker {
    settings: Settings,
    window: Window,
    newest: Vec<Option<Position>>,
    /// Digests of records that came out of order: few, or a stranger's work.
    late: HashMap<(usize, Position), u64>,
    /// Partitions without their beginnings that have not shown a record yet.
    unseen: usize,
    seen: Vec<bool>,
    /// Transactions up to this one may have lost records to retention.
    floor: Option<u64>,
    /// The transaction at hand.
    open: Option<u64>,
    /// The last transactions that are chunks'.
    chunks: BTreeSet<u64>,
    ordinals: Ordinals,
    holes: Holes,
    ends: Ends,
    tally: Tally,
}

impl Checker {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let places = settings.places.len();
        Self {
            window: Window::new(places, settings.remembered),
            newest: vec![None; places],
            late: HashMap::new(),
            unseen: settings.places.iter().filter(|it| it.truncated).count(),
            seen: vec![false; places],
            floor: None,
            open: None,
            chunks: BTreeSet::new(),
            ordinals: Ordinals::default(),
            holes: Holes::default(),
            ends: Ends::default(),
            tally: Tally::new(settings.topics),
            settings,
        }
    }

    /// The next record of the merged partitions.
    pub fn take(&mut self, record: &Record) {
        let Some(place) = self.settings.places.get(record.place).copied() else {
            return;
        };
        self.tally.count(place.topic).records += 1;
        let Some(id) = record.id else {
            self.tally.count(place.topic).foreign += 1;
            return self.find(Code::Foreign, record);
        };
        let epoch = *self.settings.epoch.get_or_insert(id.epoch);
        if id.epoch != epoch {
            return self.other_epoch(record, place.topic);
        }
        self.first_of(record.place, place, id.position);
        match self.newest.get(record.place).copied().flatten() {
            Some(newest) if id.position <= newest => self.behind(record, id.position, place.topic),
            _ => self.ahead(record, id.position, place.topic),
        }
    }

    /// The end of all partitions: what was found.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.close();
        let epoch = self.settings.epoch.unwrap_or_default();
        let (holes, more) = self.holes.into_all();
        for (lsn, hole) in holes {
            let Some(place) = self.settings.places.get(hole.behind.place) else {
                continue;
            };
            let of = |ordinal| Id {
                epoch,
                position: Position { lsn, ordinal },
            };
            self.tally.count(place.topic).gaps += 1;
            self.tally.push(Found {
                code: Code::Gap,
                topic: place.topic,
                place: hole.behind.place,
                offset: hole.behind.offset,
                id: Some(of(hole.first)),
                last: (hole.last > hole.first).then(|| of(hole.last)),
            });
        }
        self.tally.gaps_beyond = more;
        self.tally.epoch = self.settings.epoch;
        self.tally
    }

    fn other_epoch(&mut self, record: &Record, topic: usize) {
        let current = self.newest.get(record.place).copied().flatten().is_some();
        if current {
            self.tally.count(topic).other_epoch += 1;
            self.find(Code::OtherEpoch, record);
        } else {
            self.tally.count(topic).earlier_epoch += 1;
            self.find(Code::EarlierEpoch, record);
        }
    }

    /// A partition without its beginning may have lost parts of its first transaction and of all
    /// before.
    fn first_of(&mut self, number: usize, place: Place, position: Position) {
        if let Some(seen) = self.seen.get_mut(number)
            && !std::mem::replace(seen, true)
            && place.truncated
        {
            self.unseen -= 1;
            self.floor = self.floor.max(Some(position.lsn));
        }
    }

    fn ahead(&mut self, record: &Record, position: Position, topic: usize) {
        if self.open != Some(position.lsn) {
            self.close();
            self.open = Some(position.lsn);
        }
        if record.of_chunk && self.chunks.insert(position.lsn) && self.chunks.len() > CHUNKS_MAX {
            self.chunks.pop_first();
        }
        if position.lsn >= self.settings.published {
            self.tally.count(topic).under_way += 1;
        }
        let at = At {
            place: record.place,
            offset: record.offset,
        };
        let before = self.ordinals.add(position.ordinal, at);
        let elsewhere = match (record.keyed, before) {
            (true, Before::New) => None,
            // Without a key it may also be of a transaction that was closed before.
            (true, Before::Seen) | (false, _) => self.elsewhere(record.place, position),
        };
        match (before, elsewhere) {
            (Before::Seen, _) if record.keyed && self.is_chunk(position.lsn) => {}
            (Before::Seen, memory) if record.keyed => {
                let same = matches!(memory, Some(digest) if same(digest, record.digest));
                self.tally.count(topic).elsewhere += 1;
                self.find(Code::Elsewhere, record);
                if memory.is_some() && !same {
                    self.differs(record, topic);
                }
            }
            (_, Some(digest)) => self.duplicate(record, digest, topic),
            (Before::Seen, None) => self.unremembered(topic),
            (Before::New, None) => {}
        }
        if let Some(newest) = self.newest.get_mut(record.place) {
            *newest = Some(position);
        }
        self.window.push(record.place, position, record.digest);
    }

    fn behind(&mut self, record: &Record, position: Position, topic: usize) {
        let late = self.late.get(&(topic, position)).copied();
        let mut memory = match late {
            Some(digest) => Memory::Digest(digest),
            None => self.window.look_up(record.place, position),
        };
        if !record.keyed && !matches!(memory, Memory::Digest(_)) {
            memory = match (self.elsewhere(record.place, position), memory) {
                (Some(digest), _) => Memory::Digest(digest),
                (None, memory) if !self.forgotten_elsewhere(topic, position) => memory,
                (None, _) => Memory::Forgotten,
            };
        }
        match memory {
            Memory::Digest(digest) => self.duplicate(record, digest, topic),
            Memory::Forgotten => self.unremembered(topic),
            Memory::Never => self.straggler(record, position, topic),
        }
    }

    /// New, and behind what its partition has shown before.
    fn straggler(&mut self, record: &Record, position: Position, topic: usize) {
        if self.late.len() < LATE_MAX {
            self.late.insert((topic, position), record.digest);
        }
        let at = At {
            place: record.place,
            offset: record.offset,
        };
        if self.open == Some(position.lsn) {
            self.ordinals.add(position.ordinal, at);
        } else {
            self.comes_late(position, at);
        }
        if record.keyed && !self.is_chunk(position.lsn) {
            self.tally.count(topic).out_of_order += 1;
            self.find(Code::Order, record);
        }
    }

    /// A record of a transaction that was closed, or that nothing was seen of.
    fn comes_late(&mut self, position: Position, at: At) {
        let Position { lsn, ordinal } = position;
        let Some(end) = self.ends.of(lsn).filter(|_| self.is_judged(lsn)) else {
            return;
        };
        if ordinal < end {
            return self.holes.fill(lsn, ordinal, at);
        }
        if ordinal > end {
            let (first, last, behind) = (end, ordinal - 1, at);
            self.holes.push(
                lsn,
                Hole {
                    first,
                    last,
                    behind,
                },
            );
        }
        self.ends.set(lsn, ordinal.saturating_add(1));
    }

    /// Whether holes in a transaction are holes.
    fn is_judged(&self, lsn: u64) -> bool {
        self.settings.gaps == Gaps::Judged
            && self.unseen == 0
            && self.floor.is_none_or(|floor| lsn > floor)
            && lsn < self.settings.published
            && !Position { lsn, ordinal: 0 }.is_last_byte()
            && !self.is_chunk(lsn)
    }

    fn is_chunk(&self, lsn: u64) -> bool {
        self.chunks.contains(&lsn)
    }

    fn duplicate(&mut self, record: &Record, digest: u64, topic: usize) {
        self.tally.count(topic).duplicates += 1;
        self.find(Code::Duplicate, record);
        if !same(digest, record.digest) {
            self.differs(record, topic);
        }
    }

    fn differs(&mut self, record: &Record, topic: usize) {
        self.tally.count(topic).differing += 1;
        self.find(Code::DuplicateDiffers, record);
    }

    /// A repeat of what is too long ago to be compared.
    fn unremembered(&mut self, topic: usize) {
        let count = self.tally.count(topic);
        count.duplicates += 1;
        count.not_compared += 1;
    }

    /// The digest of a record of this position in another partition.
    fn elsewhere(&self, place: usize, position: Position) -> Option<u64> {
        (0..self.newest.len())
            .filter(|other| *other != place)
            .filter(|other| self.newest.get(*other).copied().flatten() >= Some(position))
            .find_map(|other| match self.window.look_up(other, position) {
                Memory::Digest(digest) => Some(digest),
                Memory::Never | Memory::Forgotten => None,
            })
    }

    fn forgotten_elsewhere(&self, topic: usize, position: Position) -> bool {
        let places = self.settings.places.iter().enumerate();
        places
            .filter(|(_, place)| place.topic == topic)
            .any(|(number, _)| self.window.look_up(number, position) == Memory::Forgotten)
    }

    /// The transaction at hand has come to its end: nothing of it follows but stragglers.
    fn close(&mut self) {
        let Some(lsn) = self.open.take() else { return };
        let judged = self.is_judged(lsn);
        match self.ordinals.holes().filter(|_| judged) {
            Some(holes) => {
                self.tally.transactions += 1;
                self.ends.set(lsn, self.ordinals.end());
                for hole in holes {
                    self.holes.push(lsn, hole);
                }
            }
            None => {
                self.tally.transactions_not_judged += 1;
                self.ends.set(lsn, u64::MAX);
            }
        }
        self.ordinals.clear();
    }

    fn find(&mut self, code: Code, record: &Record) {
        let Some(place) = self.settings.places.get(record.place) else {
            return;
        };
        self.tally.push(Found {
            code,
            topic: place.topic,
            place: record.place,
            offset: record.offset,
            id: record.id,
            last: None,
        });
    }
}

/// Where a record stands among those of all partitions: nowhere, and so it comes at once, if it is not
/// of the epoch's history.
#[must_use]
pub fn place_of(id: Option<Id>, epoch: Option<u64>) -> Option<Position> {
    id.filter(|id| epoch.is_none_or(|epoch| epoch == id.epoch))
        .map(|id| id.position)
}

/// Where one of the two is not known they are taken for the same.
fn same(one: u64, other: u64) -> bool {
    one == other || one == 0 || other == 0
}

/// About 60 bytes each.
const LATE_MAX: usize = 50_000;
/// Those that a kill leaves under way are a few; what is repeated behind it begins at the stored progress.
const CHUNKS_MAX: usize = 4096;
