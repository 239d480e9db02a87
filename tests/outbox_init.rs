//! `walferry outbox init`: what it makes is all that a service needs, refuses what could not be
//! published, deletes nothing that is not in Kafka, and leaves alone what was made for others.

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use e2e::support::event::Event;
use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query, query_one, sql, wait_for};
use serde_json::json;
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);

/// An outbox of the table and of messages, with topics of its own.
fn config(purpose: &str, postgres: &PostgresServer) -> Config {
    Config::new(purpose, postgres, kafka())
        .unset("tables.include")
        .with_outbox()
}

fn run_init(config: &Config, arguments: &[&str]) -> Output {
    let mut command = config.command("outbox init");
    command.args(arguments).output().expect("walferry")
}

/// Its SQL, which is empty with `--apply`.
fn init(config: &Config, arguments: &[&str]) -> String {
    let output = run_init(config, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("SQL")
}

/// What it says when it does not do it.
fn refusal(config: &Config, arguments: &[&str]) -> String {
    let output = run_init(config, arguments);
    assert!(!output.status.success(), "it was refused");
    String::from_utf8(output.stderr).expect("a text")
}

fn sql_refusal(postgres: &PostgresServer, text: &str) -> String {
    let refused = postgres.execute("postgres", text);
    refused
        .expect_err(&format!("{text}: is refused"))
        .to_string()
}

fn topic(config: &Config, name: &str) -> Vec<Event> {
    let name = format!("{}.{name}", config.name());
    read_topic(config.bootstrap_servers(), &name)
}

fn header<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let found = event.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| std::str::from_utf8(value).expect("a text"))
}

/// The keys of the rows that are left.
fn left_by_cleaning(postgres: &PostgresServer) -> Vec<String> {
    sql(postgres, "SELECT outbox_clean()");
    query(
        postgres,
        "SELECT aggregateid::text FROM outbox ORDER BY aggregateid",
    )
}

fn insert_row(postgres: &PostgresServer, key: &str) {
    sql(
        postgres,
        &format!(
            "INSERT INTO outbox (aggregatetype, aggregateid, type) VALUES ('order', '{key}', 't')"
        ),
    );
}

#[test]
fn init_makes_all_that_a_service_needs() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE ROLE shop");
    let config = config("outbox_init", &postgres);
    let check = String::from_utf8(config.check(&[]).stdout).expect("a text");
    assert!(check.contains("walferry outbox init"), "{check}");
    let script = init(&config, &["--role", "shop"]);
    sql(&postgres, &script);
    let slots = || query(&postgres, "SELECT slot_name FROM pg_replication_slots");
    assert_eq!(slots(), [config.slot()]);
    assert_eq!(init(&config, &["--role", "shop", "--apply"]), "");
    // walferry has not been started yet, and misses nothing of this.
    sql(
        &postgres,
        "SET ROLE shop; BEGIN;
         SELECT outbox_emit('order', '1', 'OrderCreated', '{\"n\": 1}', '{\"who\": \"me\"}');
         SELECT outbox_insert('order', '1', 'OrderPaid', '{\"n\": 2}');
         INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '2', 't', '{\"n\": 3}');
         COMMIT;",
    );
    config.catch_up(LIMIT);
    let events = topic(&config, "order");
    let told: Vec<_> = events
        .iter()
        .map(|event| event.json()["n"].clone())
        .collect();
    assert_eq!(told, [json!(1), json!(2), json!(3)]);
    assert_eq!(header(&events[0], "who"), Some("me"));
    for event in &events {
        let id = header(event, "id").expect("an id");
        assert_eq!(&id[14..15], "7", "{id} is of version 7");
    }
    // What is left is cleaned once it is confirmed, and not before.
    let left_by_cleaning = || {
        sql(&postgres, "SET ROLE shop; SELECT outbox_clean()");
        query(&postgres, "SELECT aggregateid FROM outbox ORDER BY 1")
    };
    assert_eq!(left_by_cleaning(), ["2"], "nothing is remembered yet");
    config.catch_up(LIMIT);
    let row = "INSERT INTO outbox (aggregatetype, aggregateid, type) VALUES ('order', '3', 't')";
    sql(&postgres, row);
    assert_eq!(left_by_cleaning(), ["3"]);
    assert_eq!(left_by_cleaning(), ["3"], "it is not confirmed");
    config.catch_up(LIMIT);
    assert!(left_by_cleaning().is_empty());
}

