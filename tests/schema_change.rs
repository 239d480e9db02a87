//! The catalog follows schema changes in the middle of the stream, at their place in it: an event
//! written before a change has the columns of before, however late it is read.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use serde_json::{Value, json};
use xtask::servers::PostgresOptions;

#[test]
fn events_have_the_columns_of_their_time() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, age int)",
    );
    let config = Config::new("schema", &postgres, kafka());
    config.catch_up(Duration::from_secs(30));
    // All of it lies in the WAL before the next run reads the first of it.
    for statement in [
        "INSERT INTO users VALUES (1, 'one', 11)",
        "ALTER TABLE users ADD COLUMN mail text DEFAULT 'none'",
        "INSERT INTO users VALUES (2, 'two', 22, 'two@example.org')",
        "ALTER TABLE users DROP COLUMN age",
        "INSERT INTO users VALUES (3, 'three', 'three@example.org')",
        "ALTER TABLE users RENAME COLUMN name TO title",
        "INSERT INTO users VALUES (4, 'four', 'four@example.org')",
        "ALTER TABLE users ALTER COLUMN title TYPE int USING length(title)",
        "INSERT INTO users VALUES (5, 55, 'five@example.org')",
    ] {
        sql(&postgres, statement);
    }
    // Within one transaction, before and after the change.
    sql(
        &postgres,
        "BEGIN; UPDATE users SET title = 6 WHERE id = 5; ALTER TABLE users ADD COLUMN extra bool; \
         UPDATE users SET extra = true WHERE id = 5; COMMIT",
    );
    config.catch_up(Duration::from_secs(30));
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let after: Vec<Value> = events
        .iter()
        .map(|event| event.json()["after"].take())
        .collect();
    assert_eq!(
        after,
        [
            json!({"id": 1, "name": "one", "age": 11}),
            json!({"id": 2, "name": "two", "age": 22, "mail": "two@example.org"}),
            json!({"id": 3, "name": "three", "mail": "three@example.org"}),
            json!({"id": 4, "title": "four", "mail": "four@example.org"}),
            json!({"id": 5, "title": 55, "mail": "five@example.org"}),
            json!({"id": 5, "title": 6, "mail": "five@example.org"}),
            json!({"id": 5, "title": 6, "mail": "five@example.org", "extra": true}),
        ]
    );
}

#[test]
fn a_table_made_while_it_runs_is_followed() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("newtable", &postgres, kafka());
    let mut walferry = config.start();
    sql(&postgres, "INSERT INTO old VALUES (1)");
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY, name text)",
    );
    walferry.sigterm();
    assert_eq!(
        walferry.wait_exit(Duration::from_secs(10)),
        Some(0),
        "{}",
        walferry.log()
    );
    // The next start adds it to the publication, as postgres.create: auto allows.
    let walferry = config.start();
    sql(&postgres, "INSERT INTO young VALUES (1, 'new')");
    drop(walferry);
    config.catch_up(Duration::from_secs(30));
    let events = read_topic(config.bootstrap_servers(), &config.topic("young"));
    assert_eq!(
        events.last().map(|event| event.json()["after"].take()),
        Some(json!({"id": 1, "name": "new"}))
    );
}
