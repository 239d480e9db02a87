//! What `/metrics` and the page tell of a backlog is true: the lag reaches to the end of the server's
//! WAL although little of it was received, the slot's retained WAL is seen, and all of it goes away.

use std::time::Duration;

use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, own_kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

const BACKLOG: f64 = (30 << 20) as f64;
const LIMIT: Duration = Duration::from_secs(60);

fn metric(walferry: &Walferry, name: &str) -> f64 {
    let metrics = walferry.metrics();
    *metrics
        .get(name)
        .unwrap_or_else(|| panic!("{name} is not among {:?}", metrics.keys()))
}

/// Some 40 MB of WAL, in many transactions: the first message of one tells where it ends, so that one
/// alone would be known to its end at once.
fn write_much(postgres: &PostgresServer) {
    for part in 0..20 {
        let (first, last) = (part * 6000 + 1, (part + 1) * 6000);
        sql(
            postgres,
            &format!(
                "INSERT INTO users SELECT i, repeat('note ', 50) \
                 FROM generate_series({first}, {last}) i"
            ),
        );
    }
}

#[test]
fn lag_and_slot_are_told_as_the_server_sees_them() {
    let (postgres, kafka) = (postgres(PostgresOptions::default()), own_kafka());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, note text)",
    );
    let config = Config::new("observed", &postgres, &kafka).set("limits.in.flight.bytes", "1MiB");
    let walferry = config.start();
    let slot = config.slot();
    let reserved = format!("walferry_slot_wal_status{{slot=\"{slot}\",status=\"reserved\"}}");
    let retained = format!("walferry_slot_retained_bytes{{slot=\"{slot}\"}}");
    wait_for("a look at the slot", LIMIT, || {
        walferry.metrics().contains_key(&reserved).then_some(())
    });
    assert_eq!(metric(&walferry, &reserved), 1.0);
    assert!(metric(&walferry, &retained) < BACKLOG);

    kafka.pause();
    write_much(&postgres);
    wait_for("the lag is seen", LIMIT, || {
        (metric(&walferry, "walferry_lag_bytes") > BACKLOG).then_some(())
    });
    let held = metric(&walferry, "walferry_received_lsn_bytes")
        - metric(&walferry, "walferry_confirmed_lsn_bytes");
    assert!(
        held < BACKLOG / 2.0,
        "most of it is still with the server: {held}"
    );
    assert!(metric(&walferry, &retained) > BACKLOG);
    assert!(metric(&walferry, "walferry_lag_seconds") > 0.0);

    kafka.resume();
    wait_for("the lag goes away", LIMIT, || {
        (metric(&walferry, "walferry_lag_bytes") < BACKLOG / 100.0).then_some(())
    });
    let end: f64 = query_one(
        &postgres,
        "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn",
    )
    .parse()
    .expect("a number");
    wait_for("the server's end is told", LIMIT, || {
        (metric(&walferry, "walferry_server_lsn_bytes") >= end).then_some(())
    });
}

#[test]
fn logs_for_machines_are_json_line_by_line() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("json_logs", &postgres, kafka());
    let mut walferry = config.spawn_with(&["--log-format", "json", "--until", "now"]);
    let code = walferry.wait_exit(LIMIT);
    let log = walferry.log();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let entry: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level"] {
            assert!(entry[field].is_string(), "no {field}: {line}");
        }
    }
}
