//! One session of the fake walsender: replays the log from where it is asked to, describes each
//! table before its first change, and tells positions in keepalives that may go back.

use std::collections::{BTreeMap, VecDeque};

use pgoutput::{
    Begin, ColumnsBuf, Commit, CommitLsn, EndLsn, KeepaliveLsn, Lsn, Message, Origin, PgTimestamp,
    Relation, RelationColumn, ServerMessage,
};

use crate::random::Random;
use crate::wal::{Entry, Kind, Slot, Wal};
use crate::workload::TABLES;

/// Server time does not matter here: one moment stands for all.
pub(crate) const TIME: PgTimestamp = PgTimestamp(800_000_000_000_000);

/// A session that streams.
#[derive(Debug)]
pub(crate) struct Walsender {
    /// The entry that is sent next.
    next: usize,
    /// CopyData bodies of the entry before it that are still to be sent.
    unsent: VecDeque<Vec<u8>>,
    /// Which version of which table was described on this connection.
    described: BTreeMap<usize, u16>,
    /// What the next keepalive tells. It begins below the confirmed position.
    sent: Lsn,
}

impl Walsender {
    /// `START_REPLICATION` at a position, which counts only when it is ahead of the slot.
    #[must_use]
    pub(crate) fn start(wal: &Wal, slot: &Slot, asked: Lsn) -> Walsender {
        let from = slot.confirmed.max(asked);
        Walsender {
            next: wal.first_from(from),
            unsent: VecDeque::new(),
            described: BTreeMap::new(),
            sent: slot.restart.min(slot.confirmed),
        }
    }

    /// The next CopyData body, or `None` when everything in the log was sent.
    pub(crate) fn next_body(&mut self, wal: &Wal) -> Option<Vec<u8>> {
        while self.unsent.is_empty() {
            let entry = wal.get(self.next)?;
            // While a transaction is sent, decoding stands before its commit record.
            self.sent = self.sent.max(entry.start);
            self.next += 1;
            self.queue(entry);
        }
        let body = self.unsent.pop_front();
        if self.unsent.is_empty()
            && let Some(entry) = wal.get(self.next - 1)
        {
            self.sent = self.sent.max(entry.end);
        }
        body
    }

    /// Whether everything in the log was sent.
    #[must_use]
    pub(crate) fn is_done(&self, wal: &Wal) -> bool {
        self.unsent.is_empty() && wal.get(self.next).is_none()
    }

    /// A keepalive, and the position that it tells.
    pub(crate) fn keepalive(
        &mut self,
        wal: &Wal,
        random: &mut Random,
        ask: bool,
    ) -> (Lsn, Vec<u8>) {
        if self.unsent.is_empty() {
            // Decoding may be anywhere before the next entry.
            let limit = wal.get(self.next).map_or(wal.end(), |entry| entry.start);
            let ahead = limit.bytes_since(self.sent);
            let step = if random.percent(60) {
                ahead
            } else {
                random.within(0..ahead + 1)
            };
            self.sent = Lsn::new(self.sent.as_u64() + step);
        }
        let mut body = Vec::new();
        let wal_end = KeepaliveLsn(self.sent);
        ServerMessage::Keepalive {
            wal_end,
            send_time: TIME,
            reply_requested: ask,
        }
        .encode(&mut body);
        (self.sent, body)
    }

    fn queue(&mut self, entry: &Entry) {
        let (commit_lsn, commit_time) = (CommitLsn(entry.start), TIME);
        if let Kind::Transaction {
            xid,
            from_elsewhere,
        } = entry.kind
        {
            let begin = Message::Begin(Begin {
                commit_lsn,
                commit_time,
                xid,
            });
            if from_elsewhere {
                self.message(Lsn::ZERO, &begin);
                let (origin_lsn, name) = (Lsn::new(0xABC), "elsewhere");
                self.message(entry.start, &Message::Origin(Origin { origin_lsn, name }));
            } else {
                self.message(entry.start, &begin);
            }
        }
        for body in &entry.bodies {
            if let Some((table, version)) = body.of
                && self.described.insert(table, version) != Some(version)
            {
                self.describe(table, version);
            }
            self.unsent
                .push_back(wal_data(body.data_start, &body.payload));
        }
        if let Kind::Transaction { .. } = entry.kind {
            let end_lsn = EndLsn(entry.end);
            let commit = Message::Commit(Commit {
                commit_lsn,
                end_lsn,
                commit_time,
            });
            self.message(entry.end, &commit);
        }
    }

    fn describe(&mut self, table: usize, version: u16) {
        let Some(of) = TABLES.get(table) else { return };
        let full = of.identity == pgoutput::ReplicaIdentity::Full;
        let column = |name, type_oid| {
            let in_identity = full || of.key.contains(&name);
            RelationColumn {
                in_identity,
                name,
                type_oid,
                type_modifier: -1,
            }
        };
        let mut columns: ColumnsBuf = [column("id", INT4), column("part", INT4), column("v", TEXT)]
            .into_iter()
            .collect();
        for number in 0..version {
            let name = format!("added{number}");
            let in_identity = full;
            let (name, type_oid) = (name.as_str(), TEXT);
            columns.push(RelationColumn {
                in_identity,
                name,
                type_oid,
                type_modifier: -1,
            });
        }
        let relation = Relation {
            oid: of.oid,
            schema: "public",
            name: of.name,
            replica_identity: of.identity,
            columns: columns.columns(),
        };
        self.message(Lsn::ZERO, &Message::Relation(relation));
    }

    fn message(&mut self, at: Lsn, message: &Message<'_>) {
        let mut payload = Vec::new();
        message.encode(&mut payload);
        self.unsent.push_back(wal_data(at, &payload));
    }
}

fn wal_data(at: Lsn, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    ServerMessage::WalData {
        data_start: at,
        wal_end: at,
        send_time: TIME,
        payload,
    }
    .encode(&mut body);
    body
}

const INT4: u32 = 23;
const TEXT: u32 = 25;
