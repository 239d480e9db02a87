//! The rows that were there before the stream: they enter by the same door as changes.
//!
//! A copy is one transaction at the consistent point of the snapshot that it reads. A slot made for
//! it begins at that point. Any other slot is older: the stream then goes first, up to the point,
//! and stands still there while the rows are published, so that each key's events stay in order and
//! no change in between is missing (a row of an interrupted copy may have been deleted since).
//!
//! ```text
//!   Later <──> Expected ──> After(point) ──> Due(point) ──> Rows(point) ──> Over(point)
//!   it goes on     │     the stream goes on      it stands         ^     it goes on
//!                  └───────────── a slot made at the point ────────┘
//! ```
//!
//! A copy may also be asked for while the stream goes on ([`Relay::expect_copy`]): it is made like that of
//! an older slot, and another one may follow. It can be given up at any time: the stream then goes on.
//!
//! Until all rows are acknowledged, what is acknowledged stays before the point, and the stored
//! progress says that the copy is running, unless it was asked for: then that is noted elsewhere, and the
//! progress says what it said before. The rows come in pieces, whose numbers come back once their
//! rows are acknowledged: what they are is the connector's, which keeps a note of each.

use std::collections::VecDeque;

use envelope::{RelationDetails, SnapshotMark, Table};
use pgoutput::{Begin, CommitLsn, EndLsn, Lsn, Message, PgTimestamp, Relation, Tuple};

use crate::error::RelayError;
use crate::interface::Now;
use crate::ledger::Mark;
use crate::progress::SnapshotState;
use crate::relay::Relay;
use crate::transaction::Transaction;

/// The copy, and what it keeps of the stream meanwhile.
#[derive(Debug)]
pub(crate) struct Copying {
    stage: Stage,
    /// What is stored while a copy that was asked for is under way, and from then on.
    asked: Option<SnapshotState>,
    /// The stream's first message beyond the point, and where it was.
    held: Option<(Lsn, Vec<u8>)>,
    /// The stream's own descriptions of tables that the copy describes, too: rows after the copy
    /// have the stream's shape.
    shadowed: Vec<Table>,
    /// Pieces whose rows have left, with the number of the first ticket behind them.
    pieces: VecDeque<(u64, u64)>,
}

/// How far the copy is. The position is the consistent point of its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none in this run.
    No,
    /// There will be one, and its snapshot is not being taken yet: the stream goes on.
    Later,
    /// There will be one; its point is not known yet.
    Expected,
    /// The stream goes first, up to the point.
    After(Lsn),
    /// The stream stands at the point.
    Due(Lsn),
    /// Rows are coming.
    Rows(Lsn),
    /// All rows were handed in.
    Over(Lsn),
}

impl Copying {
    /// A copy that was begun and not finished is expected again.
    pub(crate) fn new(start: SnapshotState) -> Self {
        let stage = match start {
            SnapshotState::Running => Stage::Expected,
            SnapshotState::None | SnapshotState::Finished => Stage::No,
        };
        Self {
            stage,
            asked: None,
            held: None,
            shadowed: Vec::new(),
            pieces: VecDeque::new(),
        }
    }

    /// Whether the stream stands still for the copy.
    pub(crate) fn blocks_stream(&self) -> bool {
        matches!(self.stage, Stage::Expected | Stage::Due(_) | Stage::Rows(_))
    }

    /// Whether the copy is still to come to its end at this confirmed position.
    pub(crate) fn is_behind(&self, confirmed: Lsn) -> bool {
        match self.stage {
            Stage::No => false,
            Stage::Over(point) => confirmed < point,
            _ => true,
        }
    }

    /// What is to be stored with the position `end`; `start` is what was stored before this run.
    pub(crate) fn state(&self, end: Lsn, start: SnapshotState) -> SnapshotState {
        match (self.asked, self.stage) {
            (Some(state), _) => state,
            (None, Stage::No) => start,
            (None, Stage::Over(point)) if end >= point => SnapshotState::Finished,
            (None, _) => SnapshotState::Running,
        }
    }

