//! Slots that cannot be read.

use super::*;

#[tokio::test]
async fn a_slot_that_cannot_be_read_is_named() {
    let Some(server) = Server::start(&[LOGICAL, ("max_prepared_transactions", "5")]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(
        &client,
        "CREATE TABLE users (id int PRIMARY KEY); CREATE PUBLICATION walferry_shop FOR TABLE users",
    )
    .await;
    run(&client, "CREATE DATABASE other").await;
    let other = server.client("postgres", "other").await;
    for (session, sql, code) in [
        (
            &client,
            "SELECT pg_create_physical_replication_slot('walferry_shop')",
            "SLOT_PHYSICAL",
        ),
        (
            &client,
            "SELECT pg_create_logical_replication_slot('walferry_shop', 'test_decoding')",
            "SLOT_PLUGIN",
        ),
        (
            &other,
            "SELECT pg_create_logical_replication_slot('walferry_shop', 'pgoutput')",
            "SLOT_DATABASE",
        ),
    ] {
        run(session, sql).await;
        let before = check(&client, AUTO).await;
        assert_eq!(codes(&before, Severity::Warning), [code]);
        let Some(Remedy::Sql(drop)) = find(&before, code).otherwise.first().cloned() else {
            panic!("{code} offers no SQL");
        };
        run(session, &drop).await;
    }
    // One that sends transactions when they are prepared can be.
    run(
        &client,
        "SELECT pg_create_logical_replication_slot('walferry_shop', 'pgoutput', false, true)",
    )
    .await;
    let report = check(&client, AUTO).await;
    assert_eq!(find(&report, "SLOT_TWO_PHASE").severity, Severity::Info);
    run(&client, "SELECT pg_drop_replication_slot('walferry_shop')").await;
    // A temporary slot vanishes with its session.
    run(
        &other,
        "SELECT pg_create_logical_replication_slot('walferry_shop', 'pgoutput', true)",
    )
    .await;
    assert!(codes(&check(&client, AUTO).await, Severity::Error).contains(&"SLOT_DATABASE"));
    drop(other);
    run(&client, "PREPARE TRANSACTION 'never'").await;
}

#[tokio::test]
async fn a_lost_slot_is_said_at_once() {
    let settings = [
        LOGICAL,
        ("max_slot_wal_keep_size", "1MB"),
        ("min_wal_size", "32MB"),
        ("max_wal_size", "32MB"),
    ];
    let Some(server) = Server::start(&settings) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, "CREATE TABLE users (id int PRIMARY KEY)").await;
    let ready = check(&client, AUTO).await;
    ready.plan.apply_sql(&client).await.expect("runs");
    run(
        &client,
        "SELECT pg_create_logical_replication_slot('walferry_shop', 'pgoutput')",
    )
    .await;
    for _ in 0..4 {
        run(&client, "CREATE TABLE filler (a int); DROP TABLE filler").await;
        run(&client, "SELECT pg_switch_wal()").await;
    }
    run(&client, "CHECKPOINT").await;
    let lost = check(&client, AUTO).await;
    assert_eq!(find(&lost, "SLOT_LOST").severity, Severity::Error);
    assert!(
        !lost.plan.create_slot,
        "a lost slot is not replaced by itself"
    );
    mend(&client, &lost, "SLOT_LOST").await;
    assert!(check(&client, AUTO).await.plan.create_slot);
}
