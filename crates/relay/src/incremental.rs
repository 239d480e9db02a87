//! Rows of a table while the stream goes on: a chunk at a time, each in its place among the changes.
//!
//! A chunk's rows travel in the transaction of its own watermark, a logical message that is written
//! after the rows were read. Before it in the stream stand all transactions that the chunk's snapshot
//! sees; what others did since the window was opened is noted, and a row that they touched is left
//! out: its newer state is in the stream already. So nothing old comes after something new. Where the
//! stream lacks a large value of that newer state, the row leaves as it is by now (`incremental/filled.rs`).
//!
//! ```text
//!   open_window ──> [ changes are noted ] ──> handle_chunk ──> watermark met ──> rows ──> outcome
//!        before the snapshot is taken       before the watermark is written
//! ```
//!
//! A standby takes no message. There the watermark is a position that was replayed after the rows were read
//! (`incremental/standby.rs`), and its rows are a transaction of their own.
//!
//! The chunk is read again when that cannot be told: a transaction stands before the window and is
//! not seen all the same (it is committed in the log, and not yet for others), the table was altered
//! in between, or more was changed than is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use envelope::{EncodeError, Operation, RelationDetails, Table};
use pgoutput::{Cell, LogicalMessage, Lsn, Relation, Tuple};

use crate::incremental::changes::Mark;
use crate::incremental::leaving::Leaving;
use crate::incremental::window::{Window, hash, name, shape};
use crate::incremental::windows::Windows;
use crate::relay::Relay;
use crate::transaction::Replay;

mod changes;
mod filled;
mod leaving;
mod snapshot;
mod standby;
mod window;
mod windows;

pub use changes::KeptChanges;
pub(crate) use filled::Partial;
pub(crate) use snapshot::Writer;
pub use snapshot::{ChunkSnapshot, TransactionIds};
use standby::Ordinals;

/// The prefix of a watermark's message.
pub const CHUNK_PREFIX: &str = "walferry.chunk";
/// The prefix of a signal's message.
pub const SIGNAL_PREFIX: &str = "walferry.signal";
/// Messages with such prefixes are ours and no events.
const OWN_PREFIX: &str = "walferry.";

/// Rows that were read in one snapshot.
#[derive(Debug)]
pub struct Chunk {
    /// Where in the stream all that its snapshot sees has passed.
    pub watermark: Watermark,
    /// Its window, as given to [`Relay::open_window`].
    pub window: u64,
    /// What is visible in it.
    pub snapshot: ChunkSnapshot,
    /// Lines of COPY's text format.
    pub lines: Vec<u8>,
}

/// Where in the stream all that a chunk's snapshot sees has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// At the message with this content, unlike that of any other.
    Message(Vec<u8>),
    /// Between two transactions, once the stream has come to this position.
    Position(Lsn),
}

/// What became of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// Kafka has its rows; so many were published, the others are newer in the stream.
    Done {
        /// Rows published.
        rows: u64,
    },
    /// It must be read again.
    Again(Reread),
    /// One of its rows cannot be published; those before it were.
    Refused(EncodeError),
}

/// Why a chunk must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// A transaction that came before the window is not visible to it yet.
    NotVisibleYet,
    /// The table's columns changed.
    Altered,
    /// More was changed meanwhile than is kept.
    TooMuchChanged,
}

/// What somebody wants done, as it stood in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// A row of the signal table: its first three columns.
    Row {
        /// What the sender calls it.
        id: Option<String>,
        /// What is to be done.
        kind: Option<String>,
        /// How.
        data: Option<String>,
    },
    /// The content of a message with [`SIGNAL_PREFIX`].
    Message(Vec<u8>),
}

impl Signalled {
    /// What a row of the signal table says, by its first three columns.
    #[must_use]
    pub fn of_row(row: &Tuple<'_>) -> Self {
        let mut cells = row.cells();
        let [id, kind, data] = [(); 3].map(|()| cells.next().and_then(text));
        Self::Row { id, kind, data }
    }
}