#[test]
fn rows_written_before_the_first_start_are_not_missed_without_messages() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("outbox_init_table", &postgres).unset("outbox.message.prefix");
    init(&config, &["--apply"]);
    sql(
        &postgres,
        "SELECT outbox_insert('order', '1', 't', '{\"n\": 1}')",
    );
    config.catch_up(LIMIT);
    assert_eq!(topic(&config, "order").len(), 1);
}

#[test]
fn a_second_outbox_needs_a_schema_of_its_own() {
    let postgres = postgres(PostgresOptions::default());
    let first = config("outbox_init_first", &postgres).unset("outbox.table");
    let second = config("outbox_init_second", &postgres)
        .unset("outbox.table")
        .set("outbox.message.prefix", "second");
    init(&first, &["--apply"]);
    let said = refusal(&second, &["--apply"]);
    assert!(
        said.contains("--schema") && said.contains(&first.slot()),
        "{said}"
    );
    let slots = || query_one(&postgres, "SELECT count(*) FROM pg_replication_slots");
    assert_eq!(slots(), "1", "nothing is half made");
    init(&second, &["--schema", "Second", "--apply"]);
    init(&second, &["--schema", "Second", "--apply"]);
    init(&first, &["--apply"]);
    sql(
        &postgres,
        "SELECT outbox_emit('a', 'k', 't', '1'); SELECT \"Second\".outbox_emit('b', 'k', 't', '2')",
    );
    first.catch_up(LIMIT);
    second.catch_up(LIMIT);
    assert_eq!(topic(&first, "a").len(), 1);
    assert_eq!(topic(&second, "b").len(), 1);
    assert!(topic(&second, "a").is_empty());
    // A table of its own, too; of several, the one in the schema that is asked for.
    let tables = "[ public.outbox, other.outbox ]";
    let third = first.set("outbox.table", tables);
    let output = run_init(&third, &["--schema", "other"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("this is for other.outbox"), "{said}");
    let script = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        script.contains("IF NOT EXISTS \"other\".\"outbox\""),
        "{script}"
    );
}

#[test]
fn what_is_not_in_kafka_is_not_cleaned() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("outbox_init_clean", &postgres);
    let slot = config.slot();
    init(&config, &["--apply"]);
    insert_row(&postgres, "0");
    config.catch_up(LIMIT);
    for batch in ["0", "NULL"] {
        sql_refusal(&postgres, &format!("SELECT outbox_clean({batch})"));
    }
    sql(
        &postgres,
        "SELECT pg_create_logical_replication_slot('other', 'test_decoding')",
    );
    sql_refusal(&postgres, "SELECT outbox_clean(slot => 'other')");
    // A row of the transaction that cleans, which a later commit makes older than the end of its snapshot.
    sql(&postgres, "SELECT outbox_clean()");
    config.catch_up(LIMIT);
    let own = "INSERT INTO outbox (aggregatetype, aggregateid, type) VALUES ('order', 'own', 't')";
    let other = postgres.url();
    let done = format!(
        "CREATE EXTENSION IF NOT EXISTS dblink; BEGIN; {own};
         SELECT dblink_exec('{other}', 'CREATE TABLE later ()');
         SELECT outbox_clean(); COMMIT"
    );
    sql(&postgres, &done);
    assert_eq!(
        query_one(
            &postgres,
            "SELECT pg_visible_in_snapshot(own, snapshot) FROM outbox_seen"
        ),
        "t",
        "the snapshot alone would not tell"
    );
    let beyond = format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())");
    sql(&postgres, &beyond);
    assert_eq!(left_by_cleaning(&postgres), ["own"]);
    sql(&postgres, &beyond);
    assert!(left_by_cleaning(&postgres).is_empty(), "but by the next");
    // A slot that was made anew under the same name, beyond what the old one has not read.
    insert_row(&postgres, "1");
    sql(&postgres, &beyond);
    sql(&postgres, "SELECT outbox_clean()");
    let decoded =
        format!("SELECT total_txns FROM pg_stat_replication_slots WHERE slot_name = '{slot}'");
    sql(
        &postgres,
        &format!("SELECT pg_drop_replication_slot('{slot}')"),
    );
    sql(
        &postgres,
        &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
    );
    wait_for("the new slot has counted nothing", LIMIT, || {
        query(&postgres, &decoded)
            .iter()
            .all(|count| count == "0" || count.is_empty())
            .then_some(())
    });
    assert_eq!(left_by_cleaning(&postgres), ["1"], "another slot");
    sql(&postgres, &beyond);
    // What another server remembered, as in a restored dump.
    sql(
        &postgres,
        "UPDATE outbox_seen SET system_identifier = system_identifier + 1",
    );
    assert_eq!(left_by_cleaning(&postgres), ["1"], "another server");
    sql(&postgres, &beyond);
    assert!(left_by_cleaning(&postgres).is_empty());
}

