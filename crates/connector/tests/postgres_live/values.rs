//! Whatever Postgres prints comes back: random values are encoded, read from their JSON as a
//! consumer would, and given to Postgres again, which must print the same. In modes that are exact.
//!
//! `WALFERRY_VALUES_SEED` repeats a run that failed.

use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector::postgres::SqlClient;
use envelope::{
    BinaryHandling, Context, DecimalHandling, Encoder, HstoreHandling, IntervalHandling, Options,
    Records, SnapshotMark, Table, TimePrecision,
};
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
    ("varbit(19)", BITS, bits),
    ("timetz", "(time '00:00' + random() * interval '1 day')::text || '+00'", plain),
    ("timetz", "'24:00:00+00'", plain),
    ("macaddr", "'08:00:2b:01:02:' || to_hex(16 + i)", plain),
    ("lseg", "format('[(%s,%s),(3,4)]', random(), i)", plain),
    ("line", "format('{%s,%s,4}', random() + 1, i)", plain),
    ("polygon", "format('((%s,%s),(3,4),(5,6))', random(), i)", plain),
    ("jsonpath", "'$.a[*] ? (@ > ' || i || ')'", plain),
    ("xml", "'<a b=\"' || i || '\">&lt;é</a>'", plain),
    ("regclass", "(ARRAY['pg_class', 'pg_type'])[1 + i % 2]", plain),
    ("pg_snapshot", "i || ':' || i + 9 || ':' || i + 3", plain),
    ("int4range", "int4range(i, CASE WHEN i % 3 > 0 THEN i + 5 END)", plain),
    ("daterange", "daterange(NULL, date '2000-01-01' + i)", plain),
    ("int8multirange", "int8multirange(int8range(i, i + 2), int8range(i + 9, NULL))", plain),
    ("nummultirange[]", "ARRAY[nummultirange(numrange(i, i + random()::numeric)), NULL, '{}']", |json| array(json, plain)),
    ("int4[]", "'{}'", |json| match json.as_array().unwrap().is_empty() {
        true => "'{}'".to_owned(),
        false => array(json, plain),
    }),
    ("text[]", "ARRAY[ARRAY[ARRAY['a', NULL], ARRAY['', 'b']], ARRAY[ARRAY['\", ', 'd'], ARRAY['e', i::text]]]", |json| array(json, plain)),
    ("bool[]", "ARRAY[i % 2 = 0, NULL]", |json| array(json, plain)),
    ("float8[]", "ARRAY['NaN', '-Infinity', i]::float8[]", |json| array(json, plain)),
    ("bytea[]", "ARRAY[decode(md5(i::text), 'hex'), NULL, '']", |json| array(json, bytes)),
    ("timestamptz[]", "ARRAY[timestamptz 'infinity', now(), NULL]", |json| array(json, zoned)),
    ("inet[]", "ARRAY['::1'::inet, NULL]", |json| array(json, plain)),
    ("mood", "(ARRAY['sad', 'it''s \"ok\"', 'řád,'])[1 + i % 3]", plain),
    ("mood[]", "ARRAY['řád,', NULL, 'sad']", |json| array(json, plain)),
    ("cents", "random() * 1e6", |json| scaled(json, 2)),
    ("words", "ARRAY['a\"', NULL, '{}']", |json| array(json, plain)),
    ("moods", "ARRAY['sad', 'řád,']", |json| array(json, plain)),
    ("pair", "ROW(i, 'a,\"b) ' || i)::pair", plain),
    ("pair[]", "ARRAY[ROW(i, NULL)::pair, NULL]", |json| array(json, plain)),
];

/// What the cases above use beside Postgres' own types.
const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"', 'řád,');
    CREATE TYPE pair AS (a int, b text); CREATE DOMAIN cents AS numeric(12,2);
    CREATE DOMAIN words AS text[]; CREATE DOMAIN moods AS mood[]";

/// Types of extensions that come with Postgres, where they are installed.
#[rustfmt::skip]
const EXTENSIONS: &[(&str, Case)] = &[
    ("citext", ("citext", TEXT, plain)),
    ("ltree", ("ltree", "'a.b' || i || '.C'", plain)),
    ("ltree", ("ltree[]", "ARRAY['a.b', NULL]::ltree[]", |json| array(json, plain))),
    ("isn", ("isbn", "'978-0-393-04002-9'", plain)),
    ("hstore", ("hstore", "hstore(ARRAY['a', '\"k,', 'ř'], ARRAY[i::text, NULL, 'a\"=>\\'])", hstore)),
];

