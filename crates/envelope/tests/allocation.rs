//! Writing rows asks for no memory once the buffers have grown: not for any type, nor for any mode.

use envelope::{
    Compatibility, Context, DecimalHandling, Encoder, HstoreHandling, IntervalHandling, Options,
    Records, RelationDetails, SnapshotMark, Table, TimePrecision, TypeDetails, TypeKind,
};
use pgoutput::{
    Cell, ColumnsBuf, CommitLsn, Lsn, OldTuple, PgTimestamp, Relation, RelationColumn,
    ReplicaIdentity, TupleBuf,
};

/// A type's oid and modifier, and a value of it as Postgres prints it.
type Value = (u32, i32, &'static str);

const NUMERIC_12_2: i32 = (12 << 16 | 2) + 4;
const HSTORE: u32 = 20_000;
const GEOMETRY: u32 = 20_002;
const VECTOR: u32 = 20_003;
const SPARSEVEC: u32 = 20_004;
const PAIR: u32 = 20_005;
const MOOD: u32 = 20_006;

/// Offset of the types of arrays from those of their elements.
const ARRAY: u32 = 100;

const VALUES: &[Value] = &[
    (16, -1, "t"),
    (17, -1, "\\x00ff10deadbeef"),
    (18, -1, "x"),
    (19, -1, "a_name"),
    (20, -1, "-9223372036854775808"),
    (21, -1, "-3"),
    (22, -1, "1 2 3"),
    (23, -1, "2147483647"),
    (25, -1, "text with \"quotes\", é, 漢, 😀 and \n"),
    (26, -1, "4000000000"),
    (114, -1, "{\"a\": [1, 2]}"),
    (142, -1, "<a>b</a>"),
    (600, -1, "(1,2.5)"),
    (603, -1, "(2,2),(1,1)"),
    (650, -1, "10.0.0.0/8"),
    (700, -1, "1.5"),
    (701, -1, "-1.7976931348623157e+308"),
    (790, -1, "-$1,234,567.89"),
    (829, -1, "08:00:2b:01:02:03"),
    (869, -1, "192.168.2.0/12"),
    (1042, 9, "ab   "),
    (1043, 9, "ab"),
    (1082, -1, "2016-11-04"),
    (1083, -1, "13:51:30.123456"),
    (1114, -1, "2016-11-04 13:51:30.123456"),
    (1184, -1, "0044-03-15 13:51:30.123456+02 BC"),
    (1186, -1, "1 year 2 mons -3 days +04:05:06.78"),
    (1266, -1, "13:51:30.5+02"),
    (1560, 1, "1"),
    (1560, 9, "100000001"),
    (1562, -1, "110000000001"),
    (1700, -1, "12345678901234567890.12345"),
    (1700, NUMERIC_12_2, "1234567890.12"),
    (2950, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (3220, -1, "16/B374D848"),
    (3614, -1, "'cat' 'fat'"),
    (3802, -1, "{\"a\": \"x\\\"y\"}"),
    (3904, -1, "[1,6)"),
    (4451, -1, "{[1,3),[5,8)}"),
    (HSTORE, -1, "\"k1\"=>NULL, \"k2\"=>\"a \\\"b\\\"\""),
    (
        GEOMETRY,
        -1,
        "0101000020E6100000000000000000F03F0000000000000040",
    ),
    (VECTOR, -1, "[1,2.5,-3e-07]"),
    (SPARSEVEC, -1, "{1:1.5,3:2}/500"),
    (PAIR, -1, "(1,\"a b\")"),
    (MOOD, -1, "happy"),
    (1007, -1, "{{1,NULL},{-3,4}}"),
    (1009, -1, "{a,NULL,\"b \\\"c\\\"\",\"\"}"),
    (1115, -1, "[0:1]={\"2016-11-04 13:51:30.123456\",NULL}"),
    (1231, NUMERIC_12_2, "{1.50,NULL}"),
    (1001, -1, "{\"\\\\x00ff\",NULL}"),
    (1020, -1, "{(2,2),(1,1);(4,4),(3,3)}"),
    (HSTORE + ARRAY, -1, "{\"\\\"a\\\"=>\\\"1\\\"\",NULL}"),
    (MOOD + ARRAY, -1, "{happy,NULL}"),
];

#[test]
fn a_row_of_every_type_is_written_without_allocation() {
    let defaults = Options::new("srv", "db");
    let mut others = Options::new("srv", "db");
    others.decimal = DecimalHandling::String;
    others.time = TimePrecision::IsoString;
    others.interval = IntervalHandling::String;
    others.hstore = HstoreHandling::Map;
    others.unknown_as_bytes = true;
    let mut doubles = Options::new("srv", "db");
    doubles.decimal = DecimalHandling::Double;
    doubles.schemas = true;
    let mut lossy = Options::new("srv", "db");
    lossy.compatibility = Compatibility::Debezium;
    for options in [defaults, others, doubles, lossy] {
        let all = allocations(VALUES, &options);
        // A failure names the type.
        let guilty: Vec<&Value> = VALUES
            .iter()
            .filter(|value| allocations(&[**value], &options) > 0)
            .collect();
        assert_eq!((all, guilty), (0, vec![]), "{options:?}");
    }
}

/// Numbers beyond 128 bits go through a big integer; nothing else may.
#[test]
fn only_very_long_numbers_allocate() {
    let long: Value = (1700, -1, "1234567890123456789012345678901234567890.5");
    assert!(allocations(&[long], &Options::new("srv", "db")) > 0);
}

/// How often memory is asked for by an insert, an update and a delete, after a first round.
fn allocations(values: &[Value], options: &Options) -> u64 {
    let table = table(values, options);
    let id = Cell::Text(b"1");
    let cells = values.iter().map(|(.., text)| Cell::Text(text.as_bytes()));
    let row: TupleBuf = std::iter::once(id).chain(cells).collect();
    let mut encoder = Encoder::new(options.clone());
    let mut records = Records::default();
    let mut round = || {
        let (new, context) = (row.tuple(), context());
        let old = OldTuple::Full(new);
        let insert = encoder.insert(&table, &context, new, &mut records);
        let update = encoder.update(&table, &context, Some(old), new, &mut records);
        let delete = encoder.delete(&table, &context, old, &mut records);
        insert.and(update).and(delete).unwrap();
        records.clear();
    };
    round();
    round();
    allocation_counter::measure(round).count_total
}

fn table(values: &[Value], options: &Options) -> Table {
    let names: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
    let column = |name, type_oid, type_modifier| RelationColumn {
        in_identity: true,
        name,
        type_oid,
        type_modifier,
    };
    let columns = values.iter().zip(&names);
    let columns = columns.map(|((oid, modifier, _), name)| column(name.as_str(), *oid, *modifier));
    let columns: ColumnsBuf = std::iter::once(column("id", 23, -1))
        .chain(columns)
        .collect();
    let relation = Relation {
        oid: 16_384,
        schema: "public",
        name: "t",
        replica_identity: ReplicaIdentity::Full,
        columns: columns.columns(),
    };
    let details = RelationDetails {
        primary_key: vec!["id".to_owned()],
        types: types(),
        ..RelationDetails::default()
    };
    Table::new(&relation, &details, options)
}

fn types() -> Vec<TypeDetails> {
    let details = |oid, name: &str, kind| TypeDetails {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind,
    };
    let array = |oid, name: &str| {
        let kind = TypeKind::Array {
            element: oid,
            delimiter: b',',
        };
        details(oid + ARRAY, name, kind)
    };
    vec![
        details(HSTORE, "hstore", TypeKind::Base),
        array(HSTORE, "_hstore"),
        details(GEOMETRY, "geometry", TypeKind::Base),
        details(VECTOR, "vector", TypeKind::Base),
        details(SPARSEVEC, "sparsevec", TypeKind::Base),
        details(PAIR, "pair", TypeKind::Composite),
        details(MOOD, "mood", TypeKind::Enum { labels: Vec::new() }),
        array(MOOD, "_mood"),
    ]
}

fn context() -> Context<'static> {
    Context {
        epoch: 1,
        commit_lsn: CommitLsn(Lsn::new(0x16_b374_d848)),
        commit_time: PgTimestamp(0),
        xid: 7,
        data_start: Lsn::new(0x16_b374_d000),
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: 0,
        now_unix_nanos: 1_700_000_000_123_456_789,
    }
}
