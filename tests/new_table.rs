//! A table that is met for the first time while walferry runs: asking the catalog about it, and
//! Kafka for its topic, holds up neither the connection nor anything else, however long it takes; nor
//! does who holds a lock on one that is not published yet.

use std::thread::{self, sleep};
use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::session::Session;
use e2e::support::topic::{TopicReader, create_topic};
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, own_kafka, postgres, query, sql, wait_for, walsender};
use xtask::servers::{KafkaServer, PostgresOptions, PostgresServer};

/// Several times the server's patience, and longer than one question to Kafka may take.
const OUTAGE: Duration = Duration::from_secs(40);
const LIMIT: Duration = Duration::from_secs(60);

struct Stage {
    postgres: PostgresServer,
    config: Config,
    walferry: Walferry,
    sender: String,
}

/// A publication that takes in every table to come, and a walferry that has seen one table.
fn stage(purpose: &str, kafka: &KafkaServer, settings: &[(&str, &str)]) -> Stage {
    let options = PostgresOptions::default().with("wal_sender_timeout", "5s");
    let postgres = postgres(options);
    let mut config = Config::new(purpose, &postgres, kafka);
    for (key, yaml) in settings {
        config = config.set(key, yaml);
    }
    sql(
        &postgres,
        &format!(
            "CREATE TABLE old (id int PRIMARY KEY, note text);
             CREATE PUBLICATION {} FOR ALL TABLES",
            config.slot()
        ),
    );
    let walferry = config.start();
    sql(&postgres, "INSERT INTO old VALUES (1, 'first')");
    let sender = walsender(&postgres, &config.slot()).expect("a walsender");
    let stage = Stage {
        postgres,
        config,
        walferry,
        sender,
    };
    stage.reader("old").wait_for_count(1, LIMIT);
    stage
}

impl Stage {
    fn reader(&self, table: &str) -> TopicReader {
        TopicReader::new(self.config.bootstrap_servers(), &self.config.topic(table))
    }

    /// The end of the server's WAL, as the page tells it.
    fn server_lsn(&self) -> f64 {
        let metrics = self.walferry.metrics();
        metrics["walferry_server_lsn_bytes"]
    }

    fn assert_same_connection(&self) {
        let now = walsender(&self.postgres, &self.config.slot());
        assert_eq!(
            now.as_ref(),
            Some(&self.sender),
            "the same connection serves on:\n{}",
            self.walferry.log()
        );
    }
}

#[test]
fn a_topic_to_be_made_while_kafka_is_away() {
    let kafka = own_kafka();
    let mut stage = stage("away", &kafka, &[]);
    kafka.pause();
    sql(
        &stage.postgres,
        "CREATE TABLE young (id int PRIMARY KEY, note text);
         INSERT INTO young VALUES (1, 'young'); INSERT INTO old VALUES (2, 'second')",
    );
    sleep(OUTAGE);
    stage.assert_same_connection();
    assert!(stage.walferry.log().contains(&stage.config.topic("young")));
    kafka.resume();
    stage.reader("young").wait_for_count(1, LIMIT);
    stage.reader("old").wait_for_count(2, LIMIT);
    stage.assert_same_connection();
    assert!(stage.walferry.is_running());
}

#[test]
fn a_catalog_that_takes_its_time() {
    let stage = stage("slow_catalog", kafka(), &[]);
    thread::scope(|scope| {
        // The labels of enums are part of what is asked.
        let locked = "BEGIN; LOCK TABLE pg_catalog.pg_enum; SELECT pg_sleep(12); COMMIT";
        scope.spawn(|| sql(&stage.postgres, locked));
        wait_for("the lock", LIMIT, || {
            let held = "SELECT 1 FROM pg_locks WHERE relation = 'pg_catalog.pg_enum'::regclass \
                        AND mode = 'AccessExclusiveLock' AND granted";
            query(&stage.postgres, held).pop()
        });
        sql(
            &stage.postgres,
            "CREATE TABLE young (id int PRIMARY KEY, note text); INSERT INTO young VALUES (1, 'a')",
        );
    });
    stage.reader("young").wait_for_count(1, LIMIT);
    stage.assert_same_connection();
}

