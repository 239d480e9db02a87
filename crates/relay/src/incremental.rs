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

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use envelope::{EncodeError, Operation, RelationDetails, SnapshotMark, Table};
use pgoutput::{Cell, CopyRow, LogicalMessage, Lsn, Relation, Tuple};

use crate::error::RelayError;
use crate::incremental::filled::Newer;
use crate::incremental::window::{Window, hash, name, shape};
use crate::interface::Now;
use crate::relay::Relay;
use crate::transaction::Replay;

mod filled;
mod snapshot;
mod standby;
mod window;

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
    windows: Vec<Window>,
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

/// A chunk whose rows leave.
#[derive(Debug)]
struct Leaving {
    chunk: Chunk,
    table: Table,
    columns: u16,
    touched: HashMap<u128, Newer>,
    at: Lsn,
    next: usize,
    rows: u64,
    row: CopyRow,
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

    /// A change of unknown effect.
    pub(crate) fn unknown(&mut self, writer: Writer) {
        self.windows.iter_mut().for_each(|it| it.unknown(writer));
    }

    /// A table was emptied.
    pub(crate) fn truncated(&mut self, writer: Writer, relation: u32) {
        let of = |it: &&mut Window| it.relation == relation;
        let windows = self.windows.iter_mut().filter(of);
        windows.for_each(|it| it.truncated(writer));
    }