/// Every column and member that the section can name.
#[test]
fn the_sql_has_all_that_the_configuration_names() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("outbox_init_named", &postgres)
        .set("topics.partitions", "3")
        .set("outbox.table.field.event.timestamp", "at")
        .set("outbox.table.field.event.schema.version", "version")
        .set("outbox.tracing.span.context.field", "span")
        .set("outbox.value.converter", "json")
        .set(
            "outbox.table.fields.additional.placement",
            "[ \"type:header:eventType\", \"tenant:header\", \"part:partition\", \"created_at:envelope\" ]",
        );
    init(&config, &["--apply"]);
    init(&config, &["--apply"]);
    sql(
        &postgres,
        r#"SELECT outbox_emit('order', '1', 'Made', '{"n": 1}', additional =>
               '{"at": "2026-01-02 03:04:05.678+01", "version": 3, "tenant": "t", "part": 2}');
           SELECT outbox_insert('order', '2', 'Made', '{"n": 2}', additional =>
               '{"at": "2026-01-02 03:04:05.678+01", "version": 3, "tenant": "t", "part": 2,
                 "span": "traceparent=00-1"}');
           SELECT outbox_emit('bare', '3', 'Made', '{"n": 3}');
           SELECT outbox_insert('bare', '4', 'Made', '{"n": 4}');"#,
    );
    config.catch_up(LIMIT);
    let events = topic(&config, "order");
    assert_eq!(events.len(), 2, "{events:?}");
    for event in &events {
        assert_eq!(event.timestamp, Some(1_767_319_445_678));
        assert_eq!(event.partition, 2);
        assert_eq!(header(event, "eventType"), Some("Made"));
        assert_eq!(header(event, "tenant"), Some("t"));
    }
    assert_eq!(header(&events[1], "traceparent"), Some("00-1"));
    assert_eq!(topic(&config, "bare").len(), 2, "none of it must be given");
    for unknown in [
        "outbox_emit('a', 'k', 't', '{}', additional => '{\"span\": \"x\"}')",
        "outbox_insert('a', 'k', 't', '{}', additional => '{\"tenent\": \"x\"}')",
    ] {
        let said = sql_refusal(&postgres, &format!("SELECT {unknown}"));
        assert!(said.contains("tenant"), "{unknown}: {said}");
    }
    for (option, name) in [
        ("outbox.route.by.field", "type"),
        ("outbox.table.field.event.key", "id"),
        ("outbox.table.field.event.schema.version", "payload"),
        ("outbox.table.field.event.type", "transaction"),
    ] {
        let said = refusal(&config.another_instance().set(option, name), &[]);
        assert!(said.contains(name), "{option}: {said}");
    }
}

