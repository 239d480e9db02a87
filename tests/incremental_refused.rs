//! A request goes on without a table whose rows cannot be read or published, which is named, and so does the
//! stream; whatever else goes wrong, such as a server that lets nobody in for a while, costs it no table.

use std::time::Duration;

use e2e::support::session::Session;
use e2e::support::signals::{noted, signal, wait_over};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

use super::incremental::{end, events, reads};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_will_not_mend_is_left_out_and_what_comes_behind_it_is_read() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE bad (id int PRIMARY KEY); INSERT INTO bad SELECT generate_series(1, 9);
         CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good SELECT generate_series(1, 5);
         CREATE FUNCTION refused(id int) RETURNS bool LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
    );
    let config = Config::new("beside_refused", &postgres, kafka());
    let mut walferry = config.start();
    for (id, condition, state) in [
        ("several", "id = (SELECT id FROM good)", "21000"),
        ("raised", "refused(id)", "P0001"),
    ] {
        let data = json!({
            "data-collections": ["public.bad", "public.good"], "type": "incremental",
            "additional-conditions": [{ "data-collection": "public.bad", "filter": condition }],
        });
        signal(&postgres, id, "execute-snapshot", &data);
        let request = wait_over(&config, &mut walferry, id, LIMIT);
        let problems = request["problems"].to_string();
        let named = problems.contains("public.bad: ") && problems.contains(state);
        assert!(named, "{request}");
        assert_eq!(request["rows"], 5, "{request}");
    }
    let log = walferry.log();
    assert_eq!(log.matches("SNAPSHOT_TABLE_LEFT_OUT").count(), 2, "{log}");
    end(walferry);
    assert_eq!(reads(&events(&config, "good")), 10);
}

/// The reader's first session waits for a lock while the password is changed: no other one is let in.
#[test]
fn a_server_that_lets_nobody_in_leaves_no_table_out() {
    let hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
               host all all 127.0.0.1/32 scram-sha-256\n\
               host replication postgres 127.0.0.1/32 trust\n";
    let options = PostgresOptions {
        hba: Some(hba.to_owned()),
        ..PostgresOptions::default()
    };
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE ROLE app LOGIN SUPERUSER PASSWORD 'right';
         CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users SELECT generate_series(1, 9)",
    );
    let url = format!(
        "postgresql://app:right@127.0.0.1:{}/postgres",
        postgres.port()
    );
    let config = Config::new("beside_shut", &postgres, kafka())
        .set("postgres.url", &url)
        .set("snapshot.snapshot.lock.timeout.ms", "60000");
    let mut walferry = config.start();
    let locker = Session::open(&postgres);
    locker.run("SELECT pg_advisory_lock(7)");
    let data = json!({
        "data-collections": ["public.users"], "type": "incremental",
        "additional-conditions": [{ "data-collection": "public.users",
            "filter": "pg_advisory_xact_lock_shared(7) IS NOT NULL" }],
    });
    signal(&postgres, "shut", "execute-snapshot", &data);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";
    wait_for("the reader", LIMIT, || {
        (query_one(&postgres, waiting) == "1").then_some(())
    });
    sql(&postgres, "ALTER ROLE app PASSWORD 'another'");
    locker.run("SELECT pg_advisory_unlock(7)");
    wait_for("another attempt", LIMIT, || {
        let log = walferry.log();
        let said = log
            .lines()
            .find(|line| line.contains("is gone on with in a moment"));
        said.map(|line| assert!(line.contains("28P01"), "{log}"))
    });
    let request = noted(&config, "shut").expect("the request");
    assert_eq!(request["state"], "running", "{request}");
    sql(&postgres, "ALTER ROLE app PASSWORD 'right'");
    let request = wait_over(&config, &mut walferry, "shut", LIMIT);
    assert_eq!(request["state"], "done", "{request}");
    assert_eq!(request["rows"], 9, "{request}");

    sql(&postgres, "ALTER ROLE app PASSWORD 'another'");
    let data = json!({ "data-collections": ["public.users"], "type": "blocking" });
    signal(&postgres, "stood", "execute-snapshot", &data);
    wait_for("an attempt", LIMIT, || {
        let log = walferry.log();
        let again = "the blocking snapshot is gone on with in a moment";
        let said = log.lines().find(|line| line.contains(again));
        said.map(|line| assert!(line.contains("28P01"), "{log}"))
    });
    sql(&postgres, "ALTER ROLE app PASSWORD 'right'");
    let request = wait_over(&config, &mut walferry, "stood", LIMIT);
    assert_eq!(request["state"], "done", "{request}");
    assert_eq!(request["rows"], 9, "{request}");
    end(walferry);
}

/// A halt would come again at each start, with the request that is noted.
#[test]
fn a_row_that_cannot_be_published_ends_its_table_and_not_the_stream() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE prices (id int PRIMARY KEY, price numeric(10,2));
         INSERT INTO prices SELECT g, CASE g WHEN 1500 THEN 'NaN'::numeric ELSE g END
             FROM generate_series(1, 2000) g;
         CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good SELECT generate_series(1, 5)",
    );
    let config = Config::new("nan", &postgres, kafka())
        .set("snapshot.incremental.snapshot.chunk.size", "100");
    let mut walferry = config.start();
    for kind in ["incremental", "blocking"] {
        let before = reads(&events(&config, "prices"));
        let data = json!({ "data-collections": ["public.prices", "public.good"], "type": kind });
        signal(&postgres, kind, "execute-snapshot", &data);
        let request = wait_over(&config, &mut walferry, kind, LIMIT);
        assert_eq!(request["state"], "failed", "{request}");
        let problems = request["problems"].to_string();
        for named in ["public.prices: ", "column price", "decimal.handling.mode"] {
            assert!(problems.contains(named), "{named}: {problems}");
        }
        assert_eq!(request["problems"].as_array().map(Vec::len), Some(1));
        let read = reads(&events(&config, "prices")) - before;
        assert!((1..2000).contains(&read), "{kind}: {read}");
    }
    assert_eq!(reads(&events(&config, "good")), 10);
    sql(&postgres, "INSERT INTO prices VALUES (2001, 1)");
    end(walferry);
    config.catch_up(LIMIT);
    let last = events(&config, "prices").pop().expect("events");
    assert_eq!(last.operation(), "c", "the stream goes on");
}
