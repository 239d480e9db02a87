//! Rows published while the stream goes on: writers need not stop, nothing old comes after something new,
//! kills in between cost a few chunks at most, and a signal that is not understood stops nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::support::compare::{assert_no_repeats, assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::signals::{self, execute_slowly, noted, signal};
use e2e::support::topic::{create_topic, exists, read_topic, write_record};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::Dice;
use e2e::support::{StopAtEnd, kafka, postgres, query_one, sql, wait_for};
use serde_json::{Value, json};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

pub(crate) fn reads(events: &[Event]) -> usize {
    let reads = events.iter().filter(|event| event.operation() == "r");
    reads.count()
}

/// A table whose `n` grows with each write, over all rows.
pub(crate) fn counted_table(postgres: &PostgresServer, rows: u32) {
    sql(
        postgres,
        &format!(
            "CREATE SEQUENCE turns;
             CREATE TABLE big (id int, part text, n bigint, note text, PRIMARY KEY (part, id));
             INSERT INTO big SELECT g, 'p' || g % 3, nextval('turns'), 'first'
                 FROM generate_series(1, {rows}) g"
        ),
    );
}

/// Writes to it until told to stop.
pub(crate) fn write_on(postgres: &PostgresServer, rows: u32, seed: u64, stop: &AtomicBool) {
    let mut random = Dice::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut text = String::new();
        for _ in 0..20 {
            let id = random.below(u64::from(rows) + 200) + 1;
            let part = id % 3;
            let at = format!("id = {id} AND part = 'p{part}'");
            text += &match random.below(8) {
                0 => format!("DELETE FROM big WHERE {at};"),
                1 => format!("UPDATE big SET id = id + 1000000, n = nextval('turns') WHERE {at};"),
                2 => format!(
                    "INSERT INTO big VALUES ({id}, 'p{part}', nextval('turns'), 'new')
                         ON CONFLICT (part, id) DO UPDATE SET n = nextval('turns');"
                ),
                _ => format!("UPDATE big SET n = nextval('turns') WHERE {at};"),
            };
        }
        // A key that was moved twice, or a deadlock of two writers, rolls back; that is well, too.
        let _ = postgres.query_text("postgres", &text);
    }
}

pub(crate) fn execute(postgres: &PostgresServer, id: &str, table: &str) {
    let data = json!({ "data-collections": [table], "type": "incremental" });
    signal(postgres, id, "execute-snapshot", &data);
}

/// How a request ended, once it has.
pub(crate) fn wait_over(config: &Config, walferry: &mut Walferry, id: &str) -> Value {
    signals::wait_over(config, walferry, id, LIMIT)
}

pub(crate) fn end(mut walferry: Walferry) {
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}

/// A row that was read is never older than what stands before it.
fn assert_nothing_old_after_new(events: &[Event]) {
    let mut newest: HashMap<String, i64> = HashMap::new();
    for event in events.iter().filter(|event| event.value.is_some()) {
        let json = event.json();
        let Some(n) = json["after"]["n"].as_i64() else {
            continue;
        };
        let before = newest.entry(event.key_json().to_string()).or_insert(n);
        if event.operation() == "r" {
            assert_eq!(json["source"]["snapshot"], "incremental");
            assert!(n >= *before, "{} is older than {before}", event.json());
        }
        *before = n.max(*before);
    }
}

pub(crate) fn assert_equals_table(config: &Config, postgres: &PostgresServer) -> Vec<Event> {
    config.catch_up(LIMIT);
    let events = events(config, "big");
    assert_nothing_old_after_new(&events);
    assert_same_rows(
        &fold(&events),
        &table_rows(postgres, "big", &["part", "id"]),
    );
    events
}

#[test]
fn rows_are_published_while_writers_go_on() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 20_000);
    let config = Config::new("beside", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "700");
    let mut walferry = config.start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for seed in 1..4 {
            let (postgres, stop) = (&postgres, &stop);
            scope.spawn(move || write_on(postgres, 20_000, seed, stop));
        }
        execute(&postgres, "ad-hoc", "public.big");
        let request = wait_over(&config, &mut walferry, "ad-hoc");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
        assert!(request["chunks"].as_u64() >= Some(20), "{request}");
    });
    end(walferry);
    let events = assert_equals_table(&config, &postgres);
    assert_no_repeats(&events);
    let read = reads(&events);
    assert!(read > 10_000, "{read}");
}

