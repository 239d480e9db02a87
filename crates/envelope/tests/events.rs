//! What the recordings of Debezium cannot show: snapshot rows, ids, refusals, and that no text of
//! the peer's makes anything but valid JSON or an error.

#![allow(clippy::disallowed_methods, reason = "the recordings are files")]

use envelope::{
    AddedField, Context, DecimalHandling, EncodeError, EncodeErrorKind, Encoder, Options, Records,
    RelationDetails, SnapshotMark, Table, TimePrecision, TypeDetails, TypeKind, Unwrap,
};
use expect_test::expect;
use pgoutput::{
    Cell, ColumnsBuf, CommitLsn, CopyRow, Lsn, OldTuple, PgTimestamp, Relation, RelationColumn,
    ReplicaIdentity, TupleBuf,
};
use proptest::prelude::*;

/// A table of named columns with types and modifiers; the first is the key.
fn table(
    name: &str,
    identity: ReplicaIdentity,
    columns: &[(&str, u32, i32)],
    types: Vec<TypeDetails>,
    options: &Options,
) -> Table {
    let keyed = name != "second";
    let columns_buf: ColumnsBuf = columns
        .iter()
        .enumerate()
        .map(|(index, &(name, type_oid, type_modifier))| RelationColumn {
            in_identity: identity == ReplicaIdentity::Full || (keyed && index == 0),
            name,
            type_oid,
            type_modifier,
        })
        .collect();
    let relation = Relation {
        oid: 16_384,
        schema: "public",
        name,
        replica_identity: identity,
        columns: columns_buf.columns(),
    };
    let primary_key = columns.first().map(|(name, ..)| (*name).to_owned());
    let details = RelationDetails {
        primary_key: primary_key.into_iter().filter(|_| keyed).collect(),
        types,
        ..RelationDetails::default()
    };
    Table::new(&relation, &details, options)
}

fn context() -> Context<'static> {
    Context {
        epoch: 3,
        commit_lsn: CommitLsn(Lsn::new(0x16_b374_d848)),
        commit_time: PgTimestamp(0),
        xid: 7,
        data_start: Lsn::new(0x16_b374_d000),
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: 4,
        now_unix_nanos: 1_000_000_001,
    }
}

fn row(cells: &[Cell<'_>]) -> TupleBuf {
    cells.iter().copied().collect()
}

/// Topic, key, id, `op` and headers of every record.
fn outline(records: &Records) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines = String::new();
    for record in records.iter() {
        let key = record.key.map(text).unwrap_or_default();
        let id = text(record.id);
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", text(value.unwrap_or(b"(null)"))))
            .collect();
        let operation = record.operation.as_str();
        lines += &format!("{id} {operation} {key} {}\n", headers.join(" "));
    }
    lines
}

const INT: u32 = 23;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;

#[test]
fn snapshot_rows_are_debeziums() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/debezium/snapshot.events"
    );
    let recorded = std::fs::read_to_string(path).unwrap();
    let options = Options::new("srv", "oracle");
    let first = [
        ("id", INT, -1),
        ("t", TEXT, -1),
        ("at", 1184, 3),
        ("n", NUMERIC, (12 << 16 | 2) + 4),
    ];
    let second = [("a", INT, -1), ("b", TEXT, -1)];
    let first = table(
        "first",
        ReplicaIdentity::Default,
        &first,
        Vec::new(),
        &options,
    );
    let second = table(
        "second",
        ReplicaIdentity::Default,
        &second,
        Vec::new(),
        &options,
    );
    let rows = [
        (
            &first,
            SnapshotMark::First,
            "1\té\t2020-01-02 01:04:05.678+00\t1.50\n",
        ),
        (&first, SnapshotMark::Row, "2\t\\N\t\\N\t\\N\n"),
        (
            &first,
            SnapshotMark::LastInDataCollection,
            "3\t\tinfinity\t0.00\n",
        ),
        (&second, SnapshotMark::Last, "1\tx\n"),
    ];
    let mut encoder = Encoder::new(options);
    let mut records = Records::new();
    for (line, (table, snapshot, copied)) in recorded.lines().zip(rows) {
        let parts: Vec<&str> = line.split('\t').collect();
        let [topic, key, value] = parts[..] else {
            panic!("{line}")
        };
        let context = Context {
            snapshot,
            ..context_of(value)
        };
        let mut copy = CopyRow::new();
        let row = copy.decode(
            copied.as_bytes(),
            u16::try_from(table.column_count()).unwrap(),
        );
        records.clear();
        encoder
            .read(table, &context, row.unwrap(), &mut records)
            .unwrap();
        let record = records.get(0).unwrap();
        let key = Some(key).filter(|key| *key != "<none>").map(str::as_bytes);
        assert_eq!((record.topic, record.key), (topic, key));
        assert_eq!(std::str::from_utf8(record.value.unwrap()).unwrap(), value);
    }
}

