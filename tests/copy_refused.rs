//! A first copy that cannot succeed stops by name, with its table, instead of being tried for ever;
//! what it has to say of itself besides rows is Debezium's.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query_one, sql};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka()).set("snapshot.snapshot.mode", "initial")
}

#[test]
fn rows_that_the_server_cannot_read() {
    // Row filters came with 15.
    let postgres = postgres(PostgresOptions::default());
    let version: u32 = query_one(&postgres, "SHOW server_version_num")
        .parse()
        .expect("a number");
    if version < 150_000 {
        return;
    }
    let config = config("copy_filter", &postgres);
    sql(
        &postgres,
        &format!(
            "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1), (3);
             CREATE PUBLICATION {} FOR TABLE users WHERE (10 / (id - 3) < 100)",
            config.slot()
        ),
    );
    let mut walferry = config.spawn();
    assert_halts(&mut walferry, "COPY_REFUSED", 30);
    let log = walferry.log();
    let halt = log.split("COPY_REFUSED").last().unwrap_or_default();
    for named in ["public.users", "22012"] {
        assert!(halt.contains(named), "{named} is not named:\n{log}");
    }
    // Once it is mended, the copy is made.
    sql(&postgres, "TRUNCATE users; INSERT INTO users VALUES (1)");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert!(events.iter().any(|event| event.operation() == "r"));
}

#[test]
fn rows_that_row_security_hides() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1);
         ALTER TABLE users ENABLE ROW LEVEL SECURITY;
         CREATE ROLE bound LOGIN REPLICATION; GRANT SELECT ON users TO bound",
    );
    let config = config("copy_bound", &postgres);
    let publication = format!("CREATE PUBLICATION {} FOR TABLE users", config.slot());
    sql(&postgres, &publication);
    let url = postgres.url().replace("postgres@", "bound@");
    let config = config.set("postgres.url", &url);
    let mut walferry = config.spawn();
    assert_halts(&mut walferry, "AUTHORIZATION", 25);
    let log = walferry.log();
    let halt = log.split("AUTHORIZATION").last().unwrap_or_default();
    assert!(halt.contains("public.users"), "it is not named:\n{log}");
}

#[test]
fn a_value_that_has_no_form() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE prices (id int PRIMARY KEY, price numeric(10,2));
         INSERT INTO prices VALUES (1, 1), (2, 'NaN')",
    );
    let config = config("copy_nan", &postgres);
    let mut walferry = config.spawn();
    assert_halts(&mut walferry, "VALUE_UNREPRESENTABLE", 23);
    let log = walferry.log();
    let halt = log
        .split("VALUE_UNREPRESENTABLE")
        .last()
        .unwrap_or_default();
    for named in ["public.prices", "price", "first copy"] {
        assert!(halt.contains(named), "{named} is not named:\n{log}");
    }
    let config = config.set("envelope.decimal.handling.mode", "string");
    config.catch_up(LIMIT);
}

#[test]
fn copied_rows_have_a_transaction_id_of_their_own() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1), (2)",
    );
    let config = config("copy_xid", &postgres);
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (3)");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let xids: Vec<_> = events
        .iter()
        .map(|event| event.json()["source"]["txId"].as_u64())
        .collect();
    assert!(xids[0].is_some() && xids[0] == xids[1], "{xids:?}");
    assert!(xids[2] > xids[1], "{xids:?}");
}
