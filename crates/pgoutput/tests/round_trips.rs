//! Whatever can be encoded is decoded to the same, and nothing cut short is taken for whole.

use pgoutput::{
    Begin, Cell, ColumnsBuf, Commit, CommitLsn, CopyRow, Delete, EndLsn, Insert, KeepaliveLsn,
    LogicalMessage, Lsn, Message, OidsBuf, OldTuple, Origin, PgTimestamp, Relation, RelationColumn,
    ReplicaIdentity, ServerMessage, StatusUpdate, Truncate, TupleBuf, TypeName, Update,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum OwnedCell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

fn cell() -> impl Strategy<Value = OwnedCell> {
    prop_oneof![
        Just(OwnedCell::Null),
        Just(OwnedCell::Unchanged),
        vec(any::<u8>(), 0..20).prop_map(OwnedCell::Text),
        vec(any::<u8>(), 0..20).prop_map(OwnedCell::Binary),
    ]
}

impl OwnedCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            OwnedCell::Null => Cell::Null,
            OwnedCell::Unchanged => Cell::Unchanged,
            OwnedCell::Text(value) => Cell::Text(value),
            OwnedCell::Binary(value) => Cell::Binary(value),
        }
    }
}

fn tuple() -> impl Strategy<Value = TupleBuf> {
    vec(cell(), 0..10).prop_map(|cells| cells.iter().map(OwnedCell::cell).collect())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("public".to_owned()),
        Just("we.ird \"Tbl\" ☃".to_owned()),
        vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 1..12).prop_map(String::from_iter),
    ]
}

fn column() -> impl Strategy<Value = (bool, String, u32, i32)> {
    (any::<bool>(), name(), any::<u32>(), any::<i32>())
}

fn identity() -> impl Strategy<Value = ReplicaIdentity> {
    prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Nothing),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Index),
    ]
}

/// Decoding gives the same message, and every proper prefix and every extension is refused.
fn assert_round_trip(message: &Message<'_>) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
    for cut in 0..bytes.len() {
        assert!(
            Message::decode(&bytes[..cut]).is_err(),
            "cut at {cut}: {message:?}"
        );
    }
    bytes.push(b'n');
    assert!(
        Message::decode(&bytes).is_err(),
        "a byte too many: {message:?}"
    );
}