#[test]
fn the_session_for_questions_is_ended_and_opened_again() {
    let mut stage = stage("session", kafka(), &[]);
    let before = stage.server_lsn();
    let ended = query(
        &stage.postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    assert_eq!(ended, ["t"], "walferry has one such session");
    sql(
        &stage.postgres,
        "ALTER TABLE old ADD COLUMN more int; INSERT INTO old VALUES (2, 'second', 2)",
    );
    stage.reader("old").wait_for_count(2, LIMIT);
    wait_for("a look at the slot from outside", LIMIT, || {
        (stage.server_lsn() > before).then_some(())
    });
    stage.assert_same_connection();
    assert!(stage.walferry.is_running());
}

#[test]
fn a_topic_that_takes_only_smaller_batches() {
    let settings = [("kafka.compression.type", "none")];
    let mut stage = stage("smaller", kafka(), &settings);
    create_topic(
        stage.config.bootstrap_servers(),
        &stage.config.topic("young"),
        1,
        &[("max.message.bytes", "20000")],
    );
    sql(
        &stage.postgres,
        "CREATE TABLE young (id int PRIMARY KEY, note text);
         INSERT INTO young SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i",
    );
    let mut reader = stage.reader("young");
    let events = reader.wait_for_count(20_000, LIMIT);
    let mut ids: Vec<_> = events.iter().map(Event::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20_000);
    assert!(stage.walferry.is_running(), "{}", stage.walferry.log());
}

#[test]
fn a_table_that_the_publication_leaves_out_is_told() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("left_out", &postgres, kafka()).set("tables.new", "ignore");
    let walferry = config.start();
    sql(&postgres, "CREATE TABLE young (id int PRIMARY KEY)");
    let count = || walferry.metrics().remove("walferry_tables_unpublished");
    wait_for("one table is left out", LIMIT, || {
        (count() == Some(1.0)).then_some(())
    });
    let log = walferry.log();
    let statement = format!(
        "ALTER PUBLICATION \"{}\" ADD TABLE \"public\".\"young\"",
        config.slot()
    );
    assert!(log.contains(&statement), "not told what to do:\n{log}");
    // It is followed as soon as that is done.
    sql(&postgres, &statement);
    sql(&postgres, "INSERT INTO young VALUES (1)");
    let topic = config.topic("young");
    TopicReader::new(config.bootstrap_servers(), &topic).wait_for_count(1, LIMIT);
    wait_for("none is left out", LIMIT, || {
        (count() == Some(0.0)).then_some(())
    });
}

/// Somebody holds a new table for long. `ALTER PUBLICATION` gives up waiting for him, and is tried again.
#[test]
fn a_table_that_somebody_holds_is_taken_in_later() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("held", &postgres, kafka());
    let walferry = config.start();
    let holder = Session::open(&postgres);
    holder.run("CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young VALUES (1)");
    // As CREATE INDEX CONCURRENTLY does.
    holder.run("BEGIN; LOCK TABLE young IN SHARE UPDATE EXCLUSIVE MODE");
    let waiting = "SELECT (SELECT count(*) FROM pg_stat_activity AS other
                            WHERE other.application_name = waiting.application_name
                              AND other.backend_type = 'client backend' AND other.pid <> waiting.pid)
                   FROM pg_stat_activity AS waiting
                   WHERE wait_event_type = 'Lock' AND query LIKE '%ALTER PUBLICATION%'";
    let others = wait_for("somebody waits for the table", LIMIT, || {
        query(&postgres, waiting).pop()
    });
    assert_ne!(others, "0", "questions wait behind it");
    wait_for("nobody waits any more", LIMIT, || {
        query(&postgres, waiting).is_empty().then_some(())
    });
    wait_for("the log", LIMIT, || {
        let log = walferry.log();
        log.contains("the publication leaves it out").then_some(())
    });
    holder.run("COMMIT");
    let topic = config.topic("young");
    TopicReader::new(config.bootstrap_servers(), &topic).wait_for_count(1, LIMIT);
}

/// Published without an identity, its application could not update it any more.
#[test]
fn a_table_that_its_application_could_not_update_is_not_taken_in() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("keyless", &postgres, kafka());
    let walferry = config.start();
    sql(
        &postgres,
        "CREATE TABLE young (id int NOT NULL); INSERT INTO young VALUES (1);
         CREATE TABLE parts (id int NOT NULL) PARTITION BY LIST (id);
         CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
         CREATE TABLE other (id int PRIMARY KEY)",
    );
    let counted = |wanted| {
        wait_for("the tables that are left out", LIMIT, || {
            let count = walferry.metrics().remove("walferry_tables_unpublished");
            (count == Some(wanted)).then_some(())
        });
    };
    counted(2.0);
    sql(
        &postgres,
        "UPDATE young SET id = id; UPDATE parts SET id = id",
    );
    let log = walferry.log();
    for (table, remedy) in [
        (
            "young",
            "ALTER TABLE \\\"public\\\".\\\"young\\\" REPLICA IDENTITY FULL",
        ),
        (
            "part",
            "ALTER TABLE \\\"public\\\".\\\"part\\\" REPLICA IDENTITY FULL",
        ),
    ] {
        let told = log
            .lines()
            .find(|line| line.contains(&format!("public.{table}\"")));
        let told = told.unwrap_or_else(|| panic!("{table} is not told of: {log}"));
        assert!(
            told.contains("PK_MISSING") && told.contains(remedy),
            "{told}"
        );
    }
    sql(
        &postgres,
        "ALTER TABLE young ADD PRIMARY KEY (id); ALTER TABLE parts ADD PRIMARY KEY (id)",
    );
    counted(0.0);
    let topic = config.topic("young");
    TopicReader::new(config.bootstrap_servers(), &topic).wait_for_count(1, LIMIT);
}
