//! What a start may create.

use super::*;

/// Tables of every kind.
const TABLES: &str = r#"
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
    CREATE TABLE "odd "" na;me" (id int PRIMARY KEY);
    CREATE TABLE orders (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE orders_1 PARTITION OF orders DEFAULT;
    CREATE VIEW summary AS SELECT 1; CREATE MATERIALIZED VIEW stale AS SELECT 1;
    CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)"#;

#[tokio::test]
async fn the_plan_makes_and_extends_the_publication() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    let include = Setup {
        include: &["public.parent", "public.odd \" na;me", "public.orders"],
        ..AUTO
    };
    let before = check(&client, include).await;
    assert_eq!(codes(&before, Severity::Warning), Vec::<&str>::new());
    let sql = before.plan.create_publication.clone().expect("planned");
    assert_eq!(
        sql,
        "CREATE PUBLICATION \"walferry_shop\" FOR TABLE \"public\".\"odd \"\" na;me\", \
         \"public\".\"orders\", ONLY \"public\".\"parent\" \
         WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);"
    );
    assert!(before.plan.create_slot);
    before.plan.apply_sql(&client).await.expect("runs");
    let after = check(&client, include).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
    assert_eq!(
        (
            &after.plan.create_publication,
            &after.plan.add_tables,
            after.plan.create_slot
        ),
        (&None, &None, true)
    );
}

#[tokio::test]
async fn tables_that_come_to_match_are_added() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    run(
        &client,
        r#"CREATE PUBLICATION walferry_shop FOR TABLE ONLY parent, orders, "odd "" na;me"
           WITH (publish_via_partition_root = true)"#,
    )
    .await;
    let wider = check(&client, AUTO).await;
    assert_eq!(
        wider.plan.add_tables.as_deref(),
        Some("ALTER PUBLICATION \"walferry_shop\" ADD TABLE \"public\".\"child\";")
    );
    assert_eq!(codes(&wider, Severity::Warning), Vec::<&str>::new());
    let reasons: Vec<&str> = wider
        .findings
        .iter()
        .filter(|f| f.code == "TABLE_EXCLUDED")
        .map(|f| f.problem.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "Not captured: a view has no changes of its own: public.summary.",
            "Not captured: a materialized view's REFRESH is not decoded: public.stale.",
            "Not captured: an unlogged table is not in the WAL: public.scratch.",
            "Not captured: a partition's changes arrive as its partitioned table's: \
             public.orders_1."
        ]
    );
    wider.plan.apply_sql(&client).await.expect("runs");
    assert_eq!(check(&client, AUTO).await.plan.add_tables, None);
}

#[tokio::test]
async fn a_slot_with_a_stored_position_is_never_made_anew() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    let stored = Setup {
        progress: StoredProgress::Present,
        ..AUTO
    };
    let stored = check(&client, stored).await;
    assert!(!stored.plan.create_slot);
    assert_eq!(find(&stored, "SLOT_RECREATED").severity, Severity::Error);
    assert_eq!(stored.plan.create_publication, None);
    assert_eq!(
        find(&stored, "PUBLICATION_MISSING").severity,
        Severity::Error
    );
    let unknown = Setup {
        progress: StoredProgress::Unknown,
        ..AUTO
    };
    assert!(!check(&client, unknown).await.plan.create_slot);
}

#[tokio::test]
async fn a_publication_is_not_made_behind_a_slot() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    let slot = "SELECT pg_create_logical_replication_slot('walferry_shop', 'pgoutput')";
    run(&client, slot).await;
    let dropped = check(&client, AUTO).await;
    assert_eq!(dropped.plan.create_publication, None);
    assert_eq!(
        find(&dropped, "PUBLICATION_MISSING").severity,
        Severity::Error
    );
    mend(&client, &dropped, "PUBLICATION_MISSING").await;
    let mended = check(&client, AUTO).await;
    assert_eq!(codes(&mended, Severity::Warning), Vec::<&str>::new());
}
