//! Several tables in one topic by a rule, their rows told apart by a field of the key; and partitions
//! by chosen fields.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use serde_json::json;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn shards_go_to_one_topic() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders_1 (id int PRIMARY KEY, total int);
         CREATE TABLE orders_2 (id int PRIMARY KEY, total int);
         CREATE TABLE users (id int PRIMARY KEY);
         INSERT INTO orders_1 VALUES (1, 10)",
    );
    let config = Config::new("routing", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("topics.route.topic.regex", "'(.*)\\.orders_\\d+'")
        .set("topics.route.topic.replacement", "$1.orders")
        .set("topics.route.key.field.name", "shard")
        .set("topics.route.key.field.regex", "'.*_(\\d+)'")
        .set("topics.route.key.field.replacement", "$1");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "INSERT INTO orders_2 VALUES (1, 20); DELETE FROM orders_1; INSERT INTO users VALUES (1)",
    );
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("orders"));
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.operation(), event.key_json()))
        .collect();
    assert_eq!(
        told,
        [
            ("r".to_owned(), json!({"id": 1, "shard": "1"})),
            ("c".to_owned(), json!({"id": 1, "shard": "2"})),
            ("d".to_owned(), json!({"id": 1, "shard": "1"})),
            ("tombstone".to_owned(), json!({"id": 1, "shard": "1"})),
        ]
    );
    assert_eq!(events[1].json()["source"]["table"], "orders_2");
    let users = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert_eq!(users[0].key_json(), json!({"id": 1}));
}

#[test]
fn a_field_chooses_the_partition() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int, region text, total int, PRIMARY KEY (id, region));
         INSERT INTO orders SELECT g, 'region' || g % 3, g FROM generate_series(1, 9) g",
    );
    let config = Config::new("partition_field", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set(
            "topics.partition.partition.payload.fields",
            "[ change.region ]",
        )
        .set("topics.partition.partition.topic.num", "3");
    sql(
        &postgres,
        "CREATE TABLE moves (id int PRIMARY KEY, region text)",
    );
    let report = config.check(&[]);
    let report = String::from_utf8_lossy(&report.stdout);
    for refused in [
        "TOPIC_FEW_PARTITIONS",
        "PARTITION_FIELD_NOT_CARRIED  table public.moves",
    ] {
        assert!(report.contains(refused), "{report}");
    }
    assert!(
        !report.contains("NOT_CARRIED  table public.orders"),
        "{report}"
    );
    sql(&postgres, "ALTER TABLE moves REPLICA IDENTITY FULL");
    let config = config.set("topics.partitions", "3");
    config.catch_up(LIMIT);
    sql(&postgres, "UPDATE orders SET total = 0; DELETE FROM orders");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("orders"));
    assert_eq!(events.len(), 4 * 9, "read, updated, deleted, tombstones");
    for event in &events {
        // Java's hash of "region0", and of the next two, is one more each.
        let region = event.key_json()["region"].as_str().map(str::to_owned);
        let last = region.expect("a region").pop().expect("a digit");
        let expected = (1_086_109_628 + last.to_digit(10).expect("a digit")) % 3;
        assert_eq!(event.partition.cast_unsigned(), expected, "{event:?}");
    }
    // What happened to a row is in order, its tombstone last.
    let of_one = events.iter().filter(|event| event.key_json()["id"] == 4);
    let told: Vec<String> = of_one.map(e2e::support::event::Event::operation).collect();
    assert_eq!(told, ["r", "u", "d", "tombstone"]);
}
