//! Rows that are asked for by a blocking snapshot are read at one point of the stream: joined to the changes
//! around them without a gap and without an overlap, with a key or without, and through kills.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::compare::{assert_no_repeats, assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::signals::{noted, noted_parts, signal, wait_over};
use e2e::support::topic::{create_topic, read_notes, read_topic, write_record};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::Dice;
use e2e::support::{StopAtEnd, kafka, postgres, query, query_one, sql, wait_for};
use serde_json::{Value, json};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(90);
const UNAVAILABLE: &str = "__debezium_unavailable_value";

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

fn reads(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.operation() == "r")
}

fn execute(postgres: &PostgresServer, id: &str, tables: &[&str]) {
    let data = json!({ "data-collections": tables, "type": "blocking" });
    signal(postgres, id, "execute-snapshot", &data);
}

fn end(mut walferry: Walferry) {
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}

/// One with a key, whose `n` grows with each write, and one without a key, with rows that are alike; both
/// with large values.
fn two_tables(postgres: &PostgresServer, rows: u32) {
    sql(
        postgres,
        &format!(
            "CREATE SEQUENCE turns;
             CREATE TABLE keyed (id int PRIMARY KEY, n bigint, note text);
             ALTER TABLE keyed ALTER note SET STORAGE EXTERNAL;
             CREATE TABLE loose (v int, note text);
             ALTER TABLE loose ALTER note SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
             INSERT INTO keyed SELECT g, nextval('turns'),
                 CASE WHEN g % 500 = 0 THEN repeat('large ' || g, 800) ELSE repeat('note ', 20) END
                 FROM generate_series(1, {rows}) g;
             INSERT INTO loose SELECT g % 1000,
                 CASE WHEN g % 500 = 0 THEN repeat('large', 1000) ELSE repeat('note ', 20) END
                 FROM generate_series(1, {rows}) g"
        ),
    );
}

/// Writes to both until told to stop.
fn write_on(postgres: &PostgresServer, rows: u32, seed: u64, stop: &AtomicBool) {
    let mut random = Dice::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut text = String::new();
        for _ in 0..10 {
            let id = random.below(u64::from(rows) + 200) + 1;
            let v = random.below(1000);
            let one = format!("ctid = (SELECT ctid FROM loose WHERE v = {v} LIMIT 1)");
            text += &match random.below(8) {
                0 => format!("DELETE FROM keyed WHERE id = {id};"),
                1 => format!(
                    "INSERT INTO keyed VALUES ({id}, nextval('turns'), 'new')
                         ON CONFLICT (id) DO UPDATE SET n = nextval('turns');"
                ),
                2 => format!("DELETE FROM loose WHERE {one};"),
                3 => format!("INSERT INTO loose VALUES ({v}, 'new'), ({v}, 'new');"),
                4 => format!("UPDATE loose SET v = v + 1 WHERE {one};"),
                _ => format!("UPDATE keyed SET n = nextval('turns') WHERE id = {id};"),
            };
        }
        // A deadlock of two writers rolls back; that is well, too.
        let _ = postgres.query_text("postgres", &text);
    }
}

/// From the first row that was read on.
fn from_reads(events: &[Event]) -> &[Event] {
    let first = events.iter().position(|event| event.operation() == "r");
    &events[first.expect("rows that were read")..]
}

/// The rows read stand together, and everything that is newer than them comes behind them, and nothing
/// else does.
fn assert_joined(events: &[Event]) {
    let rest = from_reads(events);
    let block = reads(events).count();
    assert!(rest[..block].iter().all(|it| it.operation() == "r"));
    let point = rest[0].id();
    assert!(rest[..block].iter().all(|it| it.id().lsn == point.lsn));
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.value.is_some()) {
        let Some(n) = event.json()["after"]["n"].as_i64() else {
            continue;
        };
        let before = newest.insert(event.key_json().to_string(), n).unwrap_or(0);
        match event.operation().as_str() {
            "r" => assert!(n >= before, "{} is older than {before}", event.json()),
            _ => assert!(n > before, "{} is not newer than {before}", event.json()),
        }
    }
}

