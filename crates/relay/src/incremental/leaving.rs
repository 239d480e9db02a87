//! The rows of a chunk whose watermark was met: without those that are newer in the stream already, or filled up.

use envelope::{SnapshotMark, Table};
use pgoutput::{CopyRow, Lsn};

use super::changes::Unseen;
use super::window::hash;
use super::{Chunk, ChunkOutcome, Waiting, Watermark};
use crate::error::RelayError;
use crate::interface::Now;
use crate::relay::Relay;

/// A chunk whose rows leave.
#[derive(Debug)]
pub(super) struct Leaving {
    chunk: Chunk,
    table: Table,
    columns: u16,
    /// What its snapshot does not see.
    unseen: Unseen,
    at: Lsn,
    next: usize,
    rows: u64,
    row: CopyRow,
}

impl Relay {
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
        let windows = &self.incremental.windows;
        let newer = windows.looked_at().zip(key);
        let newer = newer.and_then(|(since, key)| since.newer(&leaving.unseen, hash(key)));
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
        self.incremental.windows.left();
        let behind = self.ledger.next_ticket();
        let left = &mut self.incremental.left;
        left.push_back((behind, leaving.chunk.window, outcome));
        if matches!(leaving.chunk.watermark, Watermark::Position(_)) {
            self.end_placed(leaving.at);
        }
    }

    pub(super) fn meet_watermark(&mut self, at: Lsn, name: &[u8]) {
        let is_its =
            |it: &Waiting| matches!(&it.chunk.watermark, Watermark::Message(its) if its == name);
        // Else of an earlier run, or of somebody else.
        if let Some(place) = self.incremental.waiting.iter().position(is_its) {
            self.let_leave(at, place);
        }
    }

    /// The stream has come to the watermark of a chunk: its rows leave, or it is to be read again.
    pub(super) fn let_leave(&mut self, at: Lsn, place: usize) {
        let state = &mut self.incremental;
        let waiting = state.waiting.swap_remove(place);
        let its = waiting.chunk.window;
        if !state.windows.leave(its) {
            return;
        }
        if let Some(reread) = state.obstacle(&waiting) {
            state.windows.left();
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
        let Some(since) = state.windows.looked_at() else {
            return;
        };
        let (next, unseen) = match since.is_emptied_unseen(&chunk.snapshot) {
            true => (chunk.lines.len(), Unseen::default()),
            false => (0, since.unseen(&chunk.snapshot)),
        };
        let (rows, row) = (0, CopyRow::new());
        state.leaving = Some(Leaving {
            chunk,
            table,
            columns,
            unseen,
            at,
            next,
            rows,
            row,
        });
    }
}

#[cfg(test)]
mod tests {
    use envelope::{Options, RelationDetails};
    use pgoutput::{ColumnsBuf, CommitLsn, Relation, ReplicaIdentity};

    use super::*;
    use crate::incremental::{ChunkSnapshot, Incremental, KeptChanges, Reread, Writer};

    fn waiting(window: u64) -> Waiting {
        let columns = ColumnsBuf::default();
        let relation = Relation {
            oid: 7,
            schema: "public",
            name: "users",
            replica_identity: ReplicaIdentity::Default,
            columns: columns.columns(),
        };
        let details = RelationDetails::default();
        Waiting {
            chunk: Chunk {
                watermark: Watermark::Message(Vec::new()),
                window,
                snapshot: ChunkSnapshot::Replayed(Lsn::ZERO),
                lines: b"1\n".to_vec(),
            },
            table: Table::new(&relation, &details, &Options::new("srv", "db")),
            columns: 1,
            shape: 0,
            name: 0,
            lines: 1,
        }
    }

    #[test]
    fn rows_that_will_be_read_again_are_let_go_at_once() {
        let mut state = Incremental::default();
        let (changes, bytes) = (2, 1 << 20);
        state.windows.keep_at_most(KeptChanges { changes, bytes });
        for id in 0..2 {
            state.open(id, 7, Lsn::ZERO);
            state.hand_in(waiting(id));
            for xid in 0..=1 {
                let commit_lsn = CommitLsn(Lsn::ZERO);
                state.unknown(Writer { xid, commit_lsn });
            }
        }
        // Once more, as one that comes late.
        state.hand_in(waiting(0));
        let left = state.waiting.iter().map(|it| it.chunk.lines.len());
        assert!(left.eq([0, 2, 0]), "{:?}", state.windows);
    }

    #[test]
    fn what_came_before_a_window_is_remembered_however_much_comes_behind() {
        let mut state = Incremental::default();
        state.saw(5);
        state.open(0, 7, Lsn::ZERO);
        (10..100_000).for_each(|xid| state.saw(xid));
        let mut waiting = waiting(0);
        assert!(state.windows.leave(0));
        for (snapshot, obstacle) in [("5:6:5", Some(Reread::NotVisibleYet)), ("6:6:", None)] {
            waiting.chunk.snapshot = ChunkSnapshot::parse(snapshot).unwrap();
            assert_eq!(state.obstacle(&waiting), obstacle, "{snapshot}");
        }
    }
}
