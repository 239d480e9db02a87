//! `walferry verify` finds repeats, gaps, disorder and strangers at their offsets, and rows in which a
//! table and its topic differ; of a sound connector it says that it is sound, whatever was killed.

use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use e2e::support::topic::{forge_record, read_topic, set_topic};
use e2e::support::walferry::Config;
use e2e::support::workload::{Dice, TABLES, Workload, create_tables};
use e2e::support::{kafka, postgres, query, query_one, sql, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use xtask::servers::PostgresOptions;
use xtask::servers::process::ServerProcess;

const LIMIT: Duration = Duration::from_secs(60);

fn verify(config: &Config, arguments: &[&str]) -> Output {
    let mut command = config.command("verify");
    command.args(arguments).output().expect("walferry verify")
}

/// `verify --json`, with its exit code; all that it printed, for a message.
fn report(config: &Config, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = verify(config, &[&["--json"], arguments].concat());
    let said = [&*output.stdout, b"\n", &*output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("no JSON alone on stdout: {error}\n{said}"));
    (output.status.code(), json, said)
}

fn sum(report: &Value, of: &str, what: &str) -> u64 {
    let all = report[of].as_array().expect("a list").iter();
    all.map(|one| one[what].as_u64().expect("a count")).sum()
}

/// Code and offset of each finding about a record.
fn found(report: &Value) -> Vec<(String, i64)> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let mut found: Vec<(String, i64)> = findings
        .filter_map(|it| Some((it["code"].as_str()?.to_owned(), it["offset"].as_i64()?)))
        .collect();
    found.sort();
    found
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .map(|it| it["code"].as_str().expect("a code"))
        .collect()
}

#[test]
fn after_kills_all_is_sound_and_the_tables_are_their_topics() {
    const SEED: u64 = 20_261_128;
    let postgres = postgres(PostgresOptions::default());
    create_tables(&postgres);
    sql(
        &postgres,
        "INSERT INTO moves SELECT -1, n, n FROM generate_series(1, 20000) n;
         CREATE TABLE keyless (n int); ALTER TABLE keyless REPLICA IDENTITY FULL",
    );
    let config = Config::new("verify_kills", &postgres, kafka())
        .set("topics.partitions", "3")
        .set("snapshot.snapshot.mode", "initial")
        .set("envelope.provide.transaction.metadata", "true");
    let load = Workload::start(&postgres, SEED, 3, 2);
    let mut dice = Dice::new(SEED);
    for round in 0..9 {
        let mut walferry = config.start();
        if round == 0 {
            // The copy, too, is killed.
            wait_for("a copy", LIMIT, || {
                walferry.log().contains("copying the rows").then_some(())
            });
            walferry.kill9();
            continue;
        }
        sql(
            &postgres,
            "INSERT INTO keyless SELECT generate_series(1, 50)",
        );
        if round == 4 {
            // More keys than the memory below has room for.
            sql(
                &postgres,
                "INSERT INTO moves SELECT -2, n, n FROM generate_series(1, 80000) n",
            );
        }
        sleep(Duration::from_millis(300 + dice.below(500)));
        walferry.kill9();
    }
    let mut walferry = config.start();
    assert_tables_are_their_topics(&config);
    load.stop();
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0));
    config.catch_up(LIMIT);
    assert_topics_are_sound(&config);
}

/// Under writes, and with so little memory that a table takes several passes.
fn assert_tables_are_their_topics(config: &Config) {
    let (code, tables, said) = report(
        config,
        &[
            "--skip-topics",
            "--tables",
            "--memory",
            "4",
            "--wait",
            "120",
        ],
    );
    assert_eq!(code, Some(4), "keyless is not compared:\n{said}");
    assert_eq!(codes(&tables), ["NOT_COMPARABLE"], "{said}");
    for table in TABLES {
        let all = tables["tables"].as_array().expect("tables").iter();
        let of = |it: &&Value| it["table"] == format!("public.{table}");
        let one = all
            .clone()
            .find(of)
            .unwrap_or_else(|| panic!("{table}: {said}"));
        let rows = one["rows"].as_u64().expect("rows");
        assert!(rows > 100, "{said}");
        assert_eq!(one["equal"].as_u64(), Some(rows), "{said}");
        let passes = one["passes"].as_u64().expect("passes");
        assert_eq!(passes > 1, table == "moves", "{said}");
    }
}

