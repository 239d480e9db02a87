//! A standby as the server that is read: what it takes and what its primary must do is said; rows are published
//! beside the stream without a write, also while nothing moves, under kills and while the replay is paused.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::compare::{assert_at_least_once, assert_no_repeats};
use e2e::support::event::{Event, EventId};
use e2e::support::signals::noted;
use e2e::support::topic::{create_topic, write_record};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{StopAtEnd, kafka, query, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer, Slots};

use super::incremental::{
    assert_equals_table, counted_table, end, events, execute, reads, wait_over, write_on,
};

const LIMIT: Duration = Duration::from_secs(90);

/// A primary with what `text` makes, and its standby, of a major that decodes there.
pub(crate) fn pair(text: &str) -> (PostgresServer, PostgresServer) {
    let major = std::env::var("WALFERRY_TEST_POSTGRES_MAJOR").ok();
    let major = major.and_then(|major| major.parse().ok()).unwrap_or(16);
    let options = PostgresOptions {
        major: major.max(16),
        ..PostgresOptions::default()
    };
    let options = options
        .with("hot_standby_feedback", "on")
        .with("wal_receiver_status_interval", "1s");
    let mut primary = PostgresServer::start(&options).expect("a Postgres");
    sql(&primary, text);
    let standby = primary.standby(Slots::LeftOut).expect("a standby");
    (primary, standby)
}

pub(crate) fn publish(
    primary: &PostgresServer,
    standby: &PostgresServer,
    config: &Config,
    tables: &str,
) {
    let publication = config.slot();
    sql(
        primary,
        &format!("CREATE PUBLICATION {publication} FOR TABLE {tables}"),
    );
    catch_up(primary, standby);
}

/// The standby has replayed all that its primary has written.
pub(crate) fn catch_up(primary: &PostgresServer, standby: &PostgresServer) {
    let end = query_one(primary, "SELECT pg_current_wal_flush_lsn()::text");
    let passed = format!("SELECT 'yes' WHERE pg_last_wal_replay_lsn() >= '{end}'");
    wait_for("the standby", LIMIT, || {
        (!query(standby, &passed).is_empty()).then_some(())
    });
}

/// `run` for the first time: the primary tells the standby what is running, which the new slot waits for.
pub(crate) fn start(
    config: &Config,
    primary: &PostgresServer,
    standby: &PostgresServer,
) -> Walferry {
    let mut walferry = config.spawn();
    let made = format!(
        "SELECT 'yes' FROM pg_replication_slots \
         WHERE slot_name = '{}' AND confirmed_flush_lsn IS NOT NULL",
        config.slot()
    );
    wait_for("the slot", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        sql(primary, "SELECT pg_log_standby_snapshot()");
        (!query(standby, &made).is_empty()).then_some(())
    });
    walferry.wait_ready();
    walferry
}

fn chunks(config: &Config, id: &str) -> u64 {
    let noted = noted(config, id).and_then(|it| it["chunks"].as_u64());
    noted.unwrap_or_default()
}