#[test]
fn a_table_that_was_there_gets_what_it_lacks() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE outbox (id uuid NOT NULL PRIMARY KEY, aggregatetype varchar(255) NOT NULL,
            aggregateid varchar(255) NOT NULL, type varchar(255) NOT NULL, payload jsonb);
         INSERT INTO outbox VALUES (gen_random_uuid(), 'order', 'old', 't', '{}')",
    );
    let debezium =
        config("outbox_init_debezium", &postgres).set("snapshot.snapshot.mode", "initial");
    init(&debezium, &["--apply"]);
    init(&debezium, &["--apply"]);
    sql(&postgres, "SELECT outbox_insert('order', 'new', 't', '{}')");
    debezium.catch_up(LIMIT);
    assert_eq!(topic(&debezium, "order").len(), 2);
    assert_eq!(left_by_cleaning(&postgres), ["old"]);
    debezium.catch_up(LIMIT);
    assert!(left_by_cleaning(&postgres).is_empty());

    // Other types, and in partitions whose rows have the same places.
    sql(
        &postgres,
        "CREATE SCHEMA parts; SET search_path = parts;
         CREATE TABLE outbox (id varchar(36), aggregatetype text, aggregateid bigint, type text,
            payload text, PRIMARY KEY (id, aggregateid)) PARTITION BY RANGE (aggregateid);
         CREATE TABLE low PARTITION OF outbox FOR VALUES FROM (0) TO (10);
         CREATE TABLE high PARTITION OF outbox FOR VALUES FROM (10) TO (20)",
    );
    let parts = config("outbox_init_parts", &postgres)
        .set("outbox.table", "[ parts.outbox, parts.low, parts.high ]");
    init(&parts, &["--apply"]);
    init(&parts, &["--apply"]);
    sql(
        &postgres,
        "SELECT parts.outbox_insert('order', '1', 't', '{}')",
    );
    parts.catch_up(LIMIT);
    assert_eq!(topic(&parts, "order").len(), 1);
    let row = |key: i32| {
        let values = format!("('{key}', 'order', {key}, 't', '{{}}')");
        sql(
            &postgres,
            &format!("INSERT INTO parts.outbox VALUES {values}"),
        );
    };
    row(2);
    sql(&postgres, "SELECT parts.outbox_clean()");
    row(12);
    let beyond = format!(
        "SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        parts.slot()
    );
    sql(&postgres, &beyond);
    sql(&postgres, "SELECT parts.outbox_clean()");
    assert_eq!(query(&postgres, "SELECT id FROM parts.outbox"), ["12"]);

    sql(
        &postgres,
        "CREATE SCHEMA typo; CREATE TABLE typo.outbox (id uuid)",
    );
    let typo = config("outbox_init_typo", &postgres).set("outbox.table", "typo.outbox");
    let said = refusal(&typo, &["--apply"]);
    assert!(said.contains("no column aggregatetype"), "{said}");
}

#[test]
fn each_role_gets_the_rights_it_needs_and_others_get_none() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE ROLE shop; CREATE ROLE stranger; CREATE ROLE walferry LOGIN REPLICATION; CREATE SCHEMA shop",
    );
    let url = postgres.url().replace("postgres@", "walferry@");
    let config = config("outbox_init_rights", &postgres)
        .set("outbox.table", "shop.outbox")
        .set("snapshot.snapshot.mode", "initial")
        .set("postgres.url", &url);
    sql(
        &postgres,
        &init(&config, &["--role", "shop", "--schema", "events"]),
    );
    sql(
        &postgres,
        "SET ROLE shop; SELECT events.outbox_insert('order', '1', 't', '{}');
         SELECT events.outbox_emit('order', '1', 't', '{}');
         INSERT INTO shop.outbox (aggregatetype, aggregateid, type) VALUES ('order', '2', 't')",
    );
    sql(&postgres, "SET ROLE shop; SELECT events.outbox_clean()");
    config.catch_up(LIMIT);
    // The row comes by the copy and, being younger than the slot, by the stream.
    assert_eq!(topic(&config, "order").len(), 4);
    sql(&postgres, "SET ROLE shop; SELECT events.outbox_clean()");
    assert_eq!(
        query_one(&postgres, "SELECT count(*) FROM shop.outbox"),
        "0"
    );
    sql(&postgres, "GRANT USAGE ON SCHEMA events, shop TO stranger");
    for call in [
        "outbox_id()",
        "outbox_insert('order', '1', 't', '{}')",
        "outbox_emit('order', '1', 't', '{}')",
        "outbox_clean()",
    ] {
        let said = sql_refusal(
            &postgres,
            &format!("SET ROLE stranger; SELECT events.{call}"),
        );
        assert!(said.contains("permission denied"), "{call}: {said}");
    }
    // Who cleans does it with rights of its own: a trigger of another's gets no more than those.
    let definers = "SELECT count(*) FROM pg_proc WHERE prosecdef AND proname LIKE 'outbox%'";
    assert_eq!(query_one(&postgres, definers), "0");
}

