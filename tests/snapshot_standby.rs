//! Rows that are there are read on a standby, and joined to the primary's stream as exactly as if they
//! had been read there.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use e2e::support::compare::{assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::topic::{read_notes, read_topic};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{assert_halts, kafka, query_one, sql, wait_for};
use xtask::servers::{Cluster, PostgresOptions, PostgresServer, Slots};

const LIMIT: Duration = Duration::from_secs(120);
/// Those whose standbys decode.
const MAJORS: [u32; 3] = [16, 17, 18];

fn start(options: PostgresOptions) -> PostgresServer {
    PostgresServer::start(&options).expect("a Postgres")
}

/// A primary with the load's tables and a big one, and its standby; both log their statements.
fn pair(major: u32) -> (PostgresServer, PostgresServer) {
    let options = PostgresOptions {
        major,
        ..PostgresOptions::default()
    };
    let options = options
        .with("log_statement", "all")
        .with("log_replication_commands", "on")
        .with("hot_standby_feedback", "on");
    let mut primary = start(options);
    create_tables(&primary);
    sql(
        &primary,
        "CREATE TABLE big (id int PRIMARY KEY, note text, n int DEFAULT 0)
             WITH (autovacuum_enabled = off);
         INSERT INTO big SELECT g, repeat('note ', 26) FROM generate_series(1, 100000) g",
    );
    let standby = primary.standby(Slots::LeftOut).expect("a standby");
    (primary, standby)
}

fn config(purpose: &str, primary: &PostgresServer, standby: &PostgresServer) -> Config {
    Config::new(purpose, primary, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("snapshot.from", &standby.url())
}

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

/// How often a server was asked for rows.
fn copies(server: &PostgresServer) -> usize {
    let log = fs::read_to_string(server.log_file()).expect("its log");
    log.matches("COPY (SELECT").count()
}

fn wait_for_end_of_copy(walferry: &mut Walferry) {
    wait_for("the end of the copy", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let log = walferry.log();
        log.contains("all rows that were there are handed over")
            .then_some(())
    });
}

/// Each state of a row is newer than the one before: its transaction has counted it.
fn assert_never_older(events: &[Event]) -> usize {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let mut read = 0;
    for event in events {
        let json = event.json();
        let Some(version) = json["after"]["version"].as_i64() else {
            continue;
        };
        read += usize::from(event.operation() == "r");
        let key = event.key_json()["id"].to_string();
        let before = newest.insert(key.clone(), version).unwrap_or(version);
        assert!(before <= version, "{key}: {version} after {before}");
    }
    read
}

#[test]
fn the_join_is_exact_while_writers_write() {
    for major in MAJORS {
        let (primary, standby) = pair(major);
        let config = config(&format!("standby_join_{major}"), &primary, &standby);
        let load = Workload::start(&primary, u64::from(major), 3, 1);
        wait_for("some rows", LIMIT, || {
            (load.transactions() > 500).then_some(())
        });
        let mut walferry = config.start();
        wait_for_end_of_copy(&mut walferry);
        let until = load.transactions() + 300;
        wait_for("some more", LIMIT, || {
            (load.transactions() > until).then_some(())
        });
        load.stop();
        walferry.sigterm();
        assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
        config.catch_up(LIMIT);
        for table in TABLES {
            let folded = fold(&events(&config, table));
            assert_same_rows(&folded, &table_rows(&primary, table, key_columns(table)));
        }
        let read = assert_never_older(&events(&config, "accounts"));
        assert!(read > 0, "{major}: no row was read");
        assert_eq!(events(&config, "big").len(), 100_000);
        assert_eq!(
            copies(&primary),
            0,
            "{major}: rows were read on the primary"
        );
        assert!(copies(&standby) > 0);
        for server in [&primary, &standby] {
            let left = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
            assert_eq!(query_one(server, left), "0", "a slot is left behind");
        }
    }
}

