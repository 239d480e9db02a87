//! Chunks that were read on a standby, where nothing can be written: no message says where they belong.
//!
//! ```text
//!   replayed up to A ──> snapshot ──> rows ──> replayed up to B, for certain behind all that it sees
//!                                                 └──> the first place between two transactions, from B on
//! ```
//!
//! Commits that start before A are visible, those from B on are not; rows touched by any from A on are left
//! out. That place may be far behind B, since the stream is often ahead of the reader.
//!
//! The rows are a transaction of their own. Two such may stand at one place, when the server is idle, and
//! after a kill others may stand where the first ones stood. So their ordinals are drawn from one row of
//! numbers, in which a use is noted in the progress before it happens, many at once, as a sequence does.

use pgoutput::{Begin, CommitLsn, EndLsn, Lsn, PgTimestamp};

use super::{Waiting, Watermark};
use crate::incremental::Incremental;
use crate::interface::Now;
use crate::ledger::Mark;
use crate::relay::Relay;
use crate::transaction::Transaction;

/// The row of numbers.
#[derive(Debug, Default)]
pub(crate) struct Ordinals {
    next: u64,
    /// Those below may be used, what is stored says so.
    durable: u64,
    /// Those that are to be usable.
    wanted: u64,
    /// What is on its way to the progress topic.
    storing: u64,
}

impl Ordinals {
    /// Those below `used` may have been used.
    pub(crate) fn new(used: u64) -> Self {
        Self {
            next: used,
            durable: used,
            wanted: used,
            storing: used,
        }
    }

    /// Whether so many are free; if not, they are wanted from now on.
    fn reserve(&mut self, count: u64) -> bool {
        let end = self.next + count;
        if end > self.wanted {
            self.wanted = end.max(self.next + AT_ONCE);
        }
        end <= self.durable
    }

    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }

    pub(crate) fn are_news(&self) -> bool {
        self.wanted > self.durable
    }

    pub(crate) fn storing(&mut self) {
        self.storing = self.wanted;
    }

    pub(crate) fn stored(&mut self) {
        self.durable = self.durable.max(self.storing);
    }
}

impl Incremental {
    /// Whether a chunk waits until the stream has come somewhere.
    pub(crate) fn waits_for_position(&self) -> bool {
        self.first_by_position().is_some()
    }

    /// The waiting chunk with the lowest position, which it is, and how many rows it has at most.
    fn first_by_position(&self) -> Option<(Lsn, usize, u64)> {
        let by_position = |(place, waiting): (usize, &Waiting)| match waiting.chunk.watermark {
            Watermark::Position(position) => Some((position, place, waiting.lines)),
            Watermark::Message(_) => None,
        };
        let waiting = self.waiting.iter().enumerate();
        waiting.filter_map(by_position).min()
    }
}

impl Relay {
    /// Whether the rows of a chunk that waits for a position may leave here.
    pub(crate) fn may_place(&mut self) -> bool {
        let Some((position, _, lines)) = self.incremental.first_by_position() else {
            return false;
        };
        if !self.incremental.ordinals.reserve(lines) {
            self.store_soon();
            return false;
        }
        self.is_between_transactions() && self.ledger.received() >= position
    }

    /// Begins with that chunk, as a transaction.
    ///
    /// It is named by the last byte before the place, like a copy, and unlike any commit. A copy or a
    /// message that has that name, too, has lower ordinals.
    pub(crate) fn place_chunk(&mut self, now: Now) {
        let Some((_, place, _)) = self.incremental.first_by_position() else {
            return;
        };
        let at = self.ledger.received();
        self.let_leave(at, place);
        self.hurry(false);
        if !self.incremental.blocks_stream() {
            return;
        }
        let unix_micros = now.unix_nanos / 1000;
        let begin = Begin {
            commit_lsn: CommitLsn(Lsn::new(at.as_u64().saturating_sub(1) | 7)),
            commit_time: PgTimestamp::from_unix_micros(unix_micros),
            xid: 0,
        };
        let mut open = Transaction::begin(&begin, Mark::at(Lsn::ZERO));
        open.next_ordinal = ORDINALS + self.incremental.ordinals.next;
        self.ledger
            .begin_numbered(open.commit_lsn, unix_micros, open.next_ordinal);
        self.transaction = Some(open);
    }

    /// All its rows have left.
    pub(crate) fn end_placed(&mut self, at: Lsn) {
        if let Some(open) = self.transaction.take() {
            self.incremental.ordinals.next = open.next_ordinal - ORDINALS;
            self.ledger.commit(EndLsn(at));
        }
    }
}

/// Reserved in one go; a run that ends early wastes the rest.
const AT_ONCE: u64 = 1 << 20;
/// More than a copy has rows.
const ORDINALS: u64 = 1 << 48;
