//! A table whose key changes while its rows are read beside the stream is read from its beginning: a place
//! in the order of one key means nothing in that of another. Large rows make small chunks.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::support::signals::{execute_slowly, noted, signal, wait_over};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(90);
const ROWS: usize = 5000;

fn execute(postgres: &PostgresServer, table: &str) {
    let data = json!({ "data-collections": [table] });
    signal(postgres, "keys", "execute-snapshot", &data);
}

/// The codes of all rows that were read since the column `mark` is there, after this statement came in
/// the middle of the reading.
fn read_after(purpose: &str, statement: &str, kills: bool) -> BTreeSet<i64> {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, code int NOT NULL UNIQUE);
             INSERT INTO t SELECT g, {ROWS} - g FROM generate_series(1, {ROWS}) g"
        ),
    );
    let config = Config::new(purpose, &postgres, kafka())
        .set("snapshot.incremental.snapshot.chunk.size", "20");
    let mut walferry = config.start();
    execute_slowly(&postgres, "keys", "public.t");
    wait_for("some chunks", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let chunks = noted(&config, "keys")?["chunks"].as_u64()?;
        (chunks > 20).then_some(())
    });
    if kills {
        walferry.kill9();
    }
    let mark = "ADD COLUMN mark int DEFAULT 1";
    sql(&postgres, &format!("ALTER TABLE t {mark}, {statement}"));
    if kills {
        walferry = config.start();
    }
    let over = wait_over(&config, &mut walferry, "keys", LIMIT);
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    let events = read_topic(config.bootstrap_servers(), &config.topic("t"));
    let later = events.iter().map(|event| event.json()["after"].take());
    let later: Vec<_> = later.collect();
    assert!(later[0]["mark"].is_null(), "nothing came before");
    let later = later.iter().filter(|row| row["mark"] == 1);
    later.filter_map(|row| row["code"].as_i64()).collect()
}

#[test]
fn its_type_changes_the_order() {
    let codes = read_after("keys_type", "ALTER COLUMN id TYPE text", false);
    assert_eq!(codes.len(), ROWS);
}

#[test]
fn another_column_is_the_key_after_a_kill() {
    let swap = "DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code)";
    assert_eq!(read_after("keys_swap", swap, true).len(), ROWS);
}

/// From 18 on such a constraint need not hold for rows that are there: they would be passed over.
#[test]
fn a_key_that_may_be_null_orders_nothing() {
    let options = PostgresOptions {
        major: 18,
        ..PostgresOptions::default()
    };
    let postgres = PostgresServer::start(&options).expect("a Postgres");
    sql(
        &postgres,
        "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE);
         INSERT INTO t SELECT g, nullif(g % 100, 0) FROM generate_series(1, 100) g;
         ALTER TABLE t ADD CONSTRAINT later NOT NULL a NOT VALID",
    );
    let config = Config::new("keys_null", &postgres, kafka());
    let mut walferry = config.start();
    let data = json!({ "data-collections": ["public.t"], "surrogate-key": "a" });
    signal(&postgres, "keys", "execute-snapshot", &data);
    let over = wait_over(&config, &mut walferry, "keys", LIMIT);
    assert_eq!(over["state"], "failed", "{over}");
    assert!(
        over["problems"].to_string().contains("NOT NULL (VALID)"),
        "{over}"
    );
}

#[test]
fn chunks_of_large_rows_are_cut() {
    let postgres = postgres(PostgresOptions::default());
    // First small ones, which promise that many fit.
    sql(
        &postgres,
        "CREATE TABLE large (id int PRIMARY KEY, note text);
         ALTER TABLE large ALTER note SET STORAGE EXTERNAL;
         INSERT INTO large SELECT g, CASE WHEN g <= 10000 THEN 'small' ELSE repeat('x', 20000) END
             FROM generate_series(1, 17500) g",
    );
    let config = Config::new("keys_large", &postgres, kafka());
    let mut walferry = config.start();
    execute(&postgres, "public.large");
    let over = wait_over(&config, &mut walferry, "keys", LIMIT);
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    assert_eq!(over["rows"], 17_500, "{over}");
    let peak = walferry.memory_peak();
    assert!(peak <= 96 << 20, "{peak} bytes of memory");
    let events = read_topic(config.bootstrap_servers(), &config.topic("large"));
    let ids: Vec<_> = events.iter().map(|event| event.key.clone()).collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (17_500, 17_500));
}
