//! Where the snapshot of a later copy is taken, and whose WAL is looked at meanwhile.

use std::sync::Arc;

use super::kept_wal::KeptWal;
use super::snapshot::Source;
use super::standby::Standby;
use crate::postgres::{CatalogSession, Conninfo};

/// What a copy needs of a connection's servers.
#[derive(Clone)]
pub struct Site {
    /// The server of the slot.
    pub primary: Conninfo,
    /// The server of the rows, if that is another.
    pub standby: Option<Standby>,
    /// A session with the server of the slot.
    pub session: Arc<CatalogSession>,
    /// The slot.
    pub slot: String,
    /// The most bytes of WAL that the server is to keep for it, where that is configured.
    pub wal_max: Option<u64>,
    /// How many pieces are read at least; see `kept_wal.rs`.
    pub pieces_min: u64,
}

impl Site {
    /// A snapshot of the present.
    #[must_use]
    pub fn present(&self) -> Source {
        match &self.standby {
            None => Source::Present(self.primary.clone()),
            Some(standby) => Source::Standby(Box::new(standby.clone())),
        }
    }

    /// Begins to look at the WAL that is kept.
    #[must_use]
    pub fn kept(&self) -> KeptWal {
        let session = Arc::clone(&self.session);
        KeptWal::watch(session, &self.slot, self.wal_max, self.pieces_min)
    }
}
