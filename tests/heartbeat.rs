//! Heartbeats, when they are asked for: in a topic of their own, at their interval.
use std::time::Duration;

use e2e::support::topic::{read_topic, record_count};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_idle_connector_tells_that_it_is_there() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config =
        Config::new("heartbeat", &postgres, kafka()).set("envelope.heartbeat.interval.ms", "100");
    let mut walferry = config.start();
    walferry.wait_ready();
    let topic = format!("__debezium-heartbeat.{}", config.name());
    wait_for("five heartbeats", LIMIT, || {
        (record_count(config.bootstrap_servers(), &topic) >= 5).then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    let beats = read_topic(config.bootstrap_servers(), &topic);
    let mut last = 0;
    for beat in &beats {
        assert_eq!(beat.key_json(), json!({"serverName": config.name()}));
        let at = beat.json()["ts_ms"].as_u64().expect("a time");
        assert!(at >= last + 90, "{at} after {last}");
        last = at;
    }
}