#[test]
fn what_walferry_could_not_publish_fails_in_the_service() {
    let postgres = postgres(PostgresOptions::default());
    let config = config("outbox_init_refused", &postgres);
    init(&config, &["--apply"]);
    let long = format!("'{}'", "x".repeat(249));
    for arguments in [
        "NULL, 'k', 't', '{}'",
        "'a', NULL, 't', '{}'",
        "'a', 'k', NULL, '{}'",
        "'', 'k', 't', '{}'",
        "'no topic', 'k', 't', '{}'",
        "E'a\\n', 'k', 't', '{}'",
        "'a/b', 'k', 't', '{}'",
        "LONG, 'k', 't', '{}'",
        "'a', 'k', 't', '{}', id => NULL",
        "'a', 'k', 't', '{}', additional => '[]'",
    ] {
        let arguments = arguments.replace("LONG", &long);
        for function in ["outbox_emit", "outbox_insert"] {
            let said = sql_refusal(&postgres, &format!("SELECT {function}({arguments})"));
            assert!(said.contains("no event"), "{function}({arguments}): {said}");
        }
    }
    for headers in [
        "[]",
        "1",
        "{\"h\": {}}",
        "{\"h\": []}",
        "{\"id\": \"1\"}",
        "{\"walferry.id\": 1}",
    ] {
        let said = sql_refusal(
            &postgres,
            &format!("SELECT outbox_emit('a', 'k', 't', '{{}}', '{headers}')"),
        );
        assert!(said.contains("header"), "{headers}: {said}");
    }
    let row = "INSERT INTO outbox (aggregatetype, aggregateid, type) VALUES ('no topic', 'k', 't')";
    sql_refusal(&postgres, row);
    // An expression of the user's own may make topics of other values.
    let renamed = config
        .another_instance()
        .set("outbox.route.topic.regex", "'(?<routedByValue>[a-z]*).*'");
    init(&renamed, &["--apply"]);
    sql(&postgres, "SELECT outbox_emit('no topic', 'k', 't', '{}')");
    sql_refusal(&postgres, "SELECT outbox_emit('', 'k', 't', '{}')");
    renamed.catch_up(LIMIT);
    assert_eq!(
        topic(&config, "no").len(),
        1,
        "and nothing stops the stream"
    );
}

#[test]
fn a_slot_that_waits_says_for_what() {
    let options = PostgresOptions::default().with("max_prepared_transactions", "1");
    let postgres = postgres(options);
    sql(
        &postgres,
        "CREATE TABLE t (); BEGIN; CREATE TABLE u (); PREPARE TRANSACTION 'forgotten'",
    );
    let config = config("outbox_init_waits", &postgres);
    let mut command = config.command("outbox init");
    let mut child = command
        .arg("--apply")
        .stderr(Stdio::piped())
        .spawn()
        .expect("walferry");
    let lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .try_for_each(|line| tell.send(line))
    });
    let said = told.recv_timeout(LIMIT);
    sql(&postgres, "ROLLBACK PREPARED 'forgotten'");
    let status = child.wait().expect("its end");
    let said = said.expect("a word of what is waited for");
    assert!(said.contains("pg_prepared_xacts"), "{said}");
    assert!(status.success());
}