/// What sets the mode, and what is exact in it.
type Mode = (fn(&mut Options), &'static [Case]);

/// Other modes.
#[rustfmt::skip]
const MODES: &[Mode] = &[
    (|o| o.decimal = DecimalHandling::String, &[
        ("numeric", "(ARRAY['NaN', 'Infinity', '-Infinity', '1e-40', '-12300', '0.00'])[1 + i % 6]", java_decimal),
        ("numeric(30,7)", "(random() - 0.5)::numeric * 1e20", plain),
        ("money", "(random() * 1e9)::numeric", plain),
        ("numeric[]", "ARRAY['NaN', NULL, random()]::numeric[]", |json| array(json, java_decimal)),
    ]),
    (|o| o.decimal = DecimalHandling::Double, &[
        ("numeric", "(ARRAY['NaN', 'Infinity', '-Infinity', '0.5', '-12345678', '1'])[1 + i % 6]", |json| format!("{}::float8", plain(json))),
    ]),
    (|o| o.time = TimePrecision::AdaptiveTimeMicroseconds, &[
        ("time(3)", "time '00:00' + random() * interval '1 day'", time),
        ("timestamp(3)", MOMENT, millis),
        ("timestamp", MOMENT, timestamp),
    ]),
    (|o| o.time = TimePrecision::Adaptive, &[
        ("timestamp(2)", MOMENT, millis),
        ("time(1)", "time '00:00' + random() * interval '23 hours'", |json| time(&Value::from(json.as_u64().unwrap() * 1000))),
    ]),
    (|o| o.time = TimePrecision::Connect, &[
        ("timestamp(3)", MOMENT, millis),
        ("time(3)", "time '00:00' + random() * interval '23 hours'", |json| time(&Value::from(json.as_u64().unwrap() * 1000))),
        ("date", "date '2000-01-01' + ((random() - 0.4) * 3000000)::int", date),
    ]),
    (|o| o.time = TimePrecision::Microseconds, &[
        ("timestamp(0)", MOMENT, timestamp),
        ("time(0)", "time '00:00' + random() * interval '1 day'", time),
    ]),
    (|o| o.time = TimePrecision::Nanoseconds, &[
        ("timestamp", "timestamp '2000-01-01' + (random() - 0.5) * interval '200 years'", |json| timestamp(&Value::from(json.as_i64().unwrap() / 1000))),
        ("time", "time '00:00' + random() * interval '1 day'", |json| time(&Value::from(json.as_u64().unwrap() / 1000))),
    ]),
    (|o| o.time = TimePrecision::IsoString, &[
        ("date", "date '2000-01-01' + ((random() - 0.4) * 3000000)::int", iso_date),
        ("time", "time '00:00' + random() * interval '23 hours'", |json| plain(&Value::from(json.as_str().unwrap().trim_end_matches('Z')))),
        ("timestamp", MOMENT, |json| format!("({}::timestamptz AT TIME ZONE 'UTC')", zoned(json))),
        ("timestamptz", MOMENT, zoned),
    ]),
    (|o| o.interval = IntervalHandling::Numeric, &[
        ("interval", "make_interval(secs => (random() - 0.5) * 1e7)", |json| format!("{json} * interval '1 microsecond'")),
    ]),
    (|o| o.binary = BinaryHandling::Base64, &[("bytea", SOME_BYTES, bytes)]),
    (|o| o.binary = BinaryHandling::Hex, &[
        ("bytea", SOME_BYTES, |json| format!("decode('{}', 'hex')", json.as_str().unwrap())),
    ]),
    (|o| o.binary = BinaryHandling::Base64UrlSafe, &[
        ("bytea", SOME_BYTES, |json| format!("decode(translate('{}', '-_', '+/'), 'base64')", json.as_str().unwrap())),
    ]),
];

const SOME_BYTES: &str = "decode(md5(i::text), 'hex') || '\\xfbffbe'";

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
    client.batch_execute(TYPES).await.unwrap();
    let mut run = Run {
        client: &client,
        seed,
        tables: 0,
    };
    for case in CASES {
        run.check(case, options()).await;
    }
    for (extension, case) in EXTENSIONS {
        let create = format!("CREATE EXTENSION IF NOT EXISTS {extension}");
        // Some builds of Postgres come without.
        if client.batch_execute(&create).await.is_ok() {
            run.check(case, options()).await;
            if *extension == "hstore" {
                let hstore = HstoreHandling::Map;
                run.check(
                    case,
                    Options {
                        hstore,
                        ..options()
                    },
                )
                .await;
            }
        }
    }
    for (set, cases) in MODES {
        for case in *cases {
            let mut options = options();
            set(&mut options);
            run.check(case, options).await;
        }
    }
}

