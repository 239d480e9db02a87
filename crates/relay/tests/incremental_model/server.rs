//! The server's side: transactions that run beside each other, lock the rows they write, are committed in
//! the log, and are visible to others a moment later. A standby shows them in the order of their commits,
//! each a moment before it counts as replayed, and sends what is replayed.

use std::collections::BTreeMap;

use pgoutput::{
    Cell, Delete, Insert, LogicalMessage, Lsn, Message, OidsBuf, OldTuple, Truncate, TupleBuf,
    Update,
};
use relay::{CHUNK_PREFIX, ChunkSnapshot};

use crate::table::{self, row, wal};
pub(crate) use crate::table::{TABLE, TIME, columns, relation};

pub(crate) const KEYS: u64 = 6;

/// What a row has besides its key: a number, and a large value, which some updates leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) v: u64,
    /// None, if it was never told.
    pub(crate) large: Option<u64>,
}

impl Values {
    fn all(value: u64) -> Self {
        let large = Some(value);
        Self { v: value, large }
    }

    /// Where a large value is not told, it is what it was.
    pub(crate) fn over(self, before: Option<&Self>) -> Self {
        let large = self.large.or(before.and_then(|it| it.large));
        Self { large, ..self }
    }
}

pub(crate) type Rows = BTreeMap<u64, Values>;

/// What a transaction does; the values grow from one to the next.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert { key: u64, value: u64 },
    Update { key: u64, values: Values },
    Move { from: u64, to: u64, value: u64 },
    Delete { key: u64 },
    Truncate,
    Watermark(Vec<u8>),
}

impl Change {
    fn keys(&self) -> Vec<u64> {
        match self {
            Self::Insert { key, .. } | Self::Update { key, .. } | Self::Delete { key } => {
                vec![*key]
            }
            Self::Move { from, to, .. } => vec![*from, *to],
            Self::Truncate => (0..KEYS).collect(),
            Self::Watermark(_) => Vec::new(),
        }
    }

    fn apply(&self, rows: &mut Rows) {
        match self {
            Self::Insert { key, value } => {
                rows.insert(*key, Values::all(*value));
            }
            Self::Update { key, values } => {
                let values = values.over(rows.get(key));
                rows.insert(*key, values);
            }
            Self::Move { from, to, value } => {
                rows.remove(from);
                rows.insert(*to, Values::all(*value));
            }
            Self::Delete { key } => {
                rows.remove(key);
            }
            Self::Truncate => rows.clear(),
            Self::Watermark(_) => {}
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) xid: u64,
    pub(crate) commit_lsn: u64,
    pub(crate) change: Change,
    /// When it was written, counted over all transactions: later ones on a key are newer.
    pub(crate) turn: u64,
    visible: bool,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Primary,
    Standby,
}

/// The server's side, which outlives every run.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    /// A standby's: the end of the last record that is replayed whole.
    pub(crate) replayed: u64,
    pub(crate) log: Vec<Transaction>,
    running: Vec<Transaction>,
    pub(crate) head: u64,
    pub(crate) slot: u64,
    next_xid: u64,
    turn: u64,
}

impl Server {
    pub(crate) fn new(kind: Kind, first_xid: u64) -> Self {
        Self {
            kind,
            replayed: 0,
            log: Vec::new(),
            running: Vec::new(),
            head: 1000,
            slot: 0,
            next_xid: first_xid,
            turn: 0,
        }
    }

    fn unseen(&self) -> impl Iterator<Item = &Transaction> {
        let committed = self.log.iter().filter(|it| !it.visible);
        committed.chain(&self.running)
    }

    /// A transaction writes something, unless another holds a row of it.
    pub(crate) fn begin(&mut self, key: u64, kind: u64) -> bool {
        let rows = self.rows();
        let value = self.turn + 1;
        let to = (key + 1 + kind % 3) % KEYS;
        let change = match (rows.contains_key(&key), kind % 8) {
            (_, 7) => Change::Truncate,
            (false, _) => Change::Insert { key, value },
            (true, 0 | 1) => Change::Delete { key },
            (true, 2) if to != key && !rows.contains_key(&to) => Change::Move {
                from: key,
                to,
                value,
            },
            (true, 3) => Change::Update {
                key,
                values: Values::all(value),
            },
            (true, _) => Change::Update {
                key,
                values: Values {
                    v: value,
                    large: None,
                },
            },
        };
        let held: Vec<u64> = self.unseen().flat_map(|it| it.change.keys()).collect();
        if change.keys().iter().any(|key| held.contains(key)) {
            return false;
        }
        self.start(change);
        true
    }

    fn start(&mut self, change: Change) {
        self.turn += 1;
        self.running.push(Transaction {
            xid: self.next_xid,
            commit_lsn: 0,
            change,
            turn: self.turn,
            visible: false,
        });
        self.next_xid += 1;
    }

    /// One of those that run is committed in the log; others do not see it yet.
    pub(crate) fn commit(&mut self, which: usize) -> bool {
        if self.running.is_empty() {
            return false;
        }
        let mut ended = self.running.remove(which % self.running.len());
        ended.commit_lsn = self.head;
        self.head += 8;
        self.log.push(ended);
        true
    }

    /// One that is committed becomes visible.
    pub(crate) fn show(&mut self, which: usize) -> bool {
        if self.kind == Kind::Standby {
            return self.replay();
        }
        let mut unseen: Vec<_> = self.log.iter_mut().filter(|it| !it.visible).collect();
        let count = unseen.len();
        match unseen.get_mut(which.checked_rem(count).unwrap_or(0)) {
            Some(transaction) => {
                transaction.visible = true;
                true
            }
            None => false,
        }
    }