fn assert_topics_are_sound(config: &Config) {
    let (code, topics, said) = report(config, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        sum(&topics, "topics", "duplicates") > 0,
        "no kill came in time: {said}"
    );
    assert_eq!(sum(&topics, "topics", "not_compared"), 0, "{said}");
    assert_eq!(sum(&topics, "topics", "under_way"), 0, "{said}");
    assert!(topics["transactions"].as_u64() > Some(500), "{said}");
    assert!(!codes(&topics).contains(&"GAPS_NOT_JUDGED"), "{said}");
    let records: usize = ["accounts", "moves", "keyless"]
        .map(|table| read_topic(config.bootstrap_servers(), &config.topic(table)).len())
        .iter()
        .sum();
    let boundaries = format!("{}.transaction", config.name());
    let boundaries = read_topic(config.bootstrap_servers(), &boundaries).len();
    let read = sum(&topics, "topics", "records");
    assert_eq!(
        read,
        (records + boundaries) as u64,
        "every record is read once"
    );
    let text = verify(config, &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("repeats") && text.trim_end().ends_with("as promised"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "plain in a pipe: {text}");
}

#[test]
fn each_damage_is_found_at_its_offset() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("verify_damage", &postgres, kafka());
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (1)");
    // What is forged lies between the last record and the stored progress.
    sql(&postgres, "SELECT pg_switch_wal()");
    config.catch_up(LIMIT);
    let (servers, topic) = (config.bootstrap_servers(), config.topic("users"));
    let last = read_topic(servers, &topic).last().expect("a record").id();
    assert_eq!(report(&config, &[]).0, Some(0));

    let id = |epoch: u64, later: u64, ordinal: u64| {
        let lsn = last.lsn + later * 8;
        let (high, low) = (lsn >> 32, lsn & 0xFFFF_FFFF);
        format!("{}:{high:X}/{low:X}:{ordinal}", last.epoch + epoch)
    };
    let forge =
        |value: &str, id: Option<&str>| forge_record(servers, &topic, ("s3cret", value), id);
    let mut expected = Vec::new();
    let mut expect = |code: &str, offset| expected.push((code.to_owned(), offset));
    forge("a", Some(&id(0, 1, 0)));
    expect("GAP", forge("b", Some(&id(0, 1, 3))));
    forge("c", Some(&id(0, 2, 0)));
    expect("ORDER", forge("d", Some(&id(0, 1, 4))));
    expect("DUPLICATE", forge("c", Some(&id(0, 2, 0))));
    let other = forge("e", Some(&id(0, 2, 0)));
    expect("DUPLICATE", other);
    expect("DUPLICATE_DIFFERS", other);
    expect("FOREIGN", forge("f", None));
    expect("FOREIGN", forge("g", Some("1:nonsense")));
    expect("OTHER_EPOCH", forge("h", Some(&id(1, 3, 0))));
    forge("i", Some(&id(0, 4, 0)));
    expected.sort();

    let (code, damaged, said) = report(&config, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(found(&damaged), expected, "{said}");
    let gap = damaged["findings"].as_array().expect("findings").iter();
    let gap = gap.clone().find(|it| it["code"] == "GAP").expect("the gap");
    assert_eq!(gap["id"], id(0, 1, 1));
    assert_eq!(gap["last_id"], id(0, 1, 2));
    assert_eq!(
        (&gap["topic"], &gap["partition"]),
        (&topic.clone().into(), &0.into())
    );
    let text = verify(&config, &[]);
    assert_eq!(text.status.code(), Some(3));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for (code, offset) in expected.iter().filter(|it| it.0 != "DUPLICATE") {
        let line = format!("{code}  {topic} [0] at {offset}");
        assert!(text.contains(&line), "{line}:\n{text}");
    }
    assert!(
        !text.contains("s3cret") && !said.contains("s3cret"),
        "{text}"
    );

    // In a topic that forgets, a hole says nothing.
    set_topic(servers, &topic, "cleanup.policy", "compact");
    let (code, compacted, said) = report(&config, &["--topic", &topic]);
    assert_eq!(code, Some(3), "{said}");
    assert!(codes(&compacted).contains(&"GAPS_NOT_JUDGED"), "{said}");
    assert!(!codes(&compacted).contains(&"GAP"), "{said}");
}

#[test]
fn a_table_that_became_another_is_found_whole_and_sampled() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text);
         INSERT INTO users SELECT n, 's3cret' || n FROM generate_series(1, 900) n",
    );
    let config = Config::new("verify_table", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set("topics.partitions", "2");
    let walferry = config.start();
    let table = ["--skip-topics", "--table", "public.users"];
    let (code, sound, said) = report(&config, &table);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(sum(&sound, "tables", "equal"), 900, "{said}");

    // While the table is not published, nobody hears of its changes.
    let publication = config.slot();
    sql(
        &postgres,
        &format!(
            "BEGIN; ALTER PUBLICATION {publication} DROP TABLE users; COMMIT;
             DELETE FROM users WHERE id % 10 = 0;
             UPDATE users SET name = 'n3ws' WHERE id % 10 = 1;
             INSERT INTO users SELECT n, 'n3ws' FROM generate_series(1001, 1090) n;
             ALTER PUBLICATION {publication} ADD TABLE users"
        ),
    );
    sql(&postgres, "INSERT INTO users VALUES (2000, 'published')");
    let (code, damaged, said) = report(&config, &table);
    assert_eq!(code, Some(3), "{said}");
    for what in ["missing", "extra", "different"] {
        assert_eq!(sum(&damaged, "tables", what), 90, "{what}: {said}");
    }
    assert_eq!(sum(&damaged, "tables", "equal"), 721, "{said}");
    assert_eq!(
        found(&damaged).len(),
        20,
        "the first ten of each with a record: {said}"
    );
    let first = &damaged["findings"][0];
    assert_eq!(first["code"], "DIFFERENT", "{said}");
    let row = first["row"].as_str().expect("where the row lies");
    let ctid = row.strip_prefix("users ").expect("its table");
    let id = query_one(
        &postgres,
        &format!("SELECT id FROM users WHERE ctid = '{ctid}'"),
    );
    assert!(
        id.ends_with('1'),
        "{row} is not the row that was changed: {id}"
    );
    assert!(!said.contains("s3cret") && !said.contains("n3ws"), "{said}");

    let (code, sampled, said) = report(&config, &[&table[..], &["--sample", "3"]].concat());
    assert_eq!(code, Some(3), "{said}");
    for what in ["missing", "extra", "different"] {
        let count = sum(&sampled, "tables", what);
        assert!((8..75).contains(&count), "{what}: {said}");
    }
    drop(walferry);
}

