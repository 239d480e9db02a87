//! Replica identities.

use super::*;

/// Every way to lack a usable identity, and one table that has it.
const IDENTITIES: &str = r#"
    CREATE TABLE "No Key ☃" (a int);
    CREATE TABLE candidate (a int NOT NULL UNIQUE, b int);
    CREATE TABLE partial (a int NOT NULL, b int);
    CREATE UNIQUE INDEX ON partial (a) WHERE b > 0;
    CREATE TABLE nothing (id int PRIMARY KEY);
    ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
    CREATE TABLE gone (a int NOT NULL UNIQUE);
    ALTER TABLE gone REPLICA IDENTITY USING INDEX gone_a_key;
    ALTER TABLE gone DROP CONSTRAINT gone_a_key;
    CREATE TABLE beside (id int PRIMARY KEY, other int NOT NULL UNIQUE);
    ALTER TABLE beside REPLICA IDENTITY USING INDEX beside_other_key;
    CREATE TABLE keyless (a int);
    ALTER TABLE keyless REPLICA IDENTITY FULL;
    CREATE TABLE good (b int, a int, PRIMARY KEY (a, b));"#;

#[tokio::test]
async fn identities_are_mended_before_the_application_breaks() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, IDENTITIES).await;
    let before = check(&client, AUTO).await;
    let broken = [
        "IDENTITY_INDEX_BESIDE_PK",
        "IDENTITY_INDEX_GONE",
        "IDENTITY_NOTHING",
        "KEYLESS",
        "PK_MISSING",
    ];
    assert_eq!(codes(&before, Severity::Warning), broken);
    let without: Vec<String> = before
        .findings
        .iter()
        .filter(|f| f.code == "PK_MISSING")
        .map(|f| f.subject.to_string())
        .collect();
    let tables = ["No Key ☃", "candidate", "deferred", "partial"];
    assert_eq!(without, tables.map(|name| format!("table public.{name}")));
    for code in broken.iter().filter(|code| **code != "KEYLESS") {
        mend(&client, &before, code).await;
    }
    let after = check(&client, AUTO).await;
    assert_eq!(codes(&after, Severity::Warning), ["KEYLESS"]);

    // The proof that it was worth it: published, the application's own statements work, and fail on
    // a table that nobody mended.
    after.plan.apply_sql(&client).await.expect("the plan runs");
    for table in ["\"No Key ☃\"", "candidate", "nothing", "deferred", "gone"] {
        run(&client, &format!("DELETE FROM {table}")).await;
    }
    run(&client, "CREATE TABLE late (a int)").await;
    run(&client, "ALTER PUBLICATION walferry_shop ADD TABLE late").await;
    assert!(client.batch_execute("DELETE FROM late").await.is_err());
    find(&check(&client, AUTO).await, "PK_MISSING");
}
