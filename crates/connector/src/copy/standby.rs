//! Rows that are read on a physical standby (`snapshot.from`), while the stream comes from the primary.
//!
//! A standby replays the very WAL that the stream is read from. A temporary slot there (Postgres 16 and
//! later) begins at a point of that WAL and exports a snapshot of exactly that point, as on a primary:
//! the stream goes up to the point and stands there while the standby's rows are published.
//!
//! A standby cannot note which transactions are running, which a new slot needs to know: the primary is
//! asked to write that into the WAL (`pg_log_standby_snapshot`), or does so by itself now and then.

use std::time::Duration;

use pgoutput::Lsn;
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot};
use tokio::time::{Instant, interval, sleep};
use tracing::{debug, info, warn};

use super::snapshot::{SlotAge, Snapshot};
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{Class, Conninfo, CreatedSlot, PostgresError, ReplicationSession, slots};
use crate::resume::Identity;

/// Where the stream and the rows come from.
#[derive(Clone, Debug)]
pub struct Standby {
    /// The server of the slot.
    pub primary: Conninfo,
    /// What it says of itself.
    pub identity: Identity,
    /// The server of the rows.
    pub conninfo: Conninfo,
}

/// What the server of `snapshot.from` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The cluster, and its timeline.
    pub identity: Identity,
    /// `server_version_num`.
    pub version: i32,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub slots_max: i32,
    /// `hot_standby_feedback`.
    pub feedback: bool,
}

impl Facts {
    /// Asks a server.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn read(conninfo: &Conninfo) -> Result<Self, PostgresError> {
        let sql = SqlClient::connect(conninfo).await?;
        let mut session = ReplicationSession::connect(conninfo).await?;
        let identity = session.identify_system().await?;
        session.close().await;
        let identity = Identity {
            system_identifier: identity.system_identifier,
            timeline: identity.timeline,
        };
        sql::ask("look at the standby", Self::ask(&sql, identity)).await
    }

    async fn ask(sql: &SqlClient, identity: Identity) -> Result<Self, tokio_postgres::Error> {
        const QUERY: &str = "SELECT current_setting('server_version_num')::int4, \
             pg_catalog.pg_is_in_recovery(), current_setting('wal_level'), \
             current_setting('max_replication_slots')::int4, \
             current_setting('hot_standby_feedback')::bool";
        let row = sql.query_one(QUERY, &[]).await?;
        Ok(Self {
            identity,
            version: row.try_get(0)?,
            in_recovery: row.try_get(1)?,
            wal_level: row.try_get(2)?,
            slots_max: row.try_get(3)?,
            feedback: row.try_get(4)?,
        })
    }

    /// Why rows cannot be read there and joined to the stream of this primary.
    #[must_use]
    pub fn unsuitable(&self, primary: Identity) -> Option<String> {
        let (of, theirs) = (primary.system_identifier, self.identity.system_identifier);
        let (on, timeline) = (primary.timeline, self.identity.timeline);
        if of != theirs {
            Some(format!(
                "it belongs to another cluster: its system identifier is {theirs}, the primary's {of}"
            ))
        } else if !self.in_recovery {
            Some("it is no standby: it is not in recovery".to_owned())
        } else if self.version < LOGICAL_SINCE {
            let major = self.version / 10_000;
            Some(format!(
                "a standby gives no snapshot that can be joined to the stream before Postgres 16, and it \
                 is {major}; read the rows on the primary"
            ))
        } else if on != timeline {
            Some(format!(
                "it follows timeline {timeline}, and the primary is on {on}"
            ))
        } else if self.wal_level != "logical" {
            let level = &self.wal_level;
            Some(format!("its own wal_level is {level}, and must be logical"))
        } else if self.slots_max == 0 {
            Some("its max_replication_slots is 0".to_owned())
        } else {
            None
        }
    }
}

