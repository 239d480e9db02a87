//! A value that the chosen form cannot say goes to the dead-letter topic, with what is wrong and
//! without what is hidden; the stream goes on, and the metrics count it.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn what_cannot_be_said_is_kept_aside() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE prices (id int PRIMARY KEY, price numeric(10,2), code text, secret text);
         INSERT INTO prices VALUES (1, 'NaN', 'pin-1', 's3cret')",
    );
    let config = Config::new("dead_letter", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set(
            "envelope.event.processing.failure.handling.mode",
            "dead-letter",
        )
        .set("envelope.column.exclude.list", "public.prices.secret")
        .set("envelope.column.mask.with.3.chars", "public.prices.code");
    let mut walferry = config.start();
    walferry.wait_ready();
    sql(
        &postgres,
        "BEGIN; INSERT INTO prices VALUES (2, 2.5, 'x', 'y'); UPDATE prices SET price = 'NaN' WHERE id = 2;
         INSERT INTO prices VALUES (3, 3.5, 'x', 'y'); COMMIT",
    );
    wait_for("the letters are counted", LIMIT, || {
        let letters = walferry
            .metrics()
            .into_iter()
            .filter(|(name, _)| name.contains("operation=\"dead_letter\""));
        (letters.map(|(_, count)| count).sum::<f64>() >= 2.0).then_some(())
    });
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    let events = read_topic(config.bootstrap_servers(), &config.topic("prices"));
    let keys: Vec<_> = events
        .iter()
        .map(|event| event.key_json()["id"].clone())
        .collect();
    assert_eq!(keys, [json!(2), json!(3)], "the stream goes on");
    let topic = format!("{}.dead-letter", config.name());
    let letters = read_topic(config.bootstrap_servers(), &topic);
    let told: Vec<_> = letters
        .iter()
        .map(|letter| {
            let letter = letter.json();
            assert!(
                letter["error"]
                    .as_str()
                    .is_some_and(|text| text.contains("decimal.handling.mode"))
            );
            assert!(letter["lsn"].is_u64());
            assert_eq!(
                (&letter["table"], &letter["column"]),
                (&json!("public.prices"), &json!("price"))
            );
            (letter["op"].clone(), letter["after"].clone())
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                json!("r"),
                json!({"id": "1", "price": "NaN", "code": "***"})
            ),
            (
                json!("u"),
                json!({"id": "2", "price": "NaN", "code": "***"})
            ),
        ]
    );
}
