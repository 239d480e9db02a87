//! A blocking snapshot ends when it is not wanted any more, though the stream stands for it; what cannot be
//! read is named and left out, and the stream goes on behind it.

use std::process::Stdio;
use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::signals::{noted, signal, wait_over};
use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(90);

fn events(config: &Config, table: &str) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic(table))
}

fn reads(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.operation() == "r")
}

fn end(mut walferry: Walferry) {
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}

/// A hundred rows a second, each too large to wait for company in the server's buffer.
fn slow_table(postgres: &PostgresServer) {
    sql(
        postgres,
        "CREATE TABLE slow (id int PRIMARY KEY, note text);
         INSERT INTO slow SELECT g, (SELECT string_agg(md5(g || '.' || i), '') FROM generate_series(1, 60) i)
             FROM generate_series(1, 3000) g;
         CREATE TABLE quick (id int PRIMARY KEY); INSERT INTO quick SELECT generate_series(1, 20);
         CREATE TABLE signals (id text PRIMARY KEY, type text, data text)",
    );
}

const SLOWLY: &str = "pg_sleep(0.01) IS NOT NULL";

/// Asks for the slow table, and comes back when some of its rows are there.
fn begin_slowly(config: &Config, postgres: &PostgresServer, id: &str) {
    let before = reads(&events(config, "slow")).count();
    let data = json!({
        "data-collections": ["public.slow", "public.quick"], "type": "blocking",
        "additional-conditions": [{ "data-collection": "public.slow", "filter": SLOWLY }],
    });
    signal(postgres, id, "execute-snapshot", &data);
    wait_for("the first rows", LIMIT, || {
        (reads(&events(config, "slow")).count() > before).then_some(())
    });
}

/// What listens while the stream stands lets go of WAL that it has heard.
fn assert_heard(postgres: &PostgresServer) {
    let emit = "SELECT pg_logical_emit_message(false, 'noise', repeat('x', 100000))";
    sql(postgres, emit);
    let here = query_one(postgres, "SELECT pg_current_wal_insert_lsn()");
    let heard = format!(
        "SELECT count(*) FROM pg_replication_slots
         WHERE slot_name LIKE 'walferry\\_watch\\_%' AND confirmed_flush_lsn >= '{here}'"
    );
    wait_for("the listener's slot", LIMIT, || {
        sql(postgres, emit);
        (query_one(postgres, &heard) == "1").then_some(())
    });
}

/// The stream goes on: a change comes through.
fn assert_streams(config: &Config, postgres: &PostgresServer) {
    sql(postgres, "INSERT INTO quick SELECT max(id) + 1 FROM quick");
    let newest: Value = query_one(postgres, "SELECT max(id) FROM quick")
        .parse()
        .expect("a number");
    wait_for("a change", LIMIT, || {
        let events = events(config, "quick");
        let of = |event: &Event| event.operation() == "c" && event.json()["after"]["id"] == newest;
        events.iter().any(of).then_some(())
    });
}

