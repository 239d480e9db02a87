//! Secrets never reach logs, errors, metrics, the page or a check's report; and a wrong password is
//! a named halt.

use std::fs;
use std::time::Duration;

use e2e::support::topic::{TopicReader, read_topic};
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, sql, wait_for};
use xtask::servers::{PostgresOptions, PostgresServer, directory};

const PASSWORD: &str = "canary-of-postgres-4f1c";
const WRONG: &str = "canary-of-a-stranger-9b2e";
const SASL: &str = "canary-of-sasl-77aa";
const SSL: &str = "canary-of-a-key-31e0";
const ROW: &str = "canary-in-a-row-c0de";

/// Everybody by password, but for the tests' own superuser.
const HBA: &str = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                   host all all 127.0.0.1/32 scram-sha-256\n\
                   host replication postgres 127.0.0.1/32 trust\n";

fn assert_silent(what: &str, text: &str) {
    for secret in [PASSWORD, WRONG, SASL, SSL, ROW] {
        assert!(!text.contains(secret), "{what} tells {secret}:\n{text}");
    }
}

fn guarded() -> PostgresServer {
    let options = PostgresOptions {
        hba: Some(HBA.to_owned()),
        ..PostgresOptions::default()
    };
    let postgres = postgres(options);
    sql(
        &postgres,
        &format!(
            "CREATE ROLE app LOGIN SUPERUSER PASSWORD '{PASSWORD}';
             CREATE TABLE users (id int PRIMARY KEY, name text)"
        ),
    );
    postgres
}

/// `who` is a user, with or without a password.
fn url(postgres: &PostgresServer, who: &str) -> String {
    let port = postgres.port();
    format!("postgresql://{who}@127.0.0.1:{port}/postgres")
}

/// Everything is logged, librdkafka's own accounts of its configuration and its packets included.
#[test]
fn canaries_stay_silent() {
    let postgres = guarded();
    let url = |password: &str| url(&postgres, &format!("app:{password}"));
    let config = Config::new("secrets", &postgres, kafka())
        .set("postgres.url", &url(PASSWORD))
        .set("kafka.sasl.username", "nobody")
        .set("kafka.sasl.password", SASL)
        .set("kafka.ssl.key.password", SSL)
        .set("kafka.debug", "all");
    let mut walferry = config.spawn_with(&["--log-level", "trace"]);
    walferry.wait_ready();
    sql(&postgres, &format!("INSERT INTO users VALUES (1, '{ROW}')"));
    TopicReader::new(config.bootstrap_servers(), &config.topic("users"))
        .wait_for_count(1, Duration::from_secs(20));
    for path in ["/", "/status", "/metrics", "/health/live", "/health/ready"] {
        let (code, body) = walferry
            .get(path)
            .unwrap_or_else(|| panic!("{path} does not answer"));
        assert_eq!(code, 200, "{path}");
        assert_silent(path, &body);
    }
    walferry.sigterm();
    walferry.wait_exit(Duration::from_secs(10));
    let log = walferry.log();
    for said in ["configuration", "sasl.password", "librdkafka"] {
        assert!(
            log.contains(said),
            "{said} is not in the log: it says too little to tell anything"
        );
    }
    assert_silent("the log", &walferry.log());
    let output = config.check(&["--json"]);
    assert_silent(
        "check",
        &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()),
    );

    let config = config.set("postgres.url", &url(WRONG));
    let mut refused = config.spawn_with(&["--log-level", "trace"]);
    assert_halts(&mut refused, "AUTHENTICATION", 24);
    assert_silent("the refusal", &refused.log());
    let broken = config.set(
        "postgres.url",
        &format!("'postgresql://app:{WRONG}@[::1:99999/x'"),
    );
    let output = broken.check(&[]);
    assert_eq!(output.status.code(), Some(2), "a URL that cannot be read");
    assert_silent("a bad URL", &String::from_utf8_lossy(&output.stderr));
}