#[test]
fn what_the_primary_must_do_is_said() {
    let (primary, standby) = pair(
        "CREATE TABLE users (id int PRIMARY KEY, name text);
         INSERT INTO users SELECT g, 'first' FROM generate_series(1, 100) g",
    );
    let config = Config::new("standby", &standby, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.heartbeat.interval.ms", "200");
    let check = || {
        let output = config.check(&[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert_eq!(code, Some(3), "{said}");
    for part in [
        "PUBLICATION_MISSING",
        "CREATE PUBLICATION",
        "on the primary",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let mut refused = config.spawn();
    assert_eq!(refused.wait_exit(LIMIT), Some(19), "{}", refused.log());
    sql(&primary, "CREATE TABLE late (id int PRIMARY KEY)");
    publish(&primary, &standby, &config, "users");
    let (code, said) = check();
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("ADD TABLE") && said.contains("on the primary"),
        "{said}"
    );
    sql(
        &primary,
        &format!("ALTER PUBLICATION {} ADD TABLE late", config.slot()),
    );
    catch_up(&primary, &standby);
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("pg_log_standby_snapshot"), "{said}");

    let walferry = start(&config, &primary, &standby);
    sql(
        &primary,
        "INSERT INTO users VALUES (101, 'new'); UPDATE users SET name = 'then' WHERE id = 1",
    );
    wait_for("rows and changes", LIMIT, || {
        let told = events(&config, "users");
        (reads(&told) == 100 && told.len() == 102).then_some(())
    });
    let beats = format!("__debezium-heartbeat.{}", config.name());
    assert!(e2e::support::topic::exists(
        config.bootstrap_servers(),
        &beats
    ));
    end(walferry);
}

#[test]
fn a_new_table_is_the_primarys_to_take_in() {
    let (primary, standby) = pair("CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("standby_young", &standby, kafka());
    publish(&primary, &standby, &config, "users");
    let walferry = start(&config, &primary, &standby);
    // Nobody tells the server that the table is there: it is found by looking.
    sql(
        &primary,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young SELECT generate_series(1, 40)",
    );
    let remedy = wait_for("the remedy", LIMIT, || {
        let log = walferry.log();
        let line = log
            .lines()
            .find(|line| line.contains("run the statements"))?;
        let (_, rest) = line.split_once("remedy=\"")?;
        let (remedy, _) = rest.rsplit_once('"')?;
        Some(remedy.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    sql(&primary, &remedy);
    wait_for("the rows of the new table", LIMIT, || {
        (reads(&events(&config, "young")) == 40).then_some(())
    });
    end(walferry);
}

#[test]
fn rows_are_published_while_the_primary_is_written() {
    let (primary, standby) = pair("");
    counted_table(&primary, 20_000);
    let config = Config::new("standby_writes", &standby, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "700");
    publish(&primary, &standby, &config, "big");
    let mut walferry = start(&config, &primary, &standby);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for seed in 1..4 {
            let (primary, stop) = (&primary, &stop);
            scope.spawn(move || write_on(primary, 20_000, seed, stop));
        }
        execute(&primary, "ad-hoc", "public.big");
        let request = wait_over(&config, &mut walferry, "ad-hoc");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
        assert!(request["chunks"].as_u64() >= Some(20), "{request}");
    });
    end(walferry);
    catch_up(&primary, &standby);
    let events = assert_equals_table(&config, &standby);
    assert_no_repeats(&events);
    let read = reads(&events);
    assert!(read > 10_000, "{read}");
}

#[test]
fn kills_while_nothing_moves_give_no_id_twice() {
    let (primary, standby) = pair("");
    counted_table(&primary, 20_000);
    sql(
        &primary,
        "CREATE TABLE other AS SELECT * FROM big; ALTER TABLE other ADD PRIMARY KEY (part, id)",
    );
    let config = Config::new("standby_idle", &standby, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "25");
    publish(&primary, &standby, &config, "big, other");
    let mut walferry = start(&config, &primary, &standby);
    execute(&primary, "idle", r"public\.(big|other)");
    for _ in 0..3 {
        let before = chunks(&config, "idle");
        wait_for("more chunks", LIMIT, || {
            assert!(walferry.is_running(), "{}", walferry.log());
            (chunks(&config, "idle") > before + 5).then_some(())
        });
        walferry.kill9();
        walferry = config.start();
    }
    let request = wait_over(&config, &mut walferry, "idle");
    assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
    sql(
        &primary,
        "UPDATE big SET n = nextval('turns') WHERE id < 50",
    );
    end(walferry);
    catch_up(&primary, &standby);
    let big = assert_equals_table(&config, &standby);
    let other = events(&config, "other");
    // Rows that are read once more have new ids, though they stand at the same place.
    for events in [&big, &other] {
        let repeats = assert_at_least_once(events);
        assert_eq!(repeats.repeated, 0, "{repeats:?}");
    }
    let ids = |events: &[Event]| -> BTreeSet<EventId> { events.iter().map(Event::id).collect() };
    let (big, other) = (ids(&big), ids(&other));
    assert_eq!(big.intersection(&other).count(), 0);
    let places: BTreeSet<u64> = big.iter().chain(&other).map(|id| id.lsn).collect();
    let chunks = request["chunks"].as_u64().expect("a number");
    assert!(
        places.len() as u64 * 3 < chunks,
        "{} of {chunks}: it was not idle",
        places.len()
    );
    let verified = config.command("verify").output().expect("walferry verify");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{said}");
}

#[test]
fn a_replay_that_is_paused_holds_no_rows_up() {
    let (primary, standby) = pair("");
    counted_table(&primary, 15_000);
    let config = Config::new("standby_paused", &standby, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "100");
    publish(&primary, &standby, &config, "big");
    let mut walferry = start(&config, &primary, &standby);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| write_on(&primary, 15_000, 5, &stop));
        execute(&primary, "paused", "public.big");
        wait_for("a chunk", LIMIT, || {
            (chunks(&config, "paused") > 3).then_some(())
        });
        sql(&standby, "SELECT pg_wal_replay_pause()");
        let request = wait_over(&config, &mut walferry, "paused");
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
        let paused = "SELECT pg_get_wal_replay_pause_state()";
        assert_eq!(query_one(&standby, paused), "paused");
        sql(&standby, "SELECT pg_wal_replay_resume()");
        // What follows a table's change of columns has them, and rows read before it have not.
        sql(&primary, "ALTER TABLE big ADD COLUMN extra int DEFAULT 5");
        execute(&primary, "altered", "public.big");
        wait_for("a chunk", LIMIT, || {
            (chunks(&config, "altered") > 3).then_some(())
        });
        sql(&primary, "ALTER TABLE big ALTER COLUMN extra TYPE bigint");
        let request = wait_over(&config, &mut walferry, "altered");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
    });
    end(walferry);
    catch_up(&primary, &standby);
    assert_equals_table(&config, &standby);
}

/// `walferry snapshot` with these arguments: its exit code, and what it said.
fn ask(config: &Config, arguments: &[&str]) -> (Option<i32>, String) {
    let output = config.command("snapshot").args(arguments).output();
    let output = output.expect("walferry snapshot");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn without_a_topic_a_signal_is_the_primarys_to_write() {
    let (primary, standby) = pair(
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40);
         CREATE TABLE heap (note text); ALTER TABLE heap REPLICA IDENTITY FULL",
    );
    let config = Config::new("standby_ask", &standby, kafka());
    publish(&primary, &standby, &config, "orders, heap");
    let walferry = start(&config, &primary, &standby);
    let (code, said) = ask(&config, &["--table", "public.heap"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("have no key"), "{said}");
    let arguments = [
        "--table",
        "public.orders",
        "--where",
        "id <> 7 AND 'it''s' <> ''",
    ];
    let (code, said) = ask(&config, &arguments);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("SNAPSHOT_STANDBY"), "{said}");
    let (_, statement) = said.split_once("goes there: ").expect("a statement");
    sql(&primary, statement);
    wait_for("the rows", LIMIT, || {
        (reads(&events(&config, "orders")) == 39).then_some(())
    });
    end(walferry);
}

#[test]
fn a_topic_of_signals_needs_no_primary() {
    let (primary, standby) = pair("");
    counted_table(&primary, 20_000);
    sql(
        &primary,
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40)",
    );
    let config = Config::new("standby_topic", &standby, kafka());
    let topic = format!("{}-signal", config.name());
    create_topic(config.bootstrap_servers(), &topic, 1, &[]);
    let config = config
        .set("envelope.signal.kafka.topic", &topic)
        .set("snapshot.incremental.snapshot.chunk.size", "50");
    publish(&primary, &standby, &config, "orders, big");
    let send = |value: &str| write_record(config.bootstrap_servers(), &topic, config.name(), value);
    let mut walferry = start(&config, &primary, &standby);
    wait_for("the topic's reader", LIMIT, || {
        walferry
            .log()
            .contains("listening to signals")
            .then_some(())
    });
    send("not even JSON");
    let (code, said) = ask(&config, &["--table", "public.orders"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("40 rows"), "{said}");
    assert_eq!(walferry.log().matches("SIGNAL_IGNORED").count(), 1);
    // What was taken is not taken again; what comes meanwhile is taken later, and goes on after a kill.
    walferry.kill9();
    send(r#"{"id":"big","type":"execute-snapshot","data":{"data-collections":["public.big"]}}"#);
    walferry = config.start();
    wait_for("a chunk", LIMIT, || {
        (chunks(&config, "big") > 3).then_some(())
    });
    walferry.kill9();
    walferry = config.start();
    assert!(walferry.log().contains("goes on"), "{}", walferry.log());
    // It stops those that came in the stream, too.
    execute(&primary, "streamed", "public.big");
    wait_for("the other request", LIMIT, || noted(&config, "streamed"));
    let (code, said) = ask(&config, &["--stop"]);
    assert_eq!(code, Some(0), "{said}");
    for id in ["big", "streamed"] {
        let request = wait_over(&config, &mut walferry, id);
        assert_eq!(request["state"], "stopped", "{request}");
    }
    end(walferry);
    assert_eq!(reads(&events(&config, "orders")), 40);
    assert!(reads(&events(&config, "big")) < 20_000);
}