#[test]
fn it_is_stopped_while_the_stream_stands() {
    let postgres = postgres(PostgresOptions::default());
    slow_table(&postgres);
    let config = Config::new("blocking_stop", &postgres, kafka())
        .set("envelope.signal.data.collection", "public.signals");
    let mut walferry = config.start();

    begin_slowly(&config, &postgres, "by-id");
    assert_heard(&postgres);
    // Pausing is for those that have not begun.
    signal(&postgres, "p", "pause-snapshot", &json!({}));
    // This one finds nothing, which is told where the stream comes to it.
    let nowhere = json!({ "data-collections": ["public.nowhere"] });
    signal(&postgres, "n", "stop-snapshot", &nowhere);
    signal(&postgres, "s", "stop-snapshot", &json!({ "id": "by-id" }));
    let request = wait_over(&config, &mut walferry, "by-id", LIMIT);
    assert_eq!(request["state"], "stopped", "{request}");
    assert_streams(&config, &postgres);
    let told = walferry.log().matches("STOPPED_NOTHING").count();
    assert_eq!(told, 1, "{}", walferry.log());

    begin_slowly(&config, &postgres, "by-table");
    let data = r#"{"data-collections": ["public.slow", "public\\.qu.*"]}"#;
    sql(
        &postgres,
        &format!("INSERT INTO signals VALUES ('x', 'stop-snapshot', '{data}')"),
    );
    let request = wait_over(&config, &mut walferry, "by-table", LIMIT);
    assert_eq!(request["state"], "stopped", "{request}");
    assert_streams(&config, &postgres);

    let mut command = config.command("snapshot");
    command.args(["--table", "public.slow", "--blocking", "--where", SLOWLY]);
    let before = reads(&events(&config, "slow")).count();
    let asking = command.stderr(Stdio::piped()).spawn();
    let asking = asking.expect("walferry snapshot");
    wait_for("the first rows", LIMIT, || {
        (reads(&events(&config, "slow")).count() > before).then_some(())
    });
    let pid = Pid::from_child(&asking);
    kill_process(pid, Signal::INT).expect("Ctrl-C");
    let output = asking.wait_with_output().expect("walferry snapshot");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("stopped after"), "{said}");
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert_streams(&config, &postgres);
    let events = events(&config, "slow");
    assert!(reads(&events).count() < 3_000, "{}", reads(&events).count());
    // What follows is not disturbed by any of that.
    let data = json!({ "data-collections": ["public.quick"], "type": "blocking" });
    signal(&postgres, "then", "execute-snapshot", &data);
    let request = wait_over(&config, &mut walferry, "then", LIMIT);
    assert_eq!(request["state"], "done", "{request}");
    let log = walferry.log();
    assert!(log.contains("that has begun is not paused"), "{log}");
    end(walferry);
}

#[test]
fn one_table_is_stopped_and_the_others_are_read() {
    let postgres = postgres(PostgresOptions::default());
    slow_table(&postgres);
    let config =
        Config::new("blocking_some", &postgres, kafka()).set("snapshot.snapshot.max.threads", "1");
    let mut walferry = config.start();
    let data = json!({
        "data-collections": ["public.quick", "public.slow"], "type": "blocking",
        "additional-conditions": [{ "data-collection": "public.quick",
            "filter": "pg_sleep(0.2) IS NOT NULL" }],
    });
    signal(&postgres, "some", "execute-snapshot", &data);
    wait_for("the choice", LIMIT, || {
        noted(&config, "some").filter(|it| it["tables"].as_array().is_some_and(|it| it.len() == 2))
    });
    let data = json!({ "data-collections": ["public.slow"] });
    signal(&postgres, "s", "stop-snapshot", &data);
    let request = wait_over(&config, &mut walferry, "some", LIMIT);
    assert_eq!(request["state"], "done", "{request}");
    end(walferry);
    assert_eq!(reads(&events(&config, "quick")).count(), 20);
    assert_eq!(reads(&events(&config, "slow")).count(), 0);
}

