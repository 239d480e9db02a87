//! `walferry check` prints every problem at once, each with what to do, touches nothing, and its
//! exit code says how bad it is.

use std::process::Output;

use e2e::support::topic::{create_topic, record_count};
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query, sql};
use serde_json::Value;
use xtask::servers::PostgresOptions;

fn text(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_sound_set_up_has_no_errors_and_nothing_is_made() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let config = Config::new("sound", &postgres, kafka());
    let output = config.check(&[]);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", text(&output));
    assert!(query(&postgres, "SELECT slot_name FROM pg_replication_slots").is_empty());
    assert!(query(&postgres, "SELECT pubname FROM pg_publication").is_empty());
    assert_eq!(
        record_count(config.bootstrap_servers(), &config.topic("users")),
        0
    );
}

#[test]
fn all_problems_at_once_each_with_what_to_do() {
    let options = PostgresOptions::default().with("wal_level", "replica");
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text);
         CREATE TABLE keyless (name text);
         CREATE ROLE weak LOGIN; GRANT SELECT ON users TO weak",
    );
    let config = Config::new("broken", &postgres, kafka());
    let url = format!("postgresql://weak@127.0.0.1:{}/postgres", postgres.port());
    create_topic(
        config.bootstrap_servers(),
        &config.topic("users"),
        1,
        &[("cleanup.policy", "compact")],
    );
    let config = config
        .set("postgres.url", &url)
        .set("postgres.create", "never");
    let output = config.check(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for named in ["wal_level", "REPLICATION", "keyless", "publication", "slot"] {
        assert!(
            said.contains(named),
            "{named} is not among the problems:\n{said}"
        );
    }

    let output = config.check(&["--json"]);
    assert_eq!(output.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON alone on stdout");
    let findings = json["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("no findings: {json}"));
    assert!(findings.len() >= 4, "{json:#}");
}

#[test]
fn servers_that_are_not_there_are_said_both() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("nobody", &postgres, kafka())
        .set("postgres.url", "postgresql://postgres@127.0.0.1:1/postgres")
        .set("kafka.bootstrap.servers", "127.0.0.1:2");
    let output = config.check(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("127.0.0.1:1") && said.contains("127.0.0.1:2"),
        "{said}"
    );
}
