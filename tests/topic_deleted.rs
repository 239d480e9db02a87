//! Who deletes a topic that was published to stops walferry: what it held is gone, and it is not
//! made again as if nothing had happened. A topic that never was is made.

use std::time::Duration;

use e2e::support::topic::{create_topic, delete_topic, exists, record_count};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::refusals::{assert_complete, published, stage, start_anew};

const LIMIT: Duration = Duration::from_secs(30);

fn delete(config: &Config) {
    let topic = config.topic("users");
    delete_topic(config.bootstrap_servers(), &topic);
    wait_for("the topic is gone", LIMIT, || {
        (!exists(config.bootstrap_servers(), &topic)).then_some(())
    });
}

/// It halts whenever it is started, and the check says what to do.
fn assert_stays_deleted(config: &Config) {
    for _ in 0..2 {
        assert_halts(&mut config.spawn(), "TOPIC_UNUSABLE", 26);
    }
    let topic = config.topic("users");
    assert!(!exists(config.bootstrap_servers(), &topic), "made again");
    let output = config.check(&[]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("error   TOPIC_GONE"), "{said}");
    assert!(
        said.contains(&format!("--create --topic {topic}")),
        "{said}"
    );
}

fn make_again(config: &Config) {
    create_topic(config.bootstrap_servers(), &config.topic("users"), 1, &[]);
}

fn deleted_while_down() -> (PostgresServer, Config) {
    let (postgres, config) = stage("deleted", PostgresOptions::default());
    sql(&postgres, "CREATE TABLE unheard (id int PRIMARY KEY)");
    delete(&config);
    sql(&postgres, "INSERT INTO users VALUES (2, 'not lost')");
    assert_stays_deleted(&config);
    (postgres, config)
}

#[test]
fn while_it_is_down() {
    let (_postgres, config) = deleted_while_down();
    make_again(&config);
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 1, "the change that came after");
}

#[test]
fn and_the_rows_are_published_anew() {
    let (postgres, config) = deleted_while_down();
    make_again(&config);
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}

#[test]
fn while_it_streams() {
    let (postgres, config) = stage("deleted_live", PostgresOptions::default());
    let mut walferry = config.start();
    sql(&postgres, "INSERT INTO users VALUES (2, 'there')");
    wait_for("it is published", LIMIT, || {
        (published(&config) == 2).then_some(())
    });
    delete(&config);
    sql(&postgres, "INSERT INTO users VALUES (3, 'not lost')");
    assert_halts(&mut walferry, "TOPIC_UNUSABLE", 26);
    assert_stays_deleted(&config);
    make_again(&config);
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 1, "the change that came after");
}

#[test]
fn a_topic_that_came_later_is_remembered_too() {
    let (postgres, config) = stage("deleted_later", PostgresOptions::default());
    let config = config.set("tables.include", "[public.users, public.later]");
    sql(&postgres, "CREATE TABLE later (id int PRIMARY KEY)");
    // A topic that never was is made, although there is progress; and again while it is empty.
    let later = config.topic("later");
    for _ in 0..2 {
        config.catch_up(LIMIT);
        assert!(exists(config.bootstrap_servers(), &later));
        delete_topic(config.bootstrap_servers(), &later);
    }
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO later VALUES (1)");
    config.catch_up(LIMIT);
    delete_topic(config.bootstrap_servers(), &later);
    assert_halts(&mut config.spawn(), "TOPIC_UNUSABLE", 26);
}

#[test]
fn with_its_table_nobody_misses_it() {
    let (postgres, config) = stage("deleted_table", PostgresOptions::default());
    sql(&postgres, "CREATE TABLE other (id int PRIMARY KEY)");
    let config = config.set("tables.include", "[public.users, public.other]");
    let mut walferry = config.start();
    sql(&postgres, "DROP TABLE users; INSERT INTO other VALUES (1)");
    delete(&config);
    sql(
        &postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication; \
         INSERT INTO other VALUES (2)",
    );
    wait_for("it goes on", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let other = config.topic("other");
        (record_count(config.bootstrap_servers(), &other) >= 2).then_some(())
    });
}

#[test]
fn the_progress_topic_while_it_streams() {
    let (postgres, config) = stage("deleted_progress", PostgresOptions::default());
    let mut walferry = config.start();
    let progress = format!("walferry.progress.{}", config.slot());
    delete_topic(config.bootstrap_servers(), &progress);
    sql(&postgres, "INSERT INTO users VALUES (2, 'not lost')");
    assert_halts(&mut walferry, "TOPIC_UNUSABLE", 26);
    assert!(!exists(config.bootstrap_servers(), &progress), "made again");
}
