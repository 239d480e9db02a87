//! A condition that is on no table, or a member of a signal that is not known, never has a whole table read or
//! another request stopped; of several conditions on a table the first that the signal has holds.

use std::time::Duration;

use e2e::support::signals::{execute_slowly, noted, signal, wait_over};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

use super::incremental::{end, events, reads};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_narrows_a_request_is_not_passed_over() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40);
         CREATE TABLE long (id int PRIMARY KEY); INSERT INTO long SELECT generate_series(1, 2000)",
    );
    let config = Config::new("beside_narrow", &postgres, kafka())
        .set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();

    execute_slowly(&postgres, "long", "public.long");
    wait_for("a chunk", LIMIT, || {
        noted(&config, "long").filter(|it| it["rows"].as_u64() > Some(0))
    });
    let misspelt = json!({ "data-colections": ["public.orders"] });
    signal(&postgres, "stop", "stop-snapshot", &misspelt);
    // As Debezium's older tutorials have it.
    let singular =
        json!({ "data-collections": ["public.orders"], "additional-condition": "id > 38" });
    signal(&postgres, "old", "execute-snapshot", &singular);
    let request = wait_over(&config, &mut walferry, "long", LIMIT);
    assert_eq!(request["state"], "done", "{request}");
    assert_eq!(request["rows"], 2000, "{request}");

    for kind in ["incremental", "blocking"] {
        let on = |conditions: &[(&str, &str)]| {
            let conditions = conditions.iter();
            let conditions: Vec<_> = conditions
                .map(|(on, filter)| json!({ "data-collection": on, "filter": filter }))
                .collect();
            json!({ "data-collections": ["public.orders"], "type": kind,
                "additional-conditions": conditions })
        };
        let (vain, first) = (format!("{kind}-vain"), format!("{kind}-first"));
        let data = on(&[("public.order", "id > 38")]);
        signal(&postgres, &vain, "execute-snapshot", &data);
        let request = wait_over(&config, &mut walferry, &vain, LIMIT);
        assert_eq!(request["state"], "failed", "{request}");
        assert_eq!(request["rows"], 0, "{request}");
        let problems = request["problems"].to_string();
        assert!(problems.contains("public.order"), "{problems}");

        let before = reads(&events(&config, "orders"));
        let data = on(&[
            ("public.orders", "id > 38"),
            ("public.o.*", "id > 30"),
            ("public.orders", "id > 20"),
        ]);
        signal(&postgres, &first, "execute-snapshot", &data);
        let request = wait_over(&config, &mut walferry, &first, LIMIT);
        assert_eq!(request["state"], "done", "{request}");
        assert_eq!(reads(&events(&config, "orders")) - before, 2, "{kind}");
    }
    let log = walferry.log();
    assert_eq!(log.matches("SIGNAL_IGNORED").count(), 2, "{log}");
    for name in ["data-colections", "additional-condition"] {
        let said = format!("its member {name:?} is not understood");
        assert!(log.contains(&said), "{log}");
    }
    let told = log.matches("SNAPSHOT_TABLE_LEFT_OUT").count();
    assert_eq!(told, 2, "{log}");
    assert!(!log.contains("id > 38"), "{log}");
    end(walferry);
}
