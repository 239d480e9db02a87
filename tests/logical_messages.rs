//! `envelope.logical.messages: publish`: what `pg_logical_emit_message` writes arrives in a topic of
//! its own, in its place among the changes.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql};
use xtask::servers::PostgresOptions;

#[test]
fn messages_have_a_topic_of_their_own() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("messages", &postgres, kafka());
    let config = config.set("envelope.logical.messages", "publish");
    config.catch_up(Duration::from_secs(30));
    sql(
        &postgres,
        "SELECT pg_logical_emit_message(true, 'within', 'a');
         SELECT pg_logical_emit_message(false, 'outside', 'b')",
    );
    config.catch_up(Duration::from_secs(30));
    let topic = format!("{}.message", config.name());
    let events = read_topic(config.bootstrap_servers(), &topic);
    let mut keys: Vec<String> = events
        .iter()
        .map(|event| event.key_json().to_string())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [r#"{"prefix":"outside"}"#, r#"{"prefix":"within"}"#]);
}
