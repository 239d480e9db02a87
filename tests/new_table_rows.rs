//! Rows that a new table has before it is published are published, too: those of an outbox and of a table without
//! a key, which cannot be read in chunks, and those that the configuration chooses, by the statement it gives.

use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::{self, read_topic};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::incremental::{end, events, execute, reads, wait_over};

const LIMIT: Duration = Duration::from_secs(90);

/// Captured tables, and outboxes that are made later.
fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    sql(postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new(purpose, postgres, kafka()).with_outbox();
    config.set("outbox.table", "[ \"public.outbox*\" ]")
}

/// Both have rows in the transaction that makes them, and so before they are published.
const NEW: &str = "BEGIN;
    CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        aggregatetype text, aggregateid text, type text, payload jsonb);
    INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
        SELECT 'order', '7', 'made', to_jsonb(g) FROM generate_series(1, 3) g;
    CREATE TABLE loose (id int, note text);
    ALTER TABLE loose REPLICA IDENTITY FULL;
    INSERT INTO loose SELECT g, 'there' FROM generate_series(1, 50) g;
    COMMIT";

fn outbox_events(config: &Config) -> Vec<Event> {
    let topic = format!("{}.order", config.name());
    match topic::exists(config.bootstrap_servers(), &topic) {
        true => read_topic(config.bootstrap_servers(), &topic),
        false => Vec::new(),
    }
}

fn wait_for_all(config: &Config) {
    wait_for("the rows of the table without a key", LIMIT, || {
        (reads(&events(config, "loose")) == 50).then_some(())
    });
    wait_for("the events of the outbox", LIMIT, || {
        (outbox_events(config).len() == 3).then_some(())
    });
    let payloads = outbox_events(config).into_iter().map(|it| it.value);
    let payloads: Vec<_> = payloads.map(Option::unwrap_or_default).collect();
    assert_eq!(payloads, [b"1", b"2", b"3"]);
}

fn is_published(config: &Config, postgres: &PostgresServer, table: &str) -> bool {
    let count = format!(
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = '{}' AND tablename = '{table}'",
        config.slot()
    );
    query_one(postgres, &count) == "1"
}

#[test]
fn an_outbox_and_a_table_without_a_key_while_walferry_runs() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("rows_running", &postgres);
    let walferry = config.start();
    sql(&postgres, NEW);
    wait_for_all(&config);
    // Nothing is published a second time.
    end(walferry);
    config.catch_up(LIMIT);
    wait_for_all(&config);
}

#[test]
fn an_outbox_and_a_table_without_a_key_at_a_start() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("rows_start", &postgres);
    config.catch_up(LIMIT);
    sql(&postgres, NEW);
    let walferry = config.start();
    wait_for_all(&config);
    end(walferry);
}

/// Who asks by hand is told that events come once, whatever publication his signal names.
#[test]
fn an_outbox_is_not_published_again_for_who_names_another_publication() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("rows_again", &postgres);
    let walferry = config.start();
    sql(&postgres, NEW);
    wait_for_all(&config);
    sql(
        &postgres,
        r#"SELECT pg_logical_emit_message(true, 'walferry.signal', '{"id": "again", "type": "execute-snapshot",
            "data": {"type": "blocking", "data-collections": ["public.outbox"], "new-in-publication": "other"}}')"#,
    );
    wait_for("the refusal", LIMIT, || {
        let log = walferry.log();
        log.contains("events of an outbox, which are published once")
            .then_some(())
    });
    wait_for_all(&config);
    end(walferry);
}

#[test]
fn rows_that_are_not_chosen_are_not_asked_for_and_others_come_by_their_statement() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("rows_chosen", &postgres)
        .set(
            "snapshot.snapshot.include.collection.list",
            "[ \"public\\\\.chosen.*\" ]",
        )
        .set(
            "snapshot.snapshot.select.statement.overrides",
            "[ public.chosen_some ]",
        )
        .set(
            "snapshot.snapshot.select.statement.overrides.public.chosen_some",
            "SELECT * FROM public.chosen_some WHERE id > 7",
        );
    let walferry = config.start();
    sql(
        &postgres,
        "BEGIN;
         CREATE TABLE aside (id int PRIMARY KEY); INSERT INTO aside SELECT generate_series(1, 10);
         CREATE TABLE chosen_all (id int PRIMARY KEY); INSERT INTO chosen_all SELECT generate_series(1, 10);
         CREATE TABLE chosen_some (id int PRIMARY KEY); INSERT INTO chosen_some SELECT generate_series(1, 10);
         COMMIT",
    );
    wait_for("the rows", LIMIT, || {
        let read = |table| reads(&events(&config, table));
        let has_aside = is_published(&config, &postgres, "aside");
        (read("chosen_all") == 10 && read("chosen_some") >= 3 && has_aside).then_some(())
    });
    sql(&postgres, "INSERT INTO aside VALUES (11)");
    wait_for("the change", LIMIT, || {
        (!events(&config, "aside").is_empty()).then_some(())
    });
    let log = walferry.log();
    end(walferry);
    config.catch_up(LIMIT);
    let count = |table| events(&config, table).len();
    assert_eq!((count("aside"), count("chosen_some")), (1, 3));
    let told = log.lines().find(|line| line.contains("public.aside"));
    let told = told.unwrap_or_else(|| panic!("not told: {log}"));
    assert!(told.contains("snapshot.include.collection.list"), "{told}");
}

/// In chunks a table would be read as if there were no statement.
#[test]
fn a_table_with_a_statement_of_its_own_is_asked_for_by_blocking_alone() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE chosen (id int PRIMARY KEY); INSERT INTO chosen SELECT generate_series(1, 10)",
    );
    let config = Config::new("rows_override", &postgres, kafka())
        .set(
            "snapshot.snapshot.select.statement.overrides",
            "[ public.chosen ]",
        )
        .set(
            "snapshot.snapshot.select.statement.overrides.public.chosen",
            "SELECT * FROM public.chosen WHERE id > 7",
        );
    let mut walferry = config.start();
    execute(&postgres, "chunks", "public.chosen");
    let request = wait_over(&config, &mut walferry, "chunks");
    let problems = request["problems"].to_string();
    assert_eq!(request["state"], "failed", "{request}");
    assert!(problems.contains("--blocking"), "{problems}");
    let asked = |more: &[&str]| {
        let mut command = config.command("snapshot");
        let command = command.args(["--table", "public.chosen"]).args(more);
        command.output().expect("walferry snapshot")
    };
    let refused = asked(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("--blocking"), "{said}");
    let taken = asked(&["--blocking"]);
    let said = String::from_utf8_lossy(&taken.stderr);
    assert!(taken.status.success(), "{said}");
    end(walferry);
    assert_eq!(reads(&events(&config, "chosen")), 3);
}
