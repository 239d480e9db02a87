//! Patterns, topics and columns.

use super::*;

#[tokio::test]
async fn patterns_topics_and_columns() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(
        &client,
        r#"CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int, b int);
           CREATE DOMAIN short AS varchar(3);
           CREATE TABLE users (id int PRIMARY KEY, "Id" text, place box, near box[],
                               mood mood, moods mood[], short short, pair pair);
           CREATE TABLE "a b" (id int PRIMARY KEY); CREATE TABLE "a$b" (id int PRIMARY KEY);
           CREATE VIEW glance AS SELECT 1; CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)"#,
    )
    .await;
    let setup = Setup {
        include: &[
            "public.*",
            "public.usres",
            "nowhere.*",
            "public.glance",
            "public.scratch",
        ],
        ..AUTO
    };
    let before = check(&client, setup).await;
    assert_eq!(
        codes(&before, Severity::Warning),
        [
            "COLUMN_CASE",
            "PATTERN_UNMATCHED",
            "TABLE_EXCLUDED",
            "TOPIC_SHARED"
        ]
    );
    let misspelt = before
        .findings
        .iter()
        .find(|f| f.subject.to_string().contains("usres"));
    let misspelt = misspelt.expect("the misspelt table");
    assert_eq!(
        misspelt.remedy,
        [Remedy::Text("did you mean public.users?".to_owned())]
    );
    assert_eq!(
        find(&before, "TYPE_AS_TEXT").problem,
        "Columns carried as Postgres prints them, as a string: place box, near box[], \
         pair pair."
    );
    assert!(
        find(&before, "TOPIC_SHARED")
            .problem
            .contains("public.a b, public.a$b")
    );
    let unlogged = before
        .findings
        .iter()
        .find(|f| f.subject.to_string() == "table public.scratch")
        .expect("the unlogged table");
    let Some(Remedy::Sql(sql)) = unlogged.remedy.first() else {
        panic!("{unlogged:?}")
    };
    run(&client, sql).await;
}

#[tokio::test]
async fn a_list_that_copies_nothing() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(&client, "CREATE TABLE users (id int PRIMARY KEY)").await;
    let misspelt = Setup {
        copied: &["public.usres", "elsewhere.orders"],
        ..AUTO
    };
    let found = check(&client, misspelt).await;
    assert_eq!(codes(&found, Severity::Error), ["SNAPSHOT_OF_NOTHING"]);
    let subjects = |found: &Examination| -> Vec<(String, Vec<Remedy>)> {
        let unused = found.findings.iter();
        let unused = unused.filter(|it| it.code == "SNAPSHOT_FILTER_UNUSED");
        unused
            .map(|it| (it.subject.to_string(), it.remedy.clone()))
            .collect()
    };
    let text = |text: &str| vec![Remedy::Text(text.to_owned())];
    assert_eq!(
        subjects(&found),
        [
            (
                "pattern public.usres".to_owned(),
                text("did you mean public.users?")
            ),
            (
                "pattern elsewhere.orders".to_owned(),
                text("mend the name, or take the entry out")
            ),
        ]
    );
    // No copy is to be made, or it was made before.
    for setup in [
        Setup {
            snapshot: Snapshot::NoData,
            ..misspelt
        },
        Setup {
            progress: StoredProgress::Present,
            ..misspelt
        },
    ] {
        let found = check(&client, setup).await;
        let codes = codes(&found, Severity::Warning);
        assert!(!codes.contains(&"SNAPSHOT_OF_NOTHING"), "{codes:?}");
        assert_eq!(subjects(&found).len(), 2);
    }
    let half = Setup {
        copied: &["public.users", "elsewhere.orders"],
        ..AUTO
    };
    let found = check(&client, half).await;
    assert_eq!(codes(&found, Severity::Warning), ["SNAPSHOT_FILTER_UNUSED"]);
}

#[tokio::test]
async fn nothing_to_capture() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    let nothing = check(
        &client,
        Setup {
            include: &["nowhere.*"],
            ..AUTO
        },
    )
    .await;
    assert_eq!(codes(&nothing, Severity::Error), ["NO_TABLES"]);
}

/// What a user with very many tables sees: an answer, not a wait.
#[tokio::test]
async fn thousands_of_tables() {
    let Some(server) = Server::start(&[LOGICAL, ("max_locks_per_transaction", "20000")]) else {
        return;
    };
    let tables = std::env::var("WALFERRY_TEST_TABLES")
        .ok()
        .and_then(|n| n.parse().ok());
    let tables: i32 = tables.unwrap_or(1_000);
    let client = server.client("postgres", "postgres").await;
    let sql = format!(
        "DO $$ BEGIN FOR n IN 1..{tables} LOOP
           EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, b text, c int)', n);
         END LOOP; END $$"
    );
    run(&client, &sql).await;
    let started = std::time::Instant::now();
    let before = check(&client, AUTO).await;
    eprintln!("{tables} tables, no publication: {:?}", started.elapsed());
    assert_eq!(codes(&before, Severity::Warning), Vec::<&str>::new());
    assert_eq!(
        before.captured.len(),
        usize::try_from(tables).expect("positive")
    );
    before.plan.apply_sql(&client).await.expect("runs");
    let started = std::time::Instant::now();
    let after = check(&client, AUTO).await;
    eprintln!("{tables} tables, published: {:?}", started.elapsed());
    assert_eq!(codes(&after, Severity::Warning), Vec::<&str>::new());
    assert_eq!(after.plan.add_tables, None);
}

#[tokio::test]
async fn columns_that_are_left_out_are_named() {
    let Some(server) = Server::start(&[LOGICAL]) else {
        return;
    };
    let client = server.client("postgres", "postgres").await;
    run(
        &client,
        "CREATE TABLE users (id int PRIMARY KEY, place box, near box[], name text)",
    )
    .await;
    let lossy = Setup {
        compatibility: Compatibility::Debezium,
        ..AUTO
    };
    let lossy = check(&client, lossy).await;
    let problem = &find(&lossy, "TYPE_LEFT_OUT").problem;
    assert!(problem.ends_with(": place box, near box[]."), "{problem}");
}
