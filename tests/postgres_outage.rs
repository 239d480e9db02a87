//! Postgres restarted, the walsender ended, the connection cut or black-holed: walferry finds out,
//! comes back by itself, and nothing is lost.

use std::time::{Duration, Instant};

use e2e::support::compare::{assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::proxy::{Behaviour, Proxy};
use e2e::support::topic::TopicReader;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::workload::{TABLES, Workload, create_tables, key_columns};
use e2e::support::{kafka, postgres, sql, wait_for, walsender};
use xtask::servers::{Durability, PostgresOptions, PostgresServer, Shutdown};

struct Stage {
    postgres: PostgresServer,
    proxy: Proxy,
    config: Config,
    walferry: Walferry,
    load: Workload,
    probes: u32,
}

fn stage(purpose: &str) -> Stage {
    let options = PostgresOptions {
        durability: Durability::Safe,
        ..PostgresOptions::default()
    };
    let postgres = postgres(options);
    create_tables(&postgres);
    sql(&postgres, "CREATE TABLE probes (id int PRIMARY KEY)");
    let proxy = Proxy::to(postgres.port());
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", proxy.port());
    let config = Config::new(purpose, &postgres, kafka()).set("postgres.url", &url);
    let walferry = config.start();
    let load = Workload::start(&postgres, 7, 2, 5);
    Stage {
        postgres,
        proxy,
        config,
        walferry,
        load,
        probes: 0,
    }
}

impl Stage {
    /// A row written now arrives. Returns how long that took.
    fn assert_flows(&mut self, limit: Duration) -> Duration {
        self.probes += 1;
        let start = Instant::now();
        sql(
            &self.postgres,
            &format!("INSERT INTO probes VALUES ({})", self.probes),
        );
        let mut reader = TopicReader::new(
            self.config.bootstrap_servers(),
            &self.config.topic("probes"),
        );
        let wanted = self.probes;
        wait_for("events flow again", limit, || {
            assert!(
                self.walferry.is_running(),
                "it ended:\n{}",
                self.walferry.log()
            );
            let mut events = reader.read_to_end().iter();
            events
                .any(|event| event.key_json()["id"] == wanted)
                .then_some(())
        });
        start.elapsed()
    }

    fn assert_nothing_lost(self) {
        self.load.stop();
        drop(self.walferry);
        self.config.catch_up(Duration::from_secs(60));
        for table in TABLES {
            let topic = self.config.topic(table);
            let mut reader = TopicReader::new(self.config.bootstrap_servers(), &topic);
            let events = reader.read_to_end();
            eprintln!("{table}: {:?}", assert_at_least_once(events));
            let rows = table_rows(&self.postgres, table, key_columns(table));
            assert_same_rows(&fold(events), &rows);
        }
    }
}

#[test]
fn restarts_and_cuts() {
    let mut stage = stage("restarts");
    stage.assert_flows(Duration::from_secs(10));
    let retries = "walferry_retries_total{peer=\"postgres\"}";
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        let before = stage.walferry.metrics().get(retries).copied();
        let took = stage.postgres.stop(how).expect("it stops");
        eprintln!("{how:?} shutdown: {took:?}");
        wait_for("it tries again", Duration::from_secs(10), || {
            let tried = stage.walferry.metrics().get(retries).copied();
            (tried > before).then_some(())
        });
        stage.postgres.restart().expect("it starts");
        eprintln!(
            "flows {:?} after {how:?}",
            stage.assert_flows(Duration::from_secs(10))
        );
    }
    stage.postgres.kill9();
    stage.postgres.restart().expect("it recovers");
    eprintln!(
        "flows {:?} after kill -9",
        stage.assert_flows(Duration::from_secs(10))
    );

    let slot = stage.config.slot();
    for _ in 0..3 {
        let before = walsender(&stage.postgres, &slot).expect("a walsender");
        sql(
            &stage.postgres,
            &format!("SELECT pg_terminate_backend({before})"),
        );
        eprintln!(
            "flows {:?} after 57P01",
            stage.assert_flows(Duration::from_secs(10))
        );
        // The signal may take effect only after the row.
        wait_for("another walsender", Duration::from_secs(10), || {
            walsender(&stage.postgres, &slot).filter(|now| *now != before)
        });
        stage.proxy.reset_all();
        eprintln!(
            "flows {:?} after a reset",
            stage.assert_flows(Duration::from_secs(10))
        );
    }
    stage.assert_nothing_lost();
}

#[test]
fn a_dead_peer_is_found_within_thirty_seconds() {
    let mut stage = stage("blackhole");
    stage.assert_flows(Duration::from_secs(10));
    let connections = stage.proxy.accepted();
    stage.proxy.set(Behaviour::BlackHole);
    let start = Instant::now();
    wait_for(
        "another connection is tried",
        Duration::from_secs(30),
        || {
            assert!(
                stage.walferry.is_running(),
                "it ended:\n{}",
                stage.walferry.log()
            );
            (stage.proxy.accepted() > connections).then_some(())
        },
    );
    eprintln!("found dead after {:?}", start.elapsed());
    stage.proxy.set(Behaviour::Forward);
    eprintln!(
        "flows {:?} after the black hole",
        stage.assert_flows(Duration::from_secs(30))
    );
    stage.assert_nothing_lost();
}

#[test]
fn a_slow_and_splintered_connection() {
    let mut stage = stage("splinters");
    stage.proxy.set(Behaviour::OneByOne);
    stage.proxy.reset_all(); // so that the handshake is splintered too
    stage.assert_flows(Duration::from_secs(30));
    stage
        .proxy
        .set(Behaviour::Delay(Duration::from_millis(100)));
    stage.proxy.reset_all();
    stage.assert_flows(Duration::from_secs(30));
    stage.proxy.set(Behaviour::Forward);
    stage.assert_nothing_lost();
}
