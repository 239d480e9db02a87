//! Slots with `two_phase` on: what is prepared is published at COMMIT PREPARED, in its place and once,
//! whatever is killed in between; what is rolled back, never. Large ones in bounded memory.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{assert_halts, kafka, postgres, query, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer, versions};

const LIMIT: Duration = Duration::from_secs(90);

/// A server, and a slot with `two_phase` on that nobody has read.
fn prepared_slot(purpose: &str) -> (PostgresServer, Config) {
    let postgres = postgres(options());
    let config = with_slot(purpose, &postgres, true);
    (postgres, config)
}

fn options() -> PostgresOptions {
    PostgresOptions::default().with("max_prepared_transactions", "20")
}

/// A table, its publication and its slot.
fn with_slot(purpose: &str, postgres: &PostgresServer, two_phase: bool) -> Config {
    sql(
        postgres,
        "CREATE TABLE users (id int PRIMARY KEY, note text)",
    );
    let config = Config::new(purpose, postgres, kafka());
    let slot = config.slot();
    sql(
        postgres,
        &format!("CREATE PUBLICATION {slot} FOR TABLE users"),
    );
    let make = "SELECT pg_create_logical_replication_slot";
    sql(
        postgres,
        &format!("{make}('{slot}', 'pgoutput', false, {two_phase})"),
    );
    config
}

fn keys(config: &Config) -> Vec<i64> {
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let keys = events.iter().map(|event| event.key_json()["id"].as_i64());
    keys.map(|key| key.expect("a number")).collect()
}

