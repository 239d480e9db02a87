//! The server's version and settings.

use std::time::Duration;

use tokio_postgres::Client;

use super::finding::{Finding, Remedy, Subject};
use super::quote::shown;
use crate::prepared::{self, PreparedTransaction};

/// What the server says of itself, in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`, such as 150018.
    pub version: i32,
    /// `server_version`, such as `15.18 (Debian …)`.
    pub version_text: String,
    /// The database we are connected to.
    pub database: String,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub slots_max: i32,
    /// Slots that exist.
    pub slots: i32,
    /// Names of slots that nobody reads.
    pub idle_slots: Vec<String>,
    /// `max_wal_senders`.
    pub senders_max: i32,
    /// WAL senders that run.
    pub senders: i32,
    /// `wal_sender_timeout`, milliseconds; 0 is off.
    pub sender_timeout_ms: i64,
    /// `max_slot_wal_keep_size`, megabytes; -1 is no limit.
    pub slot_wal_keep_mb: i64,
    /// `idle_replication_slot_timeout`, seconds (18 and later); 0 is off.
    pub idle_slot_timeout_s: i64,
    /// `synchronous_standby_names`.
    pub synchronous_standby_names: String,
    /// The encoding of the database.
    pub encoding: String,
    /// The server is a standby.
    pub in_recovery: bool,
    /// `hot_standby_feedback`.
    pub hot_standby_feedback: bool,
    /// Prepared transactions that may be forgotten.
    pub forgotten: Vec<PreparedTransaction>,
}

