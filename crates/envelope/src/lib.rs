//! What walferry says about one change, and its bytes: topic, key, value, and headers in the form
//! of Debezium 3.6.3's JSON, with its schemas or without.
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

mod change;
mod columns;
mod dead_letter;
mod details;
mod encoder;
mod error;
mod event;
mod flat;
mod heartbeat;
mod java_hash;
mod message;
mod names;
mod options;
mod outbox;
mod partition;
mod records;
mod route;
mod row;
mod schema;
mod source;
mod table;
mod table_pattern;
mod transaction;
mod value;

pub use change::{Context, SnapshotMark};
pub use columns::{ColumnRules, HashAlgorithm, KeyRule, Mask, Names, Pattern, PatternError};
pub use details::{RelationDetails, TypeDetails, TypeKind};
pub use encoder::{Encoder, NEW_KEY_HEADER, OLD_KEY_HEADER, UNAVAILABLE_HEADER};
pub use error::{EncodeError, EncodeErrorKind};
pub use flat::{AddedField, Changes, Dropped, UnknownField, Unwrap};
pub use heartbeat::Heartbeat;
pub use java_hash::HashFunction;
pub use names::ambiguous_fields;
pub use options::{
    BinaryHandling, Compatibility, DecimalHandling, DeleteTombstoneHandling, FailureHandling,
    HstoreHandling, IntervalHandling, LogicalMessages, NameAdjustment, Options, SkippedOperations,
    TimePrecision, UnknownWord,
};
pub use outbox::{
    AdditionalField, InvalidOperation, JsonNulls, Outbox, OutboxFields, OutboxForm, Placement,
    may_be_header,
};
pub use partition::{PartitionField, PartitionRouting};
pub use records::{Headers, Operation, Record, Records};
pub use route::{Rewrite, Route, RouteKey};
pub use table::Table;
pub use table_pattern::TablePattern;
pub use value::{is_carried_as_text, is_left_out, is_maskable};
