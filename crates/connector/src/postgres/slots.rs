//! What an ordinary session can tell and do about slots: their state, the WAL's end, and the end
//! of a walsender that we left behind.

use std::time::Duration;

use pgoutput::Lsn;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::PostgresError;
use super::sql::{ask, sql};
use crate::resume::{Slot, Validity};

/// A row of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// None until the slot's creation has come to its end.
    confirmed_flush_lsn: Option<Lsn>,
    /// None when the slot is lost.
    restart_lsn: Option<Lsn>,
    /// The server's word for why it cannot be read any more.
    pub invalidated: Option<String>,
    two_phase: bool,
}

impl SlotRow {
    /// Where it stands, if it sends transactions when they are prepared.
    #[must_use]
    pub fn two_phase(&self) -> Option<Lsn> {
        self.two_phase
            .then(|| self.confirmed_flush_lsn.unwrap_or_default())
    }

    /// Whether it cannot be read any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.invalidated.is_some()
    }

    /// The slot, to be compared with the progress.
    #[must_use]
    pub fn into_slot(self, name: &str) -> Slot {
        Slot {
            name: name.to_owned(),
            confirmed_flush_lsn: self.confirmed_flush_lsn.unwrap_or_default(),
            restart_lsn: self.restart_lsn.unwrap_or_default(),
            validity: self
                .invalidated
                .map_or(Validity::Valid, Validity::Invalidated),
        }
    }
}

/// Drops a slot that cannot be read any more.
///
/// # Errors
/// Of the server or the connection.
pub async fn drop_lost(client: &Client, name: &str) -> Result<(), PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) \
         FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1 AND \
              (wal_status = 'lost' OR to_jsonb(s) ->> 'invalidation_reason' IS NOT NULL)";
    const DOING: &str = "drop the slot that is lost";
    ask(DOING, client.query_typed(QUERY, &[(&name, Type::NAME)])).await?;
    Ok(())
}

/// Looks at one slot; `None` when there is none of that name.
///
/// # Errors
/// Of the server or the connection.
pub async fn look(client: &Client, name: &str) -> Result<Option<SlotRow>, PostgresError> {
    // Columns that came with 16 and 17 are reached through JSON, so that one text serves all.
    const QUERY: &str = "SELECT confirmed_flush_lsn::text, restart_lsn::text, \
         CASE WHEN wal_status = 'lost' \
              THEN coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed') \
              ELSE to_jsonb(s) ->> 'invalidation_reason' END AS invalidated, two_phase \
         FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1";
    const DOING: &str = "look at the slot";
    let rows = ask(DOING, client.query_typed(QUERY, &[(&name, Type::NAME)])).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let lsn = |column: &str| -> Result<Option<Lsn>, PostgresError> {
        let text: Option<&str> = row.try_get(column).map_err(sql(DOING))?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    Ok(Some(SlotRow {
        confirmed_flush_lsn: lsn("confirmed_flush_lsn")?,
        restart_lsn: lsn("restart_lsn")?,
        invalidated: row.try_get("invalidated").map_err(sql(DOING))?,
        two_phase: row.try_get("two_phase").map_err(sql(DOING))?,
    }))
}

/// Who reads a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The server process.
    pub process_id: i32,
    /// `pg_stat_replication.reply_time`, the reader's last word as the server prints it; `None`
    /// when there was none, or this role may not see it.
    pub last_reply: Option<String>,
}

/// Who reads the slot now.
///
/// # Errors
/// Of the server or the connection.
pub async fn holder(client: &Client, name: &str) -> Result<Option<Holder>, PostgresError> {
    const QUERY: &str = "SELECT active_pid, reply_time::text \
         FROM pg_catalog.pg_replication_slots \
         LEFT JOIN pg_catalog.pg_stat_replication ON pid = active_pid \
         WHERE slot_name = $1 AND active_pid IS NOT NULL";
    const DOING: &str = "look who reads the slot";
    let rows = ask(DOING, client.query_typed(QUERY, &[(&name, Type::NAME)])).await?;
    let holder = |row: &Row| {
        Ok(Holder {
            process_id: row.try_get(0)?,
            last_reply: row.try_get(1)?,
        })
    };
    rows.first().map(holder).transpose().map_err(sql(DOING))
}