impl Standby {
    /// Returns when the standby is there, fits, and has replayed what the primary has now. One that is
    /// not to be reached is waited for.
    ///
    /// # Errors
    /// It can never do, or the primary is lost.
    pub(super) async fn ready(&self) -> Result<(), PostgresError> {
        loop {
            match self.look().await {
                Ok(()) => return Ok(()),
                Err(error) if error.class() == Class::Retry => {
                    warn!(
                        %error,
                        "waiting for the standby (snapshot.from), and publishing changes meanwhile: see that it runs \
                         and takes this role with `replication`, or take snapshot.from out"
                    );
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&self) -> Result<(), PostgresError> {
        let facts = Facts::read(&self.conninfo).await?;
        if let Some(reason) = facts.unsuitable(self.identity) {
            return Err(PostgresError::Standby { reason });
        }
        if !facts.feedback {
            warn!(
                "hot_standby_feedback is off on the standby (snapshot.from): its recovery can cancel the \
                 reading of rows, which then begins another time"
            );
        }
        let primary = SqlClient::connect(&self.primary).await?;
        self.replayed(slots::wal_end(&primary).await?)
            .await
            .map(drop)
    }

    /// A session with the standby, once it has replayed so much.
    async fn replayed(&self, end: Lsn) -> Result<SqlClient, PostgresError> {
        let sql = SqlClient::connect(&self.conninfo).await?;
        let mut told = Instant::now();
        loop {
            // On a standby this is what it has replayed.
            let replayed = slots::wal_end(&sql).await?;
            if replayed >= end {
                return Ok(sql);
            }
            if told.elapsed() >= SAY_EVERY {
                told = Instant::now();
                info!(%replayed, primary = %end, "waiting for the standby to replay");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// A snapshot of the standby. The stream must not pass on while it is being taken.
    ///
    /// # Errors
    /// Of both servers.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, PostgresError> {
        let primary = SqlClient::connect(&self.primary).await?;
        // All that was streamed is before this.
        let end = slots::wal_end(&primary).await?;
        let sql = self.replayed(end).await?;
        let mut session = ReplicationSession::connect(&self.conninfo).await?;
        info!("taking a snapshot on the standby; running transactions end first");
        let made = make_slot(&mut session, &primary).await?;
        let snapshot = Snapshot::import(&self.conninfo, &made).await?;
        session.close().await;
        let is_standby = slots::is_standby(&sql).await?;
        if !is_standby || made.consistent_point < end {
            let reason = "it was promoted meanwhile".to_owned();
            return Err(PostgresError::Standby { reason });
        }
        Ok(Snapshot {
            slot: SlotAge::Older,
            ..snapshot
        })
    }
}

/// Makes the slot, and has the primary say which transactions run for as long as that takes.
async fn make_slot(
    session: &mut ReplicationSession,
    primary: &SqlClient,
) -> Result<CreatedSlot, PostgresError> {
    let name = format!("walferry_copy_{}", session.process_id());
    let new = NewSlot {
        name: &name,
        life: SlotLife::Temporary,
        snapshot: SlotSnapshot::Export,
        failover: Failover::Off,
    };
    let making = session.create_slot(&new);
    tokio::pin!(making);
    let mut ticks = interval(SAY_RUNNING_EVERY);
    let mut may_say = true;
    loop {
        tokio::select! {
            made = &mut making => return made,
            _ = ticks.tick(), if may_say => {
                if let Err(error) = slots::log_running(primary).await {
                    may_say = false;
                    debug!(%error, "pg_log_standby_snapshot");
                    info!(
                        "the role may not call pg_log_standby_snapshot() on the primary, so the snapshot \
                         takes up to half a minute longer: GRANT EXECUTE ON FUNCTION \
                         pg_log_standby_snapshot() TO the role"
                    );
                }
            }
        }
    }
}

/// `server_version_num` from which on standbys decode.
const LOGICAL_SINCE: i32 = 160_000;
const RETRY: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// The slot may need several: one to begin at, and one by which all that ran then has ended.
const SAY_RUNNING_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_follow_this_primary_is_refused_with_the_reason() {
        let primary = Identity {
            system_identifier: 7,
            timeline: 2,
        };
        let standby = Facts {
            identity: primary,
            version: 160_004,
            in_recovery: true,
            wal_level: "logical".to_owned(),
            slots_max: 10,
            feedback: false,
        };
        assert_eq!(standby.unsuitable(primary), None);
        type Change = fn(&mut Facts);
        let changes: [(Change, &str); 6] = [
            (|it| it.identity.system_identifier = 8, "another cluster"),
            (|it| it.in_recovery = false, "not in recovery"),
            (|it| it.version = 150_018, "before Postgres 16"),
            (|it| it.identity.timeline = 1, "timeline 1"),
            (
                |it| it.wal_level = "replica".to_owned(),
                "wal_level is replica",
            ),
            (|it| it.slots_max = 0, "max_replication_slots"),
        ];
        for (change, said) in changes {
            let mut facts = standby.clone();
            change(&mut facts);
            let reason = facts.unsuitable(primary).unwrap_or_default();
            assert!(reason.contains(said), "{said}: {reason}");
        }
    }
}
