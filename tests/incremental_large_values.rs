//! Large values reach the topic by the rows that are asked for, though updates that carry none of them never pause: on a
//! primary, and on a standby.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::support::event::Event;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::Dice;
use e2e::support::{StopAtEnd, kafka, postgres, sql};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::incremental::{assert_equals_table, counted_table, end, execute, reads, wait_over};
use super::standby::{catch_up, pair, publish, start};

const ROWS: u32 = 2_000;
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Each row has a value that no page has room for.
fn large_table(postgres: &PostgresServer) {
    counted_table(postgres, ROWS);
    sql(
        postgres,
        "ALTER TABLE big ADD large text;
         ALTER TABLE big ALTER large SET STORAGE EXTERNAL;
         UPDATE big SET large = repeat(md5(id::text), 100)",
    );
}

/// Nearly all of it leaves the large values alone.
fn write_on(postgres: &PostgresServer, seed: u64, stop: &AtomicBool) {
    let mut random = Dice::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut text = String::new();
        for _ in 0..20 {
            let id = random.below(u64::from(ROWS)) + 1;
            let part = id % 3;
            let at = format!("id = {id} AND part = 'p{part}'");
            text += &match random.below(100) {
                0 => format!("DELETE FROM big WHERE {at};"),
                1 => format!(
                    "INSERT INTO big VALUES ({id}, 'p{part}', nextval('turns'), 'new', repeat('new', 1000))
                         ON CONFLICT (part, id) DO UPDATE
                         SET n = nextval('turns'), large = repeat('other', 1000);"
                ),
                _ => format!("UPDATE big SET n = nextval('turns') WHERE {at};"),
            };
        }
        // A deadlock of two writers rolls back; that is well, too.
        let _ = postgres.query_text("postgres", &text);
    }
}

fn read_under_writes(config: &Config, walferry: &mut Walferry, primary: &PostgresServer) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for seed in 1..4 {
            let stop = &stop;
            scope.spawn(move || write_on(primary, seed, stop));
        }
        execute(primary, "ad-hoc", "public.big");
        let request = wait_over(config, walferry, "ad-hoc");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
        assert!(request["chunks"].as_u64() >= Some(20), "{request}");
    });
}

/// All rows were read whole, though the stream had many of them without their large value before.
fn assert_read_whole(events: &[Event]) {
    let mut partial = HashSet::new();
    let mut filled = 0;
    for event in events.iter().filter(|event| event.value.is_some()) {
        let (json, key) = (event.json(), event.key_json().to_string());
        let is_partial = json["after"]["large"] == UNAVAILABLE;
        if event.operation() == "r" {
            assert!(!is_partial, "{json}");
            filled += usize::from(partial.contains(&key));
        }
        if is_partial {
            partial.insert(key);
        }
    }
    assert!(filled > 0 && reads(events) > 1_500, "{filled}");
}

#[test]
fn updates_that_leave_large_values_alone_lose_none() {
    let postgres = postgres(PostgresOptions::default());
    large_table(&postgres);
    let config = Config::new("beside_large", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    read_under_writes(&config, &mut walferry, &postgres);
    end(walferry);
    assert_read_whole(&assert_equals_table(&config, &postgres));
}

#[test]
fn neither_on_a_standby() {
    let (primary, standby) = pair("");
    large_table(&primary);
    let config = Config::new("standby_large", &standby, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    publish(&primary, &standby, &config, "big");
    let mut walferry = start(&config, &primary, &standby);
    read_under_writes(&config, &mut walferry, &primary);
    end(walferry);
    catch_up(&primary, &standby);
    assert_read_whole(&assert_equals_table(&config, &standby));
}
