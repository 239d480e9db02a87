//! What is noted of a copy that is under way, in the progress topic: for each table, which of its
//! blocks' rows Kafka has. So that another run goes on with the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgoutput::Lsn;

use super::catalog::CopyTable;
use super::pieces::{Blocks, Done, Part};

/// By `schema.table`, how far its copy has come.
pub type Noted = BTreeMap<String, Part>;

/// The notes of one copy.
#[derive(Debug, Default)]
pub struct Notes {
    /// By `schema.table`.
    parts: Noted,
    /// Pieces that were handed in, by number; taken out when Kafka has them.
    handed_in: BTreeMap<u64, (Arc<CopyTable>, Blocks)>,
    next: u64,
    point: Lsn,
    since: u64,
}

impl Notes {
    /// What earlier runs have left.
    #[must_use]
    pub fn new(parts: Noted) -> Self {
        Self {
            parts,
            ..Self::default()
        }
    }

    /// From here on pieces are read in the snapshot of this point, by which every transaction before `since`
    /// had ended.
    pub(super) fn begin(&mut self, point: Lsn, since: u64) {
        (self.point, self.since) = (point, since);
    }

    /// A piece is handed in: its number.
    pub(super) fn number(&mut self, table: &Arc<CopyTable>, blocks: Blocks) -> u64 {
        self.next += 1;
        self.handed_in
            .insert(self.next, (Arc::clone(table), blocks));
        self.next
    }

    /// Something else is handed in: its number.
    pub(super) fn number_other(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// All that is noted.
    pub(super) fn into_parts(self) -> Noted {
        self.parts
    }

    /// Kafka has the rows of a piece: the table, and what is to be noted of it.
    pub fn done(&mut self, piece: u64) -> Option<(String, &Part)> {
        let (table, blocks) = self.handed_in.remove(&piece)?;
        let name = table.qualified_name();
        let fresh = || Part {
            storage: table.size.storage.clone(),
            point: self.point,
            since: self.since,
            done: Done::default(),
        };
        let part = self.parts.entry(name.clone()).or_insert_with(fresh);
        if part.storage != table.size.storage {
            *part = fresh();
        }
        part.done.insert(blocks);
        Some((name, part))
    }

    /// A table that something was noted of, which is forgotten.
    pub fn take_table(&mut self) -> Option<String> {
        self.parts.pop_first().map(|(table, _)| table)
    }
}