/// Secrets out of files, given to a server that takes them and to a broker that does not understand
/// what it is told: SASL is spoken to a listener that has none.
#[test]
fn secrets_from_files_stay_silent() {
    let postgres = guarded();
    let files = directory("secrets").expect("a directory");
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        fs::write(&path, format!("{content}\n")).expect("a secret's file");
        path.display().to_string()
    };
    let config = Config::new("files", &postgres, kafka())
        .set("postgres.url", &url(&postgres, "app"))
        .set("postgres.password_file", &file("right", PASSWORD));
    let walferry = config.start();
    assert_silent("the log", &walferry.log());
    drop(walferry);

    let deaf = config
        .set("kafka.security.protocol", "SASL_PLAINTEXT")
        .set("kafka.sasl.mechanism", "PLAIN")
        .set("kafka.sasl.username", "nobody")
        .set("kafka.sasl.password_file", &file("sasl", SASL))
        .set("kafka.debug", "security,broker,protocol");
    let output = deaf.check(&["--log-level", "trace"]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_silent("check", &said);
    let mut walferry = deaf.spawn_with(&["--log-level", "trace"]);
    wait_for("an attempt", Duration::from_secs(30), || {
        walferry.log().contains("SASL").then_some(())
    });
    walferry.sigterm();
    walferry.wait_exit(Duration::from_secs(40));
    assert_silent("the attempt", &walferry.log());

    let wrong = deaf.set("postgres.password_file", &file("wrong", WRONG));
    let mut refused = wrong.spawn_with(&["--log-level", "trace"]);
    assert_halts(&mut refused, "AUTHENTICATION", 24);
    assert_silent("the refusal", &refused.log());
}

/// What the server says of a row that it cannot read quotes the row.
#[test]
fn rows_that_cannot_be_read_stay_silent() {
    let postgres = guarded();
    sql(
        &postgres,
        &format!(
            "INSERT INTO users VALUES (1, '{ROW}');
             CREATE FUNCTION refused(t text) RETURNS bool LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'not %', t; END $$;
             CREATE FUNCTION composed(t text) RETURNS bool LANGUAGE plpgsql AS
                 $$ BEGIN EXECUTE 'SELECT ' || quote_ident(t); RETURN true; END $$"
        ),
    );
    let config = Config::new("silent", &postgres, kafka());
    let mut walferry = config.spawn_with(&["--log-level", "debug"]);
    walferry.wait_ready();
    for (condition, named) in [
        ("name::int > 5", "22P02 invalid_text_representation"),
        ("refused(name)", "P0001 raise_exception"),
        (
            "composed(name)",
            "42703 syntax_error_or_access_rule_violation",
        ),
    ] {
        for kind in [[].as_slice(), &["--blocking"]] {
            let mut command = config.command("snapshot");
            command.args(["--table", "public.users", "--where", condition]);
            let output = command.args(kind).output().expect("walferry snapshot");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert_eq!(output.status.code(), Some(3), "{said}");
            for named in ["public.users", named] {
                assert!(said.contains(named), "{named}, {kind:?}: {said}");
            }
            assert_silent("the command", &said);
        }
    }
    walferry.sigterm();
    walferry.wait_exit(Duration::from_secs(10));
    assert_silent("the log", &walferry.log());
    let progress = format!("walferry.progress.{}", config.slot());
    let notes = read_topic(config.bootstrap_servers(), &progress);
    assert!(notes.len() > 6);
    for value in notes.into_iter().filter_map(|note| note.value) {
        assert_silent("a note", &String::from_utf8_lossy(&value));
    }

    let first = Config::new("silent_first", &postgres, kafka())
        .set("snapshot.snapshot.mode", "initial")
        .set(
            "snapshot.snapshot.select.statement.overrides",
            "public.users",
        )
        .set(
            "snapshot.snapshot.select.statement.overrides.public.users",
            "SELECT * FROM users WHERE name::int > 5",
        );
    let mut refused = first.spawn();
    assert_halts(&mut refused, "COPY_REFUSED", 30);
    let log = refused.log();
    assert!(log.contains("22P02 invalid_text_representation"), "{log}");
    assert_silent("the refusal", &log);
}
