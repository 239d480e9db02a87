//! A slot in other hands: a reader that died without a word is waited for as long as the server
//! waits for it, and then followed. (One that lives is another instance: `refusals.rs`.)

use std::time::Duration;

use e2e::support::compare::assert_at_least_once;
use e2e::support::topic::TopicReader;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for, walsender};
use rustix::process::Signal;
use xtask::servers::PostgresOptions;

/// Longer than a reader that lives is waited for.
const SENDER_TIMEOUT: &str = "14s";
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_predecessor_whose_host_died_is_outlived() {
    let options = PostgresOptions::default().with("wal_sender_timeout", SENDER_TIMEOUT);
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
    );
    let direct = Config::new("takeover", &postgres, kafka());
    let first = direct.another_instance().start();
    let slot = direct.slot();
    let before = wait_for("its walsender", LIMIT, || walsender(&postgres, &slot));
    sql(
        &postgres,
        "INSERT INTO users VALUES (1, 'seen by the first')",
    );
    // A process that stands still says as much to the server as a host that is gone.
    first.signal(Signal::STOP);
    sql(&postgres, "INSERT INTO users VALUES (2, 'after it')");
    let second = direct.spawn();
    let mut reader = TopicReader::new(direct.bootstrap_servers(), &direct.topic("users"));
    reader.wait_for_count(2, LIMIT);
    assert_at_least_once(reader.events());
    assert_ne!(walsender(&postgres, &slot), Some(before));
    assert!(
        second.log().contains("waiting for the slot"),
        "{}",
        second.log()
    );
}
