//! The copy of rows that are there takes care of the database: it pauses before the server loses the
//! slot, waits for no lock for long, and goes on where a table or a right is taken from it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::compare::{assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::session::Session;
use e2e::support::topic::{read_notes, read_topic};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{StopAtEnd, assert_halts, kafka, postgres, query, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(180);

fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka()).set("snapshot.snapshot.mode", "initial")
}

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

/// About 50 MiB, a piece each MiB.
fn big_table(postgres: &PostgresServer) {
    sql(
        postgres,
        "CREATE TABLE big (id int PRIMARY KEY, note text) WITH (autovacuum_enabled = off);
         INSERT INTO big SELECT g, repeat('note ', 200) FROM generate_series(1, 50000) g;
         CHECKPOINT",
    );
}

/// A server that keeps 64 MiB for a slot, and a copy at an unhurried pace.
fn narrow(purpose: &str) -> (PostgresServer, Config) {
    let options = PostgresOptions::default()
        .with("max_slot_wal_keep_size", "64MB")
        .with("max_wal_size", "64MB")
        .with("wal_keep_size", "0");
    let postgres = postgres(options);
    create_tables(&postgres);
    big_table(&postgres);
    sql(
        &postgres,
        "CREATE SCHEMA noise; CREATE TABLE noise.heap (line text)",
    );
    let config = unhurried(config(purpose, &postgres), "512KiB");
    (postgres, config)
}

/// So many bytes in a tenth of a second, about.
fn unhurried(config: Config, bytes: &str) -> Config {
    config
        .set("kafka.linger.ms", "100")
        .set("limits.in.flight.bytes", bytes)
}

/// Writes WAL of no table that is wanted, about 16 MiB a second, and a checkpoint after each time.
fn noise(postgres: &PostgresServer, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sql(
            postgres,
            "INSERT INTO noise.heap SELECT repeat('noise ', 160) FROM generate_series(1, 4000)",
        );
        sql(postgres, "TRUNCATE noise.heap");
        sql(postgres, "CHECKPOINT");
        thread::sleep(Duration::from_millis(250));
    }
}

fn with_noise(postgres: &PostgresServer, meanwhile: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| noise(postgres, &stop));
        meanwhile();
    });
}

fn wait_for_end_of_copy(walferry: &mut Walferry) {
    wait_for("the end of the copy", LIMIT, || {
        let log = walferry.log();
        assert!(walferry.is_running(), "{log}");
        log.contains("all rows that were there are handed over")
            .then_some(())
    });
}

#[test]
fn pauses_keep_the_slot_where_it_would_be_lost() {
    let (postgres, config) = narrow("care_pauses");
    let load = Workload::start(&postgres, 21, 2, 5);
    with_noise(&postgres, || {
        let mut walferry = config.start();
        wait_for_end_of_copy(&mut walferry);
        let pauses = walferry.metrics()["walferry_snapshot_pauses_total"];
        assert!(pauses >= 1.0, "{}", walferry.log());
        assert!(walferry.log().contains("snapshot paused"));
        walferry.sigterm();
        assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    });
    load.stop();
    config.catch_up(LIMIT);
    for table in TABLES {
        let folded = fold(&events(&config, table));
        assert_same_rows(&folded, &table_rows(&postgres, table, key_columns(table)));
    }
    let big = events(&config, "big");
    assert_same_rows(&fold(&big), &table_rows(&postgres, "big", &["id"]));
    assert!(big.len() < 75_000, "{} rows: pieces were noted", big.len());
}

/// The same load, and no pause: what the pauses are for.
#[test]
fn without_pauses_the_slot_is_lost() {
    let (postgres, config) = narrow("care_lost");
    let config = config.set("snapshot.wal.max.bytes", "1024GiB");
    with_noise(&postgres, || {
        let mut walferry = config.spawn();
        let code = walferry.wait_exit(LIMIT);
        let log = walferry.log();
        assert!(log.contains("SLOT_LOST"), "{code:?}: {log}");
        assert!(
            log.contains("can be lost before the snapshot pauses"),
            "{log}"
        );
    });
}

fn wait_until_waited_for(postgres: &PostgresServer, xid: u32) {
    let waiting = format!(
        "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted \
         AND transactionid = '{xid}'::xid"
    );
    wait_for("somebody waits for the transaction", LIMIT, || {
        query(postgres, &waiting).pop()
    });
}

