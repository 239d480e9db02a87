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