/// Values that no update touched are not in the log, and columns come and go.
#[test]
fn values_that_the_topic_does_not_have_are_left_out() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE notes (id int PRIMARY KEY, version int, body text, raw bytea, tags text[],
                             numbers int[], doc jsonb, old text);
         ALTER TABLE notes ALTER body SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL,
             ALTER tags SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL,
             ALTER doc SET STORAGE EXTERNAL",
    );
    for schemas in ["false", "true"] {
        sql(&postgres, "TRUNCATE notes");
        let config =
            Config::new("verify_toast", &postgres, kafka()).set("envelope.schemas.enable", schemas);
        let walferry = config.start();
        sql(
            &postgres,
            "INSERT INTO notes SELECT n, 1, repeat('b', 9000), convert_to(repeat('r', 9000), 'UTF8'),
                 array_fill('t'::text, ARRAY[3000]), array_fill(7, ARRAY[3000]),
                 to_jsonb(repeat('j', 9000)), 'old' FROM generate_series(1, 20) n;
             UPDATE notes SET version = 2 WHERE id <= 5",
        );
        let table = ["--skip-topics", "--table", "public.notes"];
        let (code, toasted, said) = report(&config, &table);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(sum(&toasted, "tables", "equal"), 20, "{said}");
        assert_eq!(sum(&toasted, "tables", "partial"), 5, "{said}");

        sql(
            &postgres,
            "ALTER TABLE notes DROP COLUMN old, ADD COLUMN added int NOT NULL DEFAULT 5;
             UPDATE notes SET version = 3, body = 'new' WHERE id = 20",
        );
        let (code, altered, said) = report(&config, &table);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(sum(&altered, "tables", "equal"), 20, "{said}");
        assert_eq!(
            sum(&altered, "tables", "partial"),
            20,
            "raw and others of 20, too: {said}"
        );
        // What is there is compared all the same.
        let publication = config.slot();
        sql(
            &postgres,
            &format!(
                "ALTER PUBLICATION {publication} DROP TABLE notes;
                 UPDATE notes SET version = 9 WHERE id = 1;
                 ALTER PUBLICATION {publication} ADD TABLE notes"
            ),
        );
        let (code, damaged, said) = report(&config, &table);
        assert_eq!(code, Some(3), "{said}");
        assert_eq!(sum(&damaged, "tables", "different"), 1, "{said}");
        drop(walferry);
        sql(
            &postgres,
            "ALTER TABLE notes DROP COLUMN added, ADD COLUMN old text",
        );
    }
}

