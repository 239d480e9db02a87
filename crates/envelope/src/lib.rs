//! What walferry says about one change, and its bytes: topic, key, value, and headers in the form
//! of Debezium 3.6.3's JSON without schemas.
//!
//! ```text
//! Relation + catalog ─► Table ┐
//! Tuple + Context ────────────┴► Encoder ─► Records
//! ```
//!
//! Pure: no sockets, clocks, threads, environment. A leaf: it never calls back and keeps no state
//! but reused buffers. It deliberately does not know what was published or confirmed; `relay` does.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod details;
mod options;
// The drafts of records are used once `event` lands.
#[cfg_attr(not(test), expect(dead_code))]
mod records;

pub use details::{RelationDetails, TypeDetails, TypeKind};
pub use options::{
    BinaryHandling, DecimalHandling, IntervalHandling, LogicalMessages, Options, SkippedOperations,
    TimePrecision, UnknownWord,
};
pub use records::{Headers, Operation, Record, Records};
