//! Looks at the slot from outside, now and then: how much WAL the server keeps for it, whether it
//! may be lost, and where the WAL ends.
//!
//! A task beside the loop, over the session for questions: a server that takes its time to answer
//! holds up nothing. A session that was closed is opened again here, for the questions, too, since
//! the stream may go on for weeks. Of the slot it only tells: one that is lost is the next start's to find.
//!
//! A second task looks for tables that are wanted and not published (`unpublished.rs`), and takes them in over
//! a session of its own: who holds a lock on one is waited for, and behind that waits no other question.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use crate::config::{Config, Create, NewTables, TableFilter};
use crate::kafka::Topics;
use crate::new_rows::NewRows;
use crate::new_topics::NewTopics;
use crate::observer::Observer;
use crate::postgres::slots::{self, SlotState};
use crate::postgres::sql::{sql, within};
use crate::postgres::{CatalogSession, PostgresError};
use crate::prepared::{self, PreparedTransaction};
use crate::telemetry::{SlotHealth, WalStatus};
use crate::unpublished::{self, Obstacle, Unpublished};

/// The watch; it ends with this handle.
#[derive(Debug)]
pub struct SlotWatch([JoinHandle<()>; 2]);

impl SlotWatch {
    /// Begins to look, at once and then every few seconds.
    #[must_use]
    pub fn begin(
        session: Arc<CatalogSession>,
        config: &Config,
        topics: &Topics,
        observer: Observer,
    ) -> Self {
        let slot = config.postgres.slot.clone();
        let left_out = LeftOut {
            publication: config.postgres.publication.clone(),
            wanted: config.tables.clone(),
            rows: NewRows::of(config),
            topics: NewTopics::of(config, topics),
            told: BTreeSet::new(),
            new_tables: match config.postgres.create {
                Create::Auto => config.signals.new_tables,
                Create::Never => NewTables::Ignore,
            },
        };
        let mut forgotten = Forgotten {
            slot: slot.clone(),
            age: config.postgres.prepared_age,
            told: BTreeSet::new(),
        };
        let tables = watch_tables(Arc::clone(&session), left_out, observer.clone());
        let slot = async move { watch(&session, &slot, &mut forgotten, &observer).await };
        Self([tokio::spawn(slot), tokio::spawn(tables)])
    }
}

impl Drop for SlotWatch {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn watch(
    session: &CatalogSession,
    slot: &str,
    forgotten: &mut Forgotten,
    observer: &Observer,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut status = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = session.missed() => {}
        }
        let looked = async { slots::state(&*session.client().await?, slot).await };
        match timeout(PATIENCE, looked).await {
            Ok(Ok(state)) => {
                let health = health(slot, &state);
                let now = health.as_ref().map(|health| health.wal_status);
                if now != status {
                    told(slot, now);
                    status = now;
                }
                let confirmed = state.confirmed_flush_lsn.unwrap_or_default();
                observer.slot(health, state.wal_end, confirmed);
            }
            Ok(Err(error)) => debug!(%error, "the slot could not be looked at"),
            Err(_) => debug!("the server does not answer a question about the slot"),
        }
        match timeout(PATIENCE, forgotten.look(session)).await {
            Ok(Ok(prepared)) => observer.prepared(prepared),
            Ok(Err(error)) => debug!(%error, "prepared transactions could not be looked at"),
            Err(_) => debug!("the server does not answer a question about prepared transactions"),
        }
    }
}

