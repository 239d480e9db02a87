//! The server's side: a table as a list of transactions, and what the stream says of one.

use std::collections::BTreeMap;

use pgoutput::{Delete, Insert, Message, OldTuple, Update};

use crate::table;
pub(crate) use crate::table::{TABLE, TIME, columns, relation, row};

pub(crate) const KEYS: u64 = 5;

pub(crate) type Rows = BTreeMap<u64, u64>;

/// A change of one row: the value after it, none when it went away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) key: u64,
    pub(crate) after: Option<u64>,
    pub(crate) existed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: u64,
    pub(crate) changes: Vec<Change>,
}

/// The server's side, which outlives every run.
pub(crate) struct Server {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) head: u64,
    pub(crate) slot: u64,
    pub(crate) rows: Rows,
}

impl Server {
    pub(crate) fn write(&mut self, first: u64, rows: u64, value: u64) {
        let mut changes = Vec::new();
        for key in first..(first + rows).min(KEYS) {
            let existed = self.rows.contains_key(&key);
            let after = (!existed || value.is_multiple_of(2)).then_some(value % 1000);
            match after {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
            changes.push(Change {
                key,
                after,
                existed,
            });
        }
        let commit_lsn = self.head;
        self.transactions.push(Transaction {
            commit_lsn,
            changes,
        });
        // Sometimes the next commit record starts where this one ends.
        self.head += 8 + value % 3 * 8;
    }

    pub(crate) fn rows_at(&self, point: u64) -> Rows {
        let mut rows = Rows::new();
        let seen = self.transactions.iter().filter(|it| it.commit_lsn < point);
        for change in seen.flat_map(|it| &it.changes) {
            match change.after {
                Some(value) => rows.insert(change.key, value),
                None => rows.remove(&change.key),
            };
        }
        rows
    }
}

pub(crate) fn messages(transaction: &Transaction) -> Vec<Vec<u8>> {
    let change = |change: &Change| {
        let (new, old) = (row(change.key, change.after), row(change.key, None));
        let relation = TABLE;
        table::wal(&match (change.after, change.existed) {
            (None, _) => Message::Delete(Delete {
                relation,
                old: OldTuple::Key(old.tuple()),
            }),
            (Some(_), true) => Message::Update(Update {
                relation,
                old: None,
                new: new.tuple(),
            }),
            (Some(_), false) => Message::Insert(Insert {
                relation,
                new: new.tuple(),
            }),
        })
    };
    let changes = transaction.changes.iter().map(change).collect();
    table::transaction(5, transaction.commit_lsn, changes)
}
