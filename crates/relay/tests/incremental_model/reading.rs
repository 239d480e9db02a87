//! How a chunk is read: on a primary, and on a standby.

use envelope::RelationDetails;
use pgoutput::Lsn;
use relay::{Chunk, ChunkSnapshot, Relay, Watermark};

use crate::CHUNK;
use crate::server::{Kind, Server, Values, columns, relation};

/// How far the reader is with a chunk.
#[derive(Debug)]
pub(crate) enum Stage {
    Opened,
    /// On a standby: this was replayed before; perhaps it is another that is behind, and stays there.
    Asked {
        before: u64,
        is_behind: bool,
    },
    /// On a standby: read, and this was replayed then, or later.
    Unsure(Option<Chunk>, u64),
    Read(Option<Chunk>),
    HandedIn,
    /// Its watermark is written, or needs no writing.
    Awaited,
}

pub(crate) struct Reading {
    pub(crate) window: u64,
    pub(crate) first: u64,
    pub(crate) stage: Stage,
}

impl Reading {
    pub(crate) fn new(window: u64, first: u64) -> Self {
        let stage = Stage::Opened;
        Self {
            window,
            first,
            stage,
        }
    }

    /// Does the next thing, if it can be done.
    pub(crate) fn go_on(&mut self, server: &mut Server, relay: &mut Relay, lag: usize) -> bool {
        let name = format!("slot/{}", self.window).into_bytes();
        match &mut self.stage {
            Stage::Opened if server.kind == Kind::Standby => {
                let before = server.behind(lag);
                let is_behind = before < server.replayed;
                self.stage = Stage::Asked { before, is_behind };
            }
            Stage::Opened | Stage::Asked { .. } => self.read(server, name),
            Stage::Unsure(chunk, seen) => {
                if server.replayed <= *seen && !server.is_still() {
                    return false;
                }
                let mut chunk = chunk.take().unwrap();
                chunk.watermark = Watermark::Position(Lsn::new(server.replayed));
                self.stage = Stage::Read(Some(chunk));
            }
            Stage::Read(chunk) => {
                let (chunk, columns) = (chunk.take().unwrap(), columns());
                let (relation, details) = (relation(&columns), RelationDetails::default());
                relay.handle_chunk(chunk, &relation, &details);
                self.stage = Stage::HandedIn;
            }
            Stage::HandedIn => {
                if server.kind == Kind::Primary {
                    server.emit(&name);
                }
                self.stage = Stage::Awaited;
            }
            Stage::Awaited => {}
        }
        true
    }

    fn read(&mut self, server: &Server, name: Vec<u8>) {
        let wanted = self.first..self.first + CHUNK;
        let rows = match self.stage {
            Stage::Asked {
                before,
                is_behind: true,
            } => server.rows_before(before),
            _ => server.rows(),
        };
        let rows = rows.range(wanted);
        let line = |(key, row): (&u64, &Values)| {
            let large = row.large.map(|it| it.to_string()).unwrap_or_default();
            format!("{key}\t{}\t{large}\n", row.v)
        };
        let lines: String = rows.map(line).collect();
        let mut chunk = Chunk {
            watermark: Watermark::Message(name),
            window: self.window,
            snapshot: server.snapshot(),
            lines: lines.into_bytes(),
        };
        self.stage = match self.stage {
            Stage::Asked { before, .. } => {
                chunk.snapshot = ChunkSnapshot::Replayed(Lsn::new(before));
                Stage::Unsure(Some(chunk), server.replayed)
            }
            _ => Stage::Read(Some(chunk)),
        };
    }
}