/// A transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Its server process; 0 for a prepared transaction.
    pub process_id: i32,
    /// Since it began.
    pub age: Duration,
}

/// The oldest transaction that a slot being made has to wait for.
///
/// # Errors
/// Of the server or the connection.
pub async fn oldest_writer(client: &Client) -> Result<Option<Writer>, PostgresError> {
    const QUERY: &str = "SELECT pid, greatest(extract(epoch FROM now() - since), 0)::bigint \
         FROM (SELECT pid, xact_start AS since FROM pg_catalog.pg_stat_activity \
               WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
               UNION ALL SELECT 0, prepared FROM pg_catalog.pg_prepared_xacts) AS writers \
         ORDER BY since NULLS LAST LIMIT 1";
    const DOING: &str = "look for running transactions";
    let rows = ask(DOING, client.query(QUERY, &[])).await?;
    let writer = |row: &Row| {
        let seconds: Option<i64> = row.try_get(1)?;
        Ok(Writer {
            process_id: row.try_get(0)?,
            age: Duration::from_secs(seconds.unwrap_or_default().unsigned_abs()),
        })
    };
    rows.first().map(writer).transpose().map_err(sql(DOING))
}

/// What those who watch want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// How far the WAL is flushed; on a standby, replayed. Nothing beyond it is decoded.
    pub wal_end: Lsn,
    /// `wal_status`; `None` when there is no such slot.
    pub wal_status: Option<String>,
    /// The oldest WAL that the server keeps for it.
    pub restart_lsn: Option<Lsn>,
    /// How far it is confirmed.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `safe_wal_size`: bytes of WAL that may still be written before the slot can be lost. `None`
    /// when there is no bound, or when it is lost.
    pub safe_wal_bytes: Option<i64>,
}

/// Looks at one slot and the end of the WAL, in one round trip.
///
/// # Errors
/// Of the server or the connection.
pub async fn state(client: &Client, name: &str) -> Result<SlotState, PostgresError> {
    const QUERY: &str = "SELECT wal_end::text, wal_status, restart_lsn::text, \
              confirmed_flush_lsn::text, safe_wal_size \
         FROM (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
              THEN pg_catalog.pg_last_wal_replay_lsn() \
              ELSE pg_catalog.pg_current_wal_flush_lsn() END AS wal_end) AS server \
         LEFT JOIN pg_catalog.pg_replication_slots ON slot_name = $1";
    const DOING: &str = "look at the slot";
    let rows = ask(DOING, client.query_typed(QUERY, &[(&name, Type::NAME)])).await?;
    let row = rows.first().ok_or(PostgresError::Answer {
        command: DOING,
        field: "row",
    })?;
    let lsn = |column: &str| -> Result<Option<Lsn>, PostgresError> {
        let text: Option<&str> = row.try_get(column).map_err(sql(DOING))?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    Ok(SlotState {
        wal_end: lsn("wal_end")?.unwrap_or_default(),
        wal_status: row.try_get("wal_status").map_err(sql(DOING))?,
        restart_lsn: lsn("restart_lsn")?,
        confirmed_flush_lsn: lsn("confirmed_flush_lsn")?,
        safe_wal_bytes: row.try_get("safe_wal_size").map_err(sql(DOING))?,
    })
}