async fn watch_tables(session: Arc<CatalogSession>, mut left_out: LeftOut, observer: Observer) {
    let mut ticks = interval(LEFT_OUT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = false;
    loop {
        ticks.tick().await;
        match left_out.look(&session).await {
            Ok(count) => {
                observer.unpublished(count);
                is_told = false;
            }
            // A server that answers so does it each time, and no new table is found.
            Err(error) if error.is_of_statement() && !is_told => {
                warn!(%error, "tables that are not published cannot be looked for");
                is_told = true;
            }
            Err(error) => debug!(%error, "the publication could not be looked at"),
        }
    }
}

/// The look for tables that are wanted and not published.
struct LeftOut {
    publication: String,
    wanted: TableFilter,
    /// What becomes of their rows.
    rows: NewRows,
    /// Their topics, where none are made.
    topics: Option<NewTopics>,
    /// What becomes of them.
    new_tables: NewTables,
    /// Each is told once.
    told: BTreeSet<Unpublished>,
}

impl LeftOut {
    /// Tells of those that are new, and counts all.
    async fn look(&mut self, session: &CatalogSession) -> Result<usize, PostgresError> {
        const DOING: &str = "look for tables that are not published";
        let asked = async {
            let client = session.client().await?;
            let found = unpublished::find(&client, &self.publication, &self.wanted, &self.rows);
            let found = found.await.map_err(sql(DOING))?;
            let is_standby = !found.is_empty() && slots::is_standby(&client).await?;
            Ok((found, is_standby))
        };
        let (mut found, is_standby) = within(PATIENCE, DOING, asked).await?;
        if let Some(topics) = &mut self.topics
            && let Err(error) = topics.look(&mut found).await
        {
            debug!(%error, "topics of new tables could not be looked at");
            return Ok(found.len());
        }
        let found: BTreeSet<Unpublished> = found.into_iter().collect();
        if is_standby {
            self.tell_on_standby(&found);
            self.told = found;
            return Ok(self.told.len());
        }
        let left = match found.is_empty() || self.new_tables == NewTables::Ignore {
            true => found,
            false => take_in(session, found).await?,
        };
        for new in left.difference(&self.told) {
            if let Some(obstacle) = &new.obstacle {
                tell_obstacle(&new.table, obstacle);
                continue;
            }
            let next = match (self.new_tables, new.is_part) {
                (NewTables::Ignore, _) => "nobody takes it in but who runs the statement",
                (_, true) => "the next start takes it in",
                (_, false) => "it is tried again",
            };
            warn!(
                table = new.table,
                remedy = %new.remedy,
                "tables.include matches the table, but the publication leaves it out: its changes \
                 are not captured; {next}"
            );
        }
        self.told = left;
        Ok(self.told.len())
    }

    /// A standby takes no ALTER PUBLICATION: the primary does.
    fn tell_on_standby(&self, found: &BTreeSet<Unpublished>) {
        for new in found.difference(&self.told) {
            if let Some(obstacle) = &new.obstacle {
                tell_obstacle(&new.table, obstacle);
                continue;
            }
            let (table, remedy) = (&new.table, new.statements());
            warn!(
                table,
                remedy,
                "tables.include matches the table, but the publication leaves it out: its changes are not \
                 captured; this server is a standby, so run the statements on the primary, in one transaction"
            );
        }
    }
}

/// Tells why a table is not taken in.
fn tell_obstacle(table: &str, obstacle: &Obstacle) {
    let Obstacle { code, problem, fix } = obstacle;
    warn!(
        code,
        table,
        problem,
        fix,
        "tables.include matches the table, and it is not published before this is mended: its changes are not \
         captured"
    );
}

/// Takes tables in, and gives those that could not be.
async fn take_in(
    session: &CatalogSession,
    found: BTreeSet<Unpublished>,
) -> Result<BTreeSet<Unpublished>, PostgresError> {
    const DOING: &str = "take a new table in";
    let client = within(PATIENCE, DOING, session.another()).await?;
    let (mut left, whole): (BTreeSet<_>, BTreeSet<_>) = found
        .into_iter()
        .partition(|it| it.is_part || it.obstacle.is_some());
    for new in whole {
        let taken = async { new.take_in(&client).await.map_err(sql(DOING)) };
        match within(PATIENCE, DOING, taken).await {
            Ok(()) => info!(
                table = new.table,
                rows = %new.rows,
                "took a new table into the publication"
            ),
            Err(error) => {
                debug!(table = new.table, %error, "a new table could not be taken in");
                left.insert(new);
            }
        }
    }
    Ok(left)
}

/// The look for prepared transactions that nobody ends.
struct Forgotten {
    slot: String,
    age: Duration,
    /// Each is told once.
    told: BTreeSet<String>,
}

impl Forgotten {
    /// Tells of those that have come of age, and gives all.
    async fn look(
        &mut self,
        session: &CatalogSession,
    ) -> Result<Vec<PreparedTransaction>, PostgresError> {
        const DOING: &str = "look for prepared transactions";
        let client = session.client().await?;
        let found = prepared::find(&client, &self.slot).await;
        let found = found.map_err(sql(DOING))?;
        let old = found.iter().filter(|it| it.is_older_than(self.age));
        let old: Vec<&PreparedTransaction> = old.collect();
        for transaction in old.iter().filter(|it| !self.told.contains(&it.gid)) {
            let (commit, rollback) = (transaction.commit(), transaction.rollback());
            warn!(
                gid = transaction.gid,
                commit, rollback, "PREPARED_FORGOTTEN: {transaction}"
            );
        }
        self.told = old.iter().map(|it| it.gid.clone()).collect();
        Ok(found)
    }
}

/// What is shown; `None` when the server shows no such slot, or says a word about it that no
/// version up to 18 has.
fn health(slot: &str, state: &SlotState) -> Option<SlotHealth> {
    Some(SlotHealth {
        name: slot.to_owned(),
        wal_status: WalStatus::from_word(state.wal_status.as_deref()?)?,
        // A lost slot has no restart_lsn, and keeps nothing.
        retained_bytes: state
            .restart_lsn
            .map_or(0, |restart| state.wal_end.bytes_since(restart)),
        safe_wal_bytes: state.safe_wal_bytes,
    })
}

/// Says it in the log, while there is still something to be done about it.
fn told(slot: &str, status: Option<WalStatus>) {
    match status {
        Some(WalStatus::Unreserved) => warn!(
            slot,
            "the slot has fallen behind max_slot_wal_keep_size and is lost at the next checkpoint \
             unless it catches up; raise that setting now (a reload is enough)"
        ),
        Some(WalStatus::Lost) => warn!(slot, "the server no longer holds the slot's WAL"),
        Some(WalStatus::Reserved | WalStatus::Extended) | None => {}
    }
}

/// Lag in bytes is as old as this at most; the question takes the server a fraction of a
/// millisecond.
const EVERY: Duration = Duration::from_secs(5);
/// It reads the list of all tables.
const LEFT_OUT_EVERY: Duration = Duration::from_secs(30);
/// The session is shared with the catalog's questions, which wait behind this one.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use pgoutput::Lsn;

    use super::*;

    #[test]
    fn what_the_server_says_becomes_bytes() {
        let state = |status: Option<&str>, restart: Option<u64>| SlotState {
            wal_end: Lsn::new(5_000),
            wal_status: status.map(str::to_owned),
            restart_lsn: restart.map(Lsn::new),
            confirmed_flush_lsn: None,
            safe_wal_bytes: Some(-7),
        };
        let of = |status, restart| health("s", &state(status, restart));
        let kept = of(Some("extended"), Some(2_000)).unwrap();
        assert_eq!(kept.wal_status, WalStatus::Extended);
        assert_eq!(
            (kept.retained_bytes, kept.safe_wal_bytes),
            (3_000, Some(-7))
        );
        assert_eq!(of(Some("lost"), None).unwrap().retained_bytes, 0);
        // The slot's restart_lsn is younger than the flushed end that was asked a moment before.
        assert_eq!(of(Some("reserved"), Some(6_000)).unwrap().retained_bytes, 0);
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("borrowed"), Some(1)), None);
    }
}
