//! The first copy of the rows that are there: reading them, and handing them to the relay.
//!
//! ```text
//!   Snapshot ── tables ── COPY … TO STDOUT ──> LookAhead ──> [channel] ──> Copy ──> Relay
//!   snapshot.rs  catalog.rs     reader.rs       marks.rs                  hand_in.rs
//! ```
//!
//! A task of its own reads, so that whatever it waits for (running transactions, locks, the disk)
//! holds up neither status updates nor deliveries; the channel is short, so that Kafka's pace is the
//! reader's. When a copy is due, and where in the stream it stands, is the relay's (`copy.rs` there).

mod catalog;
mod error;
mod hand_in;
mod marks;
mod reader;
mod snapshot;

use std::sync::Arc;

use bytes::Bytes;
use envelope::SnapshotMark;
use pgoutput::Lsn;

pub(crate) use catalog::{CopyTable, published};
pub use error::CopyError;
pub use hand_in::{Copy, Handed};
pub use reader::Wanted;
pub(crate) use reader::tables as locked_tables;
pub use snapshot::{SlotAge, Snapshot, Source};

/// What the reader sends, in this order: a point, tables with their rows, the end.
enum Item {
    /// The snapshot is there.
    Point { point: Lsn, xid: u32, slot: SlotAge },
    /// Its rows follow. A table without rows is left out.
    Table(Arc<CopyTable>),
    /// Rows of the table sent last.
    Rows(Vec<MarkedRow>),
    /// That was all.
    Over { rows: u64 },
}

/// A line of COPY's text format, and where in the copy it stands.
struct MarkedRow {
    line: Bytes,
    mark: SnapshotMark,
}
