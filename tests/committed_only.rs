//! What was rolled back never reaches Kafka; a prepared transaction does at COMMIT PREPARED, and not
//! before; a savepoint's part of a transaction counts for itself.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use xtask::servers::PostgresOptions;

#[test]
fn only_what_is_committed_is_published() {
    let options = PostgresOptions::default().with("max_prepared_transactions", "4");
    let postgres = postgres(options);
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("committed", &postgres, kafka());
    let limit = Duration::from_secs(60);
    config.catch_up(limit);
    let keys = || -> Vec<String> {
        let topic = config.topic("users");
        let events = read_topic(config.bootstrap_servers(), &topic);
        events
            .iter()
            .map(|event| event.key_json().to_string())
            .collect()
    };
    for text in [
        "BEGIN; INSERT INTO users VALUES (1); ROLLBACK",
        "BEGIN; INSERT INTO users VALUES (2); PREPARE TRANSACTION 'later'",
        "BEGIN; INSERT INTO users VALUES (3); PREPARE TRANSACTION 'never'",
        "BEGIN; INSERT INTO users VALUES (4); SAVEPOINT s; INSERT INTO users VALUES (5); \
         ROLLBACK TO s; COMMIT",
    ] {
        sql(&postgres, text);
    }
    config.catch_up(limit);
    assert_eq!(keys(), [r#"{"id":4}"#]);
    sql(&postgres, "COMMIT PREPARED 'later'");
    sql(&postgres, "ROLLBACK PREPARED 'never'");
    config.catch_up(limit);
    assert_eq!(keys(), [r#"{"id":4}"#, r#"{"id":2}"#]);
}
