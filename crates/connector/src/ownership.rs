//! Taking the slot: made where nothing tells that there was one, waited for where it is in other
//! hands, and read by this process alone from then on.
//!
//! Hands of our own, left behind by a connection that was cut, are ended. Those of others are
//! looked at: a reader that still answers the server is another instance, and a person must say
//! which of the two is to go; one that does not answer may be the rest of a host that died, and
//! leaves at the latest when the server's `wal_sender_timeout` is over.

use std::time::Duration;

use pgoutput::Lsn;
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot};
use tokio::time::{Instant, interval_at, sleep};
use tracing::{info, warn};

use crate::config::SnapshotMode;
use crate::halt::{Halt, Halted};
use crate::postgres::slots::{self, Holder};
use crate::postgres::sql::SqlClient;
use crate::postgres::{
    Conninfo, CreatedSlot, PostgresError, ReplicationSession, ReplicationStream,
};

/// Why the slot is not ours.
#[derive(Debug)]
pub enum OwnError {
    /// A person must decide something first.
    Halted(Halted),
    /// The server, with its own class.
    Postgres(PostgresError),
}

impl From<PostgresError> for OwnError {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

/// What the slot is taken with.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    /// Its name.
    pub name: &'a str,
    /// The publication that is read through it.
    pub publication: &'a str,
    /// Where it is.
    pub conninfo: &'a Conninfo,
    /// A session for questions about it.
    pub sql: &'a SqlClient,
}

impl Slot<'_> {
    /// Makes the slot. The server first lets every transaction end that is running.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn create(
        self,
        session: &mut ReplicationSession,
        snapshot: SnapshotMode,
    ) -> Result<CreatedSlot, PostgresError> {
        let new = NewSlot {
            name: self.name,
            life: SlotLife::Permanent,
            snapshot: match snapshot.copies() {
                true => SlotSnapshot::Export,
                false => SlotSnapshot::Nothing,
            },
            failover: Failover::Off,
        };
        let creating = session.create_slot(&new);
        tokio::pin!(creating);
        let mut ticks = interval_at(Instant::now() + SAY_EVERY, SAY_EVERY);
        loop {
            tokio::select! {
                created = &mut creating => {
                    let created = created?;
                    info!(slot = self.name, consistent_point = %created.consistent_point,
                        "created the slot");
                    return Ok(created);
                }
                _ = ticks.tick() => self.say_what_is_waited_for().await,
            }
        }
    }

    async fn say_what_is_waited_for(self) {
        match slots::oldest_writer(self.sql).await {
            Ok(Some(writer)) => info!(
                slot = self.name,
                process_id = writer.process_id,
                seconds = writer.age.as_secs(),
                "the new slot begins when the transactions that are running have ended; this is \
                 the oldest"
            ),
            Ok(None) if slots::is_standby(self.sql).await.unwrap_or(false) => info!(
                slot = self.name,
                "the new slot waits for the primary, which tells a standby now and then what is running; \
                 SELECT pg_log_standby_snapshot() there makes it tell now"
            ),
            Ok(None) => info!(slot = self.name, "the server is making the slot"),
            Err(error) => warn!(%error, "what the new slot waits for could not be asked"),
        }
    }

    /// Starts the stream. `ours` is the server process of the last connection, if there was one,
    /// and `sender_timeout` the server's own patience, zero when it has no end.
    ///
    /// # Errors
    /// The slot is in other hands, cannot be read any more, or the server has other objections.
    pub async fn own(
        self,
        mut session: ReplicationSession,
        ours: Option<i32>,
        sender_timeout: Duration,
    ) -> Result<(ReplicationStream, i32), OwnError> {
        let begun = Instant::now();
        let mut seen: Option<Holder> = None;
        loop {
            let walsender = session.process_id();
            let started = session
                .start_replication(self.name, self.publication, Lsn::ZERO)
                .await;
            match started {
                Ok(stream) => return Ok((stream, walsender)),
                // Nobody is seen to hold it for so long: the next connection asks anew.
                Err(error) if error.is_slot_in_use() && begun.elapsed() < UNSEEN => {}
                Err(error) => return Err(self.not_started(error).await),
            }
            let holder = slots::holder(self.sql, self.name).await?;
            match (&holder, &mut seen) {
                (Some(holder), _) if ours == Some(holder.process_id) => {
                    slots::terminate(self.sql, holder.process_id).await?;
                }
                (Some(holder), Some(seen)) if seen.process_id == holder.process_id => {
                    let patience = patience(seen, holder, sender_timeout);
                    if begun.elapsed() >= patience {
                        return Err(self.in_other_hands(holder));
                    }
                }
                (Some(holder), seen) => {
                    info!(
                        slot = self.name,
                        process_id = holder.process_id,
                        "waiting for the slot"
                    );
                    *seen = Some(holder.clone());
                }
                (None, _) => {}
            }
            sleep(RETRY).await;
            session = ReplicationSession::connect(self.conninfo).await?;
        }
    }

    fn in_other_hands(self, holder: &Holder) -> OwnError {
        let (name, process_id) = (self.name, holder.process_id);
        let seen = format!("slot {name} is read by the server process {process_id}");
        OwnError::Halted(Halted::new(Halt::SlotInUse, seen))
    }

    /// What the server said, seen together with the slot's state.
    async fn not_started(self, error: PostgresError) -> OwnError {
        match slots::look(self.sql, self.name).await {
            Ok(Some(row)) => match row.invalidated {
                Some(reason) => {
                    let seen = format!("slot {} is invalidated ({reason}): {error}", self.name);
                    OwnError::Halted(Halted::new(Halt::SlotLost, seen))
                }
                None => OwnError::Postgres(error),
            },
            Ok(None) => {
                let seen = format!(
                    "slot {} was dropped while walferry waited for it",
                    self.name
                );
                OwnError::Halted(Halted::new(Halt::SlotRecreated, seen))
            }
            Err(_) => OwnError::Postgres(error),
        }
    }
}

/// How long a holder is waited for: not long for one that answers the server.
fn patience(first: &Holder, now: &Holder, sender_timeout: Duration) -> Duration {
    let answers = now.last_reply.is_some() && now.last_reply != first.last_reply;
    if answers {
        return FOR_THE_LIVING;
    }
    let timeout = if sender_timeout.is_zero() {
        SENDER_TIMEOUT
    } else {
        sender_timeout
    };
    (timeout + LEAVING).max(FOR_THE_LIVING)
}

/// A predecessor that was killed leaves within a moment, one that drains within seconds.
const FOR_THE_LIVING: Duration = Duration::from_secs(10);
/// Postgres' default of `wal_sender_timeout`, where it is off.
const SENDER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server takes to end a sender after its time.
const LEAVING: Duration = Duration::from_secs(5);
/// Longer than any holder is waited for.
const UNSEEN: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_millis(100);
const SAY_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_waited_for_as_long_as_the_server_does() {
        let holder = |reply: Option<&str>| Holder {
            process_id: 7,
            last_reply: reply.map(str::to_owned),
        };
        let seconds = Duration::from_secs;
        for (first, now, timeout, expected) in [
            (Some("12:00"), Some("12:01"), 60, 10),
            (None, Some("12:01"), 60, 10),
            (Some("12:00"), Some("12:00"), 60, 65),
            (None, None, 60, 65),
            (None, None, 0, 65),
            (None, None, 2, 10),
        ] {
            let patience = patience(&holder(first), &holder(now), seconds(timeout));
            assert_eq!(patience, seconds(expected), "{first:?} {now:?} {timeout}");
        }
    }
}
