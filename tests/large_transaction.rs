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
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, age int)",
    );
    let config = Config::new("large", &postgres, kafka());
    let mut walferry = config.start();
    sql(
        &postgres,
        &format!(
            "INSERT INTO users SELECT i, 'user ' || i, i % 90 FROM generate_series(1, {ROWS}) i"
        ),
    );
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
    let peak = walferry.usage().rss_peak_bytes;
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
