//! A Kafka that is not there at the start: said soon, waited for, and left at once on a signal.

use std::time::Duration;

use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, wait_for};
use xtask::servers::{Port, PostgresOptions};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn it_is_waited_for_and_named() {
    let postgres = postgres(PostgresOptions::default());
    let port = Port::reserve().expect("a port");
    let nobody = format!("127.0.0.1:{}", port.number());
    let config = Config::new("absent", &postgres, kafka());
    let config = config.set("kafka.bootstrap.servers", &nobody);
    let mut walferry = config.spawn();
    let said = format!("waiting for an answer from Kafka at {nobody}");
    wait_for("a word about it", LIMIT, || {
        walferry.log().contains(&said).then_some(())
    });
    assert!(walferry.is_running(), "{}", walferry.log());
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}
