//! A table's name may come to another table while its rows are read beside the stream, as where tables are
//! rotated or made anew and swapped: the other one is read then, and no row of the one before comes behind
//! its changes.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use e2e::support::signals::{execute_slowly, noted, wait_over};
use e2e::support::walferry::Config;
use e2e::support::{StopAtEnd, kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::incremental::{end, events};

const LIMIT: Duration = Duration::from_secs(90);
const ROWS: u32 = 5000;

/// Both tables are written all the time; `made` says which one a row is of.
fn write_on(postgres: &PostgresServer, stop: &AtomicBool) {
    let mut turn: u32 = 0;
    while !stop.load(Relaxed) {
        turn += 1;
        let ids: Vec<String> = (0..50)
            .map(|n| ((turn * 7919 + n * 104_729) % ROWS + 1).to_string())
            .collect();
        sql(
            postgres,
            &format!(
                "UPDATE orders SET version = version + 1 WHERE id IN ({})",
                ids.join(", ")
            ),
        );
    }
}

#[test]
fn no_row_of_a_table_comes_behind_its_successors_changes() {
    let postgres = postgres(PostgresOptions::default());
    for (table, made) in [("orders", 1), ("orders_new", 2)] {
        sql(
            &postgres,
            &format!(
                "CREATE TABLE {table} (id int PRIMARY KEY, made int, version int);
                 INSERT INTO {table} SELECT g, {made}, 0 FROM generate_series(1, {ROWS}) g"
            ),
        );
    }
    let config = Config::new("swapped", &postgres, kafka())
        .set("snapshot.incremental.snapshot.chunk.size", "100");
    let mut walferry = config.start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| write_on(&postgres, &stop));
        execute_slowly(&postgres, "swapped", "public.orders");
        wait_for("some chunks", LIMIT, || {
            assert!(walferry.is_running(), "{}", walferry.log());
            let chunks = noted(&config, "swapped")?["chunks"].as_u64()?;
            (chunks > 5).then_some(())
        });
        sql(
            &postgres,
            "BEGIN; ALTER TABLE orders RENAME TO orders_old;
             ALTER TABLE orders_new RENAME TO orders; COMMIT",
        );
        let over = wait_over(&config, &mut walferry, "swapped", LIMIT);
        assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    });
    end(walferry);
    config.catch_up(LIMIT);
    let events = events(&config, "orders");
    let made: Vec<u64> = events
        .iter()
        .filter_map(|event| event.json()["after"]["made"].as_u64())
        .collect();
    assert!(made.contains(&1), "nothing was read before");
    assert!(made.is_sorted(), "a row of the table that went comes late");
    let ids = events.iter().filter(|it| it.json()["after"]["made"] == 2);
    let ids: std::collections::BTreeSet<_> = ids.map(|it| it.key_json().to_string()).collect();
    let count = query_one(&postgres, "SELECT count(*) FROM orders");
    assert_eq!(ids.len().to_string(), count, "of the table that came");
}
