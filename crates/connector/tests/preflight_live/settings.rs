//! Server settings, and what happens when a part cannot be read.

use super::*;

#[tokio::test]
async fn settings_are_mended_by_the_printed_sql() {
    let settings = [
        ("wal_level", "replica"),
        ("max_replication_slots", "1"),
        ("max_wal_senders", "0"),
        ("wal_sender_timeout", "0"),
        ("max_slot_wal_keep_size", "100MB"),
        ("synchronous_standby_names", "FIRST 1 (\"Walferry\", other)"),
    ];
    let Some(server) = Server::start(&settings) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(
        &client,
        "SET synchronous_commit = off; CREATE TABLE users (id int PRIMARY KEY, name text)",
    )
    .await;
    run(
        &client,
        "SELECT pg_create_physical_replication_slot('other')",
    )
    .await;

    let before = check(&client, AUTO).await;
    let broken = [
        "SENDERS_FULL",
        "SLOTS_FULL",
        "SLOT_WAL_KEEP_SIZE",
        "SYNCHRONOUS_STANDBY",
        "WAL_LEVEL",
        "WAL_SENDER_TIMEOUT",
    ];
    assert_eq!(codes(&before, Severity::Warning), broken);
    for code in broken {
        if code != "SYNCHRONOUS_STANDBY" {
            mend(&client, &before, code).await;
        }
    }
    run(&client, "ALTER SYSTEM SET synchronous_standby_names = ''").await;
    drop(client);
    server.restart();

    let client = server.client("postgres", "postgres").await;
    let after = check(&client, AUTO).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
}

#[tokio::test]
async fn a_part_that_cannot_be_read_does_not_hide_the_others() {
    let Some(server) = Server::start(&[("wal_level", "replica")]) else {
        return;
    };
    let admin = server.client("postgres", "postgres").await;
    run(
        &admin,
        "CREATE TABLE users (id int PRIMARY KEY); CREATE ROLE walferry LOGIN",
    )
    .await;
    run(
        &admin,
        "REVOKE SELECT ON pg_publication_rel, pg_publication FROM PUBLIC",
    )
    .await;
    let client = server.client("walferry", "postgres").await;
    let codes = codes(&check(&client, AUTO).await, Severity::Error);
    assert!(codes.contains(&"CHECK_FAILED"), "{codes:?}");
    assert!(codes.contains(&"WAL_LEVEL"), "{codes:?}");
    assert!(codes.contains(&"ROLE_REPLICATION"), "{codes:?}");
}
