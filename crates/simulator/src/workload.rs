//! Tables and what happens to them: random transactions over a model of the rows, each with the
//! records that walferry has to publish for it, worked out here from the contract alone.
//!
//! Every write puts a number of its own into the row, so that a record can be told from any other.

use std::collections::BTreeMap;

use envelope::Operation;
use pgoutput::{
    Cell, Delete, Insert, LogicalMessage, Lsn, Message, OidsBuf, OldTuple, ReplicaIdentity,
    Truncate, TupleBuf, Update,
};

use crate::random::Random;
use crate::wal::{Body, Entry, Kind, Wal};

/// First part of every id; also the system identifier.
pub(crate) const EPOCH: u64 = 7_400_000_000_000_000_001;

/// `topics.prefix`.
pub(crate) const SERVER_NAME: &str = "sim";

/// A table of the simulated database.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its oid.
    pub(crate) oid: u32,
    /// Its name, in schema `public`.
    pub(crate) name: &'static str,
    /// What old rows hold.
    pub(crate) identity: ReplicaIdentity,
    /// The primary key's columns.
    pub(crate) key: &'static [&'static str],
    /// Whether the configuration wants it; the publication has it in any case.
    pub(crate) captured: bool,
}

/// All tables.
pub(crate) const TABLES: [Table; 5] = [
    table(16_400, "orders", ReplicaIdentity::Default, &["id"], true),
    table(
        16_401,
        "lines",
        ReplicaIdentity::Default,
        &["id", "part"],
        true,
    ),
    table(16_402, "notes", ReplicaIdentity::Full, &["id"], true),
    table(16_403, "events", ReplicaIdentity::Full, &[], true),
    table(16_404, "unwanted", ReplicaIdentity::Default, &["id"], false),
];

const fn table(
    oid: u32,
    name: &'static str,
    identity: ReplicaIdentity,
    key: &'static [&'static str],
    captured: bool,
) -> Table {
    Table {
        oid,
        name,
        identity,
        key,
        captured,
    }
}

/// What order is kept for: the key of a record, or nothing for a table without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A row, by table and key columns.
    Row(usize, RowKey),
    /// Logical messages, by prefix.
    Prefix(&'static str),
}

/// The columns `id` and `part`.
pub(crate) type RowKey = (u32, u32);

/// A record that has to be published.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// `epoch:LSN:ordinal`.
    pub(crate) id: String,
    /// Its topic.
    pub(crate) topic: String,
    /// Its key.
    pub(crate) key: Option<Key>,
    /// What it tells of.
    pub(crate) operation: Operation,
    /// The number of the write whose row must be in its value.
    pub(crate) write: Option<u64>,
}

/// How the transactions of a seed look.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Ids of rows are below this: few make many changes a key.
    pub(crate) ids: u64,
    /// One transaction in a hundred so often is large.
    pub(crate) large_percent: u64,
    /// Changes of a large transaction.
    pub(crate) large: u64,
    /// Whether logical messages are published.
    pub(crate) messages: bool,
}

/// The database: its rows, and what was ever expected of them.
#[derive(Debug)]
pub(crate) struct Workload {
    habits: Habits,
    rows: BTreeMap<(usize, RowKey), u64>,
    /// How many columns were added to each table.
    added: [u16; TABLES.len()],
    writes: u64,
    xid: u32,
}

/// The transaction that is being made.
struct Making {
    commit_lsn: Lsn,
    bodies: Vec<Body>,
    expected: Vec<Expected>,
}

impl Workload {
    /// A database without rows.
    #[must_use]
    pub(crate) fn new(habits: Habits) -> Workload {
        let added = [0; TABLES.len()];
        Workload {
            habits,
            rows: BTreeMap::new(),
            added,
            writes: 0,
            xid: 700,
        }
    }

    /// Something happens in the database: mostly a commit.
    pub(crate) fn happen(&mut self, random: &mut Random, wal: &mut Wal) -> Option<usize> {
        match random.within(0..100) {
            // A rollback, another database, a checkpoint: WAL without anything for the slot.
            0..10 => {
                wal.advance(random.within(1..5000) * 8);
                None
            }
            10..16 => Some(self.message_outside(random, wal)),
            16..19 => {
                let table = random.index(TABLES.len());
                self.added[table] += 1;
                wal.advance(800);
                None
            }
            _ => Some(self.transaction(random, wal)),
        }
    }

