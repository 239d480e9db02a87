//! The copy of the rows that are there, the first and those that are asked for (`asked.rs`): reading them,
//! and handing them to the relay.
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
//! readers'. `kept_wal.rs` pauses them at a limit of WAL. All of them read one snapshot. When a copy is
//! due, and where in the stream it stands, is the relay's (`copy.rs` there).

mod asked;
mod catalog;
mod error;
mod hand_in;
mod items;
mod kept_wal;
mod leader;
mod leaves;
mod locks;
mod marks;
mod notes;
mod pieces;
mod reader;
mod site;
mod snapshot;
mod standby;
mod standing;
mod tables;
mod wanted;

pub(crate) use catalog::{CopyTable, published, table as published_table};
pub(crate) use tables::locked_tables;

pub use asked::{Asked, News, Unwanted};
pub use error::CopyError;
pub use hand_in::{Copy, Handed};
pub use kept_wal::{KeptWal, Paused};
pub use notes::{Noted, Notes};
pub use pieces::{Done, Part};
pub use site::Site;
pub use snapshot::{SlotAge, Snapshot, Source};
pub use standby::{Facts as StandbyFacts, Standby};
pub(crate) use wanted::EVENTS_COME_ONCE;
pub use wanted::Wanted;
