//! A stop for a table of a request whose tables are not looked up yet is kept with the request, also through a
//! kill; one that finds nothing is told in the log.

use std::time::Duration;

use e2e::support::signals::{execute_slowly, noted, signal};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

use super::incremental::{counted_table, end, events, execute, reads, wait_over};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_table_is_stopped_before_its_request_has_its_turn() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    sql(
        &postgres,
        "CREATE TABLE nn (id int PRIMARY KEY); INSERT INTO nn SELECT generate_series(1, 40);
         CREATE TABLE hot (id int PRIMARY KEY); INSERT INTO hot SELECT generate_series(1, 30)",
    );
    let config = Config::new("stopped_early", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    let mut walferry = config.start();
    let stop = |id: &str, tables: &str| {
        let data = json!({ "data-collections": [tables] });
        signal(&postgres, id, "stop-snapshot", &data);
    };
    execute_slowly(&postgres, "slow", "public.big");
    execute(&postgres, "two", "public\\.(nn|hot)");
    execute(&postgres, "none", "public\\.n+");
    for (id, tables) in [
        ("standing", "public\\.(nn|hot)"),
        ("nothing", "public\\.n+"),
    ] {
        let data = json!({ "data-collections": [tables], "type": "blocking" });
        signal(&postgres, id, "execute-snapshot", &data);
    }
    stop("s1", "public.nn");
    for id in ["two", "none", "standing", "nothing"] {
        wait_for("the note", LIMIT, || {
            noted(&config, id).filter(|it| it["unwanted"] == json!(["public.nn"]))
        });
    }
    walferry.kill9();
    walferry = config.start();
    assert_eq!(noted(&config, "two").expect("a note")["state"], "running");
    stop("s2", "public.big");
    let over = |walferry: &mut _, id| wait_over(&config, walferry, id)["state"].clone();
    assert_eq!(over(&mut walferry, "slow"), "stopped");
    assert_eq!(over(&mut walferry, "two"), "done");
    assert_eq!(over(&mut walferry, "none"), "stopped");
    assert_eq!(over(&mut walferry, "standing"), "done");
    assert_eq!(over(&mut walferry, "nothing"), "stopped");
    let told = |log: &str| log.matches("STOPPED_NOTHING").count();
    let before = told(&walferry.log());
    stop("s3", "public.hot");
    wait_for("the word", LIMIT, || {
        (told(&walferry.log()) > before).then_some(())
    });
    end(walferry);
    assert_eq!(reads(&events(&config, "hot")), 60);
    assert_eq!(reads(&events(&config, "nn")), 0);
}
