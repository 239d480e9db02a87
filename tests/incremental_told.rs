//! Rows that are read beside the stream may take hours: the log tells now and then how far they are.

use std::time::Duration;

use e2e::support::signals::execute_slowly;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use xtask::servers::PostgresOptions;

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn the_log_tells_how_far_a_table_is() {
    let postgres = postgres(PostgresOptions::default());
    sql(
        &postgres,
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000); ANALYZE t",
    );
    let config = Config::new("incremental_told", &postgres, kafka())
        .set("snapshot.incremental.snapshot.chunk.size", "20");
    let mut walferry = config.start();
    execute_slowly(&postgres, "told", "public.t");
    let line = wait_for("a line", LIMIT, || {
        assert!(walferry.is_running(), "{}", walferry.log());
        let log = walferry.log();
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains("reading the table beside the stream"));
        found.map(str::to_owned)
    });
    assert!(
        line.contains("public.t") && line.contains("rows_estimated=20000"),
        "{line}"
    );
    let rows = line.split(" rows=").nth(1).expect("how many rows");
    let rows = rows.split(' ').next().map(str::parse::<u64>);
    let rows = rows.expect("a word").expect("a number");
    assert!(rows > 0 && rows < 20_000, "{line}");
    walferry.sigterm();
    assert_eq!(walferry.wait_exit(LIMIT), Some(0), "{}", walferry.log());
}
