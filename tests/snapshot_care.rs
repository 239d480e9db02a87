//! The copy of rows that are there takes care of the database: it pauses before the server loses the
//! slot, waits for no lock for long, and goes on where a table or a right is taken from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::compare::{assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, postgres, sql, wait_for};
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
    let config = config(purpose, &postgres)
        .set("kafka.linger.ms", "100")
        .set("limits.in.flight.bytes", "512KiB");
    (postgres, config)
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
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
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