proptest! {
    #[test]
    fn transaction_messages(a: u64, b: u64, t: i64, xid: u32, flag: bool, name in name(),
                            content in vec(any::<u8>(), 0..40)) {
        let commit_lsn = CommitLsn(Lsn::new(a));
        let commit_time = PgTimestamp(t);
        assert_round_trip(&Message::Begin(Begin { commit_lsn, commit_time, xid }));
        let end_lsn = EndLsn(Lsn::new(b));
        assert_round_trip(&Message::Commit(Commit { commit_lsn, end_lsn, commit_time }));
        assert_round_trip(&Message::Origin(Origin { origin_lsn: Lsn::new(a), name: &name }));
        let (transactional, lsn) = (flag, Lsn::new(b));
        let message = LogicalMessage { transactional, lsn, prefix: &name, content: &content };
        assert_round_trip(&Message::Logical(message));
    }

    #[test]
    fn descriptions(oid: u32, schema in name(), name in name(), replica_identity in identity(),
                    columns in vec(column(), 0..8)) {
        let list = columns.iter().map(|(in_identity, name, type_oid, type_modifier)| {
            let (in_identity, type_oid, type_modifier) = (*in_identity, *type_oid, *type_modifier);
            RelationColumn { in_identity, name, type_oid, type_modifier }
        });
        let buf: ColumnsBuf = list.clone().collect();
        let columns = buf.columns();
        prop_assert_eq!(columns.len(), list.len());
        prop_assert!(columns.iter().eq(list));
        let (schema, name) = (schema.as_str(), name.as_str());
        let relation = Relation { oid, schema, name, replica_identity, columns };
        assert_round_trip(&Message::Relation(relation));
        assert_round_trip(&Message::Type(TypeName { oid, schema, name }));
    }

    #[test]
    fn changes(relation: u32, old in tuple(), new in tuple(), cascade: bool, restart: bool,
               oids in vec(any::<u32>(), 0..5)) {
        let (old, new) = (old.tuple(), new.tuple());
        assert_round_trip(&Message::Insert(Insert { relation, new }));
        for old in [OldTuple::Key(old), OldTuple::Full(old)] {
            assert_round_trip(&Message::Update(Update { relation, old: Some(old), new }));
            assert_round_trip(&Message::Delete(Delete { relation, old }));
        }
        assert_round_trip(&Message::Update(Update { relation, old: None, new }));
        let buf: OidsBuf = oids.iter().copied().collect();
        let relations = buf.oids();
        prop_assert!(relations.iter().eq(oids.iter().copied()));
        let truncate = Truncate { cascade, restart_identity: restart, relations };
        assert_round_trip(&Message::Truncate(truncate));
    }

    #[test]
    fn cells_come_back(cells in vec(cell(), 0..12)) {
        let buf: TupleBuf = cells.iter().map(OwnedCell::cell).collect();
        let message = Message::Insert(Insert { relation: 7, new: buf.tuple() });
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let Ok(Message::Insert(insert)) = Message::decode(&bytes) else { panic!("not an insert") };
        prop_assert_eq!(insert.new.len(), cells.len());
        prop_assert!(insert.new.cells().eq(cells.iter().map(OwnedCell::cell)));
    }

    #[test]
    fn stream_messages(a: u64, b: u64, c: u64, t: i64, flag: bool,
                       payload in vec(any::<u8>(), 0..40)) {
        let send_time = PgTimestamp(t);
        for message in [
            ServerMessage::WalData {
                data_start: Lsn::new(a), wal_end: Lsn::new(b), send_time, payload: &payload,
            },
            ServerMessage::Keepalive {
                wal_end: KeepaliveLsn(Lsn::new(a)), send_time, reply_requested: flag,
            },
        ] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(ServerMessage::decode(&bytes), Ok(message));
            for cut in 0..bytes.len() - payload.len().min(bytes.len() - 18) {
                prop_assert!(ServerMessage::decode(&bytes[..cut]).is_err());
            }
        }
        let update = StatusUpdate {
            written: Lsn::new(a), flushed: Lsn::new(b), applied: Lsn::new(c),
            client_time: send_time, reply_requested: flag,
        };
        let mut bytes = Vec::new();
        update.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), 34);
        prop_assert_eq!(StatusUpdate::decode(&bytes), Ok(update));
        for cut in 0..bytes.len() {
            prop_assert!(StatusUpdate::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn copy_rows(rows in vec(vec(proptest::option::of(copy_text()), 0..6), 1..4)) {
        // One buffer for all rows: what an earlier row left must not show.
        let mut copy = CopyRow::new();
        for row in &rows {
            let line = copy_line(row);
            let columns = u16::try_from(row.len()).expect("few");
            let tuple = copy.decode(&line, columns);
            let expected = row.iter().map(|value| match value {
                None => Cell::Null,
                Some(text) => Cell::Text(text),
            });
            let tuple = tuple.expect("a row as the server writes it");
            prop_assert_eq!(tuple.len(), row.len());
            prop_assert!(tuple.cells().eq(expected));
        }
    }
}

fn copy_text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>().prop_filter("text has no NUL", |byte| *byte != 0),
        prop_oneof![
            Just(b'\\'),
            Just(b'N'),
            Just(b'\t'),
            Just(b'\n'),
            Just(b'.'),
            Just(0x0B)
        ],
    ];
    vec(byte, 0..12)
}

/// As `CopyOneRowTo` writes it, from the manual and not from our reader.
fn copy_line(row: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut line = Vec::new();
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            line.push(b'\t');
        }
        let Some(text) = value else {
            line.extend_from_slice(b"\\N");
            continue;
        };
        for byte in text {
            match byte {
                0x08 => line.extend_from_slice(b"\\b"),
                0x0C => line.extend_from_slice(b"\\f"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0x0B => line.extend_from_slice(b"\\v"),
                b'\\' => line.extend_from_slice(b"\\\\"),
                byte => line.push(*byte),
            }
        }
    }
    line.push(b'\n');
    line
}
