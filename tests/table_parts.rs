//! Row filters and column lists said in the configuration: what they hide never leaves the database,
//! a row that comes to match is inserted, one that ceases to is deleted; and the publication follows
//! the configuration.

use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

/// What the topic tells: operation, id and the columns of the row.
fn told(config: &Config, table: &str) -> Vec<String> {
    let events = read_topic(config.bootstrap_servers(), &config.topic(table));
    events
        .iter()
        .filter(|event| event.value.is_some())
        .map(|event| {
            let row = &event.json()["after"];
            let columns = row.as_object().map(|row| row.keys().cloned().collect());
            let columns: Vec<String> = columns.unwrap_or_default();
            let id = &event.key_json()["id"];
            format!("{} {id} {}", event.operation(), columns.join(","))
        })
        .collect()
}

/// The server can publish parts of tables; one that cannot makes walferry refuse.
fn publishes_parts(postgres: &PostgresServer, config: &Config) -> bool {
    let version = query_one(postgres, "SHOW server_version_num");
    if version.parse::<u32>().expect("a number") >= 150_000 {
        return true;
    }
    let output = config.check(&[]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("PART_UNSUPPORTED"), "{report}");
    assert!(!output.status.success(), "{report}");
    false
}

#[test]
fn what_a_part_hides_never_leaves_the_database() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int, region text, total int, card text, PRIMARY KEY (id, region));
         CREATE TABLE users (id int PRIMARY KEY, name text);
         INSERT INTO orders VALUES (1, 'eu', 10, 'card-one'), (2, 'us', 20, 'card-two')",
    );
    let tables = "[ { name: public.orders, where: \"region = 'eu'\", \
                  columns: [ id, region, total ] }, public.users ]";
    let config = Config::new("table_parts", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("tables.include", tables);
    if !publishes_parts(&postgres, &config) {
        return;
    }
    config.catch_up(LIMIT);
    // What the server sends to a reader of this publication, beside walferry.
    sql(
        &postgres,
        "SELECT pg_create_logical_replication_slot('beside', 'pgoutput')",
    );
    sql(
        &postgres,
        "INSERT INTO orders VALUES (3, 'eu', 30, 'card-three'), (4, 'us', 40, 'card-four')",
    );
    sql(
        &postgres,
        "UPDATE orders SET card = 'card-five' WHERE id = 3",
    );
    sql(&postgres, "UPDATE orders SET region = 'us' WHERE id = 3");
    sql(&postgres, "UPDATE orders SET region = 'eu' WHERE id = 4");
    sql(&postgres, "DELETE FROM orders WHERE id IN (1, 2)");
    sql(&postgres, "INSERT INTO users VALUES (1, 'Ann')");
    config.catch_up(LIMIT);
    assert_eq!(
        told(&config, "orders"),
        [
            "r 1 id,region,total",
            "c 3 id,region,total",
            "u 3 id,region,total",
            "d 3 ",
            "c 4 id,region,total",
            "d 1 ",
        ]
    );
    assert_eq!(told(&config, "users"), ["c 1 id,name"]);
    let sent = query_one(
        &postgres,
        &format!(
            "SELECT count(*) || ' ' || count(*) FILTER (WHERE encode(data, 'escape') LIKE '%card%')
               FROM pg_logical_slot_peek_binary_changes('beside', NULL, NULL,
                      'proto_version', '2', 'publication_names', '{}')",
            config.slot()
        ),
    );
    let (sent, hidden) = sent.split_once(' ').expect("two numbers");
    assert_ne!(sent, "0");
    assert_eq!(hidden, "0", "the server sends nothing of the hidden column");
}

#[test]
fn the_publication_follows_the_configuration() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
    );
    let small = "[ { name: public.orders, where: id < 10 } ]";
    let config = Config::new("parts_follow", &postgres, kafka()).set("tables.include", small);
    if !publishes_parts(&postgres, &config) {
        return;
    }
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO orders VALUES (1, 'a'), (11, 'b')");
    config.catch_up(LIMIT);
    let large = "[ { name: public.orders, where: id > 10, columns: [ id ] } ]";
    let config = config.set("tables.include", large);
    let report = config.check(&[]);
    let report = String::from_utf8_lossy(&report.stdout);
    assert!(report.contains("PART_DIFFERS"), "{report}");
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO orders VALUES (2, 'c'), (12, 'd')");
    config.catch_up(LIMIT);
    assert_eq!(told(&config, "orders"), ["c 1 id,note", "c 12 id"]);
}

#[test]
fn a_filter_that_would_break_the_applications_updates_is_refused() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, total int)",
    );
    let tables = "[ { name: public.orders, where: total > 0 } ]";
    let config = Config::new("parts_refused", &postgres, kafka()).set("tables.include", tables);
    if !publishes_parts(&postgres, &config) {
        return;
    }
    let output = config.check(&[]);
    let report = String::from_utf8_lossy(&output.stdout);
    for expected in ["ROW_FILTER_BESIDE_IDENTITY", "REPLICA IDENTITY FULL"] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    sql(&postgres, "ALTER TABLE orders REPLICA IDENTITY FULL");
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO orders VALUES (1, 0), (2, 5)");
    sql(&postgres, "UPDATE orders SET total = 5 - total");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("orders"));
    let operations: Vec<String> = events.iter().map(Event::operation).collect();
    assert_eq!(operations, ["c", "c", "d", "tombstone"]);
    assert_eq!(events[1].json()["after"], json!({ "id": 1, "total": 5 }));
}

/// Whether the application could still update such a table is looked at by a start alone.
#[test]
fn of_a_new_table_a_part_is_published_from_the_next_start_on() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let tables = "[ { name: public.*, where: \"id <= 2\", columns: [ id ] } ]";
    let config = Config::new("new_part", &postgres, kafka()).set("tables.include", tables);
    if !publishes_parts(&postgres, &config) {
        return;
    }
    let mut walferry = config.start();
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY, card text);
         INSERT INTO young SELECT g, 'card' FROM generate_series(1, 5) g",
    );
    let remedy = "ADD TABLE \"public\".\"young\" (\"id\") WHERE (id <= 2)";
    wait_for("the log", LIMIT * 2, || {
        let log = walferry.log();
        assert!(!log.contains("took a new table"), "{log}");
        log.replace('\\', "").contains(remedy).then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    let walferry = config.start();
    sql(&postgres, "DELETE FROM young WHERE id = 2");
    wait_for("rows of the part", LIMIT, || {
        let told = told(&config, "young");
        (told.len() >= 2 && told.iter().any(|it| it.starts_with('d'))).then_some(())
    });
    drop(walferry);
    let told = told(&config, "young");
    assert!(told.contains(&"r 1 id".to_owned()), "{told:?}");
    let hidden = ["3", "4", "5", "card"];
    assert!(
        !told
            .iter()
            .any(|it| hidden.iter().any(|no| it.contains(no))),
        "{told:?}"
    );
}
