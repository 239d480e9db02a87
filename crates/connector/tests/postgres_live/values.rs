//! Whatever Postgres prints comes back: random values are encoded, read from their JSON as a
//! consumer would, and given to Postgres again, which must print the same. In modes that are exact.
//!
//! `WALFERRY_VALUES_SEED` repeats a run that failed.

use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector::postgres::SqlClient;
use envelope::{Context, Encoder, IntervalHandling, Options, Records, SnapshotMark, Table};
use num_bigint::BigInt;
use pgoutput::{
    Cell, ColumnsBuf, CommitLsn, Lsn, PgTimestamp, Relation, RelationColumn, ReplicaIdentity,
    TupleBuf,
};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use super::server::Server;

/// Values of each type.
const COUNT: usize = 60;

/// How a consumer reads a value: as an SQL expression.
type Read = fn(&Value) -> String;

/// A column's type, a random value of it in SQL, and how its JSON is read. `i` is the row's number.
type Case = (&'static str, &'static str, Read);

/// Characters of every plane, and those that are escaped somewhere.
const TEXT: &str = "(SELECT coalesce(string_agg(CASE (random() * 4)::int \
    WHEN 0 THEN chr(1 + (random() * 126)::int) WHEN 1 THEN chr(160 + (random() * 50000)::int) \
    WHEN 2 THEN chr(57344 + (random() * 8000)::int) \
    WHEN 3 THEN chr(65536 + (random() * 900000)::int) \
    ELSE substr('\"\\,{}() NULL''', 1 + (random() * 11)::int, 1) END, ''), '') \
    FROM generate_series(1, (random() * 12)::int + i * 0))";
const MOMENT: &str = "timestamp '2000-01-01' + (random() - 0.5) * interval '200 years' \
    + CASE i % 4 WHEN 0 THEN interval '-3000 years' WHEN 1 THEN interval '9000 years' \
      ELSE interval '0' END";
const BITS: &str =
    "(SELECT string_agg((random() > 0.5)::int::text, '') FROM generate_series(1, 19 + i * 0))";
const FAR: &str = "(random() - 0.5) * 10 ^ ((random() - 0.5) * 70)";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("bool", "random() > 0.5", plain),
    ("int2", "(ARRAY[0, 1, -1, 32767, -32768])[1 + i % 5]", plain),
    ("int4", "((random() - 0.5) * 4294967295)::int8", plain),
    ("int8", "((random() - 0.5) * 9e15)::int8 * 1023 + i", plain),
    ("oid", "(random() * 4294967295)::int8", plain),
    ("float4", FAR, plain),
    ("float8", FAR, plain),
    ("float8", "(ARRAY['NaN', 'Infinity', '-Infinity', '-0'])[1 + i % 4]", plain),
    ("text", TEXT, plain),
    ("varchar(40)", TEXT, plain),
    ("bpchar(9)", "chr(33 + i)", plain),
    ("\"char\"", "chr(33 + i)", plain),
    ("name", "'n' || i", plain),
    ("uuid", "gen_random_uuid()", plain),
    ("json", "json_build_object('a', random(), 'b', i)", plain),
    ("jsonb", "jsonb_build_object('a', random(), 'b', ARRAY[i, NULL])", plain),
    ("inet", "'10.0.' || i || '.1/24'", plain),
    ("cidr", "'10.' || i || '.0.0/16'", plain),
    ("macaddr8", "'08:00:2b:01:02:03:04:' || to_hex(16 + i)", plain),
    ("tsvector", "'a' || i || ' b:2A c'", plain),
    ("tsquery", "'a' || i || ' & !b'", plain),
    ("numrange", "numrange(i, i + random()::numeric)", plain),
    ("tstzrange", "tstzrange(now() - i * interval '1 hour', NULL)", plain),
    ("box", "box(point(i, random()), point(random(), -i))", plain),
    ("path", "format('[(%s,%s),(3,4)]', random(), i)", plain),
    ("circle", "format('<(%s,%s),3>', random(), i)", plain),
    ("pg_lsn", "'16/' || to_hex(i)", plain),
    ("bytea", "decode(md5(i::text), 'hex') || '\\x00'", bytes),
    ("bit(19)", BITS, bits),
    ("point", "point((random() - 0.5) * 10 ^ (random() * 99), random())", point),
    ("money", "((random() - 0.5) * 10 ^ (random() * 15)::int)::numeric", money),
    ("numeric", "trim_scale(round((random() - 0.5)::numeric * 10::numeric ^ (random() * 60)::int, \
        (random() * 20)::int))", decimal),
    ("numeric(30,7)", "(random() - 0.5)::numeric * 1e20 + i * 1e-7", decimal_7),
    ("date", "CASE i % 7 WHEN 0 THEN date 'infinity' WHEN 1 THEN date '-infinity' \
        ELSE date '2000-01-01' + ((random() - 0.4) * 3000000)::int END", date),
    ("time", "time '00:00' + random() * interval '1 day'", time),
    ("time", "'24:00:00'", time),
    ("timestamp", MOMENT, timestamp),
    ("timestamptz", MOMENT, zoned),
    ("timestamptz", "(ARRAY['infinity', '-infinity'])[1 + i % 2]", zoned),
    ("interval", "(random() - 0.5) * interval '30 years' + (random() * 40)::int * interval '1 day'", plain),
    ("int4[]", "ARRAY[ARRAY[i, NULL], ARRAY[-i, (random() * 1e6)::int]]", |json| array(json, plain)),
    ("text[]", "ARRAY[random()::text, NULL, '', 'NULL', '\"\\,{}']", |json| array(json, plain)),
    ("date[]", "ARRAY[date '0044-03-15 BC', NULL, date '10000-01-01' + i]", |json| array(json, date)),
    ("time[]", "ARRAY[time '24:00', time '00:00' + random() * interval '1 day']", |json| array(json, time)),
    ("numeric(30,7)[]", "ARRAY[random(), NULL, -i]", |json| array(json, decimal_7)),
    ("box[]", "ARRAY[box(point(i, 1), point(2, 3)), NULL]", |json| array(json, plain)),
    ("bit(19)[]", "ARRAY[B'1010101010101010101', NULL]", |json| array(json, bits)),
];

