//! Partitioned tables, under either name.

use super::*;

const LEAF: Setup = Setup {
    include: &["public.*", "parts.*"],
    partitions: Partitions::Leaf,
    ..AUTO
};

/// A partitioned table, one plain leaf without a key, and one leaf two levels down with a key.
const ORDERS: &str = "
    CREATE SCHEMA parts;
    CREATE TABLE orders (id int, day date) PARTITION BY RANGE (day);
    CREATE TABLE parts.y1 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE parts.y2 PARTITION OF orders DEFAULT PARTITION BY RANGE (day);
    CREATE TABLE parts.y2a PARTITION OF parts.y2 DEFAULT;
    ALTER TABLE parts.y2a ADD PRIMARY KEY (id)";

#[tokio::test]
async fn leaves_hold_the_rows_whatever_the_name() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, ORDERS).await;
    let root = check(&client, AUTO).await;
    assert_eq!(codes(&root, Severity::Warning), ["PK_MISSING"]);
    let subject = find(&root, "PK_MISSING").subject.to_string();
    assert_eq!(subject, "table parts.y1");
    mend(&client, &root, "PK_MISSING").await;

    // The same pattern, with leaf names in the stream, would capture nothing.
    let only_root = Setup {
        include: &["public.*"],
        ..LEAF
    };
    let left_out = check(&client, only_root).await;
    let expected = ["NO_TABLES", "PARTITIONS_UNMATCHED"];
    assert_eq!(codes(&left_out, Severity::Error), expected);

    let both = check(&client, LEAF).await;
    assert_eq!(codes(&both, Severity::Warning), ["KEYLESS"]);
    let tables = both.captured.iter().map(|it| it.relation.full_name());
    assert_eq!(tables.collect::<Vec<_>>(), ["parts.y1", "parts.y2a"]);
    let sql = both.plan.create_publication.clone().expect("planned");
    let root = "FOR TABLE \"public\".\"orders\" WITH";
    assert!(sql.contains(root), "the root stands for its leaves: {sql}");
    both.plan.apply_sql(&client).await.expect("runs");
    let after = check(&client, LEAF).await;
    assert_eq!(after.plan.add_tables, None);
    assert_eq!(after.plan.create_publication, None);
}

#[tokio::test]
async fn the_publication_decides_the_name() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, ORDERS).await;
    run(&client, "ALTER TABLE parts.y1 ADD PRIMARY KEY (id)").await;
    run(&client, "CREATE PUBLICATION walferry_shop FOR TABLE orders").await;

    // It was made for leaf names, while the configuration expects the root's.
    let root = Setup {
        partitions: Partitions::Root,
        ..LEAF
    };
    let differs = check(&client, root).await;
    assert_eq!(
        find(&differs, "PUBLICATION_VIA_ROOT").severity,
        Severity::Info
    );
    mend(&client, &differs, "PUBLICATION_VIA_ROOT").await;
    let after = check(&client, root).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());

    // It now says the root's name, and only a leaf is to be captured.
    let one_leaf = Setup {
        include: &["parts.y1"],
        ..LEAF
    };
    let hidden = check(&client, one_leaf).await;
    assert_eq!(codes(&hidden, Severity::Warning), ["PUBLICATION_VIA_ROOT"]);
    mend(&client, &hidden, "PUBLICATION_VIA_ROOT").await;
    let after = check(&client, one_leaf).await;
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
}