fn text(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

/// Windows, chunks and what is known of transactions.
#[derive(Debug, Default)]
pub(crate) struct Incremental {
    windows: Windows,
    /// Handed in, and their watermark is still to come.
    waiting: Vec<Waiting>,
    leaving: Option<Leaving>,
    /// Their rows have left; with the number of the first ticket behind them.
    left: VecDeque<(u64, u64, ChunkOutcome)>,
    /// The last transactions of the stream, and how many there were in all.
    seen: VecDeque<u32>,
    seen_count: u64,
    /// Tables that were described while windows were open: how many transactions had come, the table's oid,
    /// and its name.
    named: VecDeque<(u64, u32, u64)>,
    /// The numbers of rows that have no transaction of the server's.
    pub(crate) ordinals: Ordinals,
    /// With where they stood.
    pub(crate) signals: VecDeque<(Lsn, Signalled)>,
    pub(crate) signal_table: Option<(String, String)>,
    pub(crate) signal_relation: Option<u32>,
}

/// A chunk, and what its table looked like.
#[derive(Debug)]
struct Waiting {
    chunk: Chunk,
    table: Table,
    columns: u16,
    shape: u64,
    name: u64,
    /// Of the chunk: rows, at most.
    lines: u64,
}

impl Incremental {
    /// Of a run before which so many ordinals may have been used.
    pub(crate) fn new(used: u64) -> Self {
        Self {
            ordinals: Ordinals::new(used),
            ..Self::default()
        }
    }

    /// Whether the stream stands while a chunk's rows leave.
    pub(crate) fn blocks_stream(&self) -> bool {
        self.leaving.is_some()
    }

    /// A transaction begins.
    pub(crate) fn saw(&mut self, xid: u32) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(xid);
        self.seen_count += 1;
    }

    pub(crate) fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }

    fn open(&mut self, window: u64, relation: u32, behind: Lsn) {
        if !self.has_windows() {
            self.named.clear();
        }
        let mut open = Window::new(window, relation, (self.seen_count, behind));
        let early = self.seen.iter().rev();
        open.early = early.take(EARLY_MAX).copied().collect();
        self.windows.open(open);
    }

    /// A change of unknown effect.
    pub(crate) fn unknown(&mut self, writer: Writer) {
        let gave_way = self.windows.marked_all(Mark::Unknown(writer));
        self.let_rows_go(gave_way);
    }

    /// A table was emptied.
    pub(crate) fn truncated(&mut self, writer: Writer, relation: u32) {
        let gave_way = self.windows.marked(relation, Mark::Emptied(writer));
        self.let_rows_go(gave_way);
    }

    /// The stream describes a table.
    pub(crate) fn described(&mut self, relation: &Relation<'_>) {
        self.windows.described(relation.oid, shape(relation));
        if let Some(oldest) = self.windows.opened_first() {
            while self.named.front().is_some_and(|(at, ..)| *at < oldest) {
                self.named.pop_front();
            }
            let named = (self.seen_count, relation.oid, name(relation));
            self.named.push_back(named);
        }
    }

    /// Whether another table has come to the name of a window's table: its changes are in the same topic, and
    /// newer than the rows of the one before.
    fn is_succeeded(&self, window: &Window, name: u64) -> bool {
        let since = |at: u64| at >= window.opened_at;
        let mut named = self.named.iter();
        named.any(|(at, oid, other)| since(*at) && *oid != window.relation && *other == name)
    }

    fn hand_in(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
        self.let_rows_go(true);
    }

    /// Where a window gave way, nobody needs the rows that wait: they will be read again.
    fn let_rows_go(&mut self, gave_way: bool) {
        if !gave_way {
            return;
        }
        for Waiting { chunk, .. } in &mut self.waiting {
            if self.windows.has_overflown(chunk.window) {
                chunk.lines = Vec::new();
            }
        }
    }

    /// What stands between the leaving window's chunk and its rows' leaving, if something does.
    fn obstacle(&self, waiting: &Waiting) -> Option<Reread> {
        let (window, snapshot) = (self.windows.leaving()?, &waiting.chunk.snapshot);
        if !self.saw_early(window, snapshot) {
            return Some(Reread::NotVisibleYet);
        }
        if self.is_succeeded(window, waiting.name) {
            return Some(Reread::Altered);
        }
        self.windows.obstacle(snapshot, waiting.shape)
    }

    /// Whether a snapshot sees all that had come before its window was opened.
    fn saw_early(&self, window: &Window, snapshot: &ChunkSnapshot) -> bool {
        let ids = match snapshot {
            ChunkSnapshot::Of(ids) => ids,
            ChunkSnapshot::Replayed(before) => return window.behind <= *before,
        };
        let before = self.seen_count.saturating_sub(window.opened_at);
        let before = self
            .seen
            .len()
            .saturating_sub(usize::try_from(before).unwrap_or(usize::MAX));
        let early = self.seen.iter().take(before);
        let mut early = early.chain(&window.early);
        early.all(|xid| ids.see(*xid))
    }
}

