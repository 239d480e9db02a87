//! A change that the server cannot read stops walferry by name instead of being tried for ever, and
//! is not skipped.

use std::time::Duration;

use e2e::support::walferry::Config;
use e2e::support::{assert_halts, kafka, postgres, query_one, sql};
use xtask::servers::PostgresOptions;

use super::refusals::{assert_complete, published, start_anew};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_row_filter_that_fails() {
    // Row filters came with 15.
    let postgres = postgres(PostgresOptions::default());
    let version: u32 = query_one(&postgres, "SHOW server_version_num")
        .parse()
        .expect("a number");
    if version < 150_000 {
        return;
    }
    let config = Config::new("stream_filter", &postgres, kafka());
    let publication = config.slot();
    sql(
        &postgres,
        &format!(
            "CREATE TABLE users (id int PRIMARY KEY);
             CREATE PUBLICATION {publication} FOR TABLE users WHERE (10 / (id - 3) < 100)"
        ),
    );
    config.catch_up(LIMIT);
    for id in [1, 3, 5] {
        sql(&postgres, &format!("INSERT INTO users VALUES ({id})"));
    }
    for _ in 0..2 {
        let mut walferry = config.spawn();
        assert_halts(&mut walferry, "STREAM_REFUSED", 31);
        assert!(walferry.log().contains("22012"), "{}", walferry.log());
    }
    assert!(published(&config) >= 1, "what came before is published");
    // As the halt advises.
    sql(
        &postgres,
        &format!("ALTER PUBLICATION {publication} SET TABLE users"),
    );
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}