#[test]
fn tables_that_are_dropped_and_altered_while_nobody_reads() {
    let postgres = postgres(PostgresOptions::default());
    slow_table(&postgres);
    let config = Config::new("blocking_gone", &postgres, kafka())
        .set("snapshot.snapshot.max.threads", "1")
        .set("snapshot.snapshot.tables.order.by.row.count", "descending");
    sql(&postgres, "ANALYZE slow, quick");
    let mut walferry = config.start();
    begin_slowly(&config, &postgres, "moving");
    walferry.kill9();
    sql(
        &postgres,
        "DROP TABLE slow; ALTER TABLE quick ADD COLUMN extra int DEFAULT 5",
    );
    let mut walferry = config.start();
    let request = wait_over(&config, &mut walferry, "moving", LIMIT);
    assert_eq!(request["state"], "failed", "{request}");
    let problems = request["problems"].to_string();
    assert!(problems.contains("public.slow: it is gone"), "{problems}");
    assert_streams(&config, &postgres);
    end(walferry);
    let events = events(&config, "quick");
    let read: Vec<Value> = reads(&events)
        .map(|it| it.json()["after"]["extra"].take())
        .collect();
    assert_eq!(read, vec![json!(5); 20]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_read() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE good (note text); INSERT INTO good VALUES ('a'), ('a'), ('b');
         CREATE TABLE bad (id int PRIMARY KEY); INSERT INTO bad SELECT generate_series(1, 9);
         CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO gone VALUES (1);
         CREATE TABLE hidden (id int PRIMARY KEY); INSERT INTO hidden VALUES (1);
         CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload jsonb);
         CREATE ROLE bound LOGIN REPLICATION; GRANT SELECT ON good, bad, gone, outbox TO bound",
    );
    let url = postgres.url().replace("postgres@", "bound@");
    let config = Config::new("blocking_bad", &postgres, kafka())
        .with_outbox()
        .set("postgres.url", &url);
    let publication = format!("CREATE PUBLICATION {} FOR ALL TABLES", config.slot());
    sql(&postgres, &publication);
    let mut walferry = config.start();
    sql(&postgres, "DROP TABLE gone");
    let data = json!({
        "data-collections": ["public.(good|bad|gone|hidden|outbox)"], "type": "blocking",
        "additional-conditions": [{ "data-collection": "public.bad", "filter": "10 / (id - 5) > 0" }],
    });
    signal(&postgres, "mixed", "execute-snapshot", &data);
    let request = wait_over(&config, &mut walferry, "mixed", LIMIT);
    assert_eq!(request["state"], "failed", "{request}");
    let problems = request["problems"].as_array().expect("problems");
    let text = request["problems"].to_string();
    for (table, reason) in [
        ("public.bad", "22012"),
        ("public.hidden", "42501"),
        ("public.outbox", "events of an outbox"),
    ] {
        let of = |it: &&Value| {
            it.as_str()
                .is_some_and(|it| it.starts_with(table) && it.contains(reason))
        };
        assert!(problems.iter().any(|it| of(&it)), "{table}: {text}");
    }
    assert_eq!(problems.len(), 3, "{text}");
    assert_eq!(reads(&events(&config, "good")).count(), 3);
    let log = walferry.log();
    assert_eq!(log.matches("SNAPSHOT_TABLE_LEFT_OUT").count(), 3, "{log}");
    sql(&postgres, "INSERT INTO bad VALUES (10)");
    end(walferry);
    config.catch_up(LIMIT);
    let last = events(&config, "bad").last().map(Event::operation);
    assert_eq!(last.as_deref(), Some("c"), "the stream goes on");
}

#[test]
fn conditions_are_sql_and_nothing_else() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE bad (id int PRIMARY KEY); INSERT INTO bad SELECT generate_series(1, 9);
         CREATE VIEW seen AS SELECT * FROM bad",
    );
    let config = Config::new("blocking_where", &postgres, kafka());
    let mut walferry = config.start();
    let asked = |kind: &str, filter: &str| {
        json!({ "data-collections": ["public.bad"], "type": kind,
            "additional-conditions": [{ "data-collection": "public.bad", "filter": filter }] })
    };
    let malformed = |filter| asked("blocking", filter);
    // Well formed between our parentheses alone, where it would undo what stands beside it.
    let between = "id = 5) OR (id = 5";
    let select = "SELECT id FROM public.bad) AS one, (SELECT 1";
    for (id, data, reason) in [
        ("where", malformed("id >"), "42601"),
        (
            "injected",
            malformed("true) TO STDOUT; DROP TABLE bad; --"),
            "42601",
        ),
        ("between", malformed(between), "42601"),
        ("between-chunks", asked("incremental", between), "42601"),
        ("select", malformed(select), "42601"),
        (
            "view",
            json!({ "data-collections": ["public.seen"], "type": "blocking" }),
            "no published table",
        ),
    ] {
        signal(&postgres, id, "execute-snapshot", &data);
        let request = wait_over(&config, &mut walferry, id, LIMIT);
        let problems = request["problems"].to_string();
        assert!(problems.contains(reason), "{id}: {problems}");
    }
    signal(
        &postgres,
        "kind",
        "execute-snapshot",
        &json!({ "data-collections": ["a"], "type": "sudden" }),
    );
    let whole = malformed("SELECT id FROM public.bad WHERE id > 7 -- said so");
    signal(&postgres, "whole", "execute-snapshot", &whole);
    assert_eq!(
        wait_over(&config, &mut walferry, "whole", LIMIT)["state"],
        "done"
    );
    assert_eq!(
        reads(&events(&config, "bad"))
            .filter(|it| it.json()["after"]["id"] == 9)
            .count(),
        1
    );
    let log = walferry.log();
    assert_eq!(log.matches("SIGNAL_IGNORED").count(), 1, "{log}");
    assert_eq!(log.matches("SNAPSHOT_TABLE_LEFT_OUT").count(), 6, "{log}");
    let at = query_one(&postgres, "SELECT count(*) FROM bad");
    assert_eq!(at, "9");
    end(walferry);
}