    /// The stream describes a table.
    pub(crate) fn described(&mut self, relation: &Relation<'_>) {
        let of = |it: &&mut Window| it.relation == relation.oid;
        let windows = self.windows.iter_mut().filter(of);
        windows.for_each(|it| it.described(shape(relation)));
        if let Some(oldest) = self.windows.iter().map(|it| it.opened_at).min() {
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

    /// What stands between a chunk and its rows' leaving, if something does.
    fn obstacle(&self, window: &Window, waiting: &Waiting) -> Option<Reread> {
        let snapshot = &waiting.chunk.snapshot;
        if !self.saw_early(window, snapshot) {
            return Some(Reread::NotVisibleYet);
        }
        if self.is_succeeded(window, waiting.name) {
            return Some(Reread::Altered);
        }
        window.obstacle(snapshot, waiting.shape)
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
        let mut early = self.seen.iter().take(before);
        early.all(|xid| ids.see(*xid))
    }
}

impl Relay {
    /// From now on changes of this table are noted, for a chunk that is yet to be read.
    pub fn open_window(&mut self, window: u64, relation: u32) {
        let open = self.transaction.as_ref();
        let open = open.map_or(0, |open| open.commit_lsn.0.as_u64() + 1);
        let behind = self.ledger.received().max(Lsn::new(open));
        if !self.incremental.has_windows() {
            self.incremental.named.clear();
        }
        let open = Window::new(window, relation, (self.incremental.seen_count, behind));
        self.incremental.windows.push(open);
    }

    /// The chunk of an open window will not come.
    pub fn close_window(&mut self, window: u64) {
        self.incremental.windows.retain(|it| it.id != window);
        let waiting = &mut self.incremental.waiting;
        waiting.retain(|it| it.chunk.window != window);
        self.hurry(false);
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
        self.incremental.waiting.push(Waiting {
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

    /// Whether the next row of a chunk is to be handled, before the stream goes on.
    pub fn wants_chunk(&mut self) -> bool {
        let room = self.is_described() && self.has_room();
        match &self.incremental.leaving {
            Some(leaving) => room && self.routed.may_go(leaving.table.topic()),
            None => room && self.may_place(),
        }
    }

    /// Handles the next row of the chunk whose watermark was met.
    ///
    /// A value that cannot be published ends the chunk, and not the stream.
    ///
    /// # Errors
    /// When it is no row.
    pub fn handle_chunk_row(&mut self, now: Now) -> Result<(), RelayError> {
        self.records.clear();
        self.taken = 0;
        if self.incremental.leaving.is_none() {
            self.place_chunk(now);
            return Ok(());
        }
        let (Some(mut leaving), Some(open)) = (self.incremental.leaving.take(), &self.transaction)
        else {
            return Ok(());
        };
        let rest = leaving.chunk.lines.get(leaving.next..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            let outcome = ChunkOutcome::Done { rows: leaving.rows };
            self.has_left(&leaving, outcome);
            return Ok(());
        };
        let line = rest.get(..end).unwrap_or_default();
        leaving.next += end + 1;
        let near = leaving.at;
        let tuple = leaving.row.decode(line, leaving.columns);
        let tuple = tuple.map_err(|source| RelayError::Decode { near, source })?;
        let mut context = open.context(self.settings.start.epoch, near, now.unix_nanos);
        context.snapshot = SnapshotMark::Incremental;
        let table = &leaving.table;
        let mut written = self.encoder.read(table, &context, tuple, &mut self.records);
        let key = self.records.get(0).and_then(|record| record.key);
        let newer = key.and_then(|key| leaving.touched.get(&hash(key)));
        if let Some(newer) = newer {
            self.records.clear();
            if let Some(filled) = newer.fill(table, tuple) {
                let (row, out) = (filled.tuple(), &mut self.records);
                written = self.encoder.read(table, &context, row, out);
            }
        }
        if let Err(refused) = written {
            self.has_left(&leaving, ChunkOutcome::Refused(refused));
            return Ok(());
        }
        leaving.rows += u64::from(!self.records.is_empty());
        self.incremental.leaving = Some(leaving);
        self.number_records();
        Ok(())
    }

    /// No further row of a chunk leaves.
    fn has_left(&mut self, leaving: &Leaving, outcome: ChunkOutcome) {
        let behind = self.ledger.next_ticket();
        let left = &mut self.incremental.left;
        left.push_back((behind, leaving.chunk.window, outcome));
        if matches!(leaving.chunk.watermark, Watermark::Position(_)) {
            self.end_placed(leaving.at);
        }
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
        for record in self.records.iter() {
            let of = |it: &&mut Window| it.relation == record.relation;
            for window in self.incremental.windows.iter_mut().filter(of) {
                match record.key {
                    Some(key) => window.touched(writer, hash(key), partial),
                    // Noted already, whether or not it is an event.
                    None if record.operation == Operation::Truncate => {}
                    None => window.unknown(writer),
                }
            }
        }
    }

    fn meet_watermark(&mut self, at: Lsn, name: &[u8]) {
        let is_its =
            |it: &Waiting| matches!(&it.chunk.watermark, Watermark::Message(its) if its == name);
        // Else of an earlier run, or of somebody else.
        if let Some(place) = self.incremental.waiting.iter().position(is_its) {
            self.let_leave(at, place);
        }
    }

    /// The stream has come to the watermark of a chunk: its rows leave, or it is to be read again.
    fn let_leave(&mut self, at: Lsn, place: usize) {
        let state = &mut self.incremental;
        let waiting = state.waiting.swap_remove(place);
        let its = waiting.chunk.window;
        let found = state.windows.iter().position(|it| it.id == its);
        let Some(window) = found.map(|place| state.windows.swap_remove(place)) else {
            return;
        };
        if let Some(reread) = state.obstacle(&window, &waiting) {
            let again = ChunkOutcome::Again(reread);
            state.left.push_back((0, its, again));
            return;
        }
        let Waiting {
            chunk,
            table,
            columns,
            ..
        } = waiting;
        let touched = window.touched_unseen(&chunk.snapshot);
        let (next, rows, row) = (0, 0, CopyRow::new());
        let mut leaving = Leaving {
            touched,
            chunk,
            table,
            columns,
            at,
            next,
            rows,
            row,
        };
        if window.is_emptied_unseen(&leaving.chunk.snapshot) {
            leaving.next = leaving.chunk.lines.len();
        }
        state.leaving = Some(leaving);
    }
}

/// A transaction can be committed in the log and not for others while it waits for a standby; this many
/// others may come in between.
const SEEN_MAX: usize = 65_536;
