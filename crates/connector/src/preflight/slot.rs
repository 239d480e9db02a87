//! The replication slot: does it exist, is it ours to read, does it still hold what we need?
//!
//! Never drops or makes a slot; a slot with stored progress is never replaced by itself, since what
//! happened in between would be lost unseen.

use tokio_postgres::Client;

use super::finding::{Finding, Remedy, Subject};
use super::quote::literal;
use super::wanted::{Create, StoredProgress, Wanted};

/// `pg_replication_slots`, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slot {
    /// `logical` or `physical`.
    pub slot_type: String,
    /// The output plugin of a logical slot.
    pub plugin: Option<String>,
    /// The database of a logical slot.
    pub database: Option<String>,
    /// It vanishes with its session.
    pub temporary: bool,
    /// Who is reading it.
    pub reader: Option<Reader>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Bytes of WAL that may still be written before the slot is in danger.
    pub safe_wal_size: Option<i64>,
    /// Bytes of WAL kept because of the slot.
    pub retained: Option<i64>,
    /// Prepared transactions would be sent at PREPARE.
    pub two_phase: bool,
    /// Why it was invalidated (17 and later), or that it was (16).
    pub invalidation: Option<String>,
    /// It is a copy of the primary's slot on a standby (17 and later).
    pub synced: bool,
}

/// The session that reads a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its process.
    pub pid: i32,
    /// Its `application_name`, if we may see it.
    pub application_name: Option<String>,
}

// Columns that a major lacks come out of the row's JSON form as NULL: one text for 14 to 18.
const SLOT: &str = "
    SELECT s.slot_type, s.plugin::text, s.database::text, s.temporary, s.active_pid,
           (SELECT a.application_name FROM pg_stat_activity a WHERE a.pid = s.active_pid),
           s.wal_status, s.safe_wal_size,
           CASE WHEN NOT pg_is_in_recovery() THEN
             pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::int8 END,
           s.two_phase,
           coalesce(to_jsonb(s) ->> 'invalidation_reason',
                    CASE WHEN (to_jsonb(s) ->> 'conflicting')::bool THEN 'conflict' END),
           coalesce((to_jsonb(s) ->> 'synced')::bool, false)
      FROM pg_replication_slots s
     WHERE s.slot_name = $1";

/// Asks for the slot.
///
/// # Errors
/// What the server answered.
pub async fn read(client: &Client, name: &str) -> Result<Option<Slot>, tokio_postgres::Error> {
    let Some(row) = client.query_opt(SLOT, &[&name]).await? else {
        return Ok(None);
    };
    let pid: Option<i32> = row.try_get(4)?;
    let application_name = row.try_get(5)?;
    Ok(Some(Slot {
        slot_type: row.try_get(0)?,
        plugin: row.try_get(1)?,
        database: row.try_get(2)?,
        temporary: row.try_get(3)?,
        reader: pid.map(|pid| Reader {
            pid,
            application_name,
        }),
        wal_status: row.try_get(6)?,
        safe_wal_size: row.try_get(7)?,
        retained: row.try_get(8)?,
        two_phase: row.try_get(9)?,
        invalidation: row.try_get(10)?,
        synced: row.try_get(11)?,
    }))
}

/// Is this a name the server accepts: 1 to 63 of `a-z0-9_`?
#[must_use]
pub fn legal_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Judges the slot.
#[must_use]
pub fn judge(wanted: &Wanted<'_>, database: &str, slot: Option<&Slot>) -> Vec<Finding> {
    let subject = || Subject::Slot(wanted.slot.to_owned());
    if !legal_name(wanted.slot) {
        return vec![
            Finding::error(
                "SLOT_NAME",
                subject(),
                "A slot's name has 1 to 63 lower-case letters, digits and underscores.",
            )
            .setting("postgres: { slot: … }"),
        ];
    }
    let Some(slot) = slot else {
        return missing(wanted).into_iter().collect();
    };
    let mut findings: Vec<Finding> = kind(wanted, database, slot).into_iter().collect();
    findings.extend(kept(wanted, slot));
    findings.extend(reader(wanted, slot));
    findings
}

fn missing(wanted: &Wanted<'_>) -> Option<Finding> {
    let subject = Subject::Slot(wanted.slot.to_owned());
    if wanted.progress == StoredProgress::Present {
        return Some(
            Finding::error(
                "SLOT_RECREATED",
                subject,
                "The slot is gone, but Kafka holds a position for it: changes since then cannot be \
                 read any more. walferry does not make it anew by itself.",
            )
            .text("find out what dropped it (a failover loses slots before Postgres 17)")
            .text("then start anew under another slot name, with a snapshot")
            .setting("postgres: { slot: … }"),
        );
    }
    let sql = format!(
        "SELECT pg_create_logical_replication_slot({}, 'pgoutput');",
        literal(wanted.slot)
    );
    match wanted.create {
        Create::Never => Some(
            Finding::error("SLOT_MISSING", subject, "The slot does not exist.")
                .sql(sql)
                .or(Remedy::Setting("postgres: { create: auto }".to_owned())),
        ),
        Create::Auto | Create::OnStandby => Some(Finding::info(
            "SLOT_MISSING",
            subject,
            "The slot will be created at start.",
        )),
    }
}