    /// A position of the stream, kept below the point as long as the copy is to come there.
    pub(crate) fn before_point(&self, position: Lsn) -> Lsn {
        match self.stage {
            Stage::After(point) | Stage::Due(point) => position.min(last_byte_before(point)),
            _ => position,
        }
    }
}

impl Relay {
    /// The copy's snapshot is taken later, and the stream goes on until [`Relay::expect_copy`].
    pub fn copy_later(&mut self) {
        if self.copy.stage == Stage::Expected {
            self.copy.stage = Stage::Later;
            self.hurry(true);
        }
    }

    /// A copy is asked for while the stream goes on, or its snapshot is taken now after it went on
    /// ([`Relay::copy_later`]): the stream stands from now on, until [`Relay::copy_at`] tells the point. The
    /// snapshot is to be taken after this; false while another copy is not durable.
    pub fn expect_copy(&mut self) -> bool {
        let over = matches!(self.copy.stage, Stage::Over(_)) && self.is_copy_durable();
        let before = match self.copy.stage {
            Stage::Later => {
                self.copy.stage = Stage::Expected;
                return true;
            }
            Stage::No => self.settings.start.snapshot,
            Stage::Over(_) if over => SnapshotState::Finished,
            _ => return false,
        };
        self.copy.asked.get_or_insert(before);
        self.copy.stage = Stage::Expected;
        true
    }

    /// No more rows come of a copy that was asked for, wherever it is; the stream is wanted now. False,
    /// and nothing is done, while a record that was made is still to leave.
    ///
    /// # Errors
    /// Of the stream's message that waited behind the copy, as [`Relay::handle_payload`].
    pub fn give_up_copy(&mut self, now: Now) -> Result<bool, RelayError> {
        if self.taken < self.records.len() {
            return Ok(false);
        }
        match self.copy.stage {
            Stage::No | Stage::Over(_) => {}
            Stage::Rows(_) => self.end_copy(now)?,
            Stage::Later | Stage::Expected | Stage::After(_) | Stage::Due(_) => {
                self.copy.stage = Stage::No;
                self.hurry(false);
                self.handle_held(now)?;
            }
        }
        Ok(true)
    }

    /// The copy's snapshot is of this point, and the slot is older: the stream is wanted up to
    /// there, and then the rows, when [`Relay::copy_due`] tells so.
    pub fn copy_at(&mut self, point: Lsn) {
        self.copy.stage = Stage::After(point);
        self.hurry(true);
    }

    /// The point, once the stream has come to it and stands there.
    #[must_use]
    pub fn copy_due(&self) -> Option<Lsn> {
        match self.copy.stage {
            Stage::Due(point) => Some(point),
            _ => None,
        }
    }

    /// The rows of `point` follow, as of a transaction `xid` (0 for none); the stream is not wanted until [`Relay::end_copy`].
    pub fn begin_copy(&mut self, now: Now, point: Lsn, xid: u32) {
        let unix_micros = now.unix_nanos / 1000;
        let begin = Begin {
            // No commit record starts at a record's last byte, so that no transaction has this
            // name. At the point itself one may start.
            commit_lsn: CommitLsn(last_byte_before(point)),
            commit_time: PgTimestamp::from_unix_micros(unix_micros),
            xid,
        };
        self.ledger.begin_whole(begin.commit_lsn, unix_micros);
        self.transaction = Some(Transaction::begin(&begin, Mark::at(Lsn::ZERO)));
        self.copy.stage = Stage::Rows(point);
        self.hurry(false);
    }

    /// The table whose rows follow, as the catalog describes it in the snapshot.
    pub fn handle_copy_table(&mut self, relation: &Relation<'_>, details: &RelationDetails) {
        if let Some(streamed) = self.catalog.table(relation.oid) {
            self.copy.shadowed.push(streamed.clone());
        }
        let table = Table::new(relation, details, &self.options);
        self.describe(relation.oid, table);
    }

