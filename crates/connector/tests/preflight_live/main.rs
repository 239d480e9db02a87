//! The check against a real Postgres: each finding appears, its SQL runs as printed, and then it is
//! gone.
//!
//! Needs `WALFERRY_TEST_POSTGRES_BIN`, the directory of `initdb`, `pg_ctl` and `postgres`; skips
//! itself without. Remedies are run by a superuser, as their reader would.

mod server;

use connector::preflight::finding::{Finding, Remedy, Severity};
use connector::preflight::wanted::{
    Action, Create, Partitions, Pattern, Reach, Snapshot, StoredProgress, Wanted,
};
use connector::preflight::{Examination, examine};
use server::Server;
use tokio_postgres::Client;

const LOGICAL: (&str, &str) = ("wal_level", "logical");

/// What a test configures; everything else is as a user would have it.
#[derive(Clone, Copy)]
struct Setup {
    include: &'static [&'static str],
    create: Create,
    partitions: Partitions,
    progress: StoredProgress,
    snapshot: Snapshot,
}

const AUTO: Setup = Setup {
    include: &["public.*"],
    create: Create::Auto,
    partitions: Partitions::Root,
    progress: StoredProgress::Absent,
    snapshot: Snapshot::Initial,
};
const NEVER: Setup = Setup {
    create: Create::Never,
    ..AUTO
};

fn like(pattern: &str, schema: &str, table: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(wanted) => wanted == schema,
        None => pattern == format!("{schema}.{table}"),
    }
}

async fn check(client: &Client, setup: Setup) -> Examination {
    let matchers: Vec<_> = setup
        .include
        .iter()
        .map(|text| {
            (*text, move |schema: &str, table: &str| {
                like(text, schema, table)
            })
        })
        .collect();
    let patterns: Vec<Pattern<'_>> = matchers
        .iter()
        .map(|(text, matches)| Pattern {
            text,
            reach: if text.ends_with('*') {
                Reach::Many
            } else {
                Reach::One
            },
            matches,
        })
        .collect();
    let wanted = Wanted {
        slot: "walferry_shop",
        publication: "walferry_shop",
        application_name: "walferry",
        create: setup.create,
        captures: &|schema, table| setup.include.iter().any(|p| like(p, schema, table)),
        patterns: &patterns,
        actions: &[Action::Insert, Action::Update, Action::Delete],
        partitions: setup.partitions,
        snapshot: setup.snapshot,
        progress: setup.progress,
        topic: &|table| {
            let name = table.full_name();
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            format!("shop.{}", name.replace(|c: char| !legal(c), "_"))
        },
        carried_as_text: &|_, _, type_name| type_name == "point",
    };
    examine(client, &wanted).await
}

fn find<'a>(examination: &'a Examination, code: &str) -> &'a Finding {
    let codes: Vec<_> = examination
        .findings
        .iter()
        .map(|f| (f.code, &f.problem))
        .collect();
    let found = examination
        .findings
        .iter()
        .find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code} in {codes:#?}"))
}

fn codes(examination: &Examination, worst: Severity) -> Vec<&'static str> {
    let mut codes: Vec<_> = examination
        .findings
        .iter()
        .filter(|f| f.severity >= worst)
        .map(|f| f.code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Runs the recommended SQL exactly as printed.
async fn mend(client: &Client, examination: &Examination, code: &str) {
    let mut ran = 0;
    for finding in examination
        .findings
        .iter()
        .filter(|finding| finding.code == code)
    {
        for remedy in &finding.remedy {
            if let Remedy::Sql(sql) = remedy {
                client
                    .batch_execute(sql)
                    .await
                    .unwrap_or_else(|e| panic!("{code}: {sql}: {e:?}"));
                ran += 1;
            }
        }
    }
    assert!(ran > 0, "{code} has no SQL to run");
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}

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

#[tokio::test]
async fn a_publication_that_hides_data_is_mended() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
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
    assert!(before.plan.is_empty());
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