impl Relay {
    /// From now on changes of this table are noted, for a chunk that is yet to be read.
    pub fn open_window(&mut self, window: u64, relation: u32) {
        let open = self.transaction.as_ref();
        let open = open.map_or(0, |open| open.commit_lsn.0.as_u64() + 1);
        let behind = self.ledger.received().max(Lsn::new(open));
        self.incremental.open(window, relation, behind);
    }

    /// The chunk of an open window will not come.
    pub fn close_window(&mut self, window: u64) {
        self.incremental.windows.close(window);
        let waiting = &mut self.incremental.waiting;
        waiting.retain(|it| it.chunk.window != window);
        self.hurry(false);
    }

    /// Keeps at most so much of changes while rows are read beside the stream, of all windows together. Where
    /// more is changed, chunks are read again.
    pub fn keep_changes(&mut self, at_most: KeptChanges) {
        self.incremental.windows.keep_at_most(at_most);
    }

    /// How much is kept now.
    #[must_use]
    pub fn kept_changes(&self) -> KeptChanges {
        self.incremental.windows.kept()
    }

    /// Takes in a chunk, before its watermark is written.
    pub fn handle_chunk(
        &mut self,
        chunk: Chunk,
        relation: &Relation<'_>,
        details: &RelationDetails,
    ) {
        let table = Table::new(relation, details, &self.options);
        if self.catalog.table(relation.oid).is_none() {
            // Until the stream describes it, which it does before the first change.
            let known = Table::new(relation, details, &self.options);
            self.catalog.describe(relation.oid, known);
        }
        let columns = u16::try_from(relation.columns.len()).unwrap_or(u16::MAX);
        let lines = chunk.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.incremental.hand_in(Waiting {
            chunk,
            table,
            columns,
            shape: shape(relation),
            name: name(relation),
            lines,
        });
        self.hurry(false);
    }

    /// Inserts into this table are signals and no events.
    pub fn take_signals_from(&mut self, schema: &str, table: &str) {
        self.incremental.signal_table = Some((schema.to_owned(), table.to_owned()));
    }

    /// The next signal of the stream. Taken before [`Relay::poll`], so that what follows from it can be
    /// stored before the position behind it. With where it stands: a replay gives the same.
    pub fn take_signal(&mut self) -> Option<(Lsn, Signalled)> {
        self.incremental.signals.pop_front()
    }

    /// What became of a chunk, by its window.
    pub fn chunk_outcome(&mut self) -> Option<(u64, ChunkOutcome)> {
        let (behind, _, _) = self.incremental.left.front()?;
        if !self.ledger.is_settled_before(*behind) {
            return None;
        }
        let (_, window, outcome) = self.incremental.left.pop_front()?;
        Some((window, outcome))
    }

    /// Whether a message is walferry's own; then it is taken in here, and is no event.
    pub(crate) fn take_own_message(
        &mut self,
        at: Lsn,
        message: &LogicalMessage<'_>,
        replay: Replay,
    ) -> bool {
        if message.prefix == SIGNAL_PREFIX && replay != Replay::Whole {
            let content = message.content.to_vec();
            self.incremental
                .signals
                .push_back((message.lsn, Signalled::Message(content)));
        }
        if message.prefix == CHUNK_PREFIX && message.transactional && replay == Replay::New {
            self.meet_watermark(at, message.content);
        }
        message.prefix.starts_with(OWN_PREFIX)
    }

    /// Notes what the records at hand touch.
    pub(crate) fn note_touched(&mut self, writer: Writer, partial: Option<&Arc<Partial>>) {
        let windows = &mut self.incremental.windows;
        let mut gave_way = false;
        for record in self.records.iter() {
            let relation = record.relation;
            gave_way |= match record.key {
                _ if !windows.look_at(relation) => false,
                Some(key) => windows.touched(relation, writer, hash(key), partial),
                // Noted already, whether or not it is an event.
                None if record.operation == Operation::Truncate => false,
                None => windows.marked(relation, Mark::Unknown(writer)),
            };
        }
        self.incremental.let_rows_go(gave_way);
    }
}

/// A transaction can be committed in the log and not for others while it waits for a standby; this many
/// others may come in between.
const SEEN_MAX: usize = 65_536;
/// So many of them a window remembers itself, however many come before its watermark.
const EARLY_MAX: usize = 1024;