const SERVER: &str = "
    SELECT current_setting('server_version_num')::int4, current_setting('server_version'),
           current_database()::text, current_setting('wal_level'),
           current_setting('max_replication_slots')::int4,
           (SELECT count(*)::int4 FROM pg_replication_slots),
           ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE NOT active ORDER BY 1),
           current_setting('max_wal_senders')::int4,
           (SELECT count(*)::int4 FROM pg_stat_get_wal_senders()),
           coalesce((SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout'), 0),
           coalesce((SELECT setting::int8 FROM pg_settings
                      WHERE name = 'max_slot_wal_keep_size'), -1),
           coalesce((SELECT setting::int8 FROM pg_settings
                      WHERE name = 'idle_replication_slot_timeout'), 0),
           current_setting('synchronous_standby_names'),
           (SELECT pg_encoding_to_char(encoding)::text FROM pg_database
             WHERE datname = current_database()),
           pg_is_in_recovery(), current_setting('hot_standby_feedback')::bool";

/// Asks the server; `slot` and `age` are for the prepared transactions that may be forgotten.
///
/// # Errors
/// What the server answered.
pub async fn read(
    client: &Client,
    slot: &str,
    age: Duration,
) -> Result<Server, tokio_postgres::Error> {
    let row = client.query_one(SERVER, &[]).await?;
    let mut forgotten = prepared::find(client, slot).await?;
    forgotten.retain(|transaction| transaction.is_older_than(age));
    Ok(Server {
        version: row.try_get(0)?,
        version_text: row.try_get(1)?,
        database: row.try_get(2)?,
        wal_level: row.try_get(3)?,
        slots_max: row.try_get(4)?,
        slots: row.try_get(5)?,
        idle_slots: row.try_get(6)?,
        senders_max: row.try_get(7)?,
        senders: row.try_get(8)?,
        sender_timeout_ms: row.try_get(9)?,
        slot_wal_keep_mb: row.try_get(10)?,
        idle_slot_timeout_s: row.try_get(11)?,
        synchronous_standby_names: row.try_get(12)?,
        encoding: row.try_get(13)?,
        in_recovery: row.try_get(14)?,
        hot_standby_feedback: row.try_get(15)?,
        forgotten,
    })
}

/// What is still to be made, which the server must have room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotNeed {
    /// The slot exists.
    Exists,
    /// A slot will be made.
    New,
}

/// Judges version and settings. `reading` says that a walferry of this name is already connected.
#[must_use]
pub fn judge(
    application_name: &str,
    server: &Server,
    need: SlotNeed,
    reading: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(version(server));
    findings.extend(wal_level(server));
    findings.extend(room(server, need, reading));
    findings.extend(timeouts(server));
    findings.extend(wal_kept(server));
    findings.extend(synchronous(application_name, server));
    findings.extend(encoding(server));
    findings.extend(standby(server, need));
    findings.extend(server.forgotten.iter().map(forgotten));
    findings
}

/// First minors without known loss of changes in logical decoding: ALTER PUBLICATION beside open
/// transactions (2025-05), `confirmed_flush` moving back (2025-08); release notes of 14 to 18.
const GOOD_MINORS: [(i32, i32); 4] = [(14, 19), (15, 14), (16, 10), (17, 6)];

/// A statement of its own: ALTER SYSTEM does not share a query with others.
const RELOAD: &str = "SELECT pg_reload_conf();";

const MAJOR_MIN: i32 = 14;
const MAJOR_MAX: i32 = 18;

fn version(server: &Server) -> Option<Finding> {
    let (major, minor) = (server.version / 10_000, server.version % 10_000);
    let text = server
        .version_text
        .split_whitespace()
        .next()
        .unwrap_or_default();
    let subject = Subject::Server(format!("PostgreSQL {text}"));
    if major < MAJOR_MIN {
        return Some(
            Finding::error(
                "SERVER_VERSION",
                subject,
                format!("walferry needs PostgreSQL {MAJOR_MIN} to {MAJOR_MAX}."),
            )
            .text("upgrade the server"),
        );
    }
    if major > MAJOR_MAX {
        return Some(
            Finding::warning(
                "SERVER_VERSION",
                subject,
                format!("walferry is tested with PostgreSQL {MAJOR_MIN} to {MAJOR_MAX}."),
            )
            .text("look for a newer walferry"),
        );
    }
    let good = GOOD_MINORS
        .iter()
        .find(|(m, _)| *m == major)
        .map_or(0, |(_, minor)| *minor);
    (minor < good).then(|| {
        Finding::warning(
            "SERVER_MINOR",
            subject,
            "This minor version has known faults in logical decoding: changes can be lost when a \
             publication or a type is altered beside open transactions, and slots can step back.",
        )
        .text(format!(
            "install {major}.{good} or later: a restart, no dump"
        ))
    })
}

fn wal_level(server: &Server) -> Option<Finding> {
    (server.wal_level != "logical").then(|| {
        Finding::error(
            "WAL_LEVEL",
            Subject::Setting("wal_level".to_owned()),
            format!(
                "It is {}, logical decoding needs logical.",
                server.wal_level
            ),
        )
        .sql("ALTER SYSTEM SET wal_level = 'logical';")
        .text(
            "restart the server (managed services: rds.logical_replication, \
             cloudsql.logical_decoding, …)",
        )
    })
}

fn room(server: &Server, need: SlotNeed, reading: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if need == SlotNeed::New && server.slots >= server.slots_max {
        let mut finding = Finding::error(
            "SLOTS_FULL",
            Subject::Setting("max_replication_slots".to_owned()),
            format!(
                "All {} slots are taken, walferry needs one.",
                server.slots_max
            ),
        )
        .sql(format!(
            "ALTER SYSTEM SET max_replication_slots = {};",
            server.slots + 5
        ))
        .text("restart the server");
        if !server.idle_slots.is_empty() {
            let idle: Vec<String> = server.idle_slots.iter().map(|name| shown(name)).collect();
            finding = finding.or(Remedy::Text(format!(
                "drop a slot that is not needed any more; not read now: {}",
                idle.join(", ")
            )));
        }
        findings.push(finding);
    }
    if !reading && server.senders >= server.senders_max {
        findings.push(
            Finding::error(
                "SENDERS_FULL",
                Subject::Setting("max_wal_senders".to_owned()),
                format!(
                    "All {} WAL senders are taken, walferry needs one.",
                    server.senders_max
                ),
            )
            .sql(format!(
                "ALTER SYSTEM SET max_wal_senders = {};",
                server.senders + 5
            ))
            .text("restart the server"),
        );
    }
    findings
}

fn timeouts(server: &Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    let setting = || Subject::Setting("wal_sender_timeout".to_owned());
    let fix = "ALTER SYSTEM SET wal_sender_timeout = '60s';";
    if server.sender_timeout_ms == 0 {
        findings.push(
            Finding::warning(
                "WAL_SENDER_TIMEOUT",
                setting(),
                "It is off: a connection that died unseen holds the slot for hours, and no \
                 successor can read it.",
            )
            .sql(fix)
            .sql(RELOAD),
        );
    } else if server.sender_timeout_ms < 5_000 {
        findings.push(
            Finding::warning(
                "WAL_SENDER_TIMEOUT",
                setting(),
                format!(
                    "It is {} ms: a short pause of the network ends the stream.",
                    server.sender_timeout_ms
                ),
            )
            .sql(fix)
            .sql(RELOAD),
        );
    }
    if server.idle_slot_timeout_s > 0 {
        findings.push(
            Finding::warning(
                "IDLE_SLOT_TIMEOUT",
                Subject::Setting("idle_replication_slot_timeout".to_owned()),
                format!(
                    "A walferry that is down for {} s loses its slot, and with it the changes \
                     since.",
                    server.idle_slot_timeout_s
                ),
            )
            .sql("ALTER SYSTEM SET idle_replication_slot_timeout = 0;")
            .sql(RELOAD),
        );
    }
    findings
}

fn wal_kept(server: &Server) -> Option<Finding> {
    let subject = Subject::Setting("max_slot_wal_keep_size".to_owned());
    let megabytes = server.slot_wal_keep_mb;
    if megabytes < 0 {
        return Some(Finding::info(
            "SLOT_WAL_KEEP_SIZE",
            subject,
            "No limit: while walferry or Kafka is down, WAL is kept until the disk is full. Watch \
             the lag, or set a limit that leaves room for the longest outage; beyond it the slot \
             is lost.",
        ));
    }
    (megabytes < 1024).then(|| {
        Finding::warning(
            "SLOT_WAL_KEEP_SIZE",
            subject,
            format!("The slot is lost once walferry is {megabytes} MB of WAL behind."),
        )
        .sql("ALTER SYSTEM SET max_slot_wal_keep_size = '16GB';")
        .sql(RELOAD)
    })
}

/// A WAL sender whose application_name is listed makes every commit of the database wait for Kafka.
fn synchronous(application_name: &str, server: &Server) -> Option<Finding> {
    let names = standby_names(&server.synchronous_standby_names);
    let named = names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(application_name));
    if !named && !names.iter().any(|name| name == "*") {
        return None;
    }
    Some(
        Finding::error(
            "SYNCHRONOUS_STANDBY",
            Subject::Setting("synchronous_standby_names".to_owned()),
            format!(
                "It matches walferry's application_name {application_name}: the application's \
                 commits would wait for Kafka."
            ),
        )
        .text("name the real standbys there, one by one, without *")
        .or(Remedy::Setting(
            "postgres: { url: …application_name=… }".to_owned(),
        )),
    )
}

