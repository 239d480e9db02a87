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
//! By `names.rs` and `origin.rs` a signal that comes a second time is known again; `stopping.rs` says what a stop
//! finds, `reading.rs` whether the reader is still there, and `telling.rs` how far it is.
//!
//! A request of the kind `blocking` takes another way: the loop makes a copy for it (`blocking.rs`, and
//! `copy/`), while `watch.rs` listens in the stream's place.
//!
//! One request is read at a time, table after table, chunk after chunk in the order of a key; several
//! at once, over a session each. Where a chunk's rows stand among the changes is the relay's
//! (`incremental.rs` there). What is noted of a request lets another run go on behind the last chunk up
//! to which Kafka has all.

mod asked;
mod beforehand;
mod blocking;
mod chunks;
mod door;
mod hand_in;
mod names;
mod origin;
mod place;
mod reader;
mod reading;
mod request;
mod stopping;
mod table;
mod telling;
mod under_way;
mod watch;

pub use beforehand::objection;
pub use door::Direct;
pub use hand_in::{Incremental, Left, ReadSettings};
pub use origin::{Record, over};
pub use request::{Asked, Noted, Request, State};
