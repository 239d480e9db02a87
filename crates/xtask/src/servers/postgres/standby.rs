//! A physical standby, and its promotion.

use std::fs;
use std::path::Path;

use super::{PostgresServer, Shutdown};
use crate::servers::{Port, ServerError, leash, process};

/// What becomes of the primary's replication slots on the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// They stay, where they stood when the copy was made: as after a restored snapshot of the disk,
    /// and as failover slots (Postgres 17 and later) that lag.
    Kept,
    /// They are left out, as `pg_basebackup` does.
    LeftOut,
}

impl PostgresServer {
    /// A standby that follows this server by streaming. This server is stopped for the copy of its
    /// files, and started again: `pg_basebackup` is not part of every installation.
    ///
    /// # Errors
    /// When one of the two does not stop or start, or the files cannot be copied.
    pub fn standby(&mut self, slots: Slots) -> Result<Self, ServerError> {
        let directory = leash::directory("pg")?;
        self.account.own(directory.path())?;
        let standby = Self {
            process: None,
            binaries: self.binaries.clone(),
            account: self.account.clone(),
            port: Port::reserve()?,
            directory,
        };
        self.stop(Shutdown::Fast)?;
        let mut copy = self.account.command(Path::new("cp"));
        copy.current_dir("/")
            .arg("-R")
            .arg(self.data_directory())
            .arg(standby.directory.path());
        process::run(&mut copy, "copying the data directory")?;
        self.restart()?;
        standby.follow(self, slots)
    }

    fn follow(mut self, primary: &Self, slots: Slots) -> Result<Self, ServerError> {
        if slots == Slots::LeftOut {
            let kept = self.data_directory().join("pg_replslot");
            for slot in fs::read_dir(&kept)
                .map_err(ServerError::file(&kept))?
                .flatten()
            {
                fs::remove_dir_all(slot.path()).map_err(ServerError::file(slot.path()))?;
            }
        }
        let (port, socket) = (self.port().to_string(), self.socket_directory().display());
        self.configure(&[
            ("port", &port),
            ("unix_socket_directories", &socket.to_string()),
            ("primary_conninfo", &primary.conninfo()),
        ])?;
        self.put_file("standby.signal", b"")?;
        self.restart()?;
        Ok(self)
    }

    /// Makes a standby a primary of its own, on a new timeline, and waits until it writes.
    ///
    /// # Errors
    /// When it is no standby, or does not come up.
    pub fn promote(&self) -> Result<(), ServerError> {
        self.execute("postgres", "SELECT pg_promote(true, 60)")
    }
}
