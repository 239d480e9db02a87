//! Partitioned tables: under each partition's name, or under the partitioned table's; rows that are
//! there come once, and a row that moves to another partition leaves its old place. Partitions of which
//! the stream tells nothing are not copied either.

use std::time::Duration;

use e2e::support::signals::{signal, wait_over};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use serde_json::json;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

/// What the topic of a table tells: operation and key.
fn told(config: &Config, table: &str) -> Vec<String> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
        .iter()
        .map(|event| format!("{} {}", event.operation(), event.key_json()["id"]))
        .collect()
}

fn published(purpose: &str, via_root: &str) -> Config {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, total int) PARTITION BY RANGE (id);
         CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (100);
         CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (100) TO (200);
         INSERT INTO orders VALUES (1, 10), (101, 20)",
    );
    let config = Config::new(purpose, &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.publish.via.partition.root", via_root);
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO orders VALUES (2, 30)");
    sql(&postgres, "UPDATE orders SET id = 102 WHERE id = 2");
    sql(&postgres, "DELETE FROM orders WHERE id = 1");
    config.catch_up(LIMIT);
    config
}

#[test]
fn under_the_partitioned_tables_name() {
    let config = published("partitions_root", "true");
    assert_eq!(
        told(&config, "orders"),
        [
            "r 1",
            "r 101",
            "c 2",
            "d 2",
            "tombstone 2",
            "c 102",
            "d 1",
            "tombstone 1",
        ]
    );
}

#[test]
fn under_each_partitions_own_name() {
    let config = published("partitions_leaf", "false");
    assert_eq!(
        told(&config, "orders_low"),
        ["r 1", "c 2", "d 2", "tombstone 2", "d 1", "tombstone 1"]
    );
    assert_eq!(told(&config, "orders_high"), ["r 101", "c 102"]);
}

/// Two partitions whose changes are in no WAL: nothing behind the foreign one could be read, and the
/// unlogged one has a row.
fn beside_partitions_that_are_not_in_the_wal(purpose: &str, via_root: &str) -> Config {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int NOT NULL, total int) PARTITION BY RANGE (id);
         CREATE TABLE orders_low PARTITION OF orders (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (100);
         CREATE TABLE orders_high (more text, total int, gone int, id int PRIMARY KEY);
         ALTER TABLE orders_high DROP gone, DROP more;
         ALTER TABLE orders ATTACH PARTITION orders_high FOR VALUES FROM (100) TO (200);
         CREATE UNLOGGED TABLE orders_brief PARTITION OF orders (PRIMARY KEY (id))
             FOR VALUES FROM (200) TO (300);
         CREATE FOREIGN DATA WRAPPER nothing;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
         CREATE FOREIGN TABLE orders_far PARTITION OF orders FOR VALUES FROM (300) TO (400)
             SERVER elsewhere;
         ALTER TABLE orders REPLICA IDENTITY FULL;
         INSERT INTO orders VALUES (1, 10), (101, 20), (201, 30)",
    );
    let config = Config::new(purpose, &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.message.key.columns", "'public.orders.*:id'")
        .set("envelope.publish.via.partition.root", via_root);
    let mut walferry = config.spawn_with(&["--until", "now"]);
    let code = walferry.wait_exit(LIMIT);
    let log = walferry.log();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("PARTITIONS_NOT_IN_WAL"), "{log}");
    let output = config.check(&[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("PARTITIONS_NOT_IN_WAL"), "{said}");
    for left_out in ["public.orders_brief", "public.orders_far"] {
        assert!(said.contains(left_out), "{said}");
    }
    sql(&postgres, "INSERT INTO orders VALUES (2, 40), (202, 50)");
    config.catch_up(LIMIT);
    config
}

#[test]
fn foreign_and_unlogged_partitions_are_not_copied_under_their_roots_name() {
    let config = beside_partitions_that_are_not_in_the_wal("partitions_far_root", "true");
    assert_eq!(told(&config, "orders"), ["r 1", "r 101", "c 2"]);
}

#[test]
fn foreign_and_unlogged_partitions_are_not_copied_under_their_own_names() {
    let config = beside_partitions_that_are_not_in_the_wal("partitions_far_leaf", "false");
    assert_eq!(told(&config, "orders_low"), ["r 1", "c 2"]);
    assert_eq!(told(&config, "orders_high"), ["r 101"]);
}

#[test]
fn unlogged_partitions_are_not_read_beside_the_stream_either() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, total int) PARTITION BY RANGE (id);
         CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (100);
         CREATE UNLOGGED TABLE orders_brief PARTITION OF orders FOR VALUES FROM (100) TO (200);
         CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (200) TO (300);
         INSERT INTO orders SELECT g, 1 FROM generate_series(98, 202) g",
    );
    let config = Config::new("partitions_asked", &postgres, kafka())
        .set("snapshot.snapshot.mode", "no_data")
        .set("envelope.publish.via.partition.root", "true");
    let mut walferry = config.start();
    let data = json!({
        "data-collections": ["public.orders"],
        "additional-conditions": [{ "data-collection": "public.orders", "filter": "orders.total = 1" }],
    });
    signal(&postgres, "asked", "execute-snapshot", &data);
    let over = wait_over(&config, &mut walferry, "asked", LIMIT);
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    assert_eq!(
        told(&config, "orders"),
        ["r 98", "r 99", "r 200", "r 201", "r 202"]
    );
}
