//! Columns that are hidden, masked, or made keys: in values, before-images, keys, snapshot rows; and
//! rules that would leak or make wrong keys are refused at start.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, sql};
use serde_json::json;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn hidden_and_masked_columns_are_nowhere_in_the_topic() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (mail text PRIMARY KEY, password text, card varchar(8), note text, n int);
         ALTER TABLE users REPLICA IDENTITY FULL;
         INSERT INTO users VALUES ('ann@example.org', 'pw-one', 'card-one', 'a long note', 1)",
    );
    let config = Config::new("masks", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.column.exclude.list", "'*.password'")
        .set(
            "envelope.column.mask.hash.v2.SHA-256.with.salt.pepper",
            "public.users.(mail|card)",
        )
        .set("envelope.column.truncate.to.6.chars", "public.users.note")
        .set("envelope.skip.messages.without.change", "true");
    config.catch_up(LIMIT);
    sql(&postgres, "UPDATE users SET password = 'pw-two'");
    sql(&postgres, "UPDATE users SET n = 2");
    sql(&postgres, "UPDATE users SET mail = 'bob@example.org'");
    sql(&postgres, "DELETE FROM users");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let told: Vec<String> = events
        .iter()
        .map(e2e::support::event::Event::operation)
        .collect();
    assert_eq!(
        told,
        ["r", "u", "d", "tombstone", "c", "d", "tombstone"],
        "a password alone is no change"
    );
    for event in &events {
        let headers = event.headers.iter().map(|(_, value)| value.as_slice());
        let parts = [event.key.as_deref(), event.value.as_deref()];
        for part in parts.into_iter().flatten().chain(headers) {
            let text = String::from_utf8_lossy(part);
            for secret in ["example.org", "pw-", "password", "card-one", "long note"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
    let row = &events[0].json()["after"];
    assert_eq!((&row["note"], &row["n"]), (&json!("a long"), &json!(1)));
    assert_eq!(row["card"].as_str().map(str::len), Some(8));
    assert_eq!(row["mail"], events[0].key_json()["mail"]);
    assert_ne!(events[0].key, events[4].key);
}

#[test]
fn keys_are_made_of_the_columns_that_are_named() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, tenant int, name text);
         ALTER TABLE users REPLICA IDENTITY FULL",
    );
    let config = Config::new("key_columns", &postgres, kafka())
        .set("envelope.message.key.columns", "'public.users:tenant,id'");
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (1, 7, 'Ann')");
    sql(&postgres, "UPDATE users SET tenant = 8");
    sql(&postgres, "DELETE FROM users");
    config.catch_up(LIMIT);
    let events = read_topic(config.bootstrap_servers(), &config.topic("users"));
    let told: Vec<_> = events
        .iter()
        .map(|event| format!("{} {}", event.operation(), event.key_json()["tenant"]))
        .collect();
    assert_eq!(
        told,
        ["c 7", "d 7", "tombstone 7", "c 8", "d 8", "tombstone 8"]
    );
    assert_eq!(
        events[0].key.as_deref(),
        Some(&b"{\"tenant\":7,\"id\":1}"[..])
    );
}

#[test]
fn rules_that_would_leak_or_make_wrong_keys_are_refused() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id text PRIMARY KEY, tenant int, name text)",
    );
    let config = Config::new("column_refusals", &postgres, kafka())
        .set("envelope.message.key.columns", "'public.users:tenant'")
        .set(
            "envelope.column.mask.with.3.chars",
            "public.users.(tenant|id)",
        )
        .set("envelope.column.exclude.list", "public.users.nme");
    let output = config.check(&[]);
    let report = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "KEY_NOT_IN_IDENTITY",
        "REPLICA IDENTITY FULL",
        "MASK_NOT_A_TEXT",
        "tenant integer",
        "KEY_MASKED",
        "COLUMN_RULE_UNUSED",
        "public.users.nme",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    assert_ne!(output.status.code(), Some(0));
}

#[test]
fn two_columns_never_become_one_field() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, a_b int)",
    );
    let config = Config::new("field_twice", &postgres, kafka())
        .set("envelope.field.name.adjustment.mode", "avro");
    let mut walferry = config.start();
    walferry.wait_ready();
    sql(&postgres, "ALTER TABLE users ADD \"a b\" int");
    sql(&postgres, "INSERT INTO users VALUES (1, 2, 3)");
    assert_halts(&mut walferry, "VALUE_UNREPRESENTABLE", 23);
    assert!(walferry.log().contains("field.name.adjustment.mode"));
    let output = config.check(&[]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("FIELD_TWICE"), "{report}");
    // Hidden, it is in nobody's way.
    config
        .set("envelope.column.exclude.list", "public.users.a_b")
        .catch_up(LIMIT);
}
