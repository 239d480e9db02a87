//! A row of the everyday types, inserted, updated, given another key, deleted and truncated away,
//! arrives as Debezium writes it. (Every type's corners are the envelope crate's own tests.)

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query_one, sql};
use serde_json::{Value, json};
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_row_of_everyday_types() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE everyday (id int PRIMARY KEY, small int2, big int8, real4 float4, real8 float8,
             price numeric(10,2), flag bool, word text, code char(4), raw bytea, ident uuid,
             doc jsonb, day date, clock time, moment timestamp, instant timestamptz, feeling mood,
             address inet, numbers int[], words text[])",
    );
    let config = Config::new("types", &postgres, kafka());
    config.catch_up(LIMIT);
    sql(
        &postgres,
        r#"INSERT INTO everyday VALUES (1, -2, 9007199254740993, 1.5, 0.1, 12345.67, true,
             'Grüße "quoted"', 'ab', '\x00ff', '00112233-4455-6677-8899-aabbccddeeff', '{"b": [1]}',
             '2024-02-29', '12:34:56.789', '2024-02-29 12:34:56.789012',
             '2024-02-29 12:34:56.789012+02', 'happy', '10.0.0.1', '{1,NULL,3}', '{a,"b c"}')"#,
    );
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("everyday"));
    assert_eq!(events.len(), 1);
    let value = events[0].json();
    let expected = json!({
        "id": 1, "small": -2, "big": 9_007_199_254_740_993_i64, "real4": 1.5, "real8": 0.1,
        "price": "EtaH", "flag": true, "word": "Grüße \"quoted\"", "code": "ab  ", "raw": "AP8=",
        "ident": "00112233-4455-6677-8899-aabbccddeeff", "doc": "{\"b\": [1]}", "day": 19_782,
        "clock": 45_296_789_000_i64, "moment": 1_709_210_096_789_012_i64,
        "instant": "2024-02-29T10:34:56.789012Z", "feeling": "happy", "address": "10.0.0.1",
        "numbers": [1, null, 3], "words": ["a", "b c"],
    });
    for (column, expected) in expected.as_object().expect("an object") {
        assert_eq!(&value["after"][column], expected, "{column}");
    }
    assert_eq!(events[0].key_json(), json!({"id": 1}));
    assert_eq!(
        (&value["op"], &value["before"]),
        (&json!("c"), &Value::Null)
    );
    let source = &value["source"];
    for (field, expected) in [
        ("connector", "postgresql"),
        ("name", config.name()),
        ("db", "postgres"),
        ("schema", "public"),
        ("table", "everyday"),
        ("snapshot", "false"),
    ] {
        assert_eq!(source[field], expected, "source.{field}");
    }
    assert!(source["lsn"].is_i64() && source["txId"].is_i64() && source["ts_ms"].is_i64());
}

#[test]
fn every_operation_and_each_replica_identity() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE plain (id int PRIMARY KEY, name text);
         CREATE TABLE whole (id int PRIMARY KEY, name text); ALTER TABLE whole REPLICA IDENTITY FULL;
         CREATE TABLE keyless (name text); ALTER TABLE keyless REPLICA IDENTITY FULL",
    );
    let config =
        Config::new("operations", &postgres, kafka()).set("envelope.skipped.operations", "none");
    config.catch_up(LIMIT);
    for table in ["plain", "whole"] {
        sql(&postgres, &format!("INSERT INTO {table} VALUES (1, 'a')"));
        sql(&postgres, &format!("UPDATE {table} SET name = 'b'"));
        sql(&postgres, &format!("UPDATE {table} SET id = 2"));
        sql(&postgres, &format!("DELETE FROM {table}"));
        sql(&postgres, &format!("TRUNCATE {table}"));
    }
    sql(
        &postgres,
        "INSERT INTO keyless VALUES ('x'); UPDATE keyless SET name = 'y'",
    );
    sql(
        &postgres,
        "BEGIN; INSERT INTO plain VALUES (9, 'never'); ROLLBACK",
    );
    config.catch_up(LIMIT);

    let told = |table: &str| -> Vec<Value> {
        let events = read_topic(config.bootstrap_servers(), &config.topic(table));
        let tell = |event: &e2e::support::event::Event| {
            let value = event.json();
            json!([
                event.operation(),
                event.key_json(),
                value["before"],
                value["after"]
            ])
        };
        events.iter().map(tell).collect()
    };
    let changes = |before: &dyn Fn(Value) -> Value, removed: &dyn Fn(Value) -> Value| {
        let (one, two) = (json!({"id": 1}), json!({"id": 2}));
        let row = |id: i32, name: &str| json!({"id": id, "name": name});
        vec![
            json!(["c", one, null, row(1, "a")]),
            json!(["u", one, before(row(1, "a")), row(1, "b")]),
            json!(["d", one, removed(row(1, "b")), null]),
            json!(["tombstone", one, null, null]),
            json!(["c", two, null, row(2, "b")]),
            json!(["d", two, removed(row(2, "b")), null]),
            json!(["tombstone", two, null, null]),
            json!(["t", null, null, null]),
        ]
    };
    let key_alone = |row: Value| json!({"id": row["id"], "name": null});
    assert_eq!(told("plain"), changes(&|_| Value::Null, &key_alone));
    assert_eq!(told("whole"), changes(&|row| row, &|row| row));
    assert_eq!(
        told("keyless"),
        [
            json!(["c", null, null, {"name": "x"}]),
            json!(["u", null, {"name": "x"}, {"name": "y"}]),
        ]
    );
    assert_eq!(query_one(&postgres, "SELECT count(*) FROM plain"), "0");
}