#[test]
fn a_row_asked_for_while_streaming_has_its_place_in_the_sequence_alone() {
    let mut options = Options::new("srv", "db");
    let value = |options: &Options| {
        let columns = [("id", INT, -1)];
        let table = table("t", ReplicaIdentity::Default, &columns, Vec::new(), options);
        let context = Context {
            snapshot: SnapshotMark::Incremental,
            ..context()
        };
        let mut copy = CopyRow::new();
        let mut records = Records::new();
        let row = copy.decode(b"1\n", 1).unwrap();
        Encoder::new(options.clone())
            .read(&table, &context, row, &mut records)
            .unwrap();
        String::from_utf8(records.get(0).unwrap().value.unwrap().to_vec()).unwrap()
    };
    expect![[r#"{"before":null,"after":{"id":1},"source":{"version":"3.6.3.Final","connector":"postgresql","name":"srv","ts_ms":946684800000,"snapshot":"incremental","db":"db","sequence":"[\"97500059720\",\"97500057600\"]","ts_us":946684800000000,"ts_ns":946684800000000000,"schema":"public","table":"t","txId":null,"lsn":null,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"r","ts_ms":1000,"ts_us":1000000,"ts_ns":1000000001}"#]]
        .assert_eq(&value(&options));
    let fields = ["txId", "lsn", "sequence"];
    options.unwrap = Some(Unwrap {
        fields: fields
            .map(|field| AddedField::parse(field, "__").unwrap())
            .into(),
        ..Unwrap::default()
    });
    expect![[
        r#"{"id":1,"__txId":null,"__lsn":null,"__sequence":"[\"97500059720\",\"97500057600\"]"}"#
    ]]
    .assert_eq(&value(&options));
}

/// The context that gives the recorded value's positions and times.
fn context_of(value: &str) -> Context<'static> {
    let json: serde_json::Value = serde_json::from_str(value).unwrap();
    let number = |value: &serde_json::Value| value.as_i64().unwrap();
    Context {
        commit_time: PgTimestamp::from_unix_micros(number(&json["source"]["ts_us"])),
        xid: u32::try_from(number(&json["source"]["txId"])).unwrap(),
        data_start: Lsn::new(number(&json["source"]["lsn"]).unsigned_abs()),
        now_unix_nanos: number(&json["ts_ns"]),
        ..context()
    }
}

#[test]
fn ids_are_dense_over_the_records_of_a_change() {
    let options = Options::new("srv", "db");
    let columns = [("id", INT, -1), ("v", TEXT, -1)];
    let table = table(
        "t",
        ReplicaIdentity::Default,
        &columns,
        Vec::new(),
        &options,
    );
    let mut encoder = Encoder::new(options);
    let mut records = Records::new();
    let (old, new) = (
        row(&[Cell::Text(b"1"), Cell::Null]),
        row(&[Cell::Text(b"2"), Cell::Null]),
    );
    let old = OldTuple::Key(old.tuple());
    encoder
        .update(&table, &context(), Some(old), new.tuple(), &mut records)
        .unwrap();
    let next = Context {
        first_ordinal: 7,
        ..context()
    };
    encoder
        .delete(&table, &next, OldTuple::Key(new.tuple()), &mut records)
        .unwrap();
    let next = Context {
        first_ordinal: 9,
        ..context()
    };
    encoder
        .update(&table, &next, None, new.tuple(), &mut records)
        .unwrap();
    expect![[r#"
        3:16/B374D848:4 delete {"id":1} __debezium.newkey={"id":2}
        3:16/B374D848:5 tombstone {"id":1} __debezium.newkey={"id":2}
        3:16/B374D848:6 create {"id":2} __debezium.oldkey={"id":1}
        3:16/B374D848:7 delete {"id":2} 
        3:16/B374D848:8 tombstone {"id":2} 
        3:16/B374D848:9 update {"id":2} 
    "#]]
    .assert_eq(&outline(&records));
}

#[test]
fn transactions_do_not_leak_into_one_another() {
    let options = Options::new("srv", "db");
    let table = table(
        "t",
        ReplicaIdentity::Default,
        &[("id", INT, -1)],
        Vec::new(),
        &options,
    );
    let new = row(&[Cell::Text(b"1")]);
    let contexts = [
        context(),
        Context {
            origin: Some(("else\"where", Lsn::new(9))),
            ..context()
        },
        Context {
            xid: 0,
            ..context()
        },
        Context {
            commit_lsn: CommitLsn(Lsn::new(1)),
            ..context()
        },
        Context {
            commit_time: PgTimestamp(-1),
            ..context()
        },
        Context {
            snapshot: SnapshotMark::Last,
            ..context()
        },
        Context {
            epoch: 4,
            ..context()
        },
        Context {
            data_start: Lsn::new(1),
            ..context()
        },
        Context {
            now_unix_nanos: -1,
            ..context()
        },
        context(),
    ];
    let bytes = |encoder: &mut Encoder, context: &Context<'_>| {
        let mut records = Records::new();
        encoder
            .insert(&table, context, new.tuple(), &mut records)
            .unwrap();
        let record = records.get(0).unwrap();
        (record.value.unwrap().to_vec(), record.id.to_vec())
    };
    let mut used = Encoder::new(options.clone());
    for context in &contexts {
        let fresh = bytes(&mut Encoder::new(options.clone()), context);
        assert_eq!(bytes(&mut used, context), fresh, "{context:?}");
        serde_json::from_slice::<serde_json::Value>(&fresh.0).unwrap();
    }
    expect![[r#"{"before":null,"after":{"id":1},"source":{"version":"3.6.3.Final","connector":"postgresql","name":"srv","ts_ms":946684800000,"snapshot":"false","db":"db","sequence":"[\"97500059720\",\"97500057600\"]","ts_us":946684800000000,"ts_ns":946684800000000000,"schema":"public","table":"t","txId":7,"lsn":97500057600,"xmin":null,"origin":"else\"where","origin_lsn":9},"transaction":null,"op":"c","ts_ms":1000,"ts_us":1000000,"ts_ns":1000000001}"#]]
        .assert_eq(&String::from_utf8(bytes(&mut used, &contexts[1]).0).unwrap());
}

#[test]
fn a_refused_value_names_the_column_and_leaves_nothing() {
    let options = Options::new("srv", "db");
    let columns = [("id", INT, -1), ("price", NUMERIC, -1), ("note", TEXT, -1)];
    let table = table(
        "t",
        ReplicaIdentity::Default,
        &columns,
        Vec::new(),
        &options,
    );
    let mut encoder = Encoder::new(options);
    let mut records = Records::new();
    let mut refusal = |cells: &[Cell<'_>]| -> EncodeError {
        let old = row(&[Cell::Text(b"1"), Cell::Null, Cell::Null]);
        let old = Some(OldTuple::Key(old.tuple()));
        // A change of key: the delete is written before the create fails.
        let refused = encoder.update(&table, &context(), old, row(cells).tuple(), &mut records);
        assert_eq!((records.len(), records.bytes()), (0, 0));
        refused.unwrap_err()
    };
    let key = Cell::Text(b"2");
    let secret = Cell::Text(b"s3cret\xff");
    let cases = [
        refusal(&[key, Cell::Text(b"NaN"), Cell::Null]),
        refusal(&[key, Cell::Text(b"s3cret"), Cell::Null]),
        refusal(&[key, Cell::Null, secret]),
        refusal(&[key, Cell::Null, Cell::Binary(b"s3cret")]),
        refusal(&[key, Cell::Null]),
    ];
    let told: Vec<String> = cases.iter().map(ToString::to_string).collect();
    assert!(!told.iter().any(|text| text.contains("s3cret")));
    expect![[r#"
        table public.t, column price, at 16/B374D000: NaN or infinity in a numeric cannot be written; set envelope.decimal.handling.mode: string
        table public.t, column price, at 16/B374D000: the text is not of the form that Postgres prints for this type; please report the column's type and the server's version as a defect
        table public.t, column note, at 16/B374D000: the text is not UTF-8, which happens in a database of encoding SQL_ASCII; convert the database to UTF8 or exclude the column
        table public.t, column note, at 16/B374D000: the cell came in binary format, which was not asked for
        table public.t at 16/B374D000: the row has 2 columns, its relation 3"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_key_that_is_not_in_the_log_is_refused() {
    let options = Options::new("srv", "db");
    let columns = [("id", TEXT, -1), ("v", INT, -1)];
    let table = table(
        "t",
        ReplicaIdentity::Default,
        &columns,
        Vec::new(),
        &options,
    );
    let new = row(&[Cell::Unchanged, Cell::Text(b"1")]);
    let mut records = Records::new();
    let refused = Encoder::new(options).update(&table, &context(), None, new.tuple(), &mut records);
    let error = refused.unwrap_err();
    assert_eq!(
        (error.kind, error.column.as_deref()),
        (EncodeErrorKind::KeyUnavailable, Some("id"))
    );
}

#[test]
fn types_that_are_not_handled_are_told_of_and_carried_as_text() {
    let options = Options::new("srv", "db");
    let details = |oid, name: &str, kind| TypeDetails {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind,
    };
    let types = vec![
        details(20_000, "pair", TypeKind::Composite),
        details(
            20_001,
            "_pair",
            TypeKind::Array {
                element: 20_000,
                delimiter: b',',
            },
        ),
        details(20_002, "citext", TypeKind::Base),
    ];
    let columns = [
        ("id", INT, -1),
        ("p", 20_000, -1),
        ("ps", 20_001, -1),
        ("c", 20_002, -1),
        ("u", 29_999, -1),
    ];
    let table = table("t", ReplicaIdentity::Default, &columns, types, &options);
    assert_eq!(
        table.fallback_columns().collect::<Vec<_>>(),
        ["p", "ps", "u"]
    );
    let cells = ["1", "(1,\"a b\")", "{\"(1,\\\"a b\\\")\"}", "C", "?"];
    let new: TupleBuf = cells
        .iter()
        .map(|text| Cell::Text(text.as_bytes()))
        .collect();
    let mut records = Records::new();
    Encoder::new(options)
        .insert(&table, &context(), new.tuple(), &mut records)
        .unwrap();
    let value = records.get(0).unwrap().value.unwrap();
    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
    assert_eq!(
        value["after"],
        serde_json::json!({"id": 1, "p": "(1,\"a b\")", "ps": ["(1,\"a b\")"], "c": "C", "u": "?"})
    );
}

/// Every built-in type that has an encoder, and some that have none.
const TYPES: [u32; 30] = [
    16, 17, 18, 20, 21, 23, 25, 26, 114, 700, 701, 869, 1000, 1001, 1007, 1009, 1022, 1082, 1083,
    1114, 1115, 1182, 1184, 1185, 1186, 1231, 1266, 1560, 1700, 2950,
];

proptest! {
    /// Text that looks a little like what Postgres prints, and any bytes.
    #[test]
    fn any_cell_gives_valid_json_or_an_error(
        text in prop_oneof![
            "[-+]?[0-9]{1,40}(\\.[0-9]{1,20})?(e[+-][0-9]{1,3})?",
            "-?[0-9]{3,7}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,7})?)?([+-][0-9]{2})?( BC)?",
            "(-?[0-9]{1,10} (year|mon|day)s? ?){0,3}([+-]?[0-9]{2,10}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?)?",
            "[\\[\\]{},\"\\\\NULtf0-9a-f=:. xeé-]{0,24}",
        ].prop_map(String::into_bytes).boxed().prop_union(
            proptest::collection::vec(any::<u8>(), 0..24).boxed()
        ),
        modifier in prop_oneof![Just(-1), 0..7i32, Just((12 << 16 | 2) + 4), any::<i32>()],
        decimal in 0..3usize,
        time in 0..6usize,
    ) {
        let mut options = Options::new("srv", "db");
        options.decimal = DecimalHandling::WORDS[decimal].parse().unwrap();
        options.time = TimePrecision::WORDS[time].parse().unwrap();
        let mut encoder = Encoder::new(options.clone());
        let mut records = Records::new();
        for oid in TYPES {
            let columns = [("c", oid, modifier)];
            let table = table("t", ReplicaIdentity::Full, &columns, Vec::new(), &options);
            let new = row(&[Cell::Text(&text)]);
            records.clear();
            if encoder.insert(&table, &context(), new.tuple(), &mut records).is_ok() {
                let record = records.get(0).unwrap();
                for json in [record.key, record.value].into_iter().flatten() {
                    let parsed = serde_json::from_slice::<serde_json::Value>(json);
                    // A float beyond a double's range is valid JSON that serde_json refuses.
                    let valid = parsed.is_ok() || oid == 700 || oid == 701 || oid == 1022;
                    prop_assert!(valid, "{oid}: {}", String::from_utf8_lossy(json));
                }
            }
        }
    }
}