/// A walferry whose copy comes to tables that somebody has locked before it, and who has. A new slot waits for
/// those that run when it begins, and then for those that run by then; who comes behind them can lock the
/// tables before the copy does.
fn start_behind_a_lock(
    config: &Config,
    postgres: &PostgresServer,
    tables: &str,
) -> (Walferry, Session) {
    let [first, second, locker] = [(); 3].map(|()| Session::open(postgres));
    let xid = first.begin();
    let walferry = config.spawn();
    wait_until_waited_for(postgres, xid);
    let xid = second.begin();
    first.run("COMMIT");
    wait_until_waited_for(postgres, xid);
    locker.run(&format!(
        "BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"
    ));
    second.run("COMMIT");
    (walferry, locker)
}

fn wait_for_piece(config: &Config) {
    wait_for("a piece", LIMIT, || {
        let notes = read_notes(config.bootstrap_servers(), &config.slot());
        notes.get("public.big").map(drop)
    });
}

#[test]
fn changes_are_published_while_a_snapshot_waits_for_a_long_transaction() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("care_long", &postgres);
    let slot = config.slot();
    sql(
        &postgres,
        &format!(
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users VALUES (1, 'old');
             CREATE PUBLICATION {slot} FOR TABLE users"
        ),
    );
    // A slot that was there before: its copy is of the present, as that of a run that was killed.
    let make = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    sql(&postgres, &make);
    let long = Session::open(&postgres);
    let _ = long.begin();
    let mut walferry = config.spawn();
    sql(&postgres, "INSERT INTO users VALUES (2, 'new')");
    let operations = || -> Vec<String> {
        let events = events(&config, "users");
        events.iter().map(Event::operation).collect()
    };
    wait_for("the change", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        (operations() == ["c"]).then_some(())
    });
    long.run("COMMIT");
    wait_for("the rows", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        (operations() == ["c", "r", "r"]).then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}

#[test]
fn a_table_that_somebody_has_locked_is_named_and_waited_for_in_short_turns() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)",
    );
    let config = config("care_locked", &postgres).set("snapshot.snapshot.lock.timeout.ms", "300");
    let (mut walferry, locker) = start_behind_a_lock(&config, &postgres, "users");
    wait_for("the table is named", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let log = walferry.log();
        (log.contains("copying table public.users: lock the table") && log.contains("55P03"))
            .then_some(())
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";
    wait_for("nobody waits for the lock", LIMIT, || {
        (query_one(&postgres, waiting) == "0").then_some(())
    });
    locker.run("INSERT INTO users VALUES (2); COMMIT");
    wait_for_end_of_copy(&mut walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let folded = fold(&events(&config, "users"));
    assert_same_rows(&folded, &table_rows(&postgres, "users", &["id"]));
}

/// Between the snapshot and its lock: the rows of that name are another table's by then, and what was changed
/// of that one since the snapshot is in the stream under the other name.
#[test]
fn a_name_that_comes_to_another_table_takes_another_snapshot() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, note text); INSERT INTO users VALUES (1, 'first');
         CREATE TABLE visitors (id int PRIMARY KEY, note text);
         INSERT INTO visitors VALUES (1, 'first'), (2, 'first')",
    );
    let config = config("care_swapped", &postgres);
    let (mut walferry, locker) = start_behind_a_lock(&config, &postgres, "users, visitors");
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";
    wait_for("the copy waits for its lock", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        (query_one(&postgres, waiting) == "1").then_some(())
    });
    locker.run(
        "UPDATE visitors SET note = 'then' WHERE id = 2;
         ALTER TABLE users RENAME TO former; ALTER TABLE visitors RENAME TO users;
         ALTER TABLE former RENAME TO visitors; COMMIT",
    );
    wait_for_end_of_copy(&mut walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let folded = fold(&events(&config, "users"));
    assert_same_rows(&folded, &table_rows(&postgres, "users", &["id"]));
}

