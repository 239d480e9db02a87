//! How it is told where in the stream a chunk belongs, when it is read on a standby.
//!
//! On a primary a message is written after the rows were read. On a standby nothing is: what is replayed
//! is asked for before the snapshot and after it (`crates/relay/src/incremental/standby.rs`).

use std::time::Duration;

use pgoutput::Lsn;
use tokio::time::sleep;
use tracing::info;

use super::reader::Stop;
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};

/// How far a standby has replayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// The end of the last record that is replayed whole.
    pub(super) end: Lsn,
    /// Whether no other was under way.
    is_still: bool,
}

impl Replay {
    /// Asks the server; none, when it is a primary.
    pub(super) async fn of(sql: &SqlClient) -> Result<Option<Self>, Stop> {
        // A walreceiver that runs is the only source of WAL, and what it has not received is not replayed.
        const QUERY: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn()::text, \
             coalesce(pg_catalog.pg_get_wal_replay_pause_state() = 'paused' \
                 OR pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() \
                    AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver), false) \
             WHERE pg_catalog.pg_is_in_recovery()";
        let rows = sql::ask(DOING, sql.query_typed(QUERY, &[])).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let end: Option<&str> = row.try_get(0).map_err(sql::sql(DOING))?;
        Ok(Some(Self {
            end: end.and_then(|text| text.parse().ok()).unwrap_or_default(),
            is_still: row.try_get(1).map_err(sql::sql(DOING))?,
        }))
    }

    /// Asks what was a standby before; one that was promoted meanwhile is to be looked at anew.
    pub(super) async fn of_standby(sql: &SqlClient) -> Result<Self, Stop> {
        let replay = Self::of(sql).await?;
        Ok(replay.ok_or(PostgresError::Closed { doing: DOING })?)
    }
}

/// A position behind all that a snapshot sees; `seen` was asked for when it was taken, or later.
///
/// A commit is visible a moment before it counts as replayed: the record that is being replayed may be
/// one of the snapshot's. So either a later record must have been replayed since, or none be under way.
pub(super) async fn behind_snapshot(sql: &SqlClient, seen: Replay) -> Result<Lsn, Stop> {
    let mut looks: u32 = 0;
    loop {
        let replay = Replay::of_standby(sql).await?;
        if replay.end > seen.end || replay.is_still {
            return Ok(replay.end);
        }
        looks += 1;
        if looks == LOOKS {
            info!("waiting for the standby to replay more: a chunk's place is not sure yet");
        }
        sleep(AGAIN).await;
    }
}

const DOING: &str = "ask how far the standby has replayed";
const AGAIN: Duration = Duration::from_millis(10);
/// About two seconds.
const LOOKS: u32 = 200;
