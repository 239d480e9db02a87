//! The provisioning that all other tests stand on: real servers start, survive kill -9 with their
//! data, come back on the same port, and leave nothing behind.

use std::time::Duration;

use xtask::servers::{
    Durability, KafkaOptions, KafkaServer, PostgresOptions, PostgresServer, Shutdown, process,
};

#[test]
fn postgres_keeps_its_data_and_port_over_kill9_and_stops_fast() {
    let options = PostgresOptions {
        durability: Durability::Safe,
        ..PostgresOptions::default()
    };
    let mut server = PostgresServer::start(&options).expect("Postgres");
    let (port, directory) = (server.port(), server.data_directory());
    server
        .execute(
            "postgres",
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)",
        )
        .expect("SQL");
    let pids = process::descendants(server.pid().expect("running"));
    assert!(
        pids.len() >= 4,
        "checkpointer, walwriter and others are its children: {pids:?}"
    );

    server.kill9();
    for pid in pids {
        assert!(!process::is_alive(pid), "{pid} outlived kill -9");
    }
    server.restart().expect("recovery");
    assert_eq!(server.port(), port);
    assert_eq!(
        server
            .query_text("postgres", "SELECT sum(a) FROM t")
            .expect("SQL"),
        ["3"]
    );
    assert_eq!(
        server
            .query_text("postgres", "SHOW wal_level")
            .expect("SQL"),
        ["logical"]
    );

    let took = server.stop(Shutdown::Fast).expect("fast stop");
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(server);
    assert!(
        !directory.exists(),
        "the data directory is removed with the server"
    );
}

#[test]
fn kafka_keeps_its_port_over_kill9_and_is_gone_when_dropped() {
    let mut kafka = KafkaServer::start(&KafkaOptions::default()).expect("Kafka");
    let address = kafka.bootstrap_servers();
    let log = kafka.log_file();
    kafka.kill9();
    assert!(kafka.pid().is_none());
    kafka.restart().expect("restart after kill -9");
    assert_eq!(kafka.bootstrap_servers(), address);
    let pid = kafka.pid().expect("running");
    let usage = process::usage(pid).expect("/proc");
    assert!(
        usage.rss_bytes > 10 << 20 && usage.rss_peak_bytes >= usage.rss_bytes,
        "{usage:?}"
    );
    drop(kafka);
    assert!(!process::is_alive(pid), "the broker outlived its handle");
    assert!(!log.exists(), "the broker's directory is removed with it");
}
