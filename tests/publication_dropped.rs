//! Who drops the publication stops walferry; nothing is skipped, and walferry does not make it again
//! as if nothing had happened. Up to Postgres 17 the server refuses the stream then, from 18 on it
//! warns and leaves changes out.

use std::time::Duration;

use e2e::support::walferry::Config;
use e2e::support::{assert_halts, query, query_one, sql};
use xtask::servers::{PostgresOptions, PostgresServer};

use super::refusals::{
    assert_complete, assert_keeps_halting, published, stage, stage_on, start_anew,
};

const LIMIT: Duration = Duration::from_secs(30);

fn drop_publication(postgres: &PostgresServer, config: &Config) {
    sql(postgres, &format!("DROP PUBLICATION {}", config.slot()));
}

/// It halts whenever it is started, and does not make a publication.
fn assert_stays_missing(postgres: &PostgresServer, config: &Config) {
    assert_keeps_halting(postgres, config, "PUBLICATION_MISSING", 19);
    let made = query(postgres, "SELECT pubname FROM pg_publication");
    assert_eq!(made, Vec::<String>::new());
}

/// Runs the SQL that `check` prints.
fn mend(postgres: &PostgresServer, config: &Config) {
    let output = config.check(&[]);
    let said = String::from_utf8(output.stdout).expect("text");
    let mut fixes = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("fix:"));
    let create = fixes.find(|fix| fix.contains("CREATE PUBLICATION"));
    sql(
        postgres,
        create.unwrap_or_else(|| panic!("no SQL in:\n{said}")),
    );
}

fn while_streaming((postgres, config): (PostgresServer, Config)) {
    let mut walferry = config.start();
    drop_publication(&postgres, &config);
    let lost_from = query_one(&postgres, "SELECT pg_current_wal_insert_lsn()");
    sql(&postgres, "INSERT INTO users VALUES (2, 'without it')");
    assert_halts(&mut walferry, "PUBLICATION_MISSING", 19);
    assert_stays_missing(&postgres, &config);
    mend(&postgres, &config);
    sql(&postgres, "INSERT INTO users VALUES (3, 'with it')");
    // The second row cannot be published any more, and must not be skipped. The stream may have
    // told of the DROP's position before it ended, and the slot follows then.
    assert_keeps_halting(&postgres, &config, "PUBLICATION_MISSING", 19);
    assert_eq!(published(&config), 1);
    let skipped = format!(
        "SELECT slot_name FROM pg_replication_slots WHERE confirmed_flush_lsn > '{lost_from}'"
    );
    assert_eq!(query(&postgres, &skipped), Vec::<String>::new());
    let config = start_anew(config);
    config.catch_up(LIMIT);
    assert_complete(&postgres, &config);
}

#[test]
fn while_it_streams() {
    while_streaming(stage("unpublished", PostgresOptions::default()));
}

#[test]
fn while_it_streams_from_18() {
    let options = PostgresOptions {
        major: 18,
        ..PostgresOptions::default()
    };
    // Whatever major the other tests are run on.
    let postgres = PostgresServer::start(&options).expect("a Postgres");
    while_streaming(stage_on(postgres, "unpublished18"));
}

#[test]
fn while_it_is_down_and_nothing_happens() {
    let (postgres, config) = stage("undone", PostgresOptions::default());
    drop_publication(&postgres, &config);
    assert_stays_missing(&postgres, &config);
    mend(&postgres, &config);
    sql(&postgres, "INSERT INTO users VALUES (2, 'with it')");
    config.catch_up(LIMIT);
    assert_eq!(published(&config), 2);
    assert_complete(&postgres, &config);
}
