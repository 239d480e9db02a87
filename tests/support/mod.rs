//! What the behaviours stand on: servers, walferry as a process, readers of topics, the comparison
//! of a table with its topic, a proxy that misbehaves, and all waiting.
//!
//! It knows walferry only from outside: its command line, its YAML, its topics, its HTTP page.

pub mod compare;
pub mod event;
pub mod example;
pub mod journal;
pub mod proxy;
mod runs;
pub mod session;
pub mod signals;
pub mod topic;
pub mod walferry;
pub mod workload;

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use xtask::servers::{KafkaOptions, KafkaServer, PostgresOptions, PostgresServer, process};

/// The Kafka that all tests share which do not hurt it. Started by the first to ask; it goes when the
/// test binary ends.
///
/// # Panics
/// When Kafka cannot be had.
pub fn kafka() -> &'static KafkaServer {
    static KAFKA: OnceLock<KafkaServer> = OnceLock::new();
    KAFKA.get_or_init(|| KafkaServer::start(&KafkaOptions::default()).expect("a Kafka"))
}

/// A Kafka of the test's own, to be killed and paused.
///
/// # Panics
/// When Kafka cannot be had.
#[must_use]
pub fn own_kafka() -> KafkaServer {
    KafkaServer::start(&KafkaOptions::default()).expect("a Kafka")
}

/// A Postgres of the test's own, of the major that `cargo xtask test --postgres` asks for.
///
/// # Panics
/// When it cannot be had.
#[must_use]
pub fn postgres(options: PostgresOptions) -> PostgresServer {
    let major = env::var("WALFERRY_TEST_POSTGRES_MAJOR").ok().map(|major| {
        major
            .parse()
            .expect("WALFERRY_TEST_POSTGRES_MAJOR is a number from 14 to 18")
    });
    let major = major.unwrap_or(options.major);
    PostgresServer::start(&PostgresOptions { major, ..options }).expect("a Postgres")
}

/// A name no other test of this run uses: for slots, prefixes and topics in the shared Kafka.
#[must_use]
pub fn unique(purpose: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{purpose}_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Waits for an answer.
///
/// # Panics
/// When there is none within `limit`; `what` says what was waited for.
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    process::wait_until(limit, look).unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}

/// Runs SQL in database `postgres`.
///
/// # Panics
/// When the server refuses it.
pub fn sql(postgres: &PostgresServer, text: &str) {
    postgres
        .execute("postgres", text)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// The first column of a query in database `postgres`.
///
/// # Panics
/// When the server refuses it.
#[must_use]
pub fn query(postgres: &PostgresServer, text: &str) -> Vec<String> {
    postgres
        .query_text("postgres", text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The first column of the first row.
///
/// # Panics
/// When the server refuses it, or there is no row.
#[must_use]
pub fn query_one(postgres: &PostgresServer, text: &str) -> String {
    query(postgres, text)
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("{text}: no row"))
}

/// How far the slot's confirmed position is behind the end of WAL, in bytes.
///
/// # Panics
/// When there is no such slot.
#[must_use]
pub fn bytes_behind(postgres: &PostgresServer, slot: &str) -> i64 {
    let text = query_one(
        postgres,
        &format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint \
             FROM pg_replication_slots WHERE slot_name = '{slot}'"
        ),
    );
    text.parse().expect("a number of bytes")
}

/// The process id of the walsender that reads the slot, while there is one.
#[must_use]
pub fn walsender(postgres: &PostgresServer, slot: &str) -> Option<String> {
    let sql = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}'");
    // The server may be down on purpose.
    let rows = postgres.query_text("postgres", &sql).ok()?;
    rows.into_iter().next().filter(|pid| !pid.is_empty())
}

/// The code before the colon in the last lines that walferry wrote when it halted: `SLOT_LOST`.
///
/// # Panics
/// When it did not end with `exit_code`, or did not say `halt`.
pub fn assert_halts(walferry: &mut walferry::Walferry, halt: &str, exit_code: i32) {
    let code = walferry.wait_exit(Duration::from_secs(30));
    let log = walferry.log();
    assert_eq!(code, Some(exit_code), "{halt} was expected:\n{log}");
    assert!(log.contains(halt), "{halt} is not named:\n{log}");
}

/// Tells threads to stop when it goes, also where a test fails: a scope waits for them.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
