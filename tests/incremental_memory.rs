//! A whole table is changed in one transaction while its rows are read beside the stream over several
//! connections, in bounded memory: what is noted of the changes is kept once, and given up where it is too much.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::support::signals::{execute_slowly, noted, wait_over};
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(120);
const RSS_MAX: u64 = 96 << 20;

/// Reads the rows of `big` while this statement changes all of them; in the end each row was read once.
fn change_all_while_read(purpose: &str, (create, rows): (&str, usize), update: &str) {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, create);
    let config = Config::new(purpose, &postgres, kafka())
        .set("snapshot.snapshot.max.threads", "4")
        .set("snapshot.incremental.snapshot.chunk.size", "4000");
    let mut walferry = config.start();
    execute_slowly(&postgres, "all", "public.big");
    wait_for("some chunks", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        (noted(&config, "all")?["chunks"].as_u64()? >= 3).then_some(())
    });
    sql(&postgres, update);
    let before = noted(&config, "all").expect("a note");
    assert_eq!(before["state"], "running", "too late: {before}");
    let over = wait_over(&config, &mut walferry, "all", LIMIT);
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    let peak = walferry.memory_peak();
    eprintln!("{} MiB at the peak", peak >> 20);
    let events = read_topic(config.bootstrap_servers(), &config.topic("big"));
    let read = events.iter().filter(|event| event.operation() == "r");
    let read: Vec<_> = read.map(|event| event.key.clone()).collect();
    let distinct: BTreeSet<_> = read.iter().collect();
    eprintln!(
        "{} of {rows} rows were read, {} changes",
        read.len(),
        events.len() - read.len()
    );
    assert_eq!(read.len(), distinct.len(), "a row was read twice");
    assert!(peak <= RSS_MAX, "{} MiB at the peak", peak >> 20);
}

#[test]
fn four_hundred_thousand_changes() {
    let create = "CREATE TABLE big (id int PRIMARY KEY, n int, name text);
        INSERT INTO big SELECT g, 0, 'a name that is rather long, number ' || g
            FROM generate_series(1, 400000) g";
    change_all_while_read("memory", (create, 400_000), "UPDATE big SET n = 1");
}

#[test]
fn large_values_are_left_alone() {
    let create = "CREATE TABLE big (id int PRIMARY KEY, n int, name text, large text);
        ALTER TABLE big ALTER large SET STORAGE EXTERNAL, ALTER name SET STORAGE PLAIN;
        INSERT INTO big SELECT g, 0, repeat('n', 600), repeat('x', 2100)
            FROM generate_series(1, 80000) g";
    change_all_while_read("memory_large", (create, 80_000), "UPDATE big SET n = 1");
}
