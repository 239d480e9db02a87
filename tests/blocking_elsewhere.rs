//! A blocking snapshot takes the same care as the first copy: it pauses at the limit of WAL, is read on the
//! standby that rows are read from, and comes about on a standby that is read itself.

use std::fs;
use std::time::Duration;

use e2e::support::compare::{assert_same_rows, fold, table_rows};
use e2e::support::event::Event;
use e2e::support::signals::{signal, wait_over};
use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, query, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer, Slots};

const LIMIT: Duration = Duration::from_secs(300);
const ROWS: usize = 40_000;

/// A server of a major whose standbys decode, with a table of about 40 MiB.
fn server(options: PostgresOptions) -> PostgresServer {
    let options = PostgresOptions {
        major: 16,
        ..options
    };
    let options = options
        .with("log_statement", "all")
        .with("log_replication_commands", "on")
        .with("hot_standby_feedback", "on");
    let postgres = PostgresServer::start(&options).expect("a Postgres");
    sql(
        &postgres,
        &format!(
            "CREATE TABLE big (id int PRIMARY KEY, note text, n int DEFAULT 0);
             INSERT INTO big SELECT g, repeat('note ', 200) FROM generate_series(1, {ROWS}) g"
        ),
    );
    postgres
}

fn ask(primary: &PostgresServer, id: &str) {
    let data = json!({ "data-collections": ["public.big"], "type": "blocking" });
    signal(primary, id, "execute-snapshot", &data);
}

fn events(config: &Config) -> Vec<Event> {
    read_topic(config.bootstrap_servers(), &config.topic("big"))
}

fn reads(events: &[Event]) -> usize {
    let reads = events.iter().filter(|event| event.operation() == "r");
    reads.count()
}

fn end(mut walferry: Walferry) {
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}

/// How often a server was asked for rows.
fn copies(server: &PostgresServer) -> usize {
    let log = fs::read_to_string(server.log_file()).expect("its log");
    log.matches("COPY (SELECT").count()
}

#[test]
fn it_pauses_at_the_limit_of_wal() {
    let postgres = server(PostgresOptions::default());
    let config = Config::new("blocking_limit", &postgres, kafka())
        .set("snapshot.wal.max.bytes", "4MiB")
        .set("kafka.linger.ms", "100")
        .set("limits.in.flight.bytes", "512KiB");
    let mut walferry = config.start();
    sql(&postgres, "CREATE TABLE noise (line text)");
    ask(&postgres, "limited");
    wait_for("a pause", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let noise = "INSERT INTO noise SELECT repeat('noise ', 160) FROM generate_series(1, 400)";
        sql(&postgres, noise);
        walferry.log().contains("snapshot paused").then_some(())
    });
    let over = wait_over(&config, &mut walferry, "limited", LIMIT);
    assert_eq!(over["state"], "done", "{}", walferry.log());
    end(walferry);
    let events = events(&config);
    assert_same_rows(&fold(&events), &table_rows(&postgres, "big", &["id"]));
    assert!(reads(&events) < 2 * ROWS, "pieces were noted");
}

#[test]
fn it_is_read_where_rows_are_read() {
    let mut primary = server(PostgresOptions::default());
    let standby = primary.standby(Slots::LeftOut).expect("a standby");
    let config =
        Config::new("blocking_from", &primary, kafka()).set("snapshot.from", &standby.url());
    let mut walferry = config.start();
    sql(&primary, "UPDATE big SET n = 1 WHERE id <= 100");
    ask(&primary, "there");
    sql(&primary, "UPDATE big SET n = 2 WHERE id <= 200");
    let over = wait_over(&config, &mut walferry, "there", LIMIT);
    assert_eq!(over["state"], "done", "{}", walferry.log());
    end(walferry);
    let events = events(&config);
    assert_same_rows(&fold(&events), &table_rows(&primary, "big", &["id"]));
    assert_eq!(reads(&events), ROWS);
    assert_eq!(copies(&primary), 0, "rows were read on the primary");
    assert!(copies(&standby) > 0);
}

#[test]
fn it_is_read_on_a_standby_that_is_read() {
    let mut primary = server(PostgresOptions::default());
    let standby = primary.standby(Slots::LeftOut).expect("a standby");
    let config = Config::new("blocking_standby", &standby, kafka());
    let publication = config.slot();
    sql(
        &primary,
        &format!("CREATE PUBLICATION {publication} FOR TABLE big"),
    );
    let mut walferry = config.spawn();
    // What a slot there waits for: the primary tells which transactions run.
    let tell = |walferry: &mut Walferry| {
        assert!(walferry.is_running(), "{}", walferry.log());
        sql(&primary, "SELECT pg_log_standby_snapshot()");
    };
    wait_for("the stream", LIMIT, || {
        tell(&mut walferry);
        let active = "SELECT 1 FROM pg_replication_slots WHERE active AND NOT temporary \
                      AND confirmed_flush_lsn IS NOT NULL";
        (!query(&standby, active).is_empty()).then_some(())
    });
    sql(&primary, "UPDATE big SET n = 1 WHERE id <= 100");
    ask(&primary, "there");
    sql(&primary, "UPDATE big SET n = 2 WHERE id <= 200");
    wait_for("the end of the copy", LIMIT, || {
        tell(&mut walferry);
        let log = walferry.log();
        log.contains("all rows that were there are handed over")
            .then_some(())
    });
    let over = wait_over(&config, &mut walferry, "there", LIMIT);
    assert_eq!(over["state"], "done", "{}", walferry.log());
    sql(&primary, "UPDATE big SET n = 3 WHERE id = 1");
    wait_for("the stream goes on", LIMIT, || {
        let events = events(&config);
        let last = events.last().map(Event::json);
        last.is_some_and(|last| last["after"]["n"] == 3)
            .then_some(())
    });
    end(walferry);
    let events = events(&config);
    assert_same_rows(&fold(&events), &table_rows(&primary, "big", &["id"]));
    assert_eq!(reads(&events), ROWS);
}