#[test]
fn kills_in_the_middle_cost_a_few_chunks() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 40_000);
    let config = Config::new("beside_kills", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "250");
    let mut walferry = config.start();
    let stop = AtomicBool::new(false);
    let chunks = |config: &Config| {
        let noted = noted(config, "long").and_then(|it| it["chunks"].as_u64());
        noted.unwrap_or_default()
    };
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| write_on(&postgres, 40_000, 9, &stop));
        execute_slowly(&postgres, "long", "public.big");
        for _ in 0..3 {
            let before = chunks(&config);
            wait_for("more chunks", LIMIT, || {
                assert!(walferry.is_running(), "{}", walferry.log());
                (chunks(&config) > before + 5).then_some(())
            });
            walferry.kill9();
            walferry = config.start();
        }
        let request = wait_over(&config, &mut walferry, "long");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(request["state"], "done", "{request}\n{}", walferry.log());
    });
    assert!(walferry.log().contains("goes on"), "{}", walferry.log());
    end(walferry);
    let events = assert_equals_table(&config, &postgres);
    let read = reads(&events);
    // Four chunks under way at each kill, and what was done and not noted yet.
    assert!(read < 40_000 + 3 * 30 * 250, "{read}: it began anew");
}

#[test]
fn several_sessions_read_one_table() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 4_000);
    let config = Config::new("incremental_side", &postgres, kafka())
        .set("snapshot.snapshot.max.threads", "3");
    let mut walferry = config.start();
    // Takes its time once a chunk.
    let slow = json!([{ "data-collection": "public.big",
                        "filter": "(SELECT true FROM pg_sleep(0.3))" }]);
    let data = json!({ "data-collections": ["public.big"], "additional-conditions": slow });
    signal(&postgres, "side", "execute-snapshot", &data);
    wait_for("three sessions that read at once", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let reading = "SELECT count(*) FROM pg_stat_activity
                       WHERE state = 'active' AND query LIKE 'COPY (SELECT%big%'";
        (query_one(&postgres, reading) == "3").then_some(())
    });
    let over = wait_over(&config, &mut walferry, "side");
    assert_eq!(
        (&over["state"], &over["rows"]),
        (&json!("done"), &json!(4_000))
    );
    end(walferry);
    assert_eq!(assert_equals_table(&config, &postgres).len(), 4_000);
}

#[test]
fn the_signal_table_and_signals_that_are_not_understood() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32), data varchar(2048));
         CREATE TABLE orders (id int PRIMARY KEY, total int);
         INSERT INTO orders SELECT g, g * 10 FROM generate_series(1, 50) g;
         CREATE TABLE keyless (note text); ALTER TABLE keyless REPLICA IDENTITY FULL;
         CREATE TABLE coded (id int, code text NOT NULL UNIQUE);
         ALTER TABLE coded REPLICA IDENTITY USING INDEX coded_code_key;
         INSERT INTO keyless VALUES ('a'); INSERT INTO coded VALUES (1, 'x'), (2, E'q''\\\\y')",
    );
    let config = Config::new("signals", &postgres, kafka());
    let config = config.set("envelope.signal.data.collection", "public.signals");
    let mut walferry = config.start();
    sql(
        &postgres,
        r#"INSERT INTO signals VALUES
             ('bad1', 'restart', NULL), ('bad2', 'execute-snapshot', '{secret'), ('bad3', NULL, NULL),
             ('bad4', 'execute-snapshot', '{"data-collections": ["public.orders"], "type": "sudden"}'),
             ('told', 'log', '{"message": "a text for the log"}'),
             ('some', 'execute-snapshot', '{"data-collections": ["public.orders"], "additional-conditions":
                 [{"data-collection": "public.orders", "filter": "total > 300 -- said so"}]}'),
             ('none', 'execute-snapshot', '{"data-collections": ["public.keyless", "public.nowhere"]}'),
             ('coded', 'execute-snapshot', '{"data-collections": ["public\\.cod.*"], "surrogate-key": "code"}')"#,
    );
    assert_eq!(wait_over(&config, &mut walferry, "some")["state"], "done");
    assert_eq!(reads(&events(&config, "orders")), 20);
    let none = wait_over(&config, &mut walferry, "none");
    assert_eq!(none["state"], "failed");
    assert!(
        none["problems"].to_string().contains("have no key"),
        "{none}"
    );
    assert_eq!(wait_over(&config, &mut walferry, "coded")["rows"], 2);
    let log = walferry.log();
    assert_eq!(log.matches("SIGNAL_IGNORED").count(), 4, "{log}");
    wait_for("the metric", LIMIT, || {
        (walferry.metrics()["walferry_signals_ignored"] >= 4.0).then_some(())
    });
    assert!(
        log.contains("a text for the log") && !log.contains("secret"),
        "{log}"
    );
    sql(&postgres, "INSERT INTO orders VALUES (51, 1)");
    end(walferry);
    config.catch_up(LIMIT);
    assert_eq!(
        events(&config, "orders").last().map(Event::operation),
        Some("c".to_owned())
    );
    let topic = config.topic("signals");
    assert!(
        !exists(config.bootstrap_servers(), &topic),
        "signals are no events"
    );
}

