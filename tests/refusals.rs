//! Where the slot and the progress contradict each other, walferry stops with a named code, skips
//! nothing, and leaves slot and topics as they are.

use std::time::Duration;

use e2e::support::topic::{record_count, write_record};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query, sql, wait_for};
use xtask::servers::{Cluster, PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(30);

/// A connector that has published one row, and is down.
fn stage(purpose: &str, options: PostgresOptions) -> (PostgresServer, Config) {
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new(purpose, &postgres, kafka());
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (1, 'published')");
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 1);
    (postgres, config)
}

fn published(config: &Config) -> i64 {
    record_count(config.bootstrap_servers(), &config.topic("users"))
}

/// It halts, again and again, and has touched neither slots nor topics.
fn assert_refuses(postgres: &PostgresServer, config: &Config, halt: &str, code: i32) {
    let slots = || {
        let sql = "SELECT slot_name || ' ' || confirmed_flush_lsn::text FROM pg_replication_slots";
        query(postgres, sql)
    };
    let before = (slots(), published(config));
    for _ in 0..2 {
        assert_halts(&mut config.spawn(), halt, code);
    }
    assert_eq!(
        (slots(), published(config)),
        before,
        "{halt}: something was touched"
    );
}

#[test]
fn slot_lost() {
    let options = PostgresOptions::default()
        .with("max_slot_wal_keep_size", "1MB")
        .with("min_wal_size", "32MB")
        .with("max_wal_size", "32MB");
    let (postgres, config) = stage("lost", options);
    for _ in 0..6 {
        sql(
            &postgres,
            "INSERT INTO users SELECT i, repeat('x', 500) FROM generate_series(2, 20000) i \
                        ON CONFLICT (id) DO UPDATE SET name = 'again'",
        );
        sql(&postgres, "SELECT pg_switch_wal()");
        sql(&postgres, "CHECKPOINT");
    }
    let status = query(&postgres, "SELECT wal_status FROM pg_replication_slots");
    assert_eq!(status, ["lost"], "the server has dropped WAL");
    assert_refuses(&postgres, &config, "SLOT_LOST", 10);
}

#[test]
fn slot_dropped_and_recreated() {
    let (postgres, config) = stage("recreated", PostgresOptions::default());
    let slot = config.slot();
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{slot}')"),
    );
    assert_refuses(&postgres, &config, "SLOT_RECREATED", 11);
    sql(&postgres, "INSERT INTO users VALUES (2, 'would be lost')");
    sql(
        &postgres,
        &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
    );
    let mut walferry = config.spawn();
    let code = walferry.wait_exit(LIMIT);
    assert!(
        matches!(code, Some(11 | 14)),
        "{code:?}:\n{}",
        walferry.log()
    );
    assert_eq!(published(&config), 1);
}

#[test]
fn slot_ahead_of_the_progress() {
    let (postgres, config) = stage("ahead", PostgresOptions::default());
    sql(&postgres, "INSERT INTO users VALUES (2, 'would be lost')");
    let advance = format!(
        "SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        config.slot()
    );
    sql(&postgres, &advance);
    assert_refuses(&postgres, &config, "SLOT_AHEAD", 14);
}

#[test]
fn another_cluster() {
    let (first, config) = stage("system", PostgresOptions::default());
    let options = PostgresOptions {
        cluster: Cluster::New,
        ..PostgresOptions::default()
    };
    let second = postgres(options);
    sql(
        &second,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let slot = config.slot();
    sql(
        &second,
        &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
    );
    let config = config.set("postgres.url", &second.url());
    let identity = "SELECT system_identifier FROM pg_control_system()";
    assert_ne!(query(&first, identity), query(&second, identity));
    assert_refuses(&second, &config, "SYSTEM_CHANGED", 12);
}

#[test]
fn two_instances_on_one_slot() {
    let (postgres, config) = stage("two", PostgresOptions::default());
    let mut first = config.start();
    let second = config.another_instance();
    assert_halts(&mut second.spawn(), "SLOT_IN_USE", 15);
    assert!(first.is_running(), "the first goes on:\n{}", first.log());
    sql(&postgres, "INSERT INTO users VALUES (2, 'by the first')");
    wait_for("the first publishes", LIMIT, || {
        (published(&config) == 2).then_some(())
    });
}

#[test]
fn progress_of_a_newer_format_and_of_nobody() {
    let (postgres, config) = stage("newer", PostgresOptions::default());
    let topic = format!("walferry.progress.{}", config.slot());
    let slot = config.slot();
    let newer = format!("{{\"format\":99,\"slot\":\"{slot}\",\"walferry\":\"9.9.9\"}}");
    write_record(config.bootstrap_servers(), &topic, &slot, &newer);
    assert_refuses(&postgres, &config, "PROGRESS_NEWER", 17);
    write_record(
        config.bootstrap_servers(),
        &topic,
        &slot,
        "not a progress record",
    );
    assert_refuses(&postgres, &config, "PROGRESS_UNREADABLE", 18);
}
