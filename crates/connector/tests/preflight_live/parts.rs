//! Row filters and column lists that the configuration wants.

use super::publication::lists_columns;
use super::*;

const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, total numeric, note text, card text,
                         twice numeric GENERATED ALWAYS AS (total * 2) STORED);
    CREATE TABLE users (id int PRIMARY KEY, name text);
    CREATE TABLE days (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE days_1 PARTITION OF days DEFAULT";

const PARTS: Setup = Setup {
    parts: &[
        (
            "public.orders",
            Some("id > 0 -- new ones"),
            &["id", "total"],
        ),
        ("public.days", Some("day > DATE '2020-01-01'"), &[]),
    ],
    ..AUTO
};

#[tokio::test]
async fn the_parts_are_published_and_kept() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    let first = check(&client, PARTS).await;
    if !lists_columns(&client).await {
        assert!(find(&first, "PART_UNSUPPORTED").problem.contains("with 15"));
        return;
    }
    assert_eq!(codes(&first, Severity::Warning), Vec::<&str>::new());
    first.plan.apply_sql(&client).await.expect("runs");
    assert_eq!(
        published(&client).await,
        [
            "days day,id,note (day > '2020-01-01'::date)",
            "orders id,total (id > 0)",
            "users id,name"
        ]
    );
    let again = check(&client, PARTS).await;
    assert_eq!(codes(&again, Severity::Warning), Vec::<&str>::new());
    assert_eq!(again.plan.change_parts, None);

    // Another part is wanted: of what walferry owns, it is made so; otherwise the SQL is told.
    let other = Setup {
        parts: &[("public.orders", Some("id > 9"), &["id", "note"])],
        ..PARTS
    };
    let told = check(
        &client,
        Setup {
            create: Create::Never,
            ..other
        },
    )
    .await;
    assert_eq!(find(&told, "PART_DIFFERS").severity, Severity::Error);
    assert_eq!(told.plan.change_parts, None);
    let changed = check(&client, other).await;
    assert_eq!(find(&changed, "PART_DIFFERS").severity, Severity::Info);
    changed.plan.apply_sql(&client).await.expect("runs");
    assert_eq!(published(&client).await[1], "orders id,note (id > 9)");
    assert_eq!(check(&client, other).await.plan.change_parts, None);
    // What the configuration says nothing of is not published by itself.
    assert!(codes(&changed, Severity::Warning).contains(&"PUBLICATION_ROW_FILTER"));
    let wider = Setup {
        parts: &[("public.orders", Some("id > 10"), &[])],
        ..PARTS
    };
    let wider = check(&client, wider).await;
    assert_eq!(find(&wider, "PART_DIFFERS").severity, Severity::Error);
    assert_eq!(wider.plan.change_parts, None);
    mend(&client, &wider, "PART_DIFFERS").await;
    assert_eq!(
        published(&client).await[1],
        "orders card,id,note,total (id > 10)"
    );
}

/// Table, columns by name and filter, of what the publication publishes.
async fn published(client: &Client) -> Vec<String> {
    let query = "SELECT concat_ws(' ', tablename,
                   (SELECT string_agg(a.name, ',' ORDER BY a.name COLLATE \"C\")
                      FROM unnest(attnames::text[]) a(name) WHERE a.name <> 'twice'), rowfilter)
                   FROM pg_publication_tables ORDER BY tablename";
    let rows = client.query(query, &[]).await.expect("it answers");
    rows.iter().map(|row| row.get(0)).collect()
}

type Refused = (
    &'static str,
    &'static [(&'static str, Option<&'static str>, &'static [&'static str])],
);

const REFUSED: &[Refused] = &[
    (
        "ROW_FILTER_INVALID",
        &[("public.orders", Some("sum > 1"), &[])],
    ),
    ("ROW_FILTER_INVALID", &[("public.orders", Some("id"), &[])]),
    (
        "ROW_FILTER_INVALID",
        &[("public.orders", Some("true); DROP TABLE users; --"), &[])],
    ),
    (
        "PART_REFUSED",
        &[("public.orders", Some("id > extract(epoch from now())"), &[])],
    ),
    (
        "PART_REFUSED",
        &[("public.orders", Some("id > (SELECT 1)"), &[])],
    ),
    (
        "ROW_FILTER_BESIDE_IDENTITY",
        &[("public.orders", Some("orders.total > 1"), &[])],
    ),
    (
        "ROW_FILTER_BESIDE_IDENTITY",
        &[("public.days", Some("note <> ''"), &[])],
    ),
    (
        "COLUMN_LIST_UNKNOWN",
        &[("public.orders", None, &["id", "totl"])],
    ),
    (
        "COLUMN_LIST_WITHOUT_IDENTITY",
        &[("public.orders", None, &["total"])],
    ),
    (
        "PART_OF_PARTITIONS",
        &[("public.days_1", Some("id > 1"), &[])],
    ),
];

#[tokio::test]
async fn parts_that_would_break_the_application_are_refused() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, TABLES).await;
    if !lists_columns(&client).await {
        return;
    }
    for &(code, parts) in REFUSED {
        let found = check(&client, Setup { parts, ..AUTO }).await;
        let finding = find(&found, code);
        assert_eq!(finding.severity, Severity::Error, "{parts:?}");
        let left = "SELECT count(*)::int4 FROM pg_publication";
        let left: i32 = client.query_one(left, &[]).await.expect("answers").get(0);
        assert_eq!(left, 0, "nothing is left of a trial");
    }
    run(&client, "ALTER TABLE orders REPLICA IDENTITY FULL").await;
    // Any list, and be it of all columns: so the server has it.
    for columns in [&["id", "total"][..], &["id", "total", "note", "card"]] {
        run(
            &client,
            &format!(
                "CREATE PUBLICATION p FOR TABLE orders ({})",
                columns.join(", ")
            ),
        )
        .await;
        let updated = client.execute("UPDATE orders SET note = ''", &[]).await;
        updated.expect_err("the server refuses");
        run(&client, "DROP PUBLICATION p").await;
    }
    let full = Setup {
        parts: &[(
            "public.orders",
            Some("total > 1"),
            &["id", "total", "note", "card"],
        )],
        ..AUTO
    };
    let found = check(&client, full).await;
    let finding = find(&found, "COLUMN_LIST_WITHOUT_IDENTITY");
    assert!(finding.problem.contains("REPLICA IDENTITY FULL"));
    assert!(!codes(&found, Severity::Error).contains(&"ROW_FILTER_BESIDE_IDENTITY"));
    let leaf = Setup {
        partitions: Partitions::Leaf,
        parts: &[("public.days", Some("id > 1"), &[])],
        ..AUTO
    };
    assert!(codes(&check(&client, leaf).await, Severity::Error).contains(&"PART_OF_PARTITIONS"));
    run(&client, "CREATE PUBLICATION walferry_shop FOR ALL TABLES").await;
    assert!(codes(&check(&client, PARTS).await, Severity::Error).contains(&"PART_NOT_LISTED"));
}