    /// The standby does one half of the next record's replay.
    fn replay(&mut self) -> bool {
        let replayed = self.replayed;
        let mut left = self.log.iter_mut().filter(|it| it.commit_lsn >= replayed);
        let Some(next) = left.next() else {
            return false;
        };
        match next.visible {
            false => next.visible = true,
            true => self.replayed = next.commit_lsn + 8,
        }
        true
    }

    /// Whether no record is being replayed, as far as a session can tell.
    pub(crate) fn is_still(&self) -> bool {
        let mut log = self.log.iter();
        log.all(|it| it.commit_lsn < self.replayed)
    }

    /// Whether a transaction can be sent already.
    pub(crate) fn can_send(&self, transaction: &Transaction) -> bool {
        self.kind == Kind::Primary || transaction.commit_lsn < self.replayed
    }

    /// What a keepalive tells once all is sent.
    pub(crate) fn sent_end(&self) -> u64 {
        match self.kind {
            Kind::Primary => self.head,
            // Without a commit to replay, it is where the primary's log is.
            Kind::Standby if self.is_still() => self.head,
            Kind::Standby => self.replayed,
        }
    }

    /// A message in a transaction of its own.
    pub(crate) fn emit(&mut self, name: &[u8]) {
        self.start(Change::Watermark(name.to_vec()));
        self.commit(self.running.len() - 1);
        if let Some(last) = self.log.last_mut() {
            last.visible = true;
        }
    }

    /// What a standby has replayed that is so many commits behind.
    pub(crate) fn behind(&self, lag: usize) -> u64 {
        let replayed = self.log.iter().filter(|it| it.commit_lsn < self.replayed);
        let last: Option<&Transaction> = match lag {
            0 => None,
            lag => replayed.rev().nth(lag - 1),
        };
        last.map_or(self.replayed, |it| it.commit_lsn)
    }

    /// What is visible now.
    pub(crate) fn rows(&self) -> Rows {
        self.rows_of(|it| it.visible)
    }

    /// What is visible where this position was replayed.
    pub(crate) fn rows_before(&self, position: u64) -> Rows {
        self.rows_of(|it| it.commit_lsn < position)
    }

    fn rows_of(&self, is_visible: impl Fn(&Transaction) -> bool) -> Rows {
        let mut rows = Rows::new();
        let mut visible: Vec<_> = self.log.iter().filter(|it| is_visible(it)).collect();
        visible.sort_by_key(|it| it.turn);
        visible.iter().for_each(|it| it.change.apply(&mut rows));
        rows
    }

    /// As `pg_current_snapshot()`.
    pub(crate) fn snapshot(&self) -> ChunkSnapshot {
        let visible = self.log.iter().filter(|it| it.visible);
        let xmax = visible.map(|it| it.xid + 1).max();
        let xmax = xmax.unwrap_or(self.next_xid);
        let unseen = self.unseen().map(|it| it.xid).filter(|xid| *xid < xmax);
        let mut unseen: Vec<u64> = unseen.collect();
        unseen.sort_unstable();
        let xmin = unseen.first().copied().unwrap_or(xmax);
        let unseen: Vec<String> = unseen.iter().map(u64::to_string).collect();
        ChunkSnapshot::parse(&format!("{xmin}:{xmax}:{}", unseen.join(","))).unwrap()
    }

    /// The newest write of a key in this transaction's place, for records that carry no value.
    pub(crate) fn turn_of(&self, commit_lsn: u64) -> u64 {
        let found = self.log.iter().find(|it| it.commit_lsn == commit_lsn);
        found.expect("a transaction of the log").turn
    }
}

fn change_message(change: &Change) -> Vec<u8> {
    let relation = TABLE;
    match change {
        Change::Insert { key, value } => wal(&Message::Insert(Insert {
            relation,
            new: row(*key, Some(*value)).tuple(),
        })),
        Change::Update { key, values } => {
            let large = values.large.map(|it| it.to_string());
            let large = large
                .as_ref()
                .map_or(Cell::Unchanged, |it| Cell::Text(it.as_bytes()));
            let cells = row(*key, Some(values.v));
            let cells = cells.tuple().cells().take(2).chain([large]);
            let new: TupleBuf = cells.collect();
            wal(&Message::Update(Update {
                relation,
                old: None,
                new: new.tuple(),
            }))
        }
        Change::Move { from, to, value } => wal(&Message::Update(Update {
            relation,
            old: Some(OldTuple::Key(row(*from, None).tuple())),
            new: row(*to, Some(*value)).tuple(),
        })),
        Change::Delete { key } => wal(&Message::Delete(Delete {
            relation,
            old: OldTuple::Key(row(*key, None).tuple()),
        })),
        Change::Truncate => {
            let tables: OidsBuf = [TABLE].into_iter().collect();
            wal(&Message::Truncate(Truncate {
                cascade: false,
                restart_identity: false,
                relations: tables.oids(),
            }))
        }
        Change::Watermark(name) => wal(&Message::Logical(LogicalMessage {
            transactional: true,
            lsn: Lsn::new(1),
            prefix: CHUNK_PREFIX,
            content: name,
        })),
    }
}

pub(crate) fn messages(transaction: &Transaction) -> Vec<Vec<u8>> {
    let xid = u32::try_from(transaction.xid & 0xFFFF_FFFF).unwrap();
    let change = change_message(&transaction.change);
    table::transaction(xid, transaction.commit_lsn, vec![change])
}