#[test]
fn prepared_transactions_come_when_they_are_committed() {
    let (postgres, config) = prepared_slot("two_phase");
    for text in [
        "BEGIN; INSERT INTO users VALUES (2); PREPARE TRANSACTION 'later'",
        "BEGIN; INSERT INTO users VALUES (3); PREPARE TRANSACTION 'never'",
        "INSERT INTO users VALUES (1)",
    ] {
        sql(&postgres, text);
    }
    config.catch_up(LIMIT);
    assert_eq!(keys(&config), [1]);
    sql(&postgres, "INSERT INTO users VALUES (4)");
    config.catch_up(LIMIT);
    // Both are still to be ended: nothing of them was published.
    let waits = "SELECT count(*) FROM pg_prepared_xacts";
    assert_eq!(query_one(&postgres, waits), "2");
    sql(&postgres, "COMMIT PREPARED 'later'");
    sql(&postgres, "ROLLBACK PREPARED 'never'");
    sql(&postgres, "INSERT INTO users VALUES (5)");
    config.catch_up(LIMIT);
    assert_eq!(keys(&config), [1, 4, 2, 5]);
    // And nothing holds the slot any more.
    let written = query_one(&postgres, "SELECT pg_current_wal_lsn()");
    config.catch_up(LIMIT);
    let slot = config.slot();
    let passed = format!(
        "SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    assert_eq!(query_one(&postgres, &passed), "t");
    assert_eq!(keys(&config), [1, 4, 2, 5], "nothing is repeated");
}

#[test]
fn every_major_has_them_at_their_commit_whatever_is_restarted_in_between() {
    for release in &versions::POSTGRES {
        for two_phase in [false, true] {
            let major = release.major;
            eprintln!("Postgres {major}, two_phase {two_phase}");
            let options = PostgresOptions { major, ..options() };
            let mut server = PostgresServer::start(&options).expect("a Postgres");
            let config = with_slot("two_phase_majors", &server, two_phase);
            let mut walferry = config.start();
            for text in [
                "BEGIN; INSERT INTO users VALUES (2); PREPARE TRANSACTION 'later'",
                "BEGIN; INSERT INTO users VALUES (3); PREPARE TRANSACTION 'never'",
                "INSERT INTO users VALUES (1)",
            ] {
                sql(&server, text);
            }
            wait_for("the first is published", LIMIT, || {
                (keys(&config) == [1]).then_some(())
            });
            server.kill9();
            server.restart().expect("Postgres again");
            sql(&server, "INSERT INTO users VALUES (4)");
            wait_for("the stream goes on", LIMIT, || {
                (keys(&config) == [1, 4]).then_some(())
            });
            walferry.kill9();
            sql(&server, "COMMIT PREPARED 'later'");
            sql(&server, "ROLLBACK PREPARED 'never'");
            sql(&server, "INSERT INTO users VALUES (5)");
            config.catch_up(LIMIT);
            config.catch_up(LIMIT);
            // What kill -9 left unconfirmed may come again; what came after it is there once.
            let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
            let mut ids = BTreeMap::new();
            for event in &events {
                let key = event.key_json()["id"].as_i64();
                let known = ids.insert(event.id(), key);
                assert!(known.is_none_or(|known| known == key), "{major}");
            }
            let in_order: Vec<_> = ids.into_values().flatten().collect();
            assert_eq!(in_order, [1, 4, 2, 5], "Postgres {major}, {two_phase}");
        }
    }
}

#[test]
fn kills_between_prepare_and_commit_lose_and_repeat_nothing_else() {
    let (postgres, config) = prepared_slot("two_phase_kills");
    let mut next = 0;
    for round in 0..8 {
        let mut walferry = config.start();
        for step in 0..12 {
            next += 1;
            let gid = format!("g{round}_{step}");
            sql(
                &postgres,
                &format!("BEGIN; INSERT INTO users VALUES ({next}); PREPARE TRANSACTION '{gid}'"),
            );
            next += 1;
            sql(&postgres, &format!("INSERT INTO users VALUES ({next})"));
            // Some of them wait until after the kill.
            let waiting = query(&postgres, "SELECT gid FROM pg_prepared_xacts ORDER BY 1");
            if step % 3 != 2 || waiting.len() > 10 {
                let gid = &waiting[(round * 7 + step) % waiting.len()];
                let end = if step % 4 == 1 { "ROLLBACK" } else { "COMMIT" };
                sql(&postgres, &format!("{end} PREPARED '{gid}'"));
            }
        }
        walferry.kill9();
    }
    for gid in query(&postgres, "SELECT gid FROM pg_prepared_xacts") {
        sql(&postgres, &format!("COMMIT PREPARED '{gid}'"));
    }
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let mut ids: BTreeMap<i64, String> = BTreeMap::new();
    let mut last = None;
    for event in &events {
        let key = event.key_json()["id"].as_i64().expect("a number");
        let id = event.id();
        match ids.insert(key, id.to_string()) {
            Some(before) => assert_eq!(before, id.to_string(), "a repeat has the id it had"),
            None => {
                assert!(last.is_none_or(|last| last < id), "in the order of commits");
                last = Some(id);
            }
        }
    }
    let found: Vec<String> = ids.keys().map(ToString::to_string).collect();
    let expected = query(&postgres, "SELECT id FROM users ORDER BY 1");
    assert_eq!(found, expected);
}

#[test]
fn a_large_prepared_transaction_is_read_again() {
    let (postgres, config) = prepared_slot("two_phase_large");
    sql(
        &postgres,
        "BEGIN; INSERT INTO users SELECT g, repeat('x', 50) FROM generate_series(1, 200000) g;
         PREPARE TRANSACTION 'large'",
    );
    sql(&postgres, "INSERT INTO users VALUES (0)");
    config.catch_up(LIMIT);
    assert_eq!(keys(&config), [0]);
    let mut walferry = config.start();
    sql(&postgres, "COMMIT PREPARED 'large'");
    sql(&postgres, "INSERT INTO users VALUES (-1)");
    wait_for("some of it is there", LIMIT, || {
        let events = walferry.metrics();
        let count = events
            .iter()
            .find(|(name, _)| name.contains("operation=\"create\""));
        count.filter(|(_, count)| **count > 1000.0).map(drop)
    });
    walferry.kill9();
    let mut walferry = config.start();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    config.catch_up(LIMIT);
    let mut found = keys(&config);
    assert_eq!(found.first(), Some(&0));
    assert_eq!(found.last(), Some(&-1), "it keeps its place");
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 200_002);
}

