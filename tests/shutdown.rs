//! SIGTERM and SIGINT drain: exit 0, the slot free, nothing repeated afterwards. A second signal,
//! or the end of patience, ends it at once, with a code of its own and nothing lost.

use std::time::{Duration, Instant};

use e2e::support::compare::{
    assert_at_least_once, assert_no_repeats, assert_same_rows, fold, table_rows,
};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, own_kafka, postgres, sql, wait_for, walsender};
use rustix::process::Signal;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_signal_under_load_drains_and_repeats_nothing() {
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    let config = Config::new("drain", &postgres, kafka()).set("topics.partitions", "2");
    let mut walferry = config.start();
    let load = Workload::start(&postgres, 3, 3, 1);
    for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
        // This run's own: the numbers begin anew with each.
        wait_for("it is in the midst of the load", LIMIT, || {
            let records = walferry.metrics().get("walferry_records_total").copied();
            (records >= Some(300.0)).then_some(())
        });
        let start = Instant::now();
        walferry.signal(signal);
        let code = walferry.wait_exit(Duration::from_secs(10));
        assert_eq!(code, Some(0), "{signal:?}:\n{}", walferry.log());
        eprintln!("drained in {:?}", start.elapsed());
        assert_eq!(
            walsender(&postgres, &config.slot()),
            None,
            "the slot is free"
        );
        walferry = config.start();
    }
    load.stop();
    walferry.sigterm();
    assert_eq!(
        walferry.wait_exit(Duration::from_secs(10)),
        Some(0),
        "{}",
        walferry.log()
    );
    config.catch_up(Duration::from_secs(30));
    for table in TABLES {
        let events = read_topic(config.bootstrap_servers(), &config.topic(table));
        assert_no_repeats(&events);
        assert_same_rows(
            &fold(&events),
            &table_rows(&postgres, table, key_columns(table)),
        );
    }
}

#[test]
fn impatience_ends_it_at_once_and_loses_nothing() {
    let (postgres, mut kafka) = (postgres(PostgresOptions::default()), own_kafka());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new("impatient", &postgres, &kafka);
    // The exit code, how patient it is by itself, and whether a second signal is sent.
    let rounds = [(5, "2s", false), (6, "1h", true)];
    for (round, (code, patience, twice)) in rounds.into_iter().enumerate() {
        let config = config.another_instance().set("shutdown.timeout", patience);
        let mut walferry = config.start();
        kafka.pause();
        let first = round * 100;
        sql(
            &postgres,
            &format!(
                "INSERT INTO users SELECT i, 'x' FROM generate_series({first}, {first} + 99) i"
            ),
        );
        // Those of the round before may be among them: they were not confirmed.
        let in_flight = || {
            walferry
                .metrics()
                .get("walferry_in_flight_records")
                .copied()
        };
        wait_for("what cannot be acknowledged", LIMIT, || {
            (in_flight() >= Some(100.0)).then_some(())
        });
        walferry.sigterm();
        if twice {
            wait_for("the drain", LIMIT, || {
                walferry.log().contains("draining").then_some(())
            });
            walferry.sigterm();
        }
        assert_eq!(walferry.wait_exit(LIMIT), Some(code), "{}", walferry.log());
        kafka.resume();
    }
    config.catch_up(Duration::from_secs(60));
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    assert_eq!(assert_at_least_once(&events).distinct, 200);
    assert_same_rows(&fold(&events), &table_rows(&postgres, "users", &["id"]));
    kafka.stop().expect("an orderly stop");
}