/// How many rows of each content there are, in the topic of a table without a key.
fn fold_loose(events: &[Event]) -> BTreeMap<(i64, String), i64> {
    let mut counts = BTreeMap::new();
    for event in from_reads(events) {
        let json = event.json();
        let row = |side: &str| {
            let note = match json[side]["note"].as_str() {
                Some(UNAVAILABLE) => json["before"]["note"].as_str(),
                note => note,
            };
            let v = json[side]["v"].as_i64().expect("a number");
            (v, note.expect("a text").to_owned())
        };
        if !json["before"].is_null() {
            *counts.entry(row("before")).or_default() -= 1;
        }
        if !json["after"].is_null() {
            *counts.entry(row("after")).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count != 0);
    counts
}

fn loose_rows(postgres: &PostgresServer) -> BTreeMap<(i64, String), i64> {
    let rows = query(postgres, "SELECT to_jsonb(t)::text FROM loose t");
    let mut counts = BTreeMap::new();
    for row in rows {
        let row: Value = serde_json::from_str(&row).expect("JSON");
        let v = row["v"].as_i64().expect("a number");
        let note = row["note"].as_str().expect("a text").to_owned();
        *counts.entry((v, note)).or_default() += 1;
    }
    counts
}

fn assert_markers(of_all: &[&[Event]]) {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for event in of_all.iter().flat_map(|events| reads(events)) {
        let word = event.json()["source"]["snapshot"].clone();
        *words
            .entry(word.as_str().unwrap_or("?").to_owned())
            .or_default() += 1;
    }
    let all: usize = words.values().sum();
    for word in [
        "first",
        "first_in_data_collection",
        "last_in_data_collection",
        "last",
    ] {
        assert_eq!(words.get(word), Some(&1), "{word} of {words:?}");
    }
    assert_eq!(words.get("true"), Some(&(all - 4)), "{words:?}");
}

#[test]
fn all_rows_are_read_at_one_point_while_writers_go_on() {
    let postgres = postgres(PostgresOptions::default());
    two_tables(&postgres, 30_000);
    let config = Config::new("blocking", &postgres, kafka());
    let mut walferry = config.start();
    let stop = AtomicBool::new(false);
    let request = thread::scope(|scope| {
        for seed in 1..4 {
            let (postgres, stop) = (&postgres, &stop);
            scope.spawn(move || write_on(postgres, 30_000, seed, stop));
        }
        let _ending = StopAtEnd(&stop);
        wait_for("changes before", LIMIT, || {
            (events(&config, "keyed").len() > 200).then_some(())
        });
        execute(&postgres, "ad-hoc", &["public.keyed", "public\\.loo.*"]);
        let request = wait_over(&config, &mut walferry, "ad-hoc", LIMIT);
        let then = events(&config, "keyed").len();
        wait_for("changes behind", LIMIT, || {
            (events(&config, "keyed").len() > then + 200).then_some(())
        });
        request
    });
    let metrics = walferry.metrics();
    assert!(metrics["walferry_snapshot_rows"] > 50_000.0, "{metrics:?}");
    end(walferry);
    config.catch_up(LIMIT);
    let (keyed, loose) = (events(&config, "keyed"), events(&config, "loose"));
    assert_no_repeats(&keyed);
    assert_joined(&keyed);
    assert_joined(&loose);
    assert_markers(&[&keyed, &loose]);
    assert_same_rows(
        &fold(from_reads(&keyed)),
        &table_rows(&postgres, "keyed", &["id"]),
    );
    assert!(fold_loose(&loose) == loose_rows(&postgres), "loose differs");
    let read = reads(&keyed).count() + reads(&loose).count();
    assert_eq!(request["state"], "done", "{request}");
    assert_eq!(request["rows"], read, "{request}");
    assert!(noted_parts(&config).is_empty(), "the notes are taken back");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(query_one(&postgres, slots), "1", "no slot is left behind");
}

#[test]
fn kills_in_the_middle_read_the_rest_and_nothing_is_done_twice() {
    let postgres = postgres(PostgresOptions::default());
    two_tables(&postgres, 120_000);
    let config = Config::new("blocking_kills", &postgres, kafka());
    let mut walferry = config.start();
    let stop = AtomicBool::new(false);
    let left = thread::scope(|scope| {
        scope.spawn(|| write_on(&postgres, 120_000, 9, &stop));
        let _ending = StopAtEnd(&stop);
        let mut left = 0;
        execute(&postgres, "long", &["public.keyed", "public.loose"]);
        let mut before = BTreeMap::new();
        for _ in 0..4 {
            wait_for("another piece", LIMIT, || {
                assert!(walferry.is_running(), "{}", walferry.log());
                let parts = noted_parts(&config);
                (parts != before && !parts.is_empty()).then_some(())
            });
            walferry.kill9();
            before = noted_parts(&config);
            let request = noted(&config, "long").expect("a note");
            assert_eq!(request["state"], "running", "it is not over yet");
            left = rows_left(&postgres, &before);
            walferry = config.start();
        }
        let request = wait_over(&config, &mut walferry, "long", LIMIT);
        // As early as can be: the position behind the rows may not be stored yet.
        walferry.kill9();
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
        left
    });
    config.catch_up(LIMIT);
    let (keyed, loose) = (events(&config, "keyed"), events(&config, "loose"));
    let all = || reads(&keyed).chain(reads(&loose));
    let point = all().map(Event::id).max().expect("rows").lsn;
    let in_last = all().filter(|event| event.id().lsn == point).count();
    // Beside the rest, what writers have touched since the first run.
    assert!(
        in_last < left + 20_000,
        "{in_last} of {left}: the last run read the rest"
    );
    assert!(left < 210_000, "{left}");
    assert_same_rows(&fold(&keyed), &table_rows(&postgres, "keyed", &["id"]));
    // What was under way at a kill comes again; nothing is missing.
    let read = reads(&loose).count();
    assert!((100_000..200_000).contains(&read), "{read}");
    let before = reads(&keyed).count() + read;
    let walferry = config.start();
    sql(
        &postgres,
        "INSERT INTO keyed VALUES (0, nextval('turns'), 'x')",
    );
    end(walferry);
    let after = reads(&events(&config, "keyed")).count() + reads(&events(&config, "loose")).count();
    assert_eq!(before, after, "a request that is done is not done again");
    assert!(noted_parts(&config).is_empty(), "the notes are taken back");
}

/// How many rows are in blocks that are not noted as done.
fn rows_left(postgres: &PostgresServer, parts: &BTreeMap<String, Value>) -> usize {
    let rows = |text: &str| -> usize { query_one(postgres, text).parse().expect("a number") };
    let mut left = 0;
    for table in ["keyed", "loose"] {
        let done = parts.get(&format!("public.{table}"));
        let ranges = done.and_then(|part| part["done"].as_array());
        let outside: Vec<String> = ranges
            .into_iter()
            .flatten()
            .map(|range| {
                let (start, end) = (&range[0], &range[1]);
                format!(" AND NOT (ctid >= '({start},0)' AND ctid < '({end},0)')")
            })
            .collect();
        let outside = outside.concat();
        left += rows(&format!("SELECT count(*) FROM {table} WHERE true{outside}"));
    }
    left
}

#[test]
fn every_door_leads_to_it_and_requests_keep_their_order() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, total int);
         INSERT INTO orders SELECT g, g FROM generate_series(1, 2000) g;
         CREATE TABLE keyless (note text); ALTER TABLE keyless REPLICA IDENTITY FULL;
         INSERT INTO keyless VALUES ('a'), ('a');
         CREATE TABLE signals (id text PRIMARY KEY, type text, data text)",
    );
    let config = Config::new("blocking_doors", &postgres, kafka());
    let topic = format!("{}-signal", config.name());
    let config = config
        .set("envelope.signal.kafka.topic", &topic)
        .set("envelope.signal.data.collection", "public.signals")
        .set("snapshot.incremental.snapshot.chunk.size", "50");
    create_topic(config.bootstrap_servers(), &topic, 1, &[]);
    let mut walferry = config.start();
    // The one behind the other, whichever kind they are of.
    let beside = json!({ "data-collections": ["public.orders", "public.keyless"] });
    signal(&postgres, "beside", "execute-snapshot", &beside);
    let data = r#"{"data-collections": ["public.orders"], "type": "BLOCKING"}"#;
    sql(
        &postgres,
        &format!("INSERT INTO signals VALUES ('row', 'execute-snapshot', '{data}')"),
    );
    assert_eq!(
        wait_over(&config, &mut walferry, "row", LIMIT)["rows"],
        2000
    );
    let beside = noted(&config, "beside").expect("a note");
    assert_eq!(beside["state"], "failed", "{beside}");
    let reason = beside["problems"].to_string();
    assert!(reason.contains("--blocking"), "{reason}");
    let words: Vec<bool> = reads(&events(&config, "orders"))
        .map(|event| event.json()["source"]["snapshot"] == "incremental")
        .collect();
    let first = words.iter().position(|is_beside| !is_beside);
    assert_eq!(
        (words.len(), first),
        (4000, Some(2000)),
        "they keep their order"
    );
    wait_for("the topic's reader", LIMIT, || {
        walferry
            .log()
            .contains("listening to signals")
            .then_some(())
    });
    let execute = r#"{"type":"execute-snapshot","data":{"data-collections":["public.keyless"],"type":"blocking"}}"#;
    write_record(config.bootstrap_servers(), &topic, config.name(), execute);
    let request = wait_over(&config, &mut walferry, "kafka-0", LIMIT);
    assert_eq!(
        (&request["state"], &request["rows"]),
        (&json!("done"), &json!(2))
    );
    let asked = config
        .command("snapshot")
        .args(["--table", "public.keyless", "--blocking"])
        .output();
    let asked = asked.expect("walferry snapshot");
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(0), "{said}");
    assert!(said.contains("done: 2 rows"), "{said}");
    assert_eq!(reads(&events(&config, "keyless")).count(), 4);
    end(walferry);
}

