//! What a kill leaves of a copy or a chunk in a topic of six partitions is neither a gap nor disorder to `walferry
//! verify`.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::{exists, read_topic, record_count};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::Value;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(90);
/// How often it is killed at most until something is missing between what is there.
const KILLS_MAX: usize = 20;

fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    sql(
        postgres,
        "CREATE TABLE big (id int PRIMARY KEY, note text);
         INSERT INTO big SELECT g, repeat('note ', 20) FROM generate_series(1, 60000) g",
    );
    Config::new(purpose, postgres, kafka()).set("topics.partitions", "6")
}

fn events(config: &Config) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic("big"))
}

/// Ordinals that are missing between others of their transaction.
fn missing(events: &[Event]) -> u64 {
    let mut spans: BTreeMap<_, (u64, u64, u64)> = BTreeMap::new();
    for id in events.iter().map(Event::id) {
        let (first, last, count) = spans.entry(id.lsn).or_insert((id.ordinal, id.ordinal, 0));
        (*first, *last) = ((*first).min(id.ordinal), (*last).max(id.ordinal));
        *count += 1;
    }
    let spans = spans.into_values();
    let missing = spans.map(|(first, last, count)| (last - first + 1).saturating_sub(count));
    missing.sum()
}

/// Kills it as soon as rows come, again and again, until a transaction has holes. Before each start there is more
/// to do.
fn kill_until_something_is_missing(config: &Config, mut ask: impl FnMut()) {
    let (servers, topic) = (config.bootstrap_servers(), config.topic("big"));
    let count = || match exists(servers, &topic) {
        true => record_count(servers, &topic),
        false => 0,
    };
    for _ in 0..KILLS_MAX {
        ask();
        let before = count();
        let mut walferry = config.start();
        wait_for("rows", LIMIT, || {
            assert!(walferry.is_running(), "{}", walferry.log());
            (count() > before).then_some(())
        });
        walferry.kill9();
        if missing(&events(config)) > 0 {
            return;
        }
    }
    panic!("{KILLS_MAX} kills have left no hole");
}

/// The codes of `verify --json`, and how it ended.
fn verify(config: &Config) -> (Option<i32>, Vec<String>, String) {
    let mut command = config.command("verify");
    let output = command.arg("--json").output().expect("walferry verify");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let code = |it: &Value| it["code"].as_str().expect("a code").to_owned();
    (
        output.status.code(),
        findings.iter().map(code).collect(),
        said,
    )
}

fn assert_sound(config: &Config) {
    let (code, mut codes, said) = verify(config);
    codes.retain(|code| code != "DUPLICATE");
    assert_eq!((code, &*codes), (Some(0), &[][..]), "{said}");
}

#[test]
fn a_copy_that_was_killed_has_no_gaps() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("verify_copy", &postgres)
        .set("snapshot.snapshot.mode", "initial")
        .set("kafka.linger.ms", "2");
    // Enough that the copy is not over when its first rows are seen.
    sql(
        &postgres,
        "INSERT INTO big SELECT g, repeat('note ', 20) FROM generate_series(60001, 300000) g",
    );
    kill_until_something_is_missing(&config, || ());
    config.catch_up(LIMIT);
    sql(&postgres, "UPDATE big SET note = 'new' WHERE id <= 100");
    config.catch_up(LIMIT);
    assert!(missing(&events(&config)) > 0, "it stays");
    assert_sound(&config);
}

#[test]
fn a_chunk_that_was_killed_has_no_gaps() {
    let postgres = postgres(PostgresOptions::default());
    let config =
        config("verify_chunk", &postgres).set("envelope.provide.transaction.metadata", "true");
    config.catch_up(LIMIT);
    let mut asked = 0;
    kill_until_something_is_missing(&config, || {
        asked += 1;
        let request = format!(
            r#"{{"id":"r{asked}","type":"execute-snapshot","data":{{"data-collections":["public.big"]}}}}"#
        );
        let message =
            format!("SELECT pg_logical_emit_message(true, 'walferry.signal', '{request}')");
        sql(&postgres, &message);
    });
    let mut walferry = config.start();
    let over = format!("the snapshot beside the stream is over request=\"r{asked}\"");
    wait_for("the end of the snapshot", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        walferry.log().contains(&over).then_some(())
    });
    sql(&postgres, "UPDATE big SET note = 'new' WHERE id <= 100");
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    assert!(missing(&events(&config)) > 0, "it stays");
    assert_sound(&config);
}
