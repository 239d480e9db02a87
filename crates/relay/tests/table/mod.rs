//! What the models of a copy and of chunks have in common: the table, and how the stream tells of it.

use std::time::Duration;

use pgoutput::{
    Begin, Cell, ColumnsBuf, Commit, CommitLsn, EndLsn, Lsn, Message, PgTimestamp, Relation,
    RelationColumn, ReplicaIdentity, ServerMessage, TupleBuf,
};
use relay::Now;

pub(crate) const TABLE: u32 = 16_400;
pub(crate) const TIME: PgTimestamp = PgTimestamp(0);

pub(crate) fn columns() -> ColumnsBuf {
    let column = |in_identity, name, type_oid| RelationColumn {
        in_identity,
        name,
        type_oid,
        type_modifier: -1,
    };
    [
        column(true, "id", 23),
        column(false, "v", 23),
        column(false, "large", 25),
    ]
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

/// Without a value, what a delete tells of a row.
pub(crate) fn row(key: u64, value: Option<u64>) -> TupleBuf {
    let (key, value) = (key.to_string(), value.map(|it| it.to_string()));
    let cell = value
        .as_ref()
        .map_or(Cell::Null, |it| Cell::Text(it.as_bytes()));
    [Cell::Text(key.as_bytes()), cell, cell]
        .into_iter()
        .collect()
}

pub(crate) fn wal(message: &Message<'_>) -> Vec<u8> {
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

/// A transaction with these changes, which are messages, too, whose commit record has eight bytes. With the
/// table's description each time: the server gives it once a session, or again.
pub(crate) fn transaction(xid: u32, commit_lsn: u64, changes: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let end_lsn = EndLsn(Lsn::new(commit_lsn + 8));
    let commit_lsn = CommitLsn(Lsn::new(commit_lsn));
    let columns = columns();
    let mut out = vec![
        wal(&Message::Begin(Begin {
            commit_lsn,
            commit_time: TIME,
            xid,
        })),
        wal(&Message::Relation(relation(&columns))),
    ];
    out.extend(changes);
    out.push(wal(&Message::Commit(Commit {
        commit_lsn,
        end_lsn,
        commit_time: TIME,
    })));
    out
}

pub(crate) fn now(seconds: u64) -> Now {
    Now {
        since_start: Duration::from_secs(seconds),
        unix_nanos: 1_800_000_000_000_000_000,
    }
}

/// The number behind the last of this name in a record's JSON.
pub(crate) fn number(json: &[u8], name: &str) -> u64 {
    let text = std::str::from_utf8(json).unwrap();
    let (_, rest) = text
        .rsplit_once(name)
        .unwrap_or_else(|| panic!("{name} in {text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