#[test]
fn it_waits_for_the_first_copy() {
    let postgres = postgres(PostgresOptions::default());
    two_tables(&postgres, 60_000);
    let config =
        Config::new("blocking_first", &postgres, kafka()).set("snapshot.snapshot.mode", "initial");
    let mut walferry = config.spawn();
    wait_for("the slot", LIMIT, || {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE NOT temporary";
        (query_one(&postgres, slots) == "1").then_some(())
    });
    execute(&postgres, "second", &["public.loose"]);
    let request = wait_over(&config, &mut walferry, "second", LIMIT);
    assert_eq!(request["rows"], 60_000, "{request}");
    // The first copy is stored as finished, and stays so.
    walferry.kill9();
    config.catch_up(LIMIT);
    assert_eq!(reads(&events(&config, "keyed")).count(), 60_000);
    assert_eq!(reads(&events(&config, "loose")).count(), 120_000);
}

#[test]
fn a_signal_that_comes_before_the_first_copy_outlives_a_kill() {
    let postgres = postgres(PostgresOptions::default());
    two_tables(&postgres, 100_000);
    let config =
        Config::new("blocking_early", &postgres, kafka()).set("snapshot.snapshot.mode", "initial");
    let slot = config.slot();
    sql(
        &postgres,
        &format!("CREATE PUBLICATION {slot} FOR ALL TABLES"),
    );
    let made = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    sql(&postgres, &made);
    // The stream comes to it ahead of the copy, and stores a position behind it.
    execute(&postgres, "early", &["public.loose"]);
    let mut walferry = config.start();
    wait_for("a piece", LIMIT, || {
        (!read_notes(config.bootstrap_servers(), &slot).is_empty()).then_some(())
    });
    walferry.kill9();
    let mut walferry = config.start();
    let request = wait_over(&config, &mut walferry, "early", LIMIT);
    assert_eq!(request["rows"], 100_000, "{request}");
    end(walferry);
}