    /// One row of a table given to [`Relay::handle_copy_table`] before.
    ///
    /// # Errors
    /// When it holds a value that cannot be published.
    pub fn handle_copy_row(
        &mut self,
        now: Now,
        relation: u32,
        row: Tuple<'_>,
        mark: SnapshotMark,
    ) -> Result<(), RelayError> {
        self.records.clear();
        self.taken = 0;
        let (Some(open), Stage::Rows(point)) = (&self.transaction, self.copy.stage) else {
            return Ok(());
        };
        let commit_lsn = open.commit_lsn;
        let mut context = open.context(self.settings.start.epoch, point, now.unix_nanos);
        context.snapshot = mark;
        if let Some(table) = self.catalog.captured(relation, commit_lsn)? {
            let encoded = self.encoder.read(table, &context, row, &mut self.records);
            encoded.map_err(RelayError::EncodeCopied)?;
        }
        self.number_records();
        Ok(())
    }

    /// The rows of a piece are handed in. Only when [`Relay::wants_copy`].
    pub fn handle_copy_piece(&mut self, piece: u64) {
        self.copy
            .pieces
            .push_back((self.ledger.next_ticket(), piece));
    }

    /// A piece all of whose rows Kafka has, each once.
    pub fn copied_piece(&mut self) -> Option<u64> {
        let (behind, piece) = *self.copy.pieces.front()?;
        self.ledger.is_settled_before(behind).then(|| {
            self.copy.pieces.pop_front();
            piece
        })
    }

    /// Whether the copy is over, and that it is stands in the progress topic; or there is none any more.
    #[must_use]
    pub fn is_copy_durable(&self) -> bool {
        match self.copy.stage {
            Stage::No => true,
            Stage::Over(point) => self.ledger.durable_end() >= point,
            _ => false,
        }
    }

    /// Whether something of the copy may be handed in: its point, or its next row.
    #[must_use]
    pub fn wants_copy(&self) -> bool {
        let stage = self.copy.stage;
        matches!(stage, Stage::Later | Stage::Expected | Stage::Rows(_)) && self.has_room()
    }

    /// All rows were handed in; the stream is wanted now.
    ///
    /// # Errors
    /// Of the stream's message that waited behind the copy, as [`Relay::handle_payload`].
    pub fn end_copy(&mut self, now: Now) -> Result<(), RelayError> {
        let Stage::Rows(point) = self.copy.stage else {
            return Ok(());
        };
        self.copy.stage = Stage::Over(point);
        self.transaction = None;
        self.ledger.commit(EndLsn(point));
        for table in self.copy.shadowed.drain(..) {
            self.catalog.describe(table.relation(), table);
        }
        self.handle_held(now)
    }

    /// The stream goes on with what waited behind the copy.
    fn handle_held(&mut self, now: Now) -> Result<(), RelayError> {
        match self.copy.held.take() {
            Some((at, payload)) => {
                self.records.clear();
                self.taken = 0;
                self.handle_message(now, at, &payload)
            }
            None => Ok(()),
        }
    }

    /// Keeps the first message beyond the point for later. Only between transactions.
    pub(crate) fn hold_back(&mut self, message: &Message<'_>, at: Lsn, payload: &[u8]) -> bool {
        let Stage::After(point) = self.copy.stage else {
            return false;
        };
        // The server's own rule for a slot of that point; a message outside is named by its end.
        let beyond = match message {
            Message::Begin(begin) => begin.commit_lsn.0 >= point,
            Message::CommitPrepared(commit) => commit.lsn >= point,
            Message::Logical(logical) => !logical.transactional && logical.lsn > point,
            _ => false,
        };
        if beyond {
            self.copy.held = Some((at, payload.to_vec()));
            self.copy.stage = Stage::Due(point);
        }
        beyond
    }

    /// The server has sent everything before `wal_end`.
    pub(crate) fn stream_came_to(&mut self, wal_end: Lsn) {
        if let Stage::After(point) = self.copy.stage
            && wal_end >= point
            && self.transaction.is_none()
        {
            self.copy.stage = Stage::Due(point);
        }
    }
}

fn last_byte_before(point: Lsn) -> Lsn {
    Lsn::new(point.as_u64().saturating_sub(1))
}
