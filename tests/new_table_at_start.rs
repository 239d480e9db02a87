//! A table that comes to match while no walferry runs is taken in by the next start, and its rows are
//! published once: beside the stream, or by the copy that reads all tables at that start.

use std::time::Duration;

use e2e::support::topic::create_topic;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, postgres, query_one, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::incremental::{end, events, reads};

const LIMIT: Duration = Duration::from_secs(90);

/// The second start, behind a table that was made in between.
fn started_again(postgres: &PostgresServer, config: &Config) -> Walferry {
    sql(
        postgres,
        "CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (1)",
    );
    let first = config.start();
    sql(postgres, "INSERT INTO old VALUES (2)");
    wait_for("a change", LIMIT, || {
        let events = events(config, "old");
        events.iter().any(|it| it.operation() == "c").then_some(())
    });
    end(first);
    sql(
        postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young SELECT generate_series(1, 100);
         CREATE TABLE \"odd (name\" (id int PRIMARY KEY); INSERT INTO \"odd (name\" VALUES (7)",
    );
    let again = config.start();
    sql(postgres, "INSERT INTO young VALUES (101)");
    again
}

/// Rows of the new table that were there before that start: the one written behind it may be read, too.
fn rows(config: &Config) -> usize {
    let young = events(config, "young").into_iter();
    let before = young.filter(|it| it.json()["after"]["id"].as_i64() <= Some(100));
    reads(&before.collect::<Vec<_>>())
}

/// Waits until they and the change behind them are there.
fn wait_for_rows(config: &Config) {
    wait_for("rows and the change", LIMIT, || {
        let young = events(config, "young");
        let changed = young.iter().any(|it| it.operation() == "c");
        (changed && rows(config) >= 100).then_some(())
    });
    wait_for("the row of the other table", LIMIT, || {
        (reads(&events(config, "odd__name")) == 1).then_some(())
    });
}

#[test]
fn rows_are_asked_for_where_nothing_else_reads_them() {
    for mode in ["initial", "no_data"] {
        let postgres = postgres(PostgresOptions::default());
        let config = Config::new(mode, &postgres, kafka()).set("snapshot.snapshot.mode", mode);
        let walferry = started_again(&postgres, &config);
        wait_for_rows(&config);
        end(walferry);
        config.catch_up(LIMIT);
        assert_eq!(rows(&config), 100, "{mode}");
        let of_first = if mode == "initial" { 1 } else { 0 };
        assert_eq!(reads(&events(&config, "old")), of_first, "{mode}");
    }
}

#[test]
fn rows_that_the_start_copies_are_not_asked_for() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("always", &postgres, kafka()).set("snapshot.snapshot.mode", "always");
    let walferry = started_again(&postgres, &config);
    // The change stands behind the signal, had there been one.
    wait_for_rows(&config);
    let log = walferry.log();
    end(walferry);
    assert_eq!(rows(&config), 100);
    assert!(!log.contains("beside the stream"), "{log}");
}

#[test]
fn rows_are_not_asked_for_where_the_word_is_stream() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("stream", &postgres, kafka()).set("tables.new", "stream");
    let walferry = started_again(&postgres, &config);
    end(walferry);
    config.catch_up(LIMIT);
    let young = events(&config, "young");
    assert_eq!((reads(&young), young.len()), (0, 1), "the change alone");
    let published = format!(
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = '{}'",
        config.slot()
    );
    assert_eq!(query_one(&postgres, &published), "3");
}

#[test]
fn a_table_without_columns_is_in_nobodys_way() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE nothing (); ALTER TABLE nothing REPLICA IDENTITY FULL",
    );
    let config = Config::new("nothing", &postgres, kafka());
    end(config.start());
    let walferry = config.start();
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young VALUES (1)",
    );
    wait_for("the new table's row", LIMIT, || {
        (reads(&events(&config, "young")) == 1).then_some(())
    });
    end(walferry);
}

