//! The rows that were there before the stream: they enter by the same door as changes.
//!
//! The copy is one transaction at the slot's consistent point. Until all its rows are acknowledged
//! nothing is confirmed, and the stored progress says that it is running; the stream goes on
//! exactly where the copy stood.

use envelope::{RelationDetails, SnapshotMark, Table};
use pgoutput::{Begin, CommitLsn, EndLsn, Lsn, PgTimestamp, Relation, Tuple};

use crate::error::RelayError;
use crate::interface::Now;
use crate::ledger::Mark;
use crate::relay::{Relay, encode};
use crate::transaction::Transaction;

/// How far the copy is. The position is the slot's consistent point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copying {
    /// There is none in this run.
    No,
    /// Rows are coming.
    Rows(Lsn),
    /// All rows were handed in.
    Over(Lsn),
}

impl Relay {
    /// The rows of `point` follow; the stream is not wanted until [`Relay::end_copy`].
    pub fn begin_copy(&mut self, now: Now, point: Lsn) {
        let unix_micros = now.unix_nanos / 1000;
        let commit_time = PgTimestamp::from_unix_micros(unix_micros);
        let begin = Begin {
            commit_lsn: CommitLsn(point),
            commit_time,
            xid: 0,
        };
        self.ledger.begin(begin.commit_lsn, unix_micros, 0);
        self.transaction = Some(Transaction::begin(&begin, Mark::at(Lsn::ZERO)));
        self.copy = Copying::Rows(point);
    }

    /// The table whose rows follow, as the catalog describes it in the snapshot.
    pub fn handle_copy_table(&mut self, relation: &Relation<'_>, details: &RelationDetails) {
        let table = Table::new(relation, details, &self.options);
        self.catalog.describe(relation.oid, table);
    }

    /// One row of a table given to [`Relay::handle_copy_table`] before.
    ///
    /// # Errors
    /// When it holds a value that cannot be published, or no copy was begun.
    pub fn handle_copy_row(
        &mut self,
        now: Now,
        relation: u32,
        row: Tuple<'_>,
        mark: SnapshotMark,
    ) -> Result<(), RelayError> {
        self.records.clear();
        self.taken = 0;
        let Some(open) = &self.transaction else {
            return Ok(());
        };
        let commit_lsn = open.commit_lsn;
        let mut context = open.context(self.settings.start.epoch, commit_lsn.0, now.unix_nanos);
        context.snapshot = mark;
        if let Some(table) = self.catalog.captured(relation, commit_lsn)? {
            encode(
                commit_lsn,
                self.encoder.read(table, &context, row, &mut self.records),
            )?;
        }
        self.number_records();
        Ok(())
    }

    /// Whether the next row may be handed in.
    #[must_use]
    pub fn wants_copy(&self) -> bool {
        self.is_copying() && self.has_room()
    }

    /// All rows were handed in; the stream is wanted now.
    pub fn end_copy(&mut self) {
        if let Copying::Rows(point) = self.copy {
            self.copy = Copying::Over(point);
            self.transaction = None;
            self.ledger.commit(EndLsn(point));
        }
    }

    pub(crate) fn is_copying(&self) -> bool {
        matches!(self.copy, Copying::Rows(_))
    }
}
