//! What the log says is enough to act upon: of which table, which signal, which halt, and where a copy stands.

use std::time::Duration;

use e2e::support::signals::{signal, wait_over};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

use super::incremental::end;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn tables_and_signals_are_told_apart() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 20);
         CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 30)",
    );
    let config = Config::new("told", &postgres, kafka());
    let config = config.set("snapshot.snapshot.mode", "initial");
    let mut walferry = config.start();
    let log = || walferry.log();
    wait_for("the copy", LIMIT, || {
        log().contains("changes follow").then_some(())
    });
    // The rows' point is not known before they are read.
    assert!(
        log().contains("streaming, once") && !log().contains("at=0/0"),
        "{}",
        log()
    );
    signal(&postgres, "strange", "restart", &json!({}));
    let both = json!({ "data-collections": ["public\\..*"] });
    signal(&postgres, "both", "execute-snapshot", &both);
    let request = wait_over(&config, &mut walferry, "both", LIMIT);
    assert_eq!(request["rows"], 50, "{request}");
    let log = walferry.log();
    for (table, rows) in [("a", 20), ("b", 30)] {
        let line = format!("read the table beside the stream table=\"public.{table}\" rows={rows}");
        assert!(log.contains(&line), "{log}");
    }
    let ignored = log.lines().find(|line| line.contains("SIGNAL_IGNORED"));
    let ignored = ignored.expect("a line");
    assert!(
        ignored.contains("the signal \"strange\": its type"),
        "{ignored}"
    );
    end(walferry);
}

#[test]
fn a_start_that_the_check_refuses_prints_the_halt_with_its_choices() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE heap (note text)");
    let config = Config::new("heap", &postgres, kafka());
    let mut walferry = config.spawn();
    assert_eq!(walferry.wait_exit(LIMIT), Some(20), "{}", walferry.log());
    let log = walferry.log();
    let halt = log.split_once("\nIDENTITY_MISSING: ").expect("its name").1;
    assert!(halt.contains("table public.heap"), "{log}");
    assert!(halt.contains("\n  - "), "{log}");
}
