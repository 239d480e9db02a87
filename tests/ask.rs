//! Rows that are asked for are refused beforehand where they would be later, stopped by a signal, and end by
//! name when the right to read them is gone; they have the columns that the publication has, and a new table's
//! are published when the configuration says so.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use e2e::support::signals::{SLOW, execute_slowly, noted};
use e2e::support::topic::delete_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use xtask::servers::PostgresOptions;

use super::incremental::{counted_table, end, events, execute, reads, wait_over};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_table_without_a_key_is_refused_beforehand() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE heap (note text); ALTER TABLE heap REPLICA IDENTITY FULL;
         CREATE TABLE coded (id int PRIMARY KEY, code text NOT NULL UNIQUE);
         INSERT INTO heap VALUES ('a'); INSERT INTO coded VALUES (1, 'x')",
    );
    let config = Config::new("beforehand", &postgres, kafka());
    let walferry = config.start();
    let ask = |arguments: &[&str]| {
        let output = config.command("snapshot").args(arguments).output();
        let output = output.expect("walferry snapshot");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = ask(&["--table", "public.heap"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("public.heap") && said.contains("have no key"),
        "{said}"
    );
    let (code, said) = ask(&["--table", "public.coded", "--surrogate-key", "id,code"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no unique index"), "{said}");
    // Neither was asked for.
    assert!(
        !walferry.log().contains("beside the stream"),
        "{}",
        walferry.log()
    );
    let (code, said) = ask(&["--table", "public.coded", "--surrogate-key", "code"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(reads(&events(&config, "coded")), 1);
    end(walferry);
}

#[test]
fn ctrl_c_asks_to_stop_what_was_asked_for() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("ctrl_c", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let walferry = config.start();
    let mut command = config.command("snapshot");
    command
        .args(["--table", "public.big", "--where", SLOW])
        .stderr(Stdio::piped());
    let asking = command.spawn().expect("walferry snapshot");
    wait_for("rows", LIMIT, || {
        let (_, page) = walferry.get("/status")?;
        let page: Value = serde_json::from_str(&page).ok()?;
        (page["snapshots"][0]["rows"].as_u64() > Some(500)).then_some(())
    });
    kill_process(Pid::from_child(&asking), Signal::INT).expect("it runs");
    let output = asking.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(
        said.contains("asked to stop it") && said.contains("stopped after"),
        "{said}"
    );
    let id = said.split_whitespace().find(|it| it.starts_with("cli-"));
    let request = noted(&config, id.expect("an id")).expect("a note");
    assert_eq!(request["state"], "stopped", "{request}");
    end(walferry);
    let read = reads(&events(&config, "big"));
    assert!((500..30_000).contains(&read), "{read}");
}

#[test]
fn a_right_that_is_revoked_ends_the_table_by_name() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("revoked", &postgres, kafka());
    sql(
        &postgres,
        &format!(
            "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
             CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON big, other TO reader;
             CREATE PUBLICATION {} FOR TABLE big, other",
            config.slot()
        ),
    );
    let url = postgres.url().replace("postgres@", "reader@");
    let config = config
        .set("postgres.url", &url)
        .set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    execute_slowly(&postgres, "both", r"public\.(big|other)");
    wait_for("a chunk", LIMIT, || {
        noted(&config, "both").filter(|it| it["rows"].as_u64() > Some(0))
    });
    sql(&postgres, "REVOKE SELECT ON big FROM reader");
    let request = wait_over(&config, &mut walferry, "both");
    assert_eq!(request["state"], "failed", "{request}");
    let problems = request["problems"].to_string();
    assert!(
        problems.contains("public.big") && problems.contains("42501"),
        "{problems}"
    );
    let log = walferry.log();
    assert!(log.contains("SNAPSHOT_TABLE_LEFT_OUT"), "{log}");
    // The other table's rows come, and changes of this one go on.
    assert_eq!(reads(&events(&config, "other")), 1);
    sql(&postgres, "UPDATE big SET note = 'after' WHERE id = 7");
    wait_for("a change", LIMIT, || {
        let events = events(&config, "big");
        events.iter().any(|it| it.operation() == "u").then_some(())
    });
    end(walferry);
}

#[test]
fn rows_have_the_columns_that_the_publication_has() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE cards (id int PRIMARY KEY, number text, owner text);
         INSERT INTO cards SELECT g, 'secret', 'o' FROM generate_series(1, 30) g",
    );
    let config = Config::new("columns", &postgres, kafka());
    let version = query_one(&postgres, "SHOW server_version_num");
    if version.parse::<u32>().expect("a number") < 150_000 {
        return; // it has no column lists
    }
    sql(
        &postgres,
        &format!(
            "CREATE PUBLICATION {} FOR TABLE cards (id, owner) WHERE (id <= 20)",
            config.slot()
        ),
    );
    let mut walferry = config.start();
    execute(&postgres, "listed", "public.cards");
    let request = wait_over(&config, &mut walferry, "listed");
    assert_eq!(
        (&request["state"], &request["rows"]),
        (&"done".into(), &20.into())
    );
    sql(&postgres, "UPDATE cards SET owner = 'n' WHERE id = 1");
    end(walferry);
    config.catch_up(LIMIT);
    let events = events(&config, "cards");
    assert_eq!(reads(&events), 20);
    assert_eq!(events.len(), 21);
    for event in &events {
        let after = event.json()["after"].take();
        let columns: Vec<&String> = after.as_object().expect("a row").keys().collect();
        assert_eq!(columns, ["id", "owner"], "{}", event.json());
    }
}

#[test]
fn new_tables_follow_the_word() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = |word: &str| Config::new(word, &postgres, kafka()).set("tables.new", word);
    let (stream, ignore) = (config("stream"), config("ignore"));
    let (streaming, ignoring) = (stream.start(), ignore.start());
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young SELECT generate_series(1, 100)",
    );
    let has = |config: &Config| {
        let count = format!(
            "SELECT count(*) FROM pg_publication_tables WHERE pubname = '{}' AND tablename = 'young'",
            config.slot()
        );
        query_one(&postgres, &count) == "1"
    };
    wait_for("the publication", LIMIT, || has(&stream).then_some(()));
    wait_for("the log", LIMIT, || {
        ignoring
            .log()
            .contains("the publication leaves it out")
            .then_some(())
    });
    sql(&postgres, "INSERT INTO young VALUES (101)");
    wait_for("the change", LIMIT, || {
        (!events(&stream, "young").is_empty()).then_some(())
    });
    end(streaming);
    end(ignoring);
    let events = events(&stream, "young");
    let operations: Vec<_> = events.iter().map(|it| it.operation()).collect();
    assert_eq!(operations, ["c"], "changes alone");
    assert!(!has(&ignore), "nobody took it in");
    let topics = ignore.topic("young");
    assert!(!e2e::support::topic::exists(
        ignore.bootstrap_servers(),
        &topics
    ));
}