    fn transaction(&mut self, random: &mut Random, wal: &mut Wal) -> usize {
        let changes = match random.within(0..100) {
            large if large < self.habits.large_percent => self.habits.large,
            ..90 => random.within(1..5),
            // As Postgres 14 does for transactions of other tables.
            90..94 => 0,
            _ => random.within(5..40),
        };
        // Its changes lie among those of others, so that the next commit may follow at once.
        let room = if random.percent(70) {
            random.within(0..40) * 8
        } else {
            0
        };
        wal.advance(room);
        let commit_lsn = wal.end();
        let mut making = Making {
            commit_lsn,
            bodies: Vec::new(),
            expected: Vec::new(),
        };
        for _ in 0..changes {
            self.change(random, &mut making);
        }
        self.xid += 1;
        let Making {
            bodies,
            mut expected,
            ..
        } = making;
        number(&mut expected, commit_lsn);
        let kind = Kind::Transaction {
            xid: self.xid,
            from_elsewhere: random.percent(5),
        };
        let end = Lsn::new(commit_lsn.as_u64() + 8 * random.within(4..60));
        wal.push(Entry {
            start: commit_lsn,
            end,
            kind,
            bodies,
            expected,
        })
    }

    fn change(&mut self, random: &mut Random, making: &mut Making) {
        let table = random.index(TABLES.len());
        let key = self.random_key(random, table);
        let present = self.rows.contains_key(&(table, key));
        match random.within(0..100) {
            0..2 => self.truncate(random, making, table),
            2..4 => self.message_inside(random, making),
            _ if !present => self.insert(random, making, table, key),
            // A table without a key gets no deletes: whether they have tombstones is envelope's.
            0..30 if !TABLES[table].key.is_empty() => self.delete(random, making, table, key),
            30..45 => {
                let to = self.random_key(random, table);
                let free = !self.rows.contains_key(&(table, to));
                self.update(random, making, table, (key, if free { to } else { key }));
            }
            _ => self.update(random, making, table, (key, key)),
        }
    }

    fn insert(&mut self, random: &mut Random, making: &mut Making, table: usize, key: RowKey) {
        let write = self.write(table, key);
        let row = self.row(table, key, write);
        let message = Message::Insert(Insert {
            relation: TABLES[table].oid,
            new: row.tuple(),
        });
        making.body(random, Some((table, self.added[table])), &message);
        making.expect(table, key, Operation::Create, Some(write));
    }

    fn update(
        &mut self,
        random: &mut Random,
        making: &mut Making,
        table: usize,
        (from, to): (RowKey, RowKey),
    ) {
        let before = self.rows.remove(&(table, from)).unwrap_or_default();
        let write = self.write(table, to);
        let (old, new) = (self.old(table, from, before), self.row(table, to, write));
        let relation = TABLES[table].oid;
        let sent = from != to || TABLES[table].identity == ReplicaIdentity::Full;
        let old = sent.then(|| old_tuple(table, &old));
        let message = Message::Update(Update {
            relation,
            old,
            new: new.tuple(),
        });
        making.body(random, Some((table, self.added[table])), &message);
        if key_of(table, from) == key_of(table, to) {
            making.expect(table, to, Operation::Update, Some(write));
        } else {
            let seen = (TABLES[table].identity == ReplicaIdentity::Full).then_some(before);
            making.expect(table, from, Operation::Delete, seen);
            making.expect(table, from, Operation::Tombstone, None);
            making.expect(table, to, Operation::Create, Some(write));
        }
    }

    fn delete(&mut self, random: &mut Random, making: &mut Making, table: usize, key: RowKey) {
        let before = self.rows.remove(&(table, key)).unwrap_or_default();
        let old = self.old(table, key, before);
        let relation = TABLES[table].oid;
        let message = Message::Delete(Delete {
            relation,
            old: old_tuple(table, &old),
        });
        making.body(random, Some((table, self.added[table])), &message);
        let seen = (TABLES[table].identity == ReplicaIdentity::Full).then_some(before);
        making.expect(table, key, Operation::Delete, seen);
        making.expect(table, key, Operation::Tombstone, None);
    }

    /// Truncates are left out by default (`skipped.operations: t`).
    fn truncate(&mut self, random: &mut Random, making: &mut Making, table: usize) {
        self.rows.retain(|(of, _), _| *of != table);
        let oids: OidsBuf = [TABLES[table].oid].into_iter().collect();
        let relations = oids.oids();
        let truncate = Truncate {
            cascade: false,
            restart_identity: false,
            relations,
        };
        making.body(
            random,
            Some((table, self.added[table])),
            &Message::Truncate(truncate),
        );
    }