#[test]
fn who_would_change_a_table_waits_for_its_copy_and_who_writes_does_not() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres);
    let config = unhurried(config("care_held", &postgres), "256KiB");
    let mut walferry = config.start();
    wait_for_piece(&config);
    let hurried = "SET lock_timeout = '200ms'";
    for change in [
        "DROP TABLE big",
        "TRUNCATE big",
        "ALTER TABLE big ADD more int",
    ] {
        let refused = postgres.execute("postgres", &format!("{hurried}; {change}"));
        let error = refused.expect_err(change).to_string();
        assert!(error.contains("lock timeout"), "{change}: {error}");
    }
    let writer = Session::open(&postgres);
    writer.run(hurried);
    for write in [
        "UPDATE big SET note = 'new' WHERE id = 50000",
        "VACUUM big",
        "CREATE INDEX ON big (note)",
    ] {
        writer.run(write);
    }
    assert!(
        !walferry.log().contains("are handed over"),
        "it was under way"
    );
    wait_for_end_of_copy(&mut walferry);
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let folded = fold(&events(&config, "big"));
    assert_same_rows(&folded, &table_rows(&postgres, "big", &["id"]));
}

/// Who waits for a lock makes all wait that come behind, other readers of the copy too.
#[test]
fn who_waits_to_change_a_table_holds_up_neither_its_copy_nor_himself_for_ever() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres);
    let config = unhurried(config("care_queued", &postgres), "512KiB")
        .set("snapshot.snapshot.max.threads", "3")
        .set("snapshot.snapshot.lock.timeout.ms", "500");
    let mut walferry = config.start();
    wait_for_piece(&config);
    let changer = Session::open(&postgres);
    thread::scope(|scope| {
        let change = scope.spawn(|| changer.run("ALTER TABLE big ADD more int DEFAULT 1"));
        wait_for_end_of_copy(&mut walferry);
        change.join().expect("the change");
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    config.catch_up(LIMIT);
    let keys: BTreeSet<_> = events(&config, "big")
        .into_iter()
        .map(|it| it.key)
        .collect();
    assert_eq!(keys.len(), 50_000);
}

#[test]
fn a_right_that_is_taken_back_midway_stops_by_name_and_the_rest_follows_once_it_is_given() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres);
    let config = unhurried(config("care_revoked", &postgres), "512KiB");
    sql(
        &postgres,
        &format!(
            "CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON big TO reader;
             CREATE PUBLICATION {} FOR TABLE big",
            config.slot()
        ),
    );
    let url = postgres.url().replace("postgres@", "reader@");
    let config = config.set("postgres.url", &url);
    let mut walferry = config.start();
    wait_for_piece(&config);
    sql(&postgres, "REVOKE SELECT ON big FROM reader");
    assert_halts(&mut walferry, "AUTHORIZATION", 25);
    let log = walferry.log();
    let halt = log.split("AUTHORIZATION").last().unwrap_or_default();
    assert!(halt.contains("public.big"), "it is not named:\n{log}");
    sql(&postgres, "GRANT SELECT ON big TO reader");
    config.catch_up(LIMIT);
    let big = events(&config, "big");
    assert_same_rows(&fold(&big), &table_rows(&postgres, "big", &["id"]));
    assert!(big.len() < 100_000, "{} rows: pieces were noted", big.len());
}

#[test]
fn a_table_altered_or_dropped_between_two_runs_is_gone_on_with_as_it_is() {
    let postgres = postgres(PostgresOptions::default());
    big_table(&postgres);
    sql(
        &postgres,
        "CREATE TABLE zebra (id int PRIMARY KEY); INSERT INTO zebra VALUES (1), (2)",
    );
    let config = unhurried(config("care_altered", &postgres), "256KiB")
        .set("snapshot.snapshot.max.threads", "1");
    let mut walferry = config.start();
    wait_for_piece(&config);
    walferry.kill9();
    sql(
        &postgres,
        "ALTER TABLE big DROP note, ADD more int DEFAULT 7",
    );
    let mut walferry = config.start();
    wait_for("a row of the new shape", LIMIT, || {
        let events = events(&config, "big");
        let last = events.last()?.json();
        (last["after"]["more"] == 7 && last["after"].get("note").is_none()).then_some(())
    });
    walferry.kill9();
    let keys: BTreeSet<_> = events(&config, "big")
        .into_iter()
        .map(|it| it.key)
        .collect();
    assert!(keys.len() < 50_000, "it was under way");
    sql(&postgres, "DROP TABLE big");
    config.catch_up(LIMIT);
    let folded = fold(&events(&config, "zebra"));
    assert_same_rows(&folded, &table_rows(&postgres, "zebra", &["id"]));
    let notes = read_notes(config.bootstrap_servers(), &config.slot());
    assert!(!notes.contains_key("public.big"), "its note is taken back");
}
