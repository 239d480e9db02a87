//! Rows are read beside the stream only once the transactions are over that ran when they were asked for: one
//! that wrote to a table before it was published has changes that no stream tells of, and one whose commit the
//! stream has told of may not be seen by others yet.

use std::time::Duration;

use e2e::support::session::Session;
use e2e::support::walferry::{Config, Walferry};
use e2e::support::{kafka, postgres, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

use super::incremental::{end, events, reads, wait_over};
use super::standby::{pair, publish, start};

const LIMIT: Duration = Duration::from_secs(90);
const WAITS: &str = "waiting for running transactions to end";

fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka()).set("tables.new", "ignore")
}

/// Publishes `young` and asks for its rows, while a transaction with a newer id writes to it and none ends
/// that is newer still.
fn publish_under_a_writer(writer: &PostgresServer, config: &Config) -> Session {
    let [publisher, inserter] = [(); 2].map(|()| Session::open(writer));
    let data = json!({ "data-collections": ["public.young"] });
    let signal = json!({ "id": "young", "type": "execute-snapshot", "data": data });
    publisher.run(&format!(
        "BEGIN; ALTER PUBLICATION {} ADD TABLE young;
         SELECT pg_logical_emit_message(true, 'walferry.signal', '{signal}')",
        config.slot()
    ));
    inserter.run("BEGIN; INSERT INTO young SELECT generate_series(1, 100)");
    publisher.run("COMMIT");
    inserter
}

/// All rows come, though the transaction that wrote them ends only after walferry has seen it run.
fn assert_waits_for(inserter: &Session, config: &Config, mut walferry: Walferry) {
    wait_for("walferry waits", LIMIT, || {
        assert!(
            !walferry.log().contains("read the table beside the stream"),
            "read too early:\n{}",
            walferry.log()
        );
        walferry.log().contains(WAITS).then_some(())
    });
    inserter.run("COMMIT");
    let over = wait_over(config, &mut walferry, "young");
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    wait_for("the rows", LIMIT, || {
        (reads(&events(config, "young")) == 100).then_some(())
    });
    end(walferry);
}

#[test]
fn the_newest_transaction_is_waited_for() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = config("running", &postgres);
    let walferry = config.start();
    sql(&postgres, "CREATE TABLE young (id int PRIMARY KEY)");
    let inserter = publish_under_a_writer(&postgres, &config);
    assert_waits_for(&inserter, &config, walferry);
}

#[test]
fn the_newest_transaction_of_the_primary_is_waited_for_on_a_standby() {
    let (primary, standby) = pair("CREATE TABLE old (id int PRIMARY KEY)");
    let config = config("standby_running", &standby);
    publish(&primary, &standby, &config, "old");
    let walferry = start(&config, &primary, &standby);
    sql(&primary, "CREATE TABLE young (id int PRIMARY KEY)");
    let inserter = publish_under_a_writer(&primary, &config);
    assert_waits_for(&inserter, &config, walferry);
}

/// Commits wait for this synchronous standby from now on.
fn wait_for_standby(postgres: &PostgresServer, name: &str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
    sql(postgres, &set);
    sql(postgres, "SELECT pg_reload_conf()");
}

/// The stream tells of a commit that waits for a synchronous standby; nobody else sees it until then.
#[test]
fn a_table_whose_publishing_nobody_sees_yet_is_read() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE old (id int PRIMARY KEY)");
    let config = Config::new("unseen", &postgres, kafka());
    let mut walferry = config.start();
    wait_for_standby(&postgres, "nobody");
    sql(
        &postgres,
        "SET synchronous_commit = local; CREATE TABLE young (id int PRIMARY KEY);
         INSERT INTO young SELECT generate_series(1, 100)",
    );
    wait_for("walferry waits", LIMIT, || {
        assert!(
            !walferry.log().contains("SNAPSHOT_TABLE_LEFT_OUT"),
            "looked too early:\n{}",
            walferry.log()
        );
        walferry.log().contains(WAITS).then_some(())
    });
    wait_for_standby(&postgres, "");
    let over = wait_over(&config, &mut walferry, "new-public.young");
    assert_eq!(over["state"], "done", "{over}\n{}", walferry.log());
    wait_for("the rows", LIMIT, || {
        (reads(&events(&config, "young")) == 100).then_some(())
    });
    end(walferry);
}

#[test]
fn a_standby_that_is_lost_holds_no_chunk_up() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE young (id int PRIMARY KEY); INSERT INTO young SELECT generate_series(1, 100)",
    );
    let config = Config::new("lost_standby", &postgres, kafka());
    let mut walferry = config.start();
    wait_for_standby(&postgres, "nobody");
    let data = json!({ "data-collections": ["public.young"] });
    let signal = json!({ "id": "young", "type": "execute-snapshot", "data": data });
    sql(
        &postgres,
        &format!(
            "SET synchronous_commit = local;
             SELECT pg_logical_emit_message(true, 'walferry.signal', '{signal}')"
        ),
    );
    let over = wait_over(&config, &mut walferry, "young");
    assert_eq!(over["rows"], 100, "{over}\n{}", walferry.log());
    end(walferry);
}
