//! One transaction of two million rows passes in bounded memory.

use std::time::Duration;

use e2e::support::topic::record_count;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use xtask::servers::PostgresOptions;

const ROWS: i64 = 2_000_000;
const RSS_MAX: u64 = 64 << 20;

#[test]
fn two_million_rows_in_64_mib() {
    passes_in_bounded_memory("large", "false", &["COMMIT"]);
}

/// Once as the server sends it by itself, at the commit, and once by a slot that sends it before.
#[test]
fn two_million_prepared_rows_in_64_mib() {
    let ends = ["PREPARE TRANSACTION 'large'", "COMMIT PREPARED 'large'"];
    for two_phase in ["false", "true"] {
        passes_in_bounded_memory("large_prepared", two_phase, &ends);
    }
}

fn passes_in_bounded_memory(purpose: &str, two_phase: &str, ends: &[&str]) {
    let postgres = postgres(PostgresOptions::default().with("max_prepared_transactions", "1"));
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, age int)",
    );
    let config = Config::new(purpose, &postgres, kafka());
    let slot = config.slot();
    sql(
        &postgres,
        &format!("CREATE PUBLICATION {slot} FOR TABLE users"),
    );
    let made = format!("'{slot}', 'pgoutput', false, {two_phase}");
    sql(
        &postgres,
        &format!("SELECT pg_create_logical_replication_slot({made})"),
    );
    let mut walferry = config.start();
    let (first, later) = ends.split_first().expect("an end");
    sql(
        &postgres,
        &format!(
            "BEGIN; INSERT INTO users SELECT i, 'user ' || i, i % 90 FROM generate_series(1, {ROWS}) i; \
             {first}"
        ),
    );
    for end in later {
        sql(&postgres, end);
    }
    let count = || record_count(config.bootstrap_servers(), &config.topic("users"));
    wait_for(
        "all rows are in the topic",
        Duration::from_secs(300),
        || {
            assert!(walferry.is_running(), "it ended:\n{}", walferry.log());
            (count() >= ROWS).then_some(())
        },
    );
    assert_eq!(count(), ROWS, "each of them once");
    let peak = walferry.memory_peak();
    eprintln!("{} MiB at the peak", peak >> 20);
    assert!(peak <= RSS_MAX, "{} MiB at the peak", peak >> 20);
    walferry.sigterm();
    assert_eq!(
        walferry.wait_exit(Duration::from_secs(20)),
        Some(0),
        "{}",
        walferry.log()
    );
    config.catch_up(Duration::from_secs(30));
    assert_eq!(count(), ROWS, "none again after a clean end");
}
