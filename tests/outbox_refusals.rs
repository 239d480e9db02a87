//! What an outbox event may not do: name a partition or a time that Kafka refuses, a topic that is not
//! events', a column that is not there. It is told with its place, and nothing goes in circles.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, sql};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype text, aggregateid text, payload text, p bigint, at timestamptz)";

fn server() -> PostgresServer {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, TABLE);
    postgres
}

/// An outbox of the table, with topics of its own.
fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    let config = Config::new(purpose, postgres, kafka());
    let topic = format!("'{}.${{routedByValue}}'", config.name());
    config
        .unset("tables.include")
        .set("outbox.table", "public.outbox")
        .set("outbox.route.topic.replacement", &topic)
        .set("outbox.value.converter", "string")
}

fn values(config: &Config, topic: &str) -> Vec<String> {
    let events = read_topic(config.bootstrap_servers(), topic);
    let values = events
        .into_iter()
        .map(|event| event.value.expect("a value"));
    values
        .map(|value| String::from_utf8(value).expect("a text"))
        .collect()
}

/// It stops at this row and names where it went, twice: it is the row's fault, and nothing went in circles.
fn stops_at(config: &Config, hint: &str) {
    for _ in 0..2 {
        let mut walferry = config.spawn();
        assert_halts(&mut walferry, "RECORD_REFUSED", 22);
        let log = walferry.log();
        let topic = format!("to topic {}.b", config.name());
        for part in ["public.outbox", &topic, hint] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(!log.contains("s3cret"), "{log}");
    }
}

#[test]
fn a_partition_that_the_topic_lacks_stops_with_its_place() {
    let postgres = server();
    let config = config("outbox_partition", &postgres)
        .set("outbox.table.fields.additional.placement", "p:partition");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 'one', 0);
         INSERT INTO outbox VALUES (DEFAULT, 'b', 'k', 'two', 0);
         INSERT INTO outbox VALUES (DEFAULT, 'b', 'k', 's3cret', 7)",
    );
    stops_at(&config, "add partitions to the topic");
    // What was before it is there.
    assert_eq!(
        values(&config, &format!("{}.a", config.name()))
            .first()
            .map(String::as_str),
        Some("one")
    );
}

#[test]
fn a_number_beyond_kafkas_is_malformed_and_not_the_keys_choice() {
    let postgres = server();
    let config = config("outbox_number", &postgres)
        .set("outbox.table.fields.additional.placement", "p:partition")
        .set(
            "envelope.event.processing.failure.handling.mode",
            "dead-letter",
        );
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'b', 'k', 'x', 3000000000)",
    );
    config.catch_up(LIMIT);
    let letters = values(&config, &format!("{}.dead-letter", config.name()));
    assert!(letters[0].contains("not the number of one"), "{letters:?}");
}

#[test]
fn a_time_that_the_topic_does_not_take_stops_with_its_place() {
    let postgres = server();
    let config = config("outbox_time", &postgres).set("outbox.table.field.event.timestamp", "at");
    config.catch_up(LIMIT);
    // The others of its batch are not to blame.
    sql(
        &postgres,
        "INSERT INTO outbox SELECT gen_random_uuid(), 'b', 'k', 's3cret', NULL,
             CASE WHEN n = 30 THEN now() + interval '2 hours' ELSE now() END
         FROM generate_series(1, 60) n",
    );
    stops_at(&config, "message.timestamp.after.max.ms");
}

#[test]
fn no_event_gets_into_walferrys_own_topics_or_a_captured_tables() {
    let postgres = server();
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = config("outbox_taken", &postgres)
        .set("tables.include", "[ \"public.users\" ]")
        .set("outbox.route.topic.replacement", "'${routedByValue}'")
        .set(
            "envelope.event.processing.failure.handling.mode",
            "dead-letter",
        );
    config.catch_up(LIMIT);
    let name = config.name();
    let progress = format!("walferry.progress.{}", config.slot());
    let letters = format!("{name}.dead-letter");
    let others = [
        format!("{name}.transaction"),
        format!("{name}.message"),
        format!("__debezium-heartbeat.{name}"),
    ];
    let users = config.topic("users");
    let before = read_topic(config.bootstrap_servers(), &progress).len();
    let taken: Vec<&String> = [&progress, &letters, &users]
        .into_iter()
        .chain(&others)
        .collect();
    for topic in &taken {
        sql(
            &postgres,
            &format!(
                "INSERT INTO outbox VALUES (DEFAULT, '{topic}', '{}', 'x')",
                config.slot()
            ),
        );
    }
    sql(
        &postgres,
        &format!("INSERT INTO outbox VALUES (DEFAULT, '{name}.fine', 'k', 'y')"),
    );
    config.catch_up(LIMIT);
    let told = values(&config, &letters);
    assert_eq!(told.len(), taken.len(), "{told:?}");
    for letter in &told {
        assert!(
            letter.contains("walferry's own or a captured table's"),
            "{letter}"
        );
    }
    assert_eq!(values(&config, &format!("{name}.fine")), ["y"]);
    let all = read_topic(config.bootstrap_servers(), &progress);
    assert!(all.len() > before);
    assert!(
        all.iter()
            .all(|record| record.value.as_deref() != Some(b"x"))
    );
}

#[test]
fn a_publication_of_inserts_alone_will_do_and_is_warned_of() {
    let postgres = server();
    let config = config("outbox_inserts", &postgres);
    let slot = config.slot();
    sql(
        &postgres,
        &format!("CREATE PUBLICATION {slot} FOR TABLE outbox WITH (publish = 'insert')"),
    );
    let config = config.set("envelope.skipped.operations", "[ u, d, t ]");
    let said = String::from_utf8_lossy(&config.check(&["--json"]).stdout).into_owned();
    assert!(said.contains("are not told of"), "{said}");
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 'x')",
    );
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "INSERT INTO outbox VALUES (DEFAULT, 'a', 'k', 'y'); TRUNCATE outbox",
    );
    config.catch_up(LIMIT);
    assert_eq!(values(&config, &format!("{}.a", config.name())), ["y"]);
}

#[test]
fn the_check_looks_for_the_columns() {
    let postgres = server();
    let wrong = config("outbox_columns", &postgres)
        .set("outbox.table.field.event.key", "aggregate_id")
        .set(
            "outbox.table.fields.additional.placement",
            "[ \"p:partition\", \"kind:header\" ]",
        )
        .set("outbox.tracing.span.context.field", "span");
    let check = wrong.check(&[]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_ne!(check.status.code(), Some(0), "{said}");
    for part in [
        "OUTBOX_COLUMN",
        "aggregate_id (outbox.table.field.event.key)",
        "kind (outbox.table.fields.additional.placement)",
        "span (outbox.tracing.span.context.field)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("p (outbox"), "{said}");
    let mut walferry = wrong.spawn();
    assert!(walferry.wait_exit(LIMIT).is_some_and(|code| code != 0));
    let may_miss = config("outbox_columns", &postgres)
        .set("outbox.table.fields.additional.placement", "kind:header")
        .set("outbox.table.field.additional.missing", "ignore");
    let check = may_miss.check(&[]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!said.contains("OUTBOX_COLUMN"), "{said}");
}