/// The names in `synchronous_standby_names`: a list, or `FIRST n (list)`, `ANY n (list)`, `n
/// (list)`.
fn standby_names(setting: &str) -> Vec<String> {
    let list = match setting.split_once('(') {
        Some((head, rest)) if !head.contains(['"', ',']) => {
            rest.trim_end().strip_suffix(')').unwrap_or(rest)
        }
        _ => setting,
    };
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                name.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !quoted => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

fn encoding(server: &Server) -> Option<Finding> {
    (server.encoding == "SQL_ASCII").then(|| {
        Finding::warning(
            "SERVER_ENCODING",
            Subject::Database(server.database.clone()),
            "Its encoding is SQL_ASCII: Postgres does not check or convert text, and bytes that \
             are not UTF-8 stop walferry at that row.",
        )
        .text("move the data to a UTF8 database")
    })
}

fn standby(server: &Server, need: SlotNeed) -> Option<Finding> {
    if !server.in_recovery {
        return None;
    }
    let subject = Subject::Database(server.database.clone());
    if server.version < 160_000 {
        return Some(
            Finding::error(
                "IN_RECOVERY",
                subject,
                "The server is a standby; logical decoding there needs PostgreSQL 16.",
            )
            .text("connect to the primary (target_session_attrs=read-write)"),
        );
    }
    if !server.hot_standby_feedback {
        return Some(
            Finding::warning(
                "IN_RECOVERY",
                subject,
                "The server is a standby without hot_standby_feedback: the slot is lost as soon as \
                 the primary removes catalog rows it needs.",
            )
            .sql("ALTER SYSTEM SET hot_standby_feedback = on;")
            .sql(RELOAD),
        );
    }
    let wait = match need {
        SlotNeed::New => {
            " Making the slot waits for the primary: run pg_log_standby_snapshot() there."
        }
        SlotNeed::Exists => "",
    };
    Some(Finding::info(
        "IN_RECOVERY",
        subject,
        format!("The server is a standby.{wait}"),
    ))
}

fn forgotten(transaction: &PreparedTransaction) -> Finding {
    Finding::warning(
        "PREPARED_FORGOTTEN",
        Subject::Database(transaction.database.clone()),
        transaction.to_string(),
    )
    .sql(transaction.commit())
    .or(Remedy::Sql(transaction.rollback()))
}

#[cfg(test)]
mod tests;
