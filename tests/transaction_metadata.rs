//! Transaction metadata: a record at each transaction's begin and end, each event's place in it; the
//! same again after kill -9 in the middle of a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::support::topic::{read_topic, record_count};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::{Value, json};
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(60);
const ROWS: i64 = 100_000;

#[test]
fn boundaries_and_places() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY)",
    );
    let config = Config::new("metadata", &postgres, kafka())
        .set("envelope.provide.transaction.metadata", "true");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "BEGIN; INSERT INTO users VALUES (1), (2); INSERT INTO orders VALUES (7);
         UPDATE users SET id = 3 WHERE id = 2; COMMIT",
    );
    config.catch_up(LIMIT);

    let servers = config.bootstrap_servers();
    let boundaries = read_topic(servers, &format!("{}.transaction", config.name()));
    let [begin, end] = &boundaries[..] else {
        panic!("{} boundaries", boundaries.len());
    };
    let id = |boundary: &Value| boundary["id"].as_str().expect("an id").to_owned();
    assert_eq!(begin.key_json()["id"], begin.json()["id"]);
    assert_eq!(
        (&begin.json()["status"], &begin.json()["event_count"]),
        (&json!("BEGIN"), &Value::Null)
    );
    let end = end.json();
    assert_eq!(
        (&end["status"], &end["event_count"]),
        (&json!("END"), &json!(5))
    );
    assert_eq!(
        end["data_collections"],
        json!([
            {"data_collection": "public.users", "event_count": 4},
            {"data_collection": "public.orders", "event_count": 1},
        ])
    );
    let xid = id(&end)
        .split(':')
        .next()
        .expect("a transaction")
        .to_owned();
    let places: Vec<Value> = read_topic(servers, &config.topic("users"))
        .iter()
        .filter(|event| event.operation() != "tombstone")
        .map(|event| event.json()["transaction"].clone())
        .collect();
    let place = |total: u64, of_table: u64, found: &Value| {
        assert!(id(found).starts_with(&format!("{xid}:")), "{found}");
        assert_eq!(
            (&found["total_order"], &found["data_collection_order"]),
            (&json!(total), &json!(of_table))
        );
    };
    for (found, (total, of_table)) in places.iter().zip([(1, 1), (2, 2), (4, 3), (5, 4)]) {
        place(total, of_table, found);
    }
    assert_eq!(places.len(), 4);
}

#[test]
fn a_killed_run_goes_on_counting() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY)",
    );
    let config = Config::new("metadata_killed", &postgres, kafka())
        .set("envelope.provide.transaction.metadata", "true");
    let mut walferry = config.start();
    sql(
        &postgres,
        &format!(
            "BEGIN; INSERT INTO users SELECT generate_series(1, {ROWS});
             INSERT INTO orders VALUES (1); COMMIT"
        ),
    );
    let servers = config.bootstrap_servers();
    let topics = ["users", "orders"].map(|table| config.topic(table));
    wait_for("a part of the transaction is published", LIMIT, || {
        (record_count(servers, &topics[0]) > ROWS / 4).then_some(())
    });
    walferry.kill9();
    config.catch_up(LIMIT);

    let transactions = format!("{}.transaction", config.name());
    let mut by_ordinal: BTreeMap<u64, Value> = BTreeMap::new();
    for topic in topics.iter().chain([&transactions]) {
        for event in read_topic(servers, topic) {
            let (ordinal, value) = (event.id().ordinal, event.json());
            let kept = json!([value["status"], value["transaction"], value["event_count"]]);
            let before = by_ordinal.insert(ordinal, kept.clone());
            assert!(
                before.is_none_or(|before| before == kept),
                "{ordinal}: told otherwise"
            );
        }
    }
    let rows = u64::try_from(ROWS).expect("positive");
    assert!(
        by_ordinal.keys().copied().eq(0..rows + 3),
        "each once, none missing"
    );
    assert_eq!(by_ordinal[&0][0], "BEGIN");
    for ordinal in 1..=rows + 1 {
        assert_eq!(by_ordinal[&ordinal][1]["total_order"], json!(ordinal));
    }
    assert_eq!(
        by_ordinal[&(rows + 1)][1]["data_collection_order"],
        json!(1)
    );
    assert_eq!(by_ordinal[&(rows + 2)][0], "END");
    assert_eq!(by_ordinal[&(rows + 2)][2], json!(rows + 1));
}