/// Where the WAL ends: the position that a slot reaches when everything committed by now is sent.
///
/// Decoding reads what is flushed. What is inserted and not flushed yet (commits with
/// `synchronous_commit = off`) is waited for, up to a second.
///
/// # Errors
/// Of the server or the connection.
pub async fn wal_end(client: &Client) -> Result<Lsn, PostgresError> {
    const QUERY: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
         THEN pg_catalog.pg_last_wal_replay_lsn() \
         ELSE pg_catalog.pg_current_wal_insert_lsn() END::text, \
         CASE WHEN pg_catalog.pg_is_in_recovery() \
         THEN pg_catalog.pg_last_wal_replay_lsn() \
         ELSE pg_catalog.pg_current_wal_flush_lsn() END::text";
    const DOING: &str = "ask for the end of the WAL";
    let mut wanted = None;
    let mut tries = 0;
    loop {
        let rows = ask(DOING, client.query(QUERY, &[])).await?;
        let lsn = |column: usize| -> Result<Lsn, PostgresError> {
            let text = rows.first().and_then(|row| row.try_get(column).ok());
            let lsn = text.and_then(|text: &str| text.parse().ok());
            lsn.ok_or(PostgresError::Answer {
                command: DOING,
                field: "lsn",
            })
        };
        let (inserted, flushed): (Lsn, Lsn) = (lsn(0)?, lsn(1)?);
        let wanted = *wanted.get_or_insert(page_start(inserted));
        if flushed >= wanted {
            return Ok(wanted);
        }
        tries += 1;
        if tries > FLUSH_TRIES {
            return Ok(flushed);
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
}

/// Has a primary (16 and later) write into its WAL which transactions are running.
///
/// # Errors
/// Of the server or the connection; 42501 unless the role was granted to.
pub async fn log_running(client: &Client) -> Result<(), PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_log_standby_snapshot()";
    ask("log the running transactions", client.query_one(QUERY, &[]))
        .await
        .map(drop)
}

/// A number that changes when a published table gets, loses or changes a primary key or a replica
/// identity.
///
/// # Errors
/// Of the server or the connection.
pub async fn keys_fingerprint(client: &Client, publication: &str) -> Result<u64, PostgresError> {
    const QUERY: &str = "SELECT coalesce(bit_xor(hashtextextended(concat_ws(' ', c.oid, \
              c.relreplident, x.indexrelid, x.indisprimary, x.indisreplident, x.indkey), 0)), 0) \
         FROM pg_catalog.pg_publication_tables t \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
         LEFT JOIN pg_catalog.pg_index x \
              ON x.indrelid = c.oid AND (x.indisprimary OR x.indisreplident) \
         WHERE t.pubname = $1";
    const DOING: &str = "look at the keys of tables";
    let rows = ask(
        DOING,
        client.query_typed(QUERY, &[(&publication, Type::NAME)]),
    )
    .await?;
    let hash = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
    Ok(hash
        .map_err(sql(DOING))?
        .unwrap_or_default()
        .cast_unsigned())
}

/// Whether the server is a standby.
///
/// # Errors
/// Of the server or the connection.
pub async fn is_standby(client: &Client) -> Result<bool, PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_is_in_recovery()";
    const DOING: &str = "ask whether the server is a standby";
    let asked = async { client.query_typed_one(QUERY, &[]).await?.try_get(0) };
    ask(DOING, asked).await
}

/// Ends a server process, one of ours.
///
/// # Errors
/// Of the server or the connection.
pub async fn terminate(client: &Client, process_id: i32) -> Result<(), PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_terminate_backend($1)";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
        [(&process_id, Type::INT4)];
    const DOING: &str = "end the walsender left behind";
    ask(DOING, client.query_typed(QUERY, &parameters))
        .await
        .map(drop)
}

/// The insert position behind a full page stands after the next page's header (24 bytes, 40 at the
/// start of a segment), where no record ends: the last one ended where the page begins.
fn page_start(inserted: Lsn) -> Lsn {
    const PAGE: u64 = 8192;
    let within = inserted.as_u64() % PAGE;
    if within == 24 || within == 40 {
        Lsn::new(inserted.as_u64() - within)
    } else {
        inserted
    }
}

const FLUSH_TRIES: u32 = 20;
const FLUSH_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_after_a_page_header_is_the_pages_start() {
        let start = |lsn| page_start(Lsn::new(lsn)).as_u64();
        assert_eq!(start(16 * 8192 + 24), 16 * 8192);
        assert_eq!(start(16 * 8192 + 40), 16 * 8192);
        assert_eq!(start(16 * 8192 + 48), 16 * 8192 + 48);
        assert_eq!(start(16 * 8192), 16 * 8192);
    }
}
