//! With no changes in captured tables the slot still follows, while other tables are written
//! heavily; and a server that is told to stop is not held up.

use std::time::{Duration, Instant};

use e2e::support::topic::record_count;
use e2e::support::walferry::Config;
use e2e::support::{bytes_behind, kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, Shutdown};

#[test]
fn an_idle_slot_follows_other_tables_and_a_fast_stop_is_fast() {
    let mut postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE quiet (id int PRIMARY KEY); CREATE TABLE busy (id serial, note text)",
    );
    let config = Config::new("idle", &postgres, kafka()).set("tables.include", "[ public.quiet ]");
    let mut walferry = config.start();
    sql(&postgres, "INSERT INTO quiet VALUES (1)");

    let start = Instant::now();
    let written = || -> i64 {
        let end = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
        query_one(&postgres, end).parse().expect("bytes")
    };
    let (mut worst, mut before) = (0, 0);
    while start.elapsed() < Duration::from_secs(20) {
        sql(
            &postgres,
            "INSERT INTO busy (note) SELECT repeat('note ', 40) FROM generate_series(1, 2000)",
        );
        std::thread::sleep(Duration::from_millis(200));
        if start.elapsed() > Duration::from_secs(10) {
            if before == 0 {
                before = written();
            }
            worst = worst.max(bytes_behind(&postgres, &config.slot()));
        }
    }
    // Without a word to the slot it would be all of it.
    let load = written() - before;
    eprintln!("{worst} bytes behind at worst, of {load}");
    assert!(worst < load / 10 * 6, "{worst} bytes behind, of {load}");
    wait_for("the slot reaches the end", Duration::from_secs(10), || {
        (bytes_behind(&postgres, &config.slot()) < 1000).then_some(())
    });
    assert_eq!(
        record_count(config.bootstrap_servers(), &config.topic("quiet")),
        1
    );

    let took = postgres.stop(Shutdown::Fast).expect("it stops");
    eprintln!("fast stop: {took:?}");
    assert!(
        took < Duration::from_secs(2),
        "pg_ctl stop -m fast took {took:?}"
    );
    assert!(
        walferry.is_running(),
        "it waits for the server:\n{}",
        walferry.log()
    );
}
