//! What an ordinary session can tell and do about slots: their state, the WAL's end, and the end
//! of a walsender that we left behind.

use pgoutput::Lsn;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::PostgresError;
use super::sql::sql;
use crate::resume::{Slot, Validity};

/// A row of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The server process that reads it now.
    pub active_pid: Option<i32>,
    /// None until the slot's creation has come to its end.
    confirmed_flush_lsn: Option<Lsn>,
    /// None when the slot is lost.
    restart_lsn: Option<Lsn>,
    /// The server's word for why it cannot be read any more.
    pub invalidated: Option<String>,
}

impl SlotRow {
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

/// Looks at one slot; `None` when there is none of that name.
///
/// # Errors
/// Of the server or the connection.
pub async fn look(client: &Client, name: &str) -> Result<Option<SlotRow>, PostgresError> {
    // Columns that came with 16 and 17 are reached through JSON, so that one text serves all.
    const QUERY: &str = "SELECT active_pid, confirmed_flush_lsn::text, restart_lsn::text, \
         CASE WHEN wal_status = 'lost' \
              THEN coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed') \
              ELSE to_jsonb(s) ->> 'invalidation_reason' END AS invalidated \
         FROM pg_catalog.pg_replication_slots s WHERE slot_name = $1";
    const DOING: &str = "look at the slot";
    let rows = client
        .query_typed(QUERY, &[(&name, Type::NAME)])
        .await
        .map_err(sql(DOING))?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let lsn = |column: &str| -> Result<Option<Lsn>, PostgresError> {
        let text: Option<&str> = row.try_get(column).map_err(sql(DOING))?;
        Ok(text.and_then(|text| text.parse().ok()))
    };
    Ok(Some(SlotRow {
        active_pid: row.try_get("active_pid").map_err(sql(DOING))?,
        confirmed_flush_lsn: lsn("confirmed_flush_lsn")?,
        restart_lsn: lsn("restart_lsn")?,
        invalidated: row.try_get("invalidated").map_err(sql(DOING))?,
    }))
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
    let asked = client.query_typed(QUERY, &[(&name, Type::NAME)]).await;
    let rows = asked.map_err(sql(DOING))?;
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
    for _ in 0..FLUSH_TRIES {
        let row = client.query_one(QUERY, &[]).await.map_err(sql(DOING))?;
        let lsn = |column: usize| -> Result<Lsn, PostgresError> {
            let text: &str = row.try_get(column).map_err(sql(DOING))?;
            text.parse().map_err(|_| PostgresError::Answer {
                command: DOING,
                field: "lsn",
            })
        };
        let (inserted, flushed): (Lsn, Lsn) = (lsn(0)?, lsn(1)?);
        let wanted = *wanted.get_or_insert(page_start(inserted));
        if flushed >= wanted {
            return Ok(wanted);
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
    let row = client.query_one(QUERY, &[]).await.map_err(sql(DOING))?;
    let text: &str = row.try_get(1).map_err(sql(DOING))?;
    text.parse().map_err(|_| PostgresError::Answer {
        command: DOING,
        field: "lsn",
    })
}

/// Ends a server process, one of ours.
///
/// # Errors
/// Of the server or the connection.
pub async fn terminate(client: &Client, process_id: i32) -> Result<(), PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_terminate_backend($1)";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
        [(&process_id, Type::INT4)];
    let ended = client.query_typed(QUERY, &parameters).await;
    ended
        .map(drop)
        .map_err(sql("end the walsender left behind"))
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
const FLUSH_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

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