/// What the process that ran did not take in, a start does not either, and goes on with the other tables.
#[test]
fn tables_that_are_left_out_hold_up_no_start() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("left", &postgres, kafka());
    sql(
        &postgres,
        &format!(
            "CREATE ROLE app LOGIN REPLICATION;
             GRANT CREATE ON DATABASE postgres TO app; GRANT USAGE, CREATE ON SCHEMA public TO app;
             CREATE TABLE old (id int PRIMARY KEY); ALTER TABLE old OWNER TO app;
             CREATE PUBLICATION {name} FOR TABLE old; ALTER PUBLICATION {name} OWNER TO app",
            name = config.slot()
        ),
    );
    let url = postgres.url().replace("postgres@", "app@");
    let config = config.set("postgres.url", &url);
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "CREATE TABLE loose (id int); ALTER TABLE loose OWNER TO app; INSERT INTO loose VALUES (1);
         CREATE TABLE foreign_one (id int PRIMARY KEY);
         CREATE TABLE young (id int PRIMARY KEY); ALTER TABLE young OWNER TO app;
         INSERT INTO young VALUES (1)",
    );
    let checked = config.check(&[]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("0 errors"), "{said}");
    for code in ["PK_MISSING", "TABLE_OWNER"] {
        assert!(said.contains(code), "{said}");
    }
    let walferry = config.start();
    sql(&postgres, "INSERT INTO old VALUES (7)");
    wait_for("the change and the new row", LIMIT, || {
        let (old, young) = (events(&config, "old"), events(&config, "young"));
        (old.len() == 1 && reads(&young) == 1).then_some(())
    });
    let log = walferry.log();
    for (table, code) in [("loose", "PK_MISSING"), ("foreign_one", "TABLE_OWNER")] {
        let mut of = log
            .lines()
            .filter(|line| line.contains(&format!("public.{table}")));
        assert!(of.any(|line| line.contains(code)), "{table}: {log}");
    }
    // Once that is mended the running process takes it in.
    sql(&postgres, "ALTER TABLE loose REPLICA IDENTITY FULL");
    wait_for("the other row", LIMIT, || {
        (reads(&events(&config, "loose")) == 1).then_some(())
    });
    end(walferry);
}

#[test]
fn tables_that_are_ignored_stay_so_at_a_start() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("ignored", &postgres, kafka()).set("tables.new", "ignore");
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    config.catch_up(LIMIT);
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); CREATE TABLE loose (id int)",
    );
    for create in ["auto", "never"] {
        let config = config.another_instance().set("postgres.create", create);
        let checked = config.check(&[]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(said.contains("0 errors"), "{create}: {said}");
        let walferry = config.start();
        wait_for("the log", LIMIT, || {
            let log = walferry.log();
            let mut lines = log.lines();
            lines
                .any(|line| {
                    line.contains("the publication leaves it out") && line.contains("public.young")
                })
                .then_some(())
        });
        end(walferry);
    }
    let published = format!(
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = '{}'",
        config.slot()
    );
    assert_eq!(query_one(&postgres, &published), "1");
    let topic = config.topic("young");
    assert!(!e2e::support::topic::exists(
        config.bootstrap_servers(),
        &topic
    ));
}

/// Published without its topic, its first event would end the connector.
#[test]
fn a_table_whose_topic_is_not_there_is_not_taken_in_before_it_is() {
    let postgres = postgres(PostgresOptions::default());
    let config = Config::new("no_topic", &postgres, kafka());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    config.catch_up(LIMIT);
    let config = config.set("topics.create", "never");
    let walferry = config.start();
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young VALUES (1)",
    );
    let told = |walferry: &Walferry| {
        wait_for("the log", LIMIT, || {
            let log = walferry.log();
            let mut lines = log.lines();
            lines
                .any(|line| line.contains("TOPIC_MISSING") && line.contains("public.young"))
                .then_some(())
        });
    };
    told(&walferry);
    end(walferry);
    // Nor does a start refuse, and changes of the others go on.
    let walferry = config.start();
    sql(&postgres, "INSERT INTO old VALUES (7)");
    wait_for("the change", LIMIT, || {
        (events(&config, "old").len() == 1).then_some(())
    });
    told(&walferry);
    create_topic(config.bootstrap_servers(), &config.topic("young"), 1, &[]);
    wait_for("the row", LIMIT, || {
        (reads(&events(&config, "young")) == 1).then_some(())
    });
    end(walferry);
}