#[test]
fn a_kill_and_a_standby_that_restarts_cost_no_piece_that_is_noted() {
    let (primary, mut standby) = pair(16);
    let config = config("standby_kill", &primary, &standby)
        .set("kafka.linger.ms", "100")
        .set("limits.in.flight.bytes", "256KiB");
    let noted = || {
        let notes = read_notes(config.bootstrap_servers(), &config.slot());
        notes.get("public.big").map(ToString::to_string)
    };
    let mut walferry = config.start();
    let before = wait_for("a piece", LIMIT, noted);
    walferry.kill9();
    sql(&primary, "UPDATE big SET n = 1 WHERE id <= 100");
    let mut walferry = config.start();
    wait_for("another piece", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        noted().filter(|now| *now != before)
    });
    standby.kill9();
    wait_for("it is missed", LIMIT, || {
        let log = walferry.log();
        log.contains("waiting for the standby (snapshot.from)")
            .then_some(())
    });
    // Meanwhile changes are published.
    sql(&primary, "INSERT INTO big VALUES (100001, 'new')");
    wait_for("the new row", LIMIT, || {
        let mut events = events(&config, "big").into_iter();
        events.find(|event| event.key_json()["id"] == 100_001)
    });
    standby.restart().expect("the standby again");
    wait_for_end_of_copy(&mut walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    assert_same_rows(&fold(&events), &table_rows(&primary, "big", &["id"]));
    assert!(events.len() < 200_000, "{} events", events.len());
    assert_eq!(copies(&primary), 0, "rows were read on the primary");
}

#[test]
fn recovery_that_cancels_the_reading_is_borne() {
    let (primary, standby) = pair(16);
    standby
        .configure(&[
            ("hot_standby_feedback", "off"),
            ("max_standby_streaming_delay", "0"),
        ])
        .expect("settings");
    standby.reload();
    let config = config("standby_conflict", &primary, &standby)
        .set("kafka.linger.ms", "100")
        .set("limits.in.flight.bytes", "256KiB");
    let report = String::from_utf8(config.check(&[]).stdout).expect("text");
    assert!(report.contains("STANDBY_FEEDBACK_OFF"), "{report}");
    let mut walferry = config.start();
    wait_for("a piece", LIMIT, || {
        let notes = read_notes(config.bootstrap_servers(), &config.slot());
        notes.get("public.big").map(drop)
    });
    sql(&primary, "DELETE FROM big WHERE id > 99000");
    sql(&primary, "VACUUM big");
    wait_for("the reading is cancelled", LIMIT, || {
        walferry.log().contains("connecting again").then_some(())
    });
    wait_for_end_of_copy(&mut walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let big = events(&config, "big");
    assert_same_rows(&fold(&big), &table_rows(&primary, "big", &["id"]));
}

#[test]
fn what_is_no_standby_of_this_server_is_refused_by_name() {
    let options = |major| PostgresOptions {
        major,
        ..PostgresOptions::default()
    };
    let mut old = start(options(15));
    let old_standby = old.standby(Slots::LeftOut).expect("a standby");
    let primary = start(options(16));
    let other = start(PostgresOptions {
        cluster: Cluster::New,
        ..options(16)
    });
    for (purpose, primary, from, reason) in [
        ("standby_itself", &primary, &primary, "not in recovery"),
        ("standby_other", &primary, &other, "another cluster"),
        ("standby_old", &old, &old_standby, "before Postgres 16"),
    ] {
        let setup = "CREATE TABLE IF NOT EXISTS users (id int PRIMARY KEY)";
        sql(primary, setup);
        let config = config(purpose, primary, from);
        let report = String::from_utf8(config.check(&[]).stdout).expect("text");
        assert!(report.contains("STANDBY_UNSUITABLE"), "{report}");
        assert!(report.contains(reason), "{reason}: {report}");
        let mut walferry = config.spawn();
        assert_halts(&mut walferry, "SERVER_UNSUITABLE", 28);
        let log = walferry.log();
        assert!(log.contains(reason), "{reason}: {log}");
    }
}

#[test]
fn a_standby_that_does_not_answer_is_told_by_the_check_without_its_password() {
    let (primary, mut standby) = pair(16);
    standby.kill9();
    let url = standby.url().replace("postgres@", "postgres:canary@");
    let config = config("standby_gone", &primary, &standby).set("snapshot.from", &url);
    let checked = config.check(&[]);
    let report = String::from_utf8(checked.stdout).expect("text");
    assert!(report.contains("STANDBY_UNREACHABLE"), "{report}");
    assert_eq!(
        checked.status.code(),
        Some(4),
        "a run waits for it: {report}"
    );
    assert!(!report.contains("canary"), "{report}");
    let two = "postgresql://postgres@127.0.0.1:1,127.0.0.1:2/postgres";
    let config = config.set("snapshot.from", two);
    let refused = config.check(&[]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("several servers"), "{text}");
}
