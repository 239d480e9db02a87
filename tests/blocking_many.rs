//! A request whose tables are all left out, each for a reason as long as servers write them, is told in a note that
//! its topic takes, and the stream goes on.

use std::fmt::Write as _;
use std::time::Duration;

use e2e::support::signals::{signal, wait_over};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

use super::incremental::{end, events};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn long_reasons_of_many_tables_fit_into_their_note() {
    let postgres = postgres(PostgresOptions::default());
    let long = "d".repeat(63);
    let mut made = format!("CREATE DOMAIN {long} AS int;");
    for n in 0..200 {
        // Writing to a String cannot fail.
        let _ = write!(made, "CREATE TABLE t_{n} (id int PRIMARY KEY);");
    }
    sql(&postgres, &made);
    let config =
        Config::new("blocking_many", &postgres, kafka()).set("kafka.compression.type", "none");
    let mut walferry = config.start();
    let nulls = vec![format!("NULL::{long}"); 90].join(", ");
    for kind in ["blocking", "incremental"] {
        let refused = format!("nowhere({nulls})");
        let data = json!({
            "data-collections": ["public.t_.*"], "type": kind,
            "additional-conditions": [{ "data-collection": "public.t_.*", "filter": refused }],
        });
        signal(&postgres, kind, "execute-snapshot", &data);
        let over = wait_over(&config, &mut walferry, kind, LIMIT);
        assert_eq!(over["state"], "failed", "{over}");
        let problems = over["problems"].as_array().expect("problems");
        assert_eq!(problems.len(), 100);
        assert!(problems[0].to_string().contains("public.t_0: "), "{over}");
        assert!(over.to_string().len() < 256 << 10);
    }
    sql(&postgres, "INSERT INTO t_7 VALUES (1)");
    wait_for("a change", LIMIT, || {
        (events(&config, "t_7").len() == 1).then_some(())
    });
    end(walferry);
}