#[tokio::test]
async fn every_value_that_postgres_prints_comes_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let conninfo = server.conninfo("user=postgres dbname=postgres host=DIR port=PORT");
    let client = SqlClient::connect(&conninfo).await.unwrap();
    let seed = std::env::var("WALFERRY_VALUES_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let random = RandomState::new().build_hasher().finish();
        u16::try_from(random & 0x7fff).unwrap()
    });
    for (index, (of_type, expression, read)) in CASES.iter().enumerate() {
        let case = format!("{of_type} as {expression}, WALFERRY_VALUES_SEED={seed}");
        let made = format!(
            "SELECT setseed({seed} / 32768.0);
             CREATE TABLE v{index} AS SELECT i AS n, ({expression})::{of_type} AS v
             FROM generate_series(1, {COUNT}) i"
        );
        client.batch_execute(&made).await.expect(&case);
        let printed = cells(&client, &format!("SELECT v FROM v{index} ORDER BY n")).await;
        let table = table(&client, index).await;
        let read_again: Vec<String> = printed
            .iter()
            .enumerate()
            .map(|(n, text)| {
                let json = json(&table, text).unwrap_or_else(|error| panic!("{case}: {error}"));
                format!("({n}, ({})::{of_type})", read(&json))
            })
            .collect();
        let rows = read_again.join(", ");
        let again = format!("SELECT v FROM (VALUES {rows}) AS t(n, v) ORDER BY n");
        assert_eq!(cells(&client, &again).await, printed, "{case}");
    }
}

/// The first column of each row.
async fn cells(client: &SqlClient, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await;
    let messages = messages.unwrap_or_else(|error| panic!("{error}: {query}"));
    let cells = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    cells.collect()
}

async fn table(client: &SqlClient, index: usize) -> Table {
    let query = format!(
        "SELECT attrelid, atttypid, atttypmod FROM pg_attribute
         WHERE attrelid = 'v{index}'::regclass AND attname = 'v'"
    );
    let row = client.query_one(&query, &[]).await.unwrap();
    let (oid, type_oid, type_modifier): (u32, u32, i32) = (row.get(0), row.get(1), row.get(2));
    let details = client.describe(oid, &[type_oid]).await.unwrap();
    let column = RelationColumn {
        in_identity: false,
        name: "v",
        type_oid,
        type_modifier,
    };
    let columns: ColumnsBuf = [column].into_iter().collect();
    let relation = Relation {
        oid,
        schema: "public",
        name: "v",
        replica_identity: ReplicaIdentity::Default,
        columns: columns.columns(),
    };
    Table::new(&relation, &details, &options())
}

