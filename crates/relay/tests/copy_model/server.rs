//! The server's side: a table as a list of transactions, and what the stream says of one.

use std::collections::BTreeMap;

use pgoutput::{
    Begin, Cell, ColumnsBuf, Commit, CommitLsn, Delete, EndLsn, Insert, Lsn, Message, OldTuple,
    PgTimestamp, Relation, RelationColumn, ReplicaIdentity, ServerMessage, TupleBuf, Update,
};

pub(crate) const TABLE: u32 = 16_400;
pub(crate) const TIME: PgTimestamp = PgTimestamp(0);
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

impl Transaction {
    fn end_lsn(&self) -> u64 {
        self.commit_lsn + 8
    }
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

pub(crate) fn columns() -> ColumnsBuf {
    let column = |in_identity, name| RelationColumn {
        in_identity,
        name,
        type_oid: 23,
        type_modifier: -1,
    };
    [column(true, "id"), column(false, "v")]
        .into_iter()
        .collect()
}

pub(crate) fn relation(columns: &ColumnsBuf) -> Relation<'_> {
    Relation {
        oid: TABLE,
        schema: "public",
        name: "users",
        replica_identity: ReplicaIdentity::Default,
        columns: columns.columns(),
    }
}

pub(crate) fn row(key: u64, value: Option<u64>) -> TupleBuf {
    let mut row = TupleBuf::default();
    row.push(Cell::Text(key.to_string().as_bytes()));
    match value {
        Some(value) => row.push(Cell::Text(value.to_string().as_bytes())),
        None => row.push(Cell::Null),
    }
    row
}

fn wal(message: &Message<'_>) -> Vec<u8> {
    let (mut payload, mut body) = (Vec::new(), Vec::new());
    message.encode(&mut payload);
    let message = ServerMessage::WalData {
        data_start: Lsn::ZERO,
        wal_end: Lsn::ZERO,
        send_time: TIME,
        payload: &payload,
    };
    message.encode(&mut body);
    body
}

/// With the table's description each time: the server gives it once a session, or again.
pub(crate) fn messages(transaction: &Transaction) -> Vec<Vec<u8>> {
    let commit_lsn = CommitLsn(Lsn::new(transaction.commit_lsn));
    let mut out = vec![wal(&Message::Begin(Begin {
        commit_lsn,
        commit_time: TIME,
        xid: 5,
    }))];
    let columns = columns();
    out.push(wal(&Message::Relation(relation(&columns))));
    for change in &transaction.changes {
        let (new, old) = (row(change.key, change.after), row(change.key, None));
        let relation = TABLE;
        out.push(wal(&match (change.after, change.existed) {
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
        }));
    }
    out.push(wal(&Message::Commit(Commit {
        commit_lsn,
        end_lsn: EndLsn(Lsn::new(transaction.end_lsn())),
        commit_time: TIME,
    })));
    out
}
