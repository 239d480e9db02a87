//! The comparison of a start: the slot, which is owned by now, against what the progress topic says.

use std::collections::{BTreeMap, BTreeSet};

use pgoutput::Lsn;
use relay::{Progress, SnapshotState};
use tracing::info;

use super::{Start, StartError};
use crate::config::SnapshotMode;
use crate::copy::Noted;
use crate::halt::{Halt, Halted};
use crate::incremental::{self, Left, State};
use crate::kafka::{
    AskedPart, KafkaError, Producer, ProgressReader, ProgressWriter, RequestKey, Stored,
};
use crate::postgres::slots;
use crate::postgres::sql::SqlClient;
use crate::resume::{self, Identity, Resume, Wanted};

/// What the slot and the progress topic say together.
pub(super) struct Compared {
    pub(super) resume: Resume,
    pub(super) shape: u64,
    pub(super) begun: BTreeSet<String>,
    noted: Noted,
    requests: incremental::Noted,
    asked: BTreeMap<String, AskedPart>,
    pub(super) two_phase_slot: Option<Lsn>,
}

impl Compared {
    /// What is done of the copy that is under way; notes of others are taken back.
    pub(super) fn take_notes(
        &mut self,
        progress: &ProgressWriter,
        producer: &Producer,
    ) -> Result<Noted, KafkaError> {
        let noted = std::mem::take(&mut self.noted);
        if !self.resume.copies_anew && self.resume.snapshot == SnapshotState::Running {
            return Ok(noted);
        }
        for table in noted.keys().take(NOTES_FORGOTTEN) {
            progress.forget(producer, table)?;
        }
        Ok(Noted::new())
    }

    /// What was asked for before; notes of what was over by then are taken back.
    pub(super) fn take_requests(
        &mut self,
        progress: &ProgressWriter,
        producer: &Producer,
    ) -> Result<Left, KafkaError> {
        let requests = std::mem::take(&mut self.requests);
        let passed = self.resume.start.end;
        for request in incremental::over(&requests, passed).take(NOTES_FORGOTTEN) {
            progress.forget_request(producer, &request.id)?;
        }
        let is_running = |(id, at): &RequestKey| {
            let request = requests.get(id).filter(|it| it.at == *at);
            request.is_some_and(|it| it.state == State::Running)
        };
        let mut parts: BTreeMap<RequestKey, Noted> = BTreeMap::new();
        let mut forgotten = 0;
        for (table, AskedPart { of, part }) in std::mem::take(&mut self.asked) {
            if is_running(&of) {
                parts.entry(of).or_default().insert(table, part);
            } else if forgotten < NOTES_FORGOTTEN {
                progress.forget_asked(producer, &table)?;
                forgotten += 1;
            }
        }
        Ok(Left { requests, parts })
    }
}

impl Start<'_> {
    /// Compares, and fails where the two contradict each other.
    pub(super) async fn compare(
        &self,
        sql: &SqlClient,
        server: Identity,
        reader: &ProgressReader,
        before: &Stored,
    ) -> Result<Compared, StartError> {
        let name = &self.config.postgres.slot;
        let Some(row) = slots::look(sql, name).await? else {
            let seen = format!("slot {name} was dropped while walferry started");
            return Err(StartError::Halted(Halted::new(Halt::SlotRecreated, seen)));
        };
        // A transaction done in part is gone on with by the count of its records, which the settings
        // decide, and the keys of the tables (a change of key makes three).
        let keys = slots::keys_fingerprint(sql, &self.config.postgres.publication).await?;
        let shape = self.config.shape() ^ keys;
        let Stored {
            progress,
            begun,
            mut noted,
            requests,
            asked,
        } = reader.read().await?;
        if progress.is_some() && before.progress.is_none() {
            // Written by whoever had the slot; what it tells of was not looked at.
            let reason = "progress was stored meanwhile".to_owned();
            let what = "starting for the first time";
            return Err(KafkaError::Unreachable { what, reason }.into());
        }
        let stored = progress.map(|mut progress| {
            if progress.split.is_some() && progress.shape != shape {
                info!("the settings or a key have changed: a transaction done in part is published whole");
                progress.split = None;
            }
            Progress { shape, ..progress }
        });
        let two_phase_slot = row.two_phase();
        let again = self.config.snapshot == SnapshotMode::Always && !self.memory.checked;
        let wanted = match again {
            true => Wanted::Again,
            false => Wanted::Once(self.config.snapshot),
        };
        let slot = row.into_slot(name);
        if stored
            .as_ref()
            .is_some_and(|stored| stored.commit_end_lsn == Lsn::ZERO)
        {
            // Nothing of the stream is done: of a slot made anew since, some of it is missing.
            noted.retain(|_, part| part.point >= slot.confirmed_flush_lsn);
        }
        let resume = resume::resume(&slot, server, stored.as_ref(), wanted);
        let resume = resume.map_err(StartError::Halted)?;
        Ok(Compared {
            resume,
            shape,
            begun,
            noted,
            requests,
            asked,
            two_phase_slot,
        })
    }
}

/// Notes of an old copy that a start takes back; those beyond are harmless.
const NOTES_FORGOTTEN: usize = 1000;