struct Run<'a> {
    client: &'a SqlClient,
    seed: u16,
    tables: usize,
}

impl Run<'_> {
    async fn check(&mut self, (of_type, expression, read): &Case, options: Options) {
        let (client, seed) = (self.client, self.seed);
        self.tables += 1;
        let name = format!("v{}", self.tables);
        let modes = (options.decimal, options.time, options.binary);
        let case = format!("{of_type} as {expression}, {modes:?}, WALFERRY_VALUES_SEED={seed}");
        let made = format!(
            "SELECT setseed({seed} / 32768.0);
             CREATE TABLE {name} AS SELECT i AS n, ({expression})::{of_type} AS v
             FROM generate_series(1, {COUNT}) i"
        );
        client.batch_execute(&made).await.expect(&case);
        let printed = cells(client, &format!("SELECT v FROM {name} ORDER BY n")).await;
        let table = table(client, &name, &options).await;
        let read_again: Vec<String> = printed
            .iter()
            .enumerate()
            .map(|(n, text)| {
                let json = json(&table, &options, text);
                let json = json.unwrap_or_else(|error| panic!("{case}: {error}"));
                format!("({n}, ({})::{of_type})", read(&json))
            })
            .collect();
        let rows = read_again.join(", ");
        let again = format!("SELECT v FROM (VALUES {rows}) AS t(n, v) ORDER BY n");
        assert_eq!(cells(client, &again).await, printed, "{case}");
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

async fn table(client: &SqlClient, name: &str, options: &Options) -> Table {
    let query = format!(
        "SELECT attrelid, atttypid, atttypmod FROM pg_attribute
         WHERE attrelid = '{name}'::regclass AND attname = 'v'"
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
    Table::new(&relation, &details, options)
}

fn options() -> Options {
    Options {
        interval: IntervalHandling::String,
        ..Options::new("srv", "db")
    }
}

/// The value in an event of a row that has it.
fn json(table: &Table, options: &Options, text: &str) -> Result<Value, envelope::EncodeError> {
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
    Encoder::new(options.clone()).insert(table, &context, row.tuple(), &mut records)?;
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
    format!("(timestamp '1970-01-01' + interval '{days} days' + {rest} * interval '1 microsecond')")
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

fn millis(json: &Value) -> String {
    timestamp(&Value::from(json.as_i64().unwrap() * 1000))
}

fn iso_date(json: &Value) -> String {
    let day = json.as_str().unwrap().trim_end_matches('Z');
    zoned(&Value::from(format!("{day}T00:00:00Z"))).replace("T00:00:00Z", "")
}

/// In JSON, or in JSON within a string.
fn hstore(json: &Value) -> String {
    let parsed = json
        .as_str()
        .map(|text| serde_json::from_str(text).unwrap());
    let pairs: &Value = parsed.as_ref().unwrap_or(json);
    let pairs = pairs.as_object().unwrap().iter();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| match value {
            Value::Null => format!("hstore({}, NULL)", plain(&Value::from(key.as_str()))),
            value => format!(
                "hstore({}, {})",
                plain(&Value::from(key.as_str())),
                plain(value)
            ),
        })
        .collect();
    pairs.join(" || ")
}

/// As Debezium writes what no number is.
fn java_decimal(json: &Value) -> String {
    let text = text(json);
    let word = match text.as_str() {
        "NAN" => "NaN",
        "POSITIVE_INFINITY" => "Infinity",
        "NEGATIVE_INFINITY" => "-Infinity",
        number => number,
    };
    format!("'{word}'")
}