    fn message_inside(&mut self, random: &mut Random, making: &mut Making) {
        let lsn = Lsn::new(making.commit_lsn.as_u64().saturating_sub(8));
        let (prefix, content) = ("inside", b"content".as_slice());
        let message = LogicalMessage {
            transactional: true,
            lsn,
            prefix,
            content,
        };
        making.body(random, None, &Message::Logical(message));
        if self.habits.messages {
            making.expected.push(message_record(prefix));
        }
    }

    /// A message outside of any transaction: an entry of its own in the log.
    fn message_outside(&mut self, random: &mut Random, wal: &mut Wal) -> usize {
        let start = wal.end();
        let end = Lsn::new(start.as_u64() + 8 * random.within(8..20));
        let mut making = Making {
            commit_lsn: end,
            bodies: Vec::new(),
            expected: Vec::new(),
        };
        let (prefix, content) = ("outside", b"content".as_slice());
        let message = LogicalMessage {
            transactional: false,
            lsn: end,
            prefix,
            content,
        };
        making.body(random, None, &Message::Logical(message));
        if self.habits.messages {
            making.expected.push(message_record(prefix));
        }
        let Making {
            bodies,
            mut expected,
            ..
        } = making;
        // Its last byte: where it ends, a commit record may start, which names a transaction.
        number(&mut expected, Lsn::new(end.as_u64() - 1));
        wal.push(Entry {
            start,
            end,
            kind: Kind::Message,
            bodies,
            expected,
        })
    }

    fn random_key(&self, random: &mut Random, table: usize) -> RowKey {
        let number = |bound| u32::try_from(bound).unwrap_or(0);
        let id = number(random.within(0..self.habits.ids));
        let part = if TABLES[table].key.len() > 1 {
            number(random.within(0..3))
        } else {
            0
        };
        (id, part)
    }

    fn write(&mut self, table: usize, key: RowKey) -> u64 {
        self.writes += 1;
        self.rows.insert((table, key), self.writes);
        self.writes
    }

    fn row(&self, table: usize, (id, part): RowKey, write: u64) -> TupleBuf {
        let mut row = TupleBuf::new();
        row.push(Cell::Text(id.to_string().as_bytes()));
        row.push(Cell::Text(part.to_string().as_bytes()));
        row.push(Cell::Text(mark(write).as_bytes()));
        for _ in 0..self.added[table] {
            row.push(Cell::Null);
        }
        row
    }

    /// The old row as the table's identity sends it.
    fn old(&self, table: usize, key: RowKey, write: u64) -> TupleBuf {
        let row = self.row(table, key, write);
        if TABLES[table].identity == ReplicaIdentity::Full {
            return row;
        }
        let in_key = TABLES[table].key.len();
        let cells = row.tuple().cells().enumerate();
        cells
            .map(|(at, cell)| if at < in_key { cell } else { Cell::Null })
            .collect()
    }
}

impl Making {
    fn body(&mut self, random: &mut Random, of: Option<(usize, u16)>, message: &Message<'_>) {
        let mut payload = Vec::new();
        message.encode(&mut payload);
        // Among the changes of others: neither rising nor unique.
        let back = random.within(0..600) * 8;
        let data_start = Lsn::new(self.commit_lsn.as_u64().saturating_sub(back));
        self.bodies.push(Body {
            of,
            data_start,
            payload,
        });
    }

    fn expect(&mut self, table: usize, key: RowKey, operation: Operation, write: Option<u64>) {
        if !TABLES[table].captured {
            return;
        }
        self.expected.push(Expected {
            id: String::new(),
            topic: format!("{SERVER_NAME}.public.{}", TABLES[table].name),
            key: key_of(table, key),
            operation,
            write,
        });
    }
}

/// What is found in the value of a record that holds this write's row.
#[must_use]
pub(crate) fn mark(write: u64) -> String {
    format!("w{write}.")
}

fn old_tuple(table: usize, old: &TupleBuf) -> OldTuple<'_> {
    match TABLES[table].identity {
        ReplicaIdentity::Full => OldTuple::Full(old.tuple()),
        _ => OldTuple::Key(old.tuple()),
    }
}

fn key_of(table: usize, key: RowKey) -> Option<Key> {
    (!TABLES[table].key.is_empty()).then_some(Key::Row(table, key))
}

fn message_record(prefix: &'static str) -> Expected {
    Expected {
        id: String::new(),
        topic: format!("{SERVER_NAME}.message"),
        key: Some(Key::Prefix(prefix)),
        operation: Operation::Message,
        write: None,
    }
}

/// The ordinal is dense over the records of a transaction.
fn number(expected: &mut [Expected], lsn: Lsn) {
    for (ordinal, record) in expected.iter_mut().enumerate() {
        record.id = format!("{EPOCH}:{lsn}:{ordinal}");
    }
}