#[test]
fn the_command_ends_where_what_it_waits_for_is_gone() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("gone", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    let mut command = config.command("snapshot");
    command
        .args(["--table", "public.big"])
        .stderr(Stdio::piped());
    let mut asking = command.spawn().expect("walferry snapshot");
    let said = BufReader::new(asking.stderr.take().expect("its words"));
    let mut said = said.lines().map(|line| line.expect("a line"));
    // It tells how far that is, so it has seen the note.
    let seen = said.find(|line| line.contains("rows"));
    walferry.kill9();
    assert!(seen.is_some(), "it ended before");
    let progress = format!("walferry.progress.{}", config.slot());
    delete_topic(config.bootstrap_servers(), &progress);
    let last = said.last().expect("its reason");
    assert!(
        last.contains("SNAPSHOT_UNKNOWN") && last.contains(&progress),
        "{last}"
    );
    assert_eq!(asking.wait().expect("its end").code(), Some(7));
}

#[test]
fn nobody_is_asked_who_will_never_hear_it() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 10);
    let config = Config::new("no_slot", &postgres, kafka());
    let mut command = config.command("snapshot");
    command
        .args(["--table", "public.big"])
        .stderr(Stdio::piped());
    let asking = command.spawn().expect("walferry snapshot");
    let output = asking.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("SLOT_MISSING"), "{said}");
}

#[test]
fn a_right_that_no_copy_needs_any_more_stops_no_change() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 10);
    let config = Config::new("no_more_rows", &postgres, kafka());
    sql(
        &postgres,
        &format!(
            "CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON big TO reader;
             CREATE PUBLICATION {} FOR TABLE big",
            config.slot()
        ),
    );
    let url = postgres.url().replace("postgres@", "reader@");
    let config = config
        .set("postgres.url", &url)
        .set("snapshot.snapshot.mode", "initial");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "REVOKE SELECT ON big FROM reader; UPDATE big SET note = 'after' WHERE id = 7",
    );
    config.catch_up(LIMIT);
    let events = events(&config, "big");
    assert_eq!((reads(&events), events.len()), (10, 11));
}