/// What the catalog alone can say: extensions' names, arrays' delimiters, the locale of money.
#[test]
fn a_row_of_extensions_and_rare_types() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
         CREATE EXTENSION isn; CREATE EXTENSION cube; CREATE TYPE pair AS (a int, b text);
         CREATE DOMAIN amount AS money; CREATE DOMAIN amounts AS amount[];
         CREATE TABLE rare (id int PRIMARY KEY, attributes hstore, word citext, path ltree,
             book isbn13, cubes cube[], boxes box[], twice pair, paid amount, dues amounts,
             flag bit, flags bit varying, place point, spans int4multirange, at pg_lsn,
             grid int[])",
    );
    let config =
        Config::new("rare_types", &postgres, kafka()).set("envelope.hstore.handling.mode", "map");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        r#"INSERT INTO rare VALUES (1, 'a=>"x, y",b=>NULL', 'Word', 'Top.Science',
             '978-0-393-04002-9', '{"(1, 2)",NULL}', '{(1,1),(0,0);(2,2),(1,1)}', '(1,"a b")', -5.05,
             '{1.5,NULL}', B'1', B'101', '(1,2.5)', '{[1,3),[5,7)}', '0/16B3748',
             '[0:1][2:3]={{1,2},{3,NULL}}')"#,
    );
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("rare"));
    assert_eq!(
        events[0].json()["after"],
        json!({
            "id": 1, "attributes": {"a": "x, y", "b": null}, "word": "Word", "path": "Top.Science",
            "book": "978-0-393-04002-9", "cubes": ["(1, 2)", null],
            "boxes": ["(1,1),(0,0)", "(2,2),(1,1)"], "twice": "(1,\"a b\")", "paid": "/gc=",
            "dues": ["AJY=", null], "flag": true, "flags": "BQ==",
            "place": {"x": 1.0, "y": 2.5, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAARA", "srid": null},
            "spans": "{[1,3),[5,7)}", "at": "0/16B3748", "grid": [[1, 2], [3, null]],
        })
    );
    let findings = config.check(&["--json"]);
    let findings = String::from_utf8_lossy(&findings.stdout);
    for column in ["cubes", "twice", "spans"] {
        assert!(findings.contains(column), "{column} is text: {findings}");
    }
}

#[test]
fn schemas_stand_beside_keys_and_values() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE described (id int PRIMARY KEY, feeling mood DEFAULT 'happy', price numeric(10,2))",
    );
    let config = Config::new("schemas", &postgres, kafka())
        .set("envelope.schemas.enable", "true")
        .set("envelope.logical.messages", "publish");
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO described VALUES (1, NULL, 1.5)");
    sql(&postgres, "DELETE FROM described");
    sql(&postgres, "SELECT pg_logical_emit_message(true, 'p', 'x')");
    config.catch_up(LIMIT);
    let topic = config.topic("described");
    let events = read_topic(config.bootstrap_servers(), &topic);
    let [created, deleted, tombstone] = &events[..] else {
        panic!("{} events", events.len());
    };
    for event in [created, deleted, tombstone] {
        let key = event.key_json();
        assert_eq!(key["payload"], json!({"id": 1}));
        assert_eq!(key["schema"]["name"], format!("{topic}.Key"));
    }
    let value = created.json();
    assert_eq!(
        value["payload"]["after"],
        json!({"id": 1, "feeling": null, "price": "AJY="})
    );
    assert_eq!(value["schema"]["name"], format!("{topic}.Envelope"));
    let columns = &value["schema"]["fields"][1]["fields"];
    assert_eq!(
        columns[1],
        json!({
            "type": "string", "optional": true, "name": "io.debezium.data.Enum", "version": 1,
            "parameters": {"allowed": "sad,happy"}, "default": "happy", "field": "feeling",
        })
    );
    assert_eq!(
        columns[2]["parameters"],
        json!({"scale": "2", "connect.decimal.precision": "10"})
    );
    let message = &read_topic(
        config.bootstrap_servers(),
        &format!("{}.message", config.name()),
    )[0];
    assert_eq!(message.key_json()["payload"], json!({"prefix": "p"}));
    assert_eq!(message.json()["payload"]["message"]["content"], "eA==");
}
