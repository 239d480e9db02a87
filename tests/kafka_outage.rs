//! Kafka gone: memory stays bounded by bytes, keepalives are answered and the connection stays up;
//! when Kafka is back walferry goes on by itself, and nothing was lost.

use std::thread::sleep;
use std::time::Duration;

use e2e::support::compare::{assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::topic::read_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{bytes_behind, own_kafka, postgres, sql, wait_for, walsender};
use xtask::servers::{KafkaServer, PostgresOptions, PostgresServer};

/// Far beyond the server's patience, which these tests shorten.
const OUTAGE: Duration = Duration::from_secs(20);
const RSS_MAX: u64 = 64 << 20;

struct Stage {
    postgres: PostgresServer,
    kafka: KafkaServer,
    config: Config,
    walferry: Walferry,
}

fn stage(purpose: &str) -> Stage {
    let options = PostgresOptions::default().with("wal_sender_timeout", "5s");
    let (postgres, kafka) = (postgres(options), own_kafka());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, note text)",
    );
    let config = Config::new(purpose, &postgres, &kafka);
    let walferry = config.start();
    sql(&postgres, "INSERT INTO users VALUES (0, 'before', '')");
    Stage {
        postgres,
        kafka,
        config,
        walferry,
    }
}

impl Stage {
    /// 100 MB of changes: several times what may be in flight.
    fn write_much(&self) {
        for part in 0..10 {
            let (first, last) = (part * 30_000 + 1, (part + 1) * 30_000);
            sql(
                &self.postgres,
                &format!(
                    "INSERT INTO users SELECT i, 'user ' || i, repeat('note ', 50) \
                     FROM generate_series({first}, {last}) i"
                ),
            );
        }
    }

    fn assert_all_arrives(&mut self) {
        let slot = self.config.slot();
        wait_for("all is confirmed", Duration::from_secs(120), || {
            assert!(
                self.walferry.is_running(),
                "it ended:\n{}",
                self.walferry.log()
            );
            (bytes_behind(&self.postgres, &slot) < 100_000).then_some(())
        });
        let topic = self.config.topic("users");
        let events = read_topic(self.config.bootstrap_servers(), &topic);
        let repeats = assert_at_least_once(&events);
        assert_eq!(repeats.distinct, 300_001);
        assert_same_rows(
            &fold(&events),
            &table_rows(&self.postgres, "users", &["id"]),
        );
        let peak = self.walferry.usage().rss_peak_bytes;
        assert!(peak <= RSS_MAX, "{} MiB at the peak", peak >> 20);
    }
}

#[test]
fn a_broker_that_does_not_answer() {
    let mut stage = stage("pause");
    let slot = stage.config.slot();
    let sender = walsender(&stage.postgres, &slot);
    stage.kafka.pause();
    stage.write_much();
    sleep(OUTAGE);
    assert!(sender.is_some());
    assert_eq!(
        walsender(&stage.postgres, &slot),
        sender,
        "the same connection serves on"
    );
    assert!(
        bytes_behind(&stage.postgres, &slot) > 50 << 20,
        "nothing unacknowledged is confirmed"
    );
    stage.kafka.resume();
    stage.assert_all_arrives();
}

#[test]
fn a_broker_that_is_killed_and_comes_back() {
    let mut stage = stage("broker");
    let slot = stage.config.slot();
    let sender = walsender(&stage.postgres, &slot);
    stage.kafka.kill9();
    stage.write_much();
    sleep(OUTAGE);
    assert!(sender.is_some());
    assert_eq!(
        walsender(&stage.postgres, &slot),
        sender,
        "the same connection serves on"
    );
    stage.kafka.restart().expect("Kafka again");
    stage.assert_all_arrives();
}