fn options() -> Options {
    Options {
        interval: IntervalHandling::String,
        ..Options::new("srv", "db")
    }
}

/// The value in an event of a row that has it.
fn json(table: &Table, text: &str) -> Result<Value, envelope::EncodeError> {
    let row: TupleBuf = [Cell::Text(text.as_bytes())].into_iter().collect();
    let context = Context {
        epoch: 1,
        commit_lsn: CommitLsn(Lsn::new(8)),
        commit_time: PgTimestamp(0),
        xid: 7,
        data_start: Lsn::new(8),
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: 0,
        now_unix_nanos: 0,
    };
    let mut records = Records::default();
    Encoder::new(options()).insert(table, &context, row.tuple(), &mut records)?;
    let record = records.iter().next().unwrap();
    let event: Value = serde_json::from_slice(record.value.unwrap()).unwrap();
    Ok(event["after"]["v"].clone())
}

fn text(json: &Value) -> String {
    match json {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn plain(json: &Value) -> String {
    format!(
        "E'{}'",
        text(json).replace('\\', "\\\\").replace('\'', "''")
    )
}

fn array(json: &Value, read: Read) -> String {
    match json {
        Value::Array(elements) => {
            let elements = elements.iter().map(|element| array(element, read));
            format!("ARRAY[{}]", elements.collect::<Vec<_>>().join(", "))
        }
        Value::Null => "NULL".to_owned(),
        element => read(element),
    }
}

fn decoded(json: &Value) -> Vec<u8> {
    STANDARD.decode(json.as_str().unwrap()).unwrap()
}

fn bytes(json: &Value) -> String {
    format!("decode('{}', 'base64')", json.as_str().unwrap())
}

/// Of 19 bits, the lowest first.
fn bits(json: &Value) -> String {
    let bytes = decoded(json);
    let digits: String = bytes
        .iter()
        .rev()
        .map(|byte| format!("{byte:08b}"))
        .collect();
    format!("B'{:0>19}'", digits.trim_start_matches('0'))
}

fn point(json: &Value) -> String {
    format!("'({},{})'", text(&json["x"]), text(&json["y"]))
}

fn money(json: &Value) -> String {
    scaled(json, 2)
}

fn decimal(json: &Value) -> String {
    scaled(&json["value"], json["scale"].as_u64().unwrap())
}

fn decimal_7(json: &Value) -> String {
    scaled(json, 7)
}

fn scaled(json: &Value, scale: u64) -> String {
    let unscaled = BigInt::from_signed_bytes_be(&decoded(json));
    format!("'{unscaled}e-{scale}'::numeric")
}

fn date(json: &Value) -> String {
    match json.as_i64().unwrap() {
        2_147_483_647 => "date 'infinity'".to_owned(),
        -2_147_483_648 => "date '-infinity'".to_owned(),
        day => format!("(date '1970-01-01' + {day})"),
    }
}

fn time(json: &Value) -> String {
    let micros = json.as_u64().unwrap();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    format!("time '{hour}:{minute}:{}.{fraction:06}'", seconds % 60)
}

fn timestamp(json: &Value) -> String {
    const DAY: i64 = 86_400_000_000;
    let micros = json.as_i64().unwrap();
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    format!("(timestamp '1970-01-01' + interval '{days} days {rest} microseconds')")
}

fn zoned(json: &Value) -> String {
    let text = json.as_str().unwrap();
    let Some(time) = text.find('T') else {
        return format!("'{text}'");
    };
    let (date, time) = text.split_at(time);
    let month = date.len() - "-03-15".len();
    let (year, day) = date.split_at(month);
    let year: i64 = year.parse().unwrap();
    match year {
        1.. => format!("'{year:04}{day}{time}'"),
        // There is no year 0 in Postgres.
        _ => format!("'{:04}{day}{time} BC'", 1 - year),
    }
}
