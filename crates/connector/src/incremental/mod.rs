//! Rows of tables while the stream goes on, for whoever asks for them.
//!
//! ```text
//!   signal ──> Request ──> reader: window, rows, watermark ──> [channel] ──> Incremental ──> Relay
//!   signal.rs   request.rs    reader.rs, under_way.rs,             hand_in.rs
//!                   │         chunks.rs, place.rs, table.rs             │
//!                   │                                                   │
//!                   └────────── progress topic <── what Kafka has ──────┘
//! ```
//!
//! One request is read at a time, table after table, chunk after chunk in the order of a key; several
//! at once, over a session each. Where a chunk's rows stand among the changes is the relay's
//! (`incremental.rs` there). What is noted of a request lets another run go on behind the last chunk up
//! to which Kafka has all.

mod beforehand;
mod chunks;
mod door;
mod hand_in;
mod place;
mod reader;
mod request;
mod table;
mod under_way;

pub use beforehand::objection;
pub use door::Direct;
pub use hand_in::{Incremental, ReadSettings};
pub use request::{Asked, Noted, Request, State};