#[test]
fn the_topics_of_an_outbox_are_read_and_its_table_is_not_compared() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), aggregatetype text,
                              aggregateid text, type text, payload jsonb)",
    );
    let config = Config::new("verify_outbox", &postgres, kafka());
    let topic = format!("'{}.${{routedByValue}}'", config.name());
    let config = config
        .set("outbox.table", "public.outbox")
        .set("outbox.message.prefix", "outbox")
        .set("outbox.route.topic.replacement", &topic);
    config.catch_up(LIMIT);
    for _ in 0..3 {
        sql(
            &postgres,
            r#"INSERT INTO outbox SELECT gen_random_uuid(), 'order' || n % 2, n, 't', '{"n": 1}'
                   FROM generate_series(1, 10) n;
               SELECT pg_logical_emit_message(true, 'outbox',
                   '{"id": "m", "aggregatetype": "order0", "key": 1, "payload": {"ts_ms": 1}}')"#,
        );
    }
    config.catch_up(LIMIT);
    let (code, topics, said) = report(&config, &[]);
    assert_eq!(code, Some(0), "{said}");
    let names = topics["topics"].as_array().expect("topics").iter();
    let names: Vec<&str> = names.filter_map(|it| it["topic"].as_str()).collect();
    let expected = ["order0", "order1"].map(|it| format!("{}.{it}", config.name()));
    assert_eq!(names, expected, "{said}");
    assert_eq!(sum(&topics, "topics", "records"), 33, "{said}");
    assert!(topics["transactions"].as_u64() >= Some(3), "{said}");

    let walferry = config.start();
    let (code, refused, said) = report(&config, &["--table", "public.outbox"]);
    assert_eq!(
        (code, codes(&refused)),
        (Some(4), vec!["NOT_COMPARABLE"]),
        "{said}"
    );
    let (code, unknown, said) = report(&config, &["--table", "public.nobody"]);
    assert_eq!(
        (code, codes(&unknown)),
        (Some(3), vec!["NOT_COMPARABLE"]),
        "{said}"
    );
    drop(walferry);
}

#[test]
fn what_cannot_be_judged_is_said_and_a_signal_ends_it() {
    let postgres = postgres(PostgresOptions::default());
    sql(&postgres, "CREATE TABLE users (id int PRIMARY KEY)");
    let config = Config::new("verify_alone", &postgres, kafka());
    let (code, nothing, said) = report(&config, &[]);
    assert_eq!(code, Some(4), "{said}");
    assert!(codes(&nothing).contains(&"NO_PROGRESS"), "{said}");
    config.catch_up(LIMIT);
    sql(&postgres, "INSERT INTO users VALUES (1)");

    let table = ["--skip-topics", "--table", "public.users"];
    let (code, alone, said) = report(&config, &[&table[..], &["--wait", "1"]].concat());
    assert_eq!(
        (code, codes(&alone)),
        (Some(4), vec!["NOT_REACHED"]),
        "{said}"
    );
    assert!(said.contains("nobody reads the slot"), "{said}");

    ends_at_a_signal(&config, "waiting for walferry");
    // The snapshot waits for transactions that are running.
    let url = postgres.socket_url_for("postgres");
    let open = std::thread::spawn(move || hold_open(&url));
    let running = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' \
         AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL";
    let pid = wait_for("a transaction", LIMIT, || query(&postgres, running).pop());
    ends_at_a_signal(&config, "taking a snapshot");
    let _ = query(&postgres, &format!("SELECT pg_terminate_backend({pid})"));
    open.join().expect("its end");

    wait_for("no slot is left", LIMIT, || {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
        (query_one(&postgres, slots) == "0").then_some(())
    });
    let config = config.set("kafka.bootstrap.servers", "127.0.0.1:2");
    let (code, absent, said) = report(&config, &[]);
    assert_eq!((code, codes(&absent)), (Some(3), vec!["KAFKA"]), "{said}");
    assert!(said.contains("127.0.0.1:2"), "{said}");
}

/// A transaction with an id, until somebody ends its session.
fn hold_open(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("a session");
        let connection = tokio::spawn(connection);
        let held = "BEGIN; SELECT txid_current(); SELECT pg_sleep(600)";
        client.batch_execute(held).await.expect_err("it was ended");
        drop(connection.await);
    });
}

/// `verify` of a table says that it waits, and is interrupted then.
fn ends_at_a_signal(config: &Config, waits: &str) {
    let log = std::env::temp_dir().join(format!("{}.log", config.name()));
    let mut command = config.command("verify");
    command.args(["--skip-topics", "--table", "public.users", "--wait", "600"]);
    let mut waiting = ServerProcess::spawn(&mut command, &log, "INT").expect("walferry verify");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for(waits, LIMIT, || text().contains(waits).then_some(()));
    let begun = Instant::now();
    waiting.signal(Signal::INT);
    let ended = waiting.wait(LIMIT).expect("it ends");
    assert_eq!(ended.code(), Some(7), "{}", text());
    assert!(begun.elapsed() < Duration::from_secs(10), "{}", text());
    assert!(text().contains("STOPPED"), "{}", text());
    std::fs::remove_file(&log).expect("its log");
}
