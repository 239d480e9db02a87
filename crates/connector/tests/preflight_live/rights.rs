//! The rights of a plain role.

use super::*;

#[tokio::test]
async fn a_plain_role_learns_every_right_it_lacks() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let admin = server.client("postgres", "postgres").await;
    run(&admin, "CREATE ROLE \"wal-ferry\" LOGIN").await;
    run(&admin, r#"CREATE DATABASE "my shop""#).await;
    let admin = server.client("postgres", "my shop").await;
    run(
        &admin,
        "CREATE SCHEMA closed; CREATE TABLE closed.users (id int PRIMARY KEY);
         CREATE TABLE closed.orders (id int PRIMARY KEY)",
    )
    .await;
    let setup = Setup {
        include: &["closed.*"],
        ..AUTO
    };
    let client = server.client("wal-ferry", "my shop").await;
    let before = check(&client, setup).await;
    let lacking = [
        "ROLE_CREATE",
        "ROLE_REPLICATION",
        "SCHEMA_USAGE",
        "TABLE_OWNER",
        "TABLE_SELECT",
    ];
    assert_eq!(codes(&before, Severity::Warning), lacking);
    for code in lacking {
        mend(&admin, &before, code).await;
    }
    let after = check(&client, setup).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
    // The superuser has made the publication as printed; only the slot is left to us.
    assert_eq!(after.plan.create_publication, None);
    assert!(after.plan.create_slot);

    // A table that comes later cannot be added by us: neither it nor the publication is ours.
    run(&admin, "CREATE TABLE closed.late (id int PRIMARY KEY)").await;
    run(&admin, "GRANT SELECT ON closed.late TO \"wal-ferry\"").await;
    let late = check(&client, setup).await;
    assert_eq!(
        codes(&late, Severity::Warning),
        ["PUBLICATION_TABLES_MISSING"]
    );
    mend(&admin, &late, "PUBLICATION_TABLES_MISSING").await;
    let after = check(&client, setup).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
}

#[tokio::test]
async fn partitions_that_are_read_by_name_take_a_right_each() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let admin = server.client("postgres", "postgres").await;
    run(
        &admin,
        "CREATE ROLE ferry LOGIN REPLICATION;
         CREATE TABLE orders (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (100);
         CREATE PUBLICATION walferry_shop FOR TABLE orders WITH (publish_via_partition_root);
         GRANT SELECT ON orders TO ferry",
    )
    .await;
    let client = server.client("ferry", "postgres").await;
    let setup = AUTO;
    let root = check(&client, setup).await;
    assert_eq!(codes(&root, Severity::Error), Vec::<&str>::new());

    let unlogged =
        "CREATE UNLOGGED TABLE orders_brief PARTITION OF orders FOR VALUES FROM (100) TO (200)";
    run(&admin, unlogged).await;
    let mixed = check(&client, setup).await;
    assert_eq!(codes(&mixed, Severity::Error), ["TABLE_SELECT"]);
    let subject = find(&mixed, "TABLE_SELECT").subject.to_string();
    assert_eq!(subject, "table public.orders_low");
    mend(&admin, &mixed, "TABLE_SELECT").await;
    let after = check(&client, setup).await;
    assert_eq!(codes(&after, Severity::Warning), ["PARTITIONS_NOT_IN_WAL"]);
}

#[tokio::test]
async fn what_the_first_copy_leaves_out_need_not_be_readable() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let admin = server.client("postgres", "postgres").await;
    run(
        &admin,
        "CREATE ROLE ferry LOGIN REPLICATION; CREATE SCHEMA closed;
         CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY);
         CREATE TABLE closed.notes (id int PRIMARY KEY);
         CREATE PUBLICATION walferry_shop FOR TABLE users, orders, closed.notes",
    )
    .await;
    let client = server.client("ferry", "postgres").await;
    let setup = Setup {
        include: &["public.*", "closed.*"],
        copied: &["public.users"],
        ..AUTO
    };
    let found = check(&client, setup).await;
    assert_eq!(codes(&found, Severity::Error), ["TABLE_SELECT"]);
    let subject = find(&found, "TABLE_SELECT").subject.to_string();
    assert_eq!(subject, "table public.users");
    mend(&admin, &found, "TABLE_SELECT").await;
    let found = check(&client, setup).await;
    assert_eq!(codes(&found, Severity::Error), Vec::<&str>::new());
}
