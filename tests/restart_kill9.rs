//! kill -9 thirty times, at any moment, under a mixed load on three partitions: no change is lost,
//! order per key holds, and what is said again has the id and the bytes it had.

use std::thread::sleep;
use std::time::Duration;

use e2e::support::compare::{assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::journal;
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::workload::{Dice, TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, postgres};
use xtask::servers::PostgresOptions;

const KILLS: u64 = 30;
const SEED: u64 = 20_260_301;

#[test]
fn nothing_is_lost_over_thirty_kills() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    for table in TABLES {
        journal::keep(&postgres, table, key_columns(table));
    }
    let config = Config::new("kill9", &postgres, kafka()).set("topics.partitions", "3");
    config.catch_up(Duration::from_secs(30));
    let load = Workload::start(&postgres, SEED, 4, 2);
    let mut dice = Dice::new(SEED);
    for _ in 0..KILLS {
        // Every third is killed while it starts, the others while they stream.
        let mut walferry = match dice.below(3) {
            0 => config.spawn(),
            _ => config.start(),
        };
        sleep(Duration::from_millis(dice.below(700)));
        assert!(
            walferry.is_running(),
            "it ended by itself:\n{}",
            walferry.log()
        );
        walferry.kill9();
    }
    load.stop();
    config.catch_up(Duration::from_secs(60));

    let mut repeated = 0;
    for table in TABLES {
        let events = read_topic(config.bootstrap_servers(), &config.topic(table));
        let repeats = assert_at_least_once(&events);
        eprintln!("{table}: {repeats:?}");
        repeated += repeats.repeated;
        assert!(repeats.distinct > 500, "a load worth the name: {repeats:?}");
        assert_same_rows(
            &fold(&events),
            &table_rows(&postgres, table, key_columns(table)),
        );
        journal::assert_every_change(&postgres, table, &events);
        let partitions = events.iter().map(|event| event.partition).max();
        assert_eq!(partitions, Some(2), "all three partitions are used");
    }
    assert!(repeated > 0, "no kill came while something was under way");
}
