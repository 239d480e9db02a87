//! Secrets never reach logs, errors, metrics, the page or a check's report; and a wrong password is
//! a named halt.

use std::time::Duration;

use e2e::support::topic::TopicReader;
use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, sql};
use xtask::servers::PostgresOptions;

const PASSWORD: &str = "canary-of-postgres-4f1c";
const WRONG: &str = "canary-of-a-stranger-9b2e";
const SASL: &str = "canary-of-sasl-77aa";
const ROW: &str = "canary-in-a-row-c0de";

/// Everybody by password, but for the tests' own superuser.
const HBA: &str = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                   host all all 127.0.0.1/32 scram-sha-256\n\
                   host replication postgres 127.0.0.1/32 trust\n";

fn assert_silent(what: &str, text: &str) {
    for secret in [PASSWORD, WRONG, SASL, ROW] {
        assert!(!text.contains(secret), "{what} tells {secret}:\n{text}");
    }
}

#[test]
fn canaries_stay_silent() {
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
    let url = |password: &str| {
        format!(
            "postgresql://app:{password}@127.0.0.1:{}/postgres",
            postgres.port()
        )
    };
    let config = Config::new("secrets", &postgres, kafka())
        .set("postgres.url", &url(PASSWORD))
        .set("kafka.sasl.username", "nobody")
        .set("kafka.sasl.password", SASL);
    let mut walferry = config.spawn_with(&["--log-level", "trace"]);
    walferry.wait_ready();
    sql(&postgres, &format!("INSERT INTO users VALUES (1, '{ROW}')"));
    TopicReader::new(config.bootstrap_servers(), &config.topic("users"))
        .wait_for_count(1, Duration::from_secs(20));
    for path in ["/", "/metrics", "/health/live", "/health/ready"] {
        let (code, body) = walferry
            .get(path)
            .unwrap_or_else(|| panic!("{path} does not answer"));
        assert_eq!(code, 200, "{path}");
        assert_silent(path, &body);
    }
    walferry.sigterm();
    walferry.wait_exit(Duration::from_secs(10));
    assert!(walferry.log().len() > 200, "the log says something at all");
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
