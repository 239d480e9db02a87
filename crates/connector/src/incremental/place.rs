//! How it is told where in the stream a chunk belongs.
//!
//! On a primary a message is written after the rows were read. On a standby nothing is: what is replayed
//! is asked for before the snapshot and after it (`crates/relay/src/incremental/standby.rs`).

use std::time::Duration;

use pgoutput::Lsn;
use tokio::time::sleep;
use tracing::info;

use super::reader::Stop;
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{PostgresError, slots};

/// What the server is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// It takes messages.
    Primary,
    /// It takes none.
    Standby,
}

impl Server {
    pub(super) async fn of(sql: &SqlClient) -> Result<Self, PostgresError> {
        Ok(match slots::is_standby(sql).await? {
            true => Self::Standby,
            false => Self::Primary,
        })
    }

    /// How far a standby has replayed.
    pub(super) async fn replayed(self, sql: &SqlClient) -> Result<Option<Lsn>, Stop> {
        match self {
            Self::Primary => Ok(None),
            Self::Standby => Ok(Some(Replay::look(sql).await?.end)),
        }
    }
}

/// What a standby tells of its replay.
struct Replay {
    /// The end of the last record that is replayed whole.
    end: Lsn,
    /// Whether no other was under way.
    is_still: bool,
}

impl Replay {
    async fn look(sql: &SqlClient) -> Result<Self, Stop> {
        const DOING: &str = "ask how far the standby has replayed";
        // A walreceiver that runs is the only source of WAL, and what it has not received is not replayed.
        const QUERY: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn()::text, \
             coalesce(pg_catalog.pg_get_wal_replay_pause_state() = 'paused' \
                 OR pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() \
                    AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver), false) \
             WHERE pg_catalog.pg_is_in_recovery()";
        let rows = sql::ask(DOING, sql.query_typed(QUERY, &[])).await?;
        // Without a row it was promoted: another look tells what it is now.
        let row = rows.first().ok_or(PostgresError::Closed { doing: DOING })?;
        let end: Option<&str> = row.try_get(0).map_err(sql::sql(DOING))?;
        Ok(Self {
            end: end.and_then(|text| text.parse().ok()).unwrap_or_default(),
            is_still: row.try_get(1).map_err(sql::sql(DOING))?,
        })
    }
}

/// A position behind all that a snapshot sees; `seen` was replayed when it was taken, or later.
///
/// A commit is visible a moment before it counts as replayed: the record that is being replayed may be
/// one of the snapshot's. So either a later record must have been replayed since, or none be under way.
pub(super) async fn behind_snapshot(sql: &SqlClient, seen: Lsn) -> Result<Lsn, Stop> {
    let mut looks: u32 = 0;
    loop {
        let replay = Replay::look(sql).await?;
        if replay.end > seen || replay.is_still {
            return Ok(replay.end);
        }
        looks += 1;
        if looks == LOOKS {
            info!("waiting for the standby to replay more: a chunk's place is not sure yet");
        }
        sleep(AGAIN).await;
    }
}

const AGAIN: Duration = Duration::from_millis(10);
/// About two seconds.
const LOOKS: u32 = 200;
