//! Partitioned tables: under each partition's name, or under the partitioned table's; rows that are
//! there come once, and a row that moves to another partition leaves its old place.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
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
