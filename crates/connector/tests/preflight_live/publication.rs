//! A publication that hides data.

use connector::preflight::setup::SetupPlan;

use super::*;

#[tokio::test]
async fn a_publication_that_hides_data_is_mended() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    if !lists_columns(&client).await {
        return;
    }
    run(
        &client,
        r#"CREATE TABLE users (id int PRIMARY KEY, name text, secret text,
                               loud text GENERATED ALWAYS AS (upper(name)) STORED);
           CREATE TABLE "odd "" name" (id int PRIMARY KEY);
           CREATE SCHEMA else_where; CREATE TABLE else_where.noise (id int PRIMARY KEY);
           CREATE PUBLICATION walferry_shop
             FOR TABLE users (id, name) WHERE (id > 0), else_where.noise
             WITH (publish = 'insert')"#,
    )
    .await;
    let before = check(&client, NEVER).await;
    assert_eq!(
        codes(&before, Severity::Warning),
        [
            "PUBLICATION_COLUMN_LIST",
            "PUBLICATION_OPERATIONS",
            "PUBLICATION_ROW_FILTER",
            "PUBLICATION_TABLES_MISSING",
            "SLOT_MISSING"
        ]
    );
    assert!(
        find(&before, "PUBLICATION_COLUMN_LIST")
            .problem
            .contains("hides columns: secret.")
    );
    assert!(
        find(&before, "PUBLICATION_ROW_FILTER")
            .problem
            .contains("(id > 0)")
    );
    assert!(find(&before, "GENERATED_COLUMNS").problem.contains("loud"));
    assert_eq!(before.plan, SetupPlan::default());
    for code in [
        "PUBLICATION_COLUMN_LIST",
        "PUBLICATION_OPERATIONS",
        "PUBLICATION_TABLES_MISSING",
        "PUBLICATION_TABLES_UNNEEDED",
        "SLOT_MISSING",
    ] {
        mend(&client, &before, code).await;
    }
    let after = check(&client, NEVER).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
    assert!(!codes(&after, Severity::Info).contains(&"PUBLICATION_TABLES_UNNEEDED"));
}

/// Row filters and column lists came with 15.
pub(crate) async fn lists_columns(client: &Client) -> bool {
    let row = client
        .query_one("SELECT current_setting('server_version_num')::int4", &[])
        .await;
    row.expect("it answers").get::<_, i32>(0) >= 150_000
}

#[tokio::test]
async fn for_all_tables() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(
        &client,
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE noise (id int PRIMARY KEY)",
    )
    .await;
    run(&client, "CREATE PUBLICATION walferry_shop FOR ALL TABLES").await;
    let setup = Setup {
        include: &["public.users"],
        ..AUTO
    };
    let all = check(&client, setup).await;
    assert_eq!(codes(&all, Severity::Warning), Vec::<&str>::new());
    assert!(
        find(&all, "PUBLICATION_ALL_TABLES")
            .problem
            .contains("(1 tables)")
    );
    assert_eq!(all.plan.add_tables, None);

    // A table that is published but not captured breaks the application all the same.
    run(&client, "CREATE TABLE keyless (id int)").await;
    let broken = check(&client, setup).await;
    assert_eq!(codes(&broken, Severity::Warning), ["PUBLISHED_WITHOUT_KEY"]);
    mend(&client, &broken, "PUBLISHED_WITHOUT_KEY").await;
    let after = check(&client, setup).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
}