#[test]
fn the_signal_topic() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40)",
    );
    let config = Config::new("signal_topic", &postgres, kafka());
    let topic = format!("{}-signal", config.name());
    let config = config.set("envelope.signal.kafka.topic", &topic);
    create_topic(config.bootstrap_servers(), &topic, 1, &[]);
    let execute = r#"{"type":"execute-snapshot","data":{"data-collections":["public.orders"]}}"#;
    let send =
        |key: &str, value: &str| write_record(config.bootstrap_servers(), &topic, key, value);
    send(config.name(), execute);
    let mut walferry = config.start();
    wait_for("the topic's reader", LIMIT, || {
        walferry
            .log()
            .contains("listening to signals")
            .then_some(())
    });
    let log = walferry.log();
    let told = log.lines().find(|line| line.contains("SIGNALS_NOT_READ"));
    assert!(told.is_some_and(|line| line.contains("before=1")), "{log}");
    send("another-key", execute);
    send(config.name(), "not even JSON");
    send(config.name(), execute);
    let request = wait_over(&config, &mut walferry, "kafka-3");
    assert_eq!(
        (&request["state"], &request["rows"]),
        (&json!("done"), &json!(40))
    );
    let log = walferry.log();
    let mut passed = log.lines().filter(|line| line.contains("is passed over"));
    assert!(
        passed.next().is_some_and(|line| line.contains("offset=1")) && passed.next().is_none(),
        "{log}"
    );
    assert!(!log.contains("another-key"), "{log}");
    let told = log.matches("SIGNALS_NOT_READ").count();
    assert_eq!(told, 1, "the topic has one partition: {log}");
    walferry.kill9();
    // What comes while nobody listens is taken later; what was taken, not again.
    send(config.name(), execute);
    let mut walferry = config.start();
    assert_eq!(
        wait_over(&config, &mut walferry, "kafka-4")["state"],
        "done"
    );
    assert_eq!(reads(&events(&config, "orders")), 80);
    assert!(walferry.is_running());
    end(walferry);

    let wide = format!("{topic}-wide");
    create_topic(config.bootstrap_servers(), &wide, 2, &[]);
    let walferry = config.set("envelope.signal.kafka.topic", &wide).start();
    wait_for("a word on the second partition", LIMIT, || {
        let log = walferry.log();
        let told = log.lines().find(|line| line.contains("SIGNALS_NOT_READ"));
        told.map(|line| assert!(line.contains("partitions=2"), "{log}"))
    });
    end(walferry);
}

