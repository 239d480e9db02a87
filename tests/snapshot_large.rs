//! Five million rows and writers that never stop: each row comes once as `r`, its changes behind it
//! in order, none is lost, and memory does not grow with the table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::support::walferry::Config;
use e2e::support::{StopAtEnd, kafka, postgres, query, query_one, sql, wait_for};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use xtask::servers::{PostgresOptions, PostgresServer};

const ROWS: usize = 5_000_000;
const LIMIT: Duration = Duration::from_secs(900);
const RSS_MAX: u64 = 96 << 20;

/// Changes rows all over the table, deletes some and inserts others, until it is told to end.
fn write_until(end: &AtomicBool, postgres: &PostgresServer) {
    let mut turn = 0;
    while !end.load(Ordering::Relaxed) {
        turn += 1;
        // Strides without a common divisor with the number of rows walk through all of it.
        let at = |stride: usize, of: usize| (turn * stride + of * 7919) % ROWS + 1;
        let ids: Vec<String> = (0..20).map(|of| at(1_000_003, of).to_string()).collect();
        sql(
            postgres,
            &format!(
                "BEGIN; UPDATE ledger SET version = version + 1 WHERE id IN ({});
                     DELETE FROM ledger WHERE id = {};
                     INSERT INTO ledger VALUES ({}, 1, 'new'); COMMIT",
                ids.join(", "),
                at(777_781, 3),
                ROWS + turn
            ),
        );
    }
}

/// What a consumer has of one key.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Version(u32),
    Deleted,
}

/// Takes every record of the topic in, and refuses what is out of order.
#[derive(Default)]
struct Fold {
    /// By id, which begins at 1.
    known: Vec<Known>,
    reads: usize,
    /// Changes of rows that had come as `r`.
    followed: usize,
}

impl Fold {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key: serde_json::Value = serde_json::from_slice(key).expect("a key");
        let id = usize::try_from(key["id"].as_u64().expect("an id")).expect("an id");
        if self.known.len() <= id {
            self.known.resize(id + 1, Known::Nothing);
        }
        let before = self.known[id];
        let Some(value) = value else {
            assert!(before != Known::Deleted, "row {id} is deleted twice");
            self.known[id] = Known::Deleted;
            return;
        };
        let row: HashMap<&str, serde_json::Value> = serde_json::from_slice(value).expect("a row");
        let version = row["version"].as_u64().expect("a version");
        let version = u32::try_from(version).expect("a version");
        match (row["__op"].as_str(), before) {
            (Some("r"), Known::Nothing) => self.reads += 1,
            (Some("u"), Known::Version(old)) if version == old + 1 => self.followed += 1,
            (Some("c"), Known::Nothing) if id > ROWS => {}
            (operation, _) => panic!("row {id}, version {version}: {operation:?} is out of order"),
        }
        self.known[id] = Known::Version(version);
    }

    /// Reads a topic of one partition from its beginning to its present end, and keeps no record.
    fn of_topic(config: &Config) -> Self {
        let topic = config.topic("ledger");
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", config.bootstrap_servers())
            .set("group.id", "snapshot-large")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&topic, 0, Offset::Beginning)
            .expect("an offset");
        consumer.assign(&from).expect("assigned");
        let (_, end) = consumer
            .fetch_watermarks(&topic, 0, Duration::from_secs(30))
            .expect("its end");
        let mut fold = Self::default();
        let deadline = Instant::now() + LIMIT;
        let mut next = 0;
        while next < end {
            assert!(Instant::now() < deadline, "read {next} of {end}");
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                next = record.offset() + 1;
                fold.take(record.key().expect("a key"), record.payload());
            }
        }
        fold
    }
}

#[test]
fn five_million_rows_under_constant_writes() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        &format!(
            "CREATE TABLE ledger (id int PRIMARY KEY, version int NOT NULL, note text);
             INSERT INTO ledger SELECT i, 0, 'note ' || i FROM generate_series(1, {ROWS}) i"
        ),
    );
    let config = Config::new("snapshot_large", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("topics.partitions", "1")
        .set("envelope.unwrap", "true")
        .set("envelope.unwrap.add.fields", "op");
    let end = AtomicBool::new(false);
    let mut walferry = config.spawn_with(&["--log-level", "info,connector::driver=debug"]);
    walferry.wait_ready();
    thread::scope(|scope| {
        // Let go of, too, when the copy fails.
        let _end = StopAtEnd(&end);
        scope.spawn(|| write_until(&end, &postgres));
        wait_for("the end of the copy", LIMIT, || {
            assert!(walferry.is_running(), "{}", walferry.log());
            let log = walferry.log();
            // The last thing that the copy does: what follows leaves at the stream's pace.
            log.contains("records leave soon from now on").then_some(())
        });
    });
    let peak = walferry.memory_peak();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
    let log = walferry.log();
    let over = log.find("all rows that were there are handed over");
    assert!(over.is_some(), "{log}");
    assert!(over < log.find("records leave soon from now on"), "{log}");
    config.catch_up(LIMIT);

    let fold = Fold::of_topic(&config);
    assert!(fold.reads > ROWS / 10 * 9, "{} rows were read", fold.reads);
    assert!(fold.followed > 1000, "{} changes meanwhile", fold.followed);
    assert!(peak <= RSS_MAX, "{peak} bytes of memory");
    assert_equals_table(&fold, &postgres);
}

fn assert_equals_table(fold: &Fold, postgres: &PostgresServer) {
    let count = query_one(postgres, "SELECT count(*) FROM ledger");
    let live = |known: &&Known| matches!(known, Known::Version(_));
    assert_eq!(fold.known.iter().filter(live).count().to_string(), count);
    // All others, as many, have the version they began with: in the table, and in the topic.
    let mut changed = HashMap::new();
    for row in query(
        postgres,
        "SELECT id || ' ' || version FROM ledger WHERE version > 0",
    ) {
        let (id, version) = row.split_once(' ').expect("two numbers");
        let id: usize = id.parse().expect("an id");
        changed.insert(id, version.parse::<u32>().expect("a version"));
    }
    for (id, known) in fold.known.iter().enumerate() {
        match known {
            Known::Version(0) => assert!(!changed.contains_key(&id), "row {id} has changed"),
            Known::Version(version) => assert_eq!(changed.get(&id), Some(version), "row {id}"),
            Known::Nothing | Known::Deleted => {
                assert!(!changed.contains_key(&id), "row {id} is there");
            }
        }
    }
}
