//! The tables of this connection, as the stream has described them.
//!
//! Columns and their order come from Relation messages alone, so that a change is always read with
//! the shape it had at its own position. What those messages do not tell (types that users made,
//! NOT NULL, the primary key beside a full identity) is asked of the catalog when they come, and
//! is today's answer. The catalog ends with the connection: the server describes each table anew.

use std::collections::HashMap;

use envelope::{Operation, Table};
use pgoutput::CommitLsn;

use crate::error::RelayError;

/// The tables by oid.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: Vec<Entry>,
    places: HashMap<u32, usize>,
    /// The oid looked up last, and its place. No relation has oid 0, which is where this begins.
    last: (u32, usize),
}

/// What is known of one relation.
#[derive(Debug)]
enum Entry {
    /// Its changes are published.
    Captured(Box<Captured>),
    /// The publication has it, the configuration does not.
    Ignored,
}

/// A table whose changes are published.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) table: Table,
    pub(crate) counts: Counts,
}

/// How many events of each operation were published in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Operation::ALL.len()]);

impl Counts {
    pub(crate) fn add(&mut self, operation: Operation) {
        if let Some(count) = self.0.get_mut(operation as usize) {
            *count += 1;
        }
    }

    /// The operations and their counts, those that never happened left out.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, u64)> + '_ {
        Operation::ALL
            .into_iter()
            .zip(self.0)
            .filter(|(_, count)| *count > 0)
    }
}

impl Catalog {
    /// The table whose change is at hand, or `None` if its changes are not wanted.
    pub(crate) fn captured(
        &mut self,
        oid: u32,
        commit_lsn: CommitLsn,
    ) -> Result<Option<&Table>, RelayError> {
        match self.find(oid) {
            Some(Entry::Captured(captured)) => Ok(Some(&captured.table)),
            Some(Entry::Ignored) => Ok(None),
            None => Err(RelayError::UnknownRelation { oid, commit_lsn }),
        }
    }

    pub(crate) fn count(&mut self, oid: u32, operation: Operation) {
        if let Some(Entry::Captured(captured)) = self.find(oid) {
            captured.counts.add(operation);
        }
    }

    pub(crate) fn table(&self, oid: u32) -> Option<&Table> {
        match self.entries.get(*self.places.get(&oid)?)? {
            Entry::Captured(captured) => Some(&captured.table),
            Entry::Ignored => None,
        }
    }

    pub(crate) fn ignore(&mut self, oid: u32) {
        self.put(oid, Entry::Ignored);
    }

    /// Takes in a description; what was counted before under the same oid is kept.
    pub(crate) fn describe(&mut self, oid: u32, table: Table) {
        let counts = match self.find(oid) {
            Some(Entry::Captured(before)) => before.counts,
            _ => Counts::default(),
        };
        self.put(oid, Entry::Captured(Box::new(Captured { table, counts })));
    }

    pub(crate) fn all_captured(&self) -> impl Iterator<Item = &Captured> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Captured(captured) => Some(&**captured),
            Entry::Ignored => None,
        })
    }

    /// Rows of one table come in runs: the last place is looked at first.
    fn find(&mut self, oid: u32) -> Option<&mut Entry> {
        if self.last.0 != oid {
            self.last = (oid, *self.places.get(&oid)?);
        }
        self.entries.get_mut(self.last.1)
    }

    fn put(&mut self, oid: u32, entry: Entry) {
        match self.find(oid) {
            Some(present) => *present = entry,
            None => {
                self.places.insert(oid, self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}
