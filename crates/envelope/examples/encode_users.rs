//! What one row costs: an insert into the `users` table of the benchmarks, from the bytes of its
//! XLogData to a record. Run with `cargo run --release -p walferry-envelope --example encode_users`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads a clock and prints"
)]

use std::time::Instant;

use envelope::{Context, Encoder, Options, Records, RelationDetails, SnapshotMark, Table};
use pgoutput::{
    Cell, ColumnsBuf, CommitLsn, Insert, Lsn, Message, PgTimestamp, Relation, RelationColumn,
    ReplicaIdentity, ServerMessage, TupleBuf,
};

const ROWS: u32 = 1_000_000;
const TRANSACTION: u32 = 1_000;

/// Name, type's oid and modifier, and a value.
const COLUMNS: [(&str, u32, i32, &str); 8] = [
    ("id", 20, -1, "123456"),
    ("name", 25, -1, "Customer number 123456"),
    ("email", 25, -1, "customer123456@example.com"),
    ("balance", 1700, (12 << 16 | 2) + 4, "1234.56"),
    ("active", 16, -1, "t"),
    ("created_at", 1184, -1, "2026-11-23 12:34:56.789012+00"),
    ("updated_at", 1114, -1, "2026-11-23 12:34:56.789012"),
    (
        "meta",
        3802,
        -1,
        r#"{"plan": "gold", "tags": ["a", "b"], "score": 12.5, "note": "some text here"}"#,
    ),
];

fn main() {
    let options = Options::new("shop", "shop");
    let table = users(&options);
    let body = insert();
    let mut encoder = Encoder::new(options);
    let mut records = Records::new();
    let mut bytes = 0;
    let start = Instant::now();
    for row in 0..ROWS {
        let message = ServerMessage::decode(&body);
        let Ok(ServerMessage::WalData {
            data_start,
            payload,
            ..
        }) = message
        else {
            continue;
        };
        let Ok(Message::Insert(insert)) = Message::decode(payload) else {
            continue;
        };
        let context = context(row, data_start);
        encoder
            .insert(&table, &context, insert.new, &mut records)
            .unwrap();
        if records.len() == 64 {
            bytes += records.bytes();
            records.clear();
        }
    }
    let nanos = start.elapsed().as_nanos() / u128::from(ROWS);
    println!(
        "{nanos} ns a row, {} bytes a row",
        bytes / (ROWS as usize / 64 * 64)
    );
}

fn users(options: &Options) -> Table {
    let columns: ColumnsBuf = COLUMNS
        .iter()
        .map(|&(name, type_oid, type_modifier, _)| RelationColumn {
            in_identity: name == "id",
            name,
            type_oid,
            type_modifier,
        })
        .collect();
    let relation = Relation {
        oid: 16_384,
        schema: "public",
        name: "users",
        replica_identity: ReplicaIdentity::Default,
        columns: columns.columns(),
    };
    let primary_key = vec!["id".to_owned()];
    let details = RelationDetails {
        primary_key,
        ..RelationDetails::default()
    };
    Table::new(&relation, &details, options)
}

/// One XLogData.
fn insert() -> Vec<u8> {
    let cells: TupleBuf = COLUMNS
        .iter()
        .map(|(_, _, _, value)| Cell::Text(value.as_bytes()))
        .collect();
    let mut payload = Vec::new();
    Message::Insert(Insert {
        relation: 16_384,
        new: cells.tuple(),
    })
    .encode(&mut payload);
    let mut body = Vec::new();
    let data_start = Lsn::new(0x16_b374_d848);
    let send_time = PgTimestamp(0);
    ServerMessage::WalData {
        data_start,
        wal_end: data_start,
        send_time,
        payload: &payload,
    }
    .encode(&mut body);
    body
}

fn context(row: u32, data_start: Lsn) -> Context<'static> {
    Context {
        epoch: 1,
        commit_lsn: CommitLsn(Lsn::new(0x16_b374_0000 + u64::from(row / TRANSACTION))),
        commit_time: PgTimestamp(848_750_096_789_012),
        xid: 728 + row / TRANSACTION,
        data_start,
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: u64::from(row % TRANSACTION),
        now_unix_nanos: 1_795_459_763_446_000_000 + i64::from(row / 64),
    }
}
