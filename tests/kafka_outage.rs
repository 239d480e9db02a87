//! Kafka gone: memory stays bounded by bytes, keepalives are answered and the connection stays up;
//! when Kafka is back walferry goes on by itself, and nothing was lost.

use std::cell::OnceCell;
use std::thread::sleep;
use std::time::Duration;

use e2e::support::compare::{assert_at_least_once, assert_same_rows, fold, table_rows};
use e2e::support::proxy::{Behaviour, Proxy};
use e2e::support::topic::{is_led, read_topic};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{bytes_behind, own_kafka, postgres, sql, wait_for, walsender};
use xtask::servers::{
    ControllerPorts, KafkaOptions, KafkaServer, Port, PostgresOptions, PostgresServer, Shutdown,
};

/// Far beyond the server's patience, which these tests shorten.
const OUTAGE: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(120);
const RSS_MAX: u64 = 64 << 20;

struct Stage {
    postgres: PostgresServer,
    kafka: KafkaServer,
    config: Config,
    walferry: Walferry,
}

fn stage(purpose: &str) -> Stage {
    stage_with(purpose, own_kafka(), |config, _| config)
}

fn stage_with(
    purpose: &str,
    kafka: KafkaServer,
    set: impl Fn(Config, &PostgresServer) -> Config,
) -> Stage {
    let options = PostgresOptions::default().with("wal_sender_timeout", "5s");
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, note text)",
    );
    let config = set(Config::new(purpose, &postgres, &kafka), &postgres);
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
            self.write(part * 30_000 + 1, 30_000);
        }
    }

    fn write(&self, first: u32, count: u32) {
        let last = first + count - 1;
        sql(
            &self.postgres,
            &format!(
                "INSERT INTO users SELECT i, 'user ' || i, repeat('note ', 50) \
                 FROM generate_series({first}, {last}) i"
            ),
        );
    }

    fn wait_until_confirmed(&mut self, bytes_behind_max: i64) {
        let slot = self.config.slot();
        wait_for("all is confirmed", LIMIT, || {
            assert!(
                self.walferry.is_running(),
                "it ended:\n{}",
                self.walferry.log()
            );
            (bytes_behind(&self.postgres, &slot) < bytes_behind_max).then_some(())
        });
    }

    fn assert_all_arrives(&mut self, rows: usize) {
        self.wait_until_confirmed(100_000);
        let topic = self.config.topic("users");
        let events = read_topic(self.config.bootstrap_servers(), &topic);
        let repeats = assert_at_least_once(&events);
        assert_eq!(repeats.distinct, rows);
        assert_same_rows(
            &fold(&events),
            &table_rows(&self.postgres, "users", &["id"]),
        );
        let peak = self.walferry.memory_peak();
        assert!(peak <= RSS_MAX, "{} MiB at the peak", peak >> 20);
    }
}

#[test]
fn a_broker_that_does_not_answer() {
    // Requests run into librdkafka's timeout (60 s by itself) as they do in an outage of minutes.
    let mut stage = stage_with("pause", own_kafka(), |config, _| {
        config.set("kafka.socket.timeout.ms", "5000")
    });
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
    stage.assert_all_arrives(300_001);
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
    stage.assert_all_arrives(300_001);
}

/// Fenced by its controller a broker serves on, and knows of no broker and of no leader: what a
/// cluster says for a moment after a pause, and for long when its controllers are cut off. The
/// producer and the topic of a new table both find their way back.
#[test]
fn a_broker_that_is_fenced_and_fenced_again() {
    /// What librdkafka does then depends on which of its threads is first.
    const ROUNDS: u32 = 4;
    let controller = Port::reserve().expect("a port");
    let proxy = Proxy::to(controller.number());
    let ports = ControllerPorts {
        listens: controller.number(),
        sought: proxy.port(),
    };
    let options = KafkaOptions {
        controller: Some(ports),
        ..KafkaOptions::default()
    };
    let options = options.with("broker.session.timeout.ms", "3000");
    let kafka = KafkaServer::start(&options).expect("a Kafka");
    let mut stage = stage_with("fenced", kafka, |config, postgres| {
        let publication = config.slot();
        sql(
            postgres,
            &format!("CREATE PUBLICATION {publication} FOR ALL TABLES"),
        );
        config
    });
    let topic = stage.config.topic("users");
    let servers = stage.config.bootstrap_servers().to_owned();
    for round in 0..ROUNDS {
        proxy.set(Behaviour::BlackHole);
        wait_for("no leader", LIMIT, || {
            (!is_led(&servers, &topic)).then_some(())
        });
        stage.write(round * 1000 + 1, 500);
        let table = format!("CREATE TABLE new{round} (id int PRIMARY KEY)");
        sql(&stage.postgres, &table);
        sql(
            &stage.postgres,
            &format!("INSERT INTO new{round} VALUES (1)"),
        );
        // Far more than may be left unconfirmed below.
        stage.write(round * 1000 + 501, 500);
        sleep(Duration::from_secs(1));
        proxy.set(Behaviour::Forward);
        stage.wait_until_confirmed(10_000);
    }
    for round in 0..ROUNDS {
        let events = read_topic(&servers, &stage.config.topic(&format!("new{round}")));
        assert_eq!(assert_at_least_once(&events).distinct, 1);
    }
    stage.assert_all_arrives(4001);
}

/// Nothing is read meanwhile, so that only the next status updates tell of it.
#[test]
fn a_connection_that_is_cut_while_kafka_is_away_is_noticed() {
    let proxy = OnceCell::new();
    let mut stage = stage_with("cut", own_kafka(), |config, postgres| {
        let proxy = proxy.get_or_init(|| Proxy::to(postgres.port()));
        let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", proxy.port());
        config.set("postgres.url", &url)
    });
    stage.kafka.pause();
    stage.write(1, 100_000);
    sleep(Duration::from_secs(3));
    proxy.get().expect("a proxy").reset_all();
    let told = wait_for("it is noticed", LIMIT, || {
        let log = stage.walferry.log();
        let told = log
            .lines()
            .find(|line| line.contains("draining: waiting for Kafka"));
        told.map(str::to_owned)
    });
    // By the stream's own socket, and not by the session beside it that is cut, too.
    assert!(
        told.contains("reason=") && !told.contains("shuts down"),
        "{told}"
    );
    stage.kafka.resume();
    stage.assert_all_arrives(100_001);
}

#[test]
fn postgres_is_restarted_while_kafka_is_away() {
    let mut stage = stage("both");
    stage.kafka.pause();
    stage.write(1, 100_000);
    let took = stage.postgres.stop(Shutdown::Fast).expect("it stops");
    eprintln!("fast stop: {took:?}");
    assert!(took < Duration::from_secs(10), "it is held up for {took:?}");
    stage.postgres.restart().expect("it starts");
    stage.write(100_001, 100_000);
    sleep(OUTAGE);
    stage.kafka.resume();
    stage.assert_all_arrives(200_001);
}