#[test]
fn a_snapshot_is_paused_resumed_and_stopped() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("pause", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    execute_slowly(&postgres, "slow", "public.big");
    wait_for("a chunk", LIMIT, || {
        noted(&config, "slow").filter(|it| it["rows"].as_u64() > Some(0))
    });
    signal(&postgres, "p", "pause-snapshot", &json!({}));
    wait_for("the pause", LIMIT, || {
        noted(&config, "slow").filter(|it| it["paused"] == true)
    });
    wait_for("the page", LIMIT, || {
        let (_, page) = walferry.get("/status")?;
        let page: Value = serde_json::from_str(&page).ok()?;
        (page["snapshots"][0]["paused"] == true && page["snapshots"][0]["id"] == "slow")
            .then_some(())
    });
    // A restart leaves it paused.
    walferry.kill9();
    walferry = config.start();
    let paused = noted(&config, "slow").expect("a note");
    assert_eq!(paused["state"], "running");
    sql(
        &postgres,
        "UPDATE big SET n = nextval('turns') WHERE id = 7",
    );
    wait_for("a change meanwhile", LIMIT, || {
        let events = events(&config, "big");
        events.iter().any(|it| it.operation() == "u").then_some(())
    });
    assert_eq!(
        noted(&config, "slow").expect("a note")["chunks"],
        paused["chunks"]
    );
    signal(&postgres, "r", "resume-snapshot", &json!({}));
    let chunks = paused["chunks"].as_u64();
    wait_for("more chunks", LIMIT, || {
        noted(&config, "slow").filter(|it| it["chunks"].as_u64() > chunks)
    });
    signal(
        &postgres,
        "s",
        "stop-snapshot",
        &json!({ "data-collections": ["public.big"] }),
    );
    assert_eq!(
        wait_over(&config, &mut walferry, "slow")["state"],
        "stopped"
    );
    end(walferry);
    let read = reads(&events(&config, "big"));
    assert!(read < 30_000, "{read}: it was not stopped");
}

#[test]
fn a_table_is_altered_and_dropped_meanwhile() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("altered", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    execute_slowly(&postgres, "moving", "public.big");
    let more = |than: u64| {
        wait_for("more chunks", LIMIT, || {
            let chunks = noted(&config, "moving")?["chunks"].as_u64()?;
            (chunks > than).then_some(chunks)
        })
    };
    let before = more(0);
    sql(
        &postgres,
        "ALTER TABLE big ADD COLUMN extra int DEFAULT 5, ALTER COLUMN n TYPE numeric(20)",
    );
    more(before + 10);
    sql(&postgres, "DROP TABLE big");
    let request = wait_over(&config, &mut walferry, "moving");
    assert_eq!(request["state"], "failed", "{request}");
    sql(
        &postgres,
        "CREATE TABLE after (id int PRIMARY KEY); INSERT INTO after VALUES (1)",
    );
    assert!(
        walferry.log().contains("SNAPSHOT_TABLE_LEFT_OUT"),
        "{}",
        walferry.log()
    );
    end(walferry);
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    let extra: Vec<bool> = events
        .iter()
        .map(|it| it.json()["after"]["extra"] == 5)
        .collect();
    let first = extra
        .iter()
        .position(|it| *it)
        .expect("rows of the new shape");
    assert!(
        first > 0 && extra[first..].iter().all(|it| *it),
        "the shape goes back"
    );
}

#[test]
fn new_tables_are_taken_in_and_dropped_ones_forgotten() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("new_tables", &postgres, kafka());
    let walferry = config.start();
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young SELECT generate_series(1, 100);
         CREATE TABLE brief (id int PRIMARY KEY); INSERT INTO brief VALUES (1); DROP TABLE brief",
    );
    wait_for("the rows of the new table", LIMIT, || {
        (reads(&events(&config, "young")) == 100).then_some(())
    });
    sql(&postgres, "INSERT INTO young VALUES (101)");
    sql(&postgres, "DROP TABLE young");
    end(walferry);
    config.catch_up(LIMIT);
    let events = events(&config, "young");
    let keys: BTreeSet<_> = events.iter().map(|it| it.key.clone()).collect();
    assert_eq!(keys.len(), 101);
}

#[test]
fn the_command_line_asks_and_waits() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY, total int);
         INSERT INTO orders SELECT g, g FROM generate_series(1, 500) g;
         CREATE TABLE keyless (note text)",
    );
    let config =
        Config::new("ask", &postgres, kafka()).set("tables.exclude", "[ \"public.keyless\" ]");
    let walferry = config.start();
    let ask = |arguments: &[&str]| {
        let output = config.command("snapshot").args(arguments).output();
        let output = output.expect("walferry snapshot");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };
    let (code, said) = ask(&["--table", "public.orders", "--where", "total <= 200"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("200 rows"), "{said}");
    assert_eq!(reads(&events(&config, "orders")), 200);
    for (table, reason) in [
        ("public.nowhere", "does not exist"),
        ("public.keyless", "not published"),
    ] {
        let (code, said) = ask(&["--table", table]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let (code, said) = ask(&["--stop"]);
    assert_eq!(code, Some(0), "{said}");
    let at = query_one(&postgres, "SELECT count(*) FROM orders");
    assert_eq!(at, "500");
    end(walferry);
}
