//! A record larger than its topic accepts stops the connector with its own code, names table, key
//! columns and position but no value, and loses nothing: after the setting is mended it goes on.

use std::time::Duration;

use e2e::support::compare::{assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::topic::{TopicReader, read_topic, set_topic};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, sql};
use xtask::servers::PostgresOptions;

#[test]
fn stops_by_name_and_goes_on_after_it_is_mended() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE documents (id int, part int, body text, PRIMARY KEY (id, part))",
    );
    let config = Config::new("large_record", &postgres, kafka());
    let topic = config.topic("documents");
    let mut walferry = config.start();
    sql(&postgres, "INSERT INTO documents VALUES (1, 1, 'small')");
    TopicReader::new(config.bootstrap_servers(), &topic).wait_for_count(1, Duration::from_secs(10));

    // 2.4 MB that compression cannot halve: hexadecimal digits of hashes.
    sql(
        &postgres,
        "INSERT INTO documents SELECT 4711, 2, string_agg(md5(i::text), '') FROM \
         generate_series(1, 75000) i",
    );
    sql(&postgres, "INSERT INTO documents VALUES (3, 3, 'after')");
    assert_halts(&mut walferry, "RECORD_TOO_LARGE", 21);
    let log = walferry.log();
    let halt = log.split("RECORD_TOO_LARGE").last().unwrap_or_default();
    let committed = "of the transaction committed at 0/";
    for named in [
        "public.documents",
        "key columns (id, part)",
        committed,
        topic.as_str(),
    ] {
        assert!(halt.contains(named), "{named} is not named:\n{log}");
    }
    assert!(
        !log.contains("c4ca4238a0b923820dcc509a6f75849b"),
        "a row's value is in the log"
    );
    let mut again = config.spawn();
    assert_halts(&mut again, "RECORD_TOO_LARGE", 21);

    set_topic(
        config.bootstrap_servers(),
        &topic,
        "max.message.bytes",
        "10000000",
    );
    config.catch_up(Duration::from_secs(30));
    let events = read_topic(config.bootstrap_servers(), &topic);
    // By the order of the partition: nothing was published behind the refused one, although a broker
    // that has seen nothing yet of a new producer would have taken it.
    assert_eq!(assert_at_least_once(&events).distinct, 3);
    let keys: Vec<_> = events
        .iter()
        .map(|event| event.key_json()["id"].clone())
        .collect();
    assert_eq!(keys, [1, 4711, 3]);
    assert_same_rows(
        &fold(&events),
        &table_rows(&postgres, "documents", &["id", "part"]),
    );
}

#[test]
fn a_refused_progress_record_is_not_said_to_be_a_row() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE innocent (id int PRIMARY KEY)");
    let config = Config::new("small_progress", &postgres, kafka());
    let mut walferry = config.start();
    let progress = format!("walferry.progress.{}", config.slot());
    set_topic(
        config.bootstrap_servers(),
        &progress,
        "max.message.bytes",
        "100",
    );
    // Its first row has the number that the first progress record has.
    sql(
        &postgres,
        "INSERT INTO innocent SELECT * FROM generate_series(1, 100)",
    );
    assert_halts(&mut walferry, "RECORD_TOO_LARGE", 21);
    let log = walferry.log();
    let halt = log.split("RECORD_TOO_LARGE").last().unwrap_or_default();
    assert!(halt.contains(&progress), "the topic is not named:\n{log}");
    assert!(!halt.contains("innocent"), "a row is named:\n{log}");
}
