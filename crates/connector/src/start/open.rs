//! The server, and the slot as it is found or made.

use std::time::Duration;

use tracing::warn;

use super::{Start, StartError};
use crate::config::{Create, SnapshotMode};
use crate::copy::{Snapshot, Source, Standby};
use crate::credentials::{self, Unreadable};
use crate::halt::{Halt, Halted};
use crate::kafka::Stored;
use crate::ownership::Slot;
use crate::postgres::sql::SqlClient;
use crate::postgres::{Conninfo, CreatedSlot, PostgresError, ReplicationSession, slots};
use crate::resume::{self, Identity};
use crate::telemetry::Peer;

/// What the replication session tells of the server.
pub(super) struct Server {
    pub(super) identity: Identity,
    /// `wal_sender_timeout`; zero when it is off.
    pub(super) sender_timeout: Duration,
}

impl Server {
    async fn identify(session: &mut ReplicationSession) -> Result<Self, PostgresError> {
        let identity = session.identify_system().await?;
        Ok(Self {
            identity: Identity {
                system_identifier: identity.system_identifier,
                timeline: identity.timeline,
            },
            sender_timeout: session.wal_sender_timeout().await?.unwrap_or_default(),
        })
    }
}

impl Start<'_> {
    /// A replication session with the server, the server, and the slot if it is there; all of it fits
    /// what is stored.
    pub(super) async fn opened(
        &self,
        conninfo: &Conninfo,
        sql: &SqlClient,
        stored: &Stored,
    ) -> Result<(ReplicationSession, Server, Option<slots::SlotRow>), StartError> {
        let mut session = ReplicationSession::connect(conninfo).await?;
        let server = Server::identify(&mut session).await?;
        let slot = &self.config.postgres.slot;
        let seen = slots::look(sql, slot).await?;
        if let Some(progress) = &stored.progress {
            resume::same_cluster(server.identity, progress).map_err(StartError::Halted)?;
        }
        let seen = self.without_lost(sql, seen).await?;
        let is_gone = seen.is_none() && self.config.snapshot != SnapshotMode::WhenNeeded;
        if let Some(progress) = stored.progress.as_ref().filter(|_| is_gone) {
            return Err(StartError::Halted(resume::slot_is_gone(slot, progress)));
        }
        Ok((session, server, seen))
    }

    /// A slot whose WAL the server has not kept is dropped, if rows are to be published again then.
    async fn without_lost(
        &self,
        sql: &SqlClient,
        seen: Option<slots::SlotRow>,
    ) -> Result<Option<slots::SlotRow>, StartError> {
        let Some(row) = seen else { return Ok(None) };
        if self.config.snapshot != SnapshotMode::WhenNeeded || !row.is_lost() {
            return Ok(Some(row));
        }
        let slot = &self.config.postgres.slot;
        warn!(
            slot,
            "the server has not kept what the slot needs: it is made anew, and all rows published"
        );
        slots::drop_lost(sql, slot).await?;
        Ok(None)
    }

    /// Where rows that are there would be read; makes the slot, where it is not there.
    pub(super) async fn rows(
        &self,
        is_there: bool,
        slot: Slot<'_>,
        session: &mut ReplicationSession,
        identity: Identity,
    ) -> Result<Source, StartError> {
        let rows = match is_there {
            true => Source::Present(slot.conninfo.clone()),
            false => self.new_slot(slot, session).await?,
        };
        let standby = credentials::standby(self.config).await;
        let standby = standby
            .map_err(|Unreadable(problem)| StartError::Unreadable(Peer::Postgres, problem))?;
        Ok(match standby {
            None => rows,
            Some(conninfo) => Source::Standby(Box::new(Standby {
                primary: slot.conninfo.clone(),
                identity,
                conninfo,
            })),
        })
    }

    /// Makes the slot, if it may be made; nothing tells that there was one.
    async fn new_slot(
        &self,
        slot: Slot<'_>,
        session: &mut ReplicationSession,
    ) -> Result<Source, StartError> {
        if self.config.postgres.create == Create::Never {
            let name = slot.name;
            let seen = format!("slot {name} does not exist, and postgres.create is never");
            return Err(StartError::Halted(Halted::new(Halt::SlotUnusable, seen)));
        }
        let made = slot.create(session, self.config.snapshot).await?;
        Ok(self.rows_of(&made, slot.conninfo).await?)
    }

    /// Takes over the snapshot of a new slot, before anything else is done with its session.
    async fn rows_of(
        &self,
        made: &CreatedSlot,
        conninfo: &Conninfo,
    ) -> Result<Source, PostgresError> {
        let here = self.config.copy.from.is_none();
        match self.config.snapshot.copies() && here {
            true => Snapshot::import(conninfo, made).await.map(Source::Taken),
            false => Ok(Source::Present(conninfo.clone())),
        }
    }
}