/// A slot of the wrong kind cannot be mended, only replaced.
fn kind(wanted: &Wanted<'_>, database: &str, slot: &Slot) -> Option<Finding> {
    let (code, problem) = if slot.slot_type != "logical" {
        ("SLOT_PHYSICAL", "It is a physical slot.".to_owned())
    } else if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("none");
        (
            "SLOT_PLUGIN",
            format!("Its output plugin is {plugin}, walferry reads pgoutput."),
        )
    } else if slot.database.as_deref() != Some(database) {
        let theirs = slot.database.as_deref().unwrap_or("none");
        (
            "SLOT_DATABASE",
            format!("It belongs to database {theirs}, we are in {database}."),
        )
    } else if slot.synced {
        let problem =
            "It is a standby's copy of the primary's slot, and readable only after promotion.";
        return Some(
            Finding::error(
                "SLOT_SYNCED",
                Subject::Slot(wanted.slot.to_owned()),
                problem,
            )
            .text("connect to the primary"),
        );
    } else if slot.temporary {
        (
            "SLOT_TEMPORARY",
            "It is temporary and vanishes with its session.".to_owned(),
        )
    } else if slot.two_phase {
        return Some(Finding::info(
            "SLOT_TWO_PHASE",
            Subject::Slot(wanted.slot.to_owned()),
            "It has two_phase on: prepared transactions come at PREPARE and are published at COMMIT \
             PREPARED. The slot cannot pass one that is neither committed nor rolled back.",
        ));
    } else {
        return None;
    };
    let finding = Finding::error(code, Subject::Slot(wanted.slot.to_owned()), problem)
        .setting("postgres: { slot: … }");
    if slot.reader.is_some() || slot.temporary {
        return Some(finding);
    }
    Some(finding.or(Remedy::Sql(format!(
        "SELECT pg_drop_replication_slot({});",
        literal(wanted.slot)
    ))))
}

/// Does the slot still hold the WAL it promised to keep?
fn kept(wanted: &Wanted<'_>, slot: &Slot) -> Option<Finding> {
    let subject = Subject::Slot(wanted.slot.to_owned());
    let status = slot.wal_status.as_deref().unwrap_or_default();
    let gigabyte = 1_i64 << 30;
    if status == "lost" || slot.invalidation.is_some() {
        let why = slot.invalidation.as_deref().unwrap_or("wal_removed");
        return Some(
            Finding::error(
                "SLOT_LOST",
                subject,
                format!(
                    "The server has given the slot up ({why}): changes since the last confirmed \
                     position cannot be read any more."
                ),
            )
            .sql(format!(
                "SELECT pg_drop_replication_slot({});",
                literal(wanted.slot)
            ))
            .text(
                "start anew under another slot name with a snapshot, and make room for longer \
                 outages (max_slot_wal_keep_size)",
            )
            .setting("postgres: { slot: … }"),
        );
    }
    if status == "unreserved" {
        return Some(
            Finding::warning(
                "SLOT_UNRESERVED",
                subject,
                "WAL the slot needs may be removed at the next checkpoint \
                 (max_slot_wal_keep_size).",
            )
            .text("start walferry now, and raise max_slot_wal_keep_size"),
        );
    }
    let retained = slot.retained.unwrap_or(0);
    match slot.safe_wal_size {
        Some(safe) if retained > 0 && safe < retained / 4 => Some(
            Finding::warning(
                "SLOT_NEAR_LIMIT",
                subject,
                format!(
                    "It keeps {} of WAL, and is in danger after {} more (max_slot_wal_keep_size).",
                    megabytes(retained),
                    megabytes(safe)
                ),
            )
            .text("start walferry, and see why it fell behind"),
        ),
        _ if retained > gigabyte => Some(Finding::info(
            "SLOT_BEHIND",
            subject,
            format!(
                "It keeps {} of WAL that walferry will read first.",
                megabytes(retained)
            ),
        )),
        _ => None,
    }
}

fn reader(wanted: &Wanted<'_>, slot: &Slot) -> Option<Finding> {
    let reader = slot.reader.as_ref()?;
    let subject = Subject::Slot(wanted.slot.to_owned());
    if reader.application_name.as_deref() == Some(wanted.application_name) {
        let problem = format!("A walferry is reading it (process {}).", reader.pid);
        return Some(Finding::info("SLOT_ACTIVE", subject, problem));
    }
    let who = reader
        .application_name
        .as_deref()
        .filter(|name| !name.is_empty());
    Some(
        Finding::error(
            "SLOT_ACTIVE",
            subject,
            format!(
                "{} (process {}) is reading it.",
                who.unwrap_or("Another session"),
                reader.pid
            ),
        )
        .text("stop that reader; each needs a slot of its own")
        .or(Remedy::Sql(format!(
            "SELECT pg_terminate_backend({});",
            reader.pid
        ))),
    )
}

fn megabytes(bytes: i64) -> String {
    let megabytes = bytes.max(0) >> 20;
    if megabytes >= 10 * 1024 {
        format!("{} GB", megabytes >> 10)
    } else {
        format!("{megabytes} MB")
    }
}

#[cfg(test)]
mod tests;
