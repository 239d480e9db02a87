//! The first copy of the rows that are there: reading them, and handing them to the relay.
//!
//! ```text
//!   Snapshot ── tables ── pieces ──> readers: COPY … TO STDOUT ──> [channel] ──> Copy ──> Relay
//!   snapshot.rs catalog.rs pieces.rs leader.rs    reader.rs                   hand_in.rs, marks.rs
//!                                                                                 │
//!                     progress topic <── notes.rs <── pieces that Kafka has ──────┘
//! ```
//!
//! Tasks of their own read, so that whatever they wait for (running transactions, locks, the disk)
//! holds up neither status updates nor deliveries; the channel is short, so that Kafka's pace is the
//! readers'. `kept_wal.rs` pauses them at a limit of WAL. All of them read one snapshot. When a copy is due, and where in the stream it stands, is
//! the relay's (`copy.rs` there).

mod catalog;
mod error;
mod hand_in;
mod kept_wal;
mod leader;
mod marks;
mod notes;
mod pieces;
mod reader;
mod snapshot;
mod standby;
mod tables;

use std::sync::Arc;

use envelope::RelationDetails;
use pgoutput::Lsn;
use tokio::sync::oneshot;

pub(crate) use catalog::{CopyTable, published, tables as published_tables};
use pieces::Blocks;
pub(crate) use tables::locked_tables;

pub use error::CopyError;
pub use hand_in::{Copy, Handed};
pub use kept_wal::{KeptWal, Paused};
pub use leader::Wanted;
pub use notes::{Noted, Notes};
pub use pieces::{Done, Part};
pub use snapshot::{SlotAge, Snapshot, Source};
pub use standby::{Facts as StandbyFacts, Standby};

/// What the readers send: perhaps the wish for time, a point and the tables, then rows in any order, the end.
enum Item {
    /// The snapshot is there; no transaction from `since` on is visible in it.
    Point {
        point: Lsn,
        xid: u32,
        slot: SlotAge,
        since: u64,
        tables: Vec<Arc<CopyTable>>,
    },
    /// The snapshot is taken later: the stream goes on meanwhile.
    Later,
    /// The snapshot is taken once the stream stands, which is answered.
    Stand(oneshot::Sender<()>),
    /// A table's rows follow, whose details are these. Said once, and not for a table without pieces.
    Table {
        table: usize,
        details: Box<RelationDetails>,
    },
    /// Lines of COPY's text format, each with its line feed; one at least.
    Rows { table: usize, lines: Vec<u8> },
    /// All rows of a piece were sent.
    Piece { table: usize, blocks: Blocks },
    /// No row of this table follows.
    TableOver { table: usize },
    /// That was all.
    Over { rows: u64 },
}