#[test]
fn what_another_reader_has_left_behind_is_told() {
    let (postgres, config) = prepared_slot("two_phase_gone");
    let slot = config.slot();
    sql(
        &postgres,
        "BEGIN; INSERT INTO users VALUES (1); PREPARE TRANSACTION 'lost'",
    );
    sql(
        &postgres,
        &format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"),
    );
    config.catch_up(LIMIT);
    sql(&postgres, "COMMIT PREPARED 'lost'");
    // Postgres 14 sends prepared transactions at their commit, whatever the slot says.
    if query_one(&postgres, "SHOW server_version_num").starts_with("14") {
        config.catch_up(LIMIT);
        assert_eq!(keys(&config), [1]);
        return;
    }
    let mut walferry = config.spawn();
    assert_halts(&mut walferry, "PREPARED_GONE", 32);
}

/// The member of this name beside a `gid`, wherever it is.
fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(members) if members.contains_key("gid") => members.get(name),
        serde_json::Value::Object(members) => members.values().find_map(|it| find(it, name)),
        serde_json::Value::Array(items) => items.iter().find_map(|it| find(it, name)),
        _ => None,
    }
}

#[test]
fn a_forgotten_prepared_transaction_is_named() {
    let (postgres, config) = prepared_slot("two_phase_forgotten");
    let config = config.set("postgres.prepared.transaction.age", "1s");
    sql(
        &postgres,
        "BEGIN; INSERT INTO users VALUES (1); PREPARE TRANSACTION 'left'",
    );
    let mut walferry = config.start();
    wait_for("the log names it", LIMIT, || {
        let log = walferry.log();
        let told = log.contains("PREPARED_FORGOTTEN") && log.contains("ROLLBACK PREPARED 'left';");
        told.then_some(())
    });
    let metric = |walferry: &Walferry, name: &str| walferry.metrics().get(name).copied();
    assert_eq!(
        metric(&walferry, "walferry_prepared_transactions"),
        Some(1.0)
    );
    assert!(metric(&walferry, "walferry_prepared_oldest_seconds") >= Some(1.0));
    let owner = query_one(&postgres, "SELECT owner FROM pg_prepared_xacts");
    let (_, status) = walferry.get("/status").expect("the admin page");
    assert!(status.contains("\"gid\":\"left\""), "{status}");
    assert!(
        status.contains(&format!("\"owner\":\"{owner}\"")),
        "{status}"
    );
    let log = walferry.log();
    assert!(
        log.contains(&format!("transaction that {owner} prepared")),
        "{log}"
    );
    // Nobody else writes: what is kept grows with what the test writes, and is the whole slot's.
    sql(
        &postgres,
        "INSERT INTO users SELECT g, repeat('x', 500) FROM generate_series(1000, 3000) g",
    );
    wait_for("the WAL kept for the slot is told", LIMIT, || {
        let (_, status) = walferry.get("/status")?;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        let told = find(&status, "retained_bytes")?.as_u64()?;
        (told > 1_000_000).then_some(())
    });
    let said = config.command("status").output().expect("walferry status");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains(": streaming")
            && said.contains(&format!("by {owner} in postgres"))
            && said.contains("bytes of WAL in all")
            && said.contains("ROLLBACK PREPARED 'left';"),
        "{said}"
    );
    let check = config.check(&["--json"]);
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        told.contains("PREPARED_FORGOTTEN") && told.contains("COMMIT PREPARED 'left';"),
        "{told}"
    );
    sql(&postgres, "ROLLBACK PREPARED 'left'");
    wait_for("it is gone from the metrics", LIMIT, || {
        (metric(&walferry, "walferry_prepared_transactions") == Some(0.0)).then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    let nobody = config.command("status").output().expect("walferry status");
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("no walferry answers"), "{said}");
}
