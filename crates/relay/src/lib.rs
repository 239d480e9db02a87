//! The state machine between the slot and Kafka.
//!
//! No socket, no clock, no thread: bytes, answers, acknowledgements and the time come in as
//! arguments; what is to be done comes out of [`Relay::next_record`] and [`Relay::poll`].
//!
//! ```text
//!   handle_payload ──> transaction ──> catalog ──> envelope ──> next_record ──> Kafka
//!                          │                                        │
//!   handle_delivery ───> LEDGER <───────────── ticket ──────────────┘
//!   handle_stored   ──────┘ └──────> poll: StoreProgress, Feedback
//! ```

mod catalog;
mod change;
mod copy;
mod error;
mod feedback;
mod incremental;
mod interface;
mod ledger;
mod limits;
mod outside;
mod prepared;
mod progress;
mod relay;
mod routed;
mod schedule;
mod transaction;

pub use catalog::Counts;
pub use error::RelayError;
pub use feedback::Feedback;
pub use incremental::{
    CHUNK_PREFIX, Chunk, ChunkOutcome, ChunkSnapshot, KeptChanges, Reread, SIGNAL_PREFIX,
    Signalled, TransactionIds, Watermark,
};
pub use interface::{
    Captures, Closing, Describe, Now, Output, Positions, Settings, TableCounts, Totals,
};
pub use ledger::{Confirmed, Ledger, Located, Mark, Split, Ticket};
pub use limits::Limits;
pub use prepared::KnownCommit;
pub use progress::{Progress, SnapshotState};
pub use relay::Relay;
pub use schedule::Timing;
