//! What is inside the CopyData messages of a logical replication stream: LSNs, the stream's own
//! messages, and the messages of the pgoutput plugin, protocol version 1. Decode and encode stand
//! side by side; the product decodes, tests and the fake walsender encode.
//!
//! ```text
//! CopyData body --ServerMessage::decode--> WalData { payload } --Message::decode--> Insert { new }
//!                                     \--> Keepalive                                        |
//! COPY TEXT line ------------------------CopyRow::decode----------------------------> Tuple cells
//! ```
//!
//! Decoding copies nothing and allocates nothing: names and cells are slices of the input. A
//! message is checked whole when it is decoded, so that walking it afterwards cannot fail. Bytes of
//! the peer never cause a panic; every error names message, field and offset, and no row value.
//!
//! Not here: frames and COPY states (`pgwire`), the grammar across messages (a change needs its
//! Relation and its Begin: `relay`), what a cell's text means (`envelope`). The messages of
//! `streaming` are refused by name, since walferry never asks for them; those of `two_phase` are a slot's own.
//!
//! Manual: "Logical Streaming Replication Protocol" and "Logical Replication Message Formats".

#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

extern crate alloc;

mod change;
pub mod copy;
mod cursor;
mod error;
mod lsn;
mod message;
mod prepared;
mod relation;
mod stream;
mod transaction;
mod tuple;

pub use change::{Delete, Insert, Oids, OidsBuf, OldTuple, Truncate, Update};
pub use copy::CopyRow;
pub use error::{DecodeError, DecodeErrorKind};
pub use lsn::{CommitLsn, EndLsn, KeepaliveLsn, Lsn, ParseLsnError};
pub use message::Message;
pub use prepared::{Prepared, RollbackPrepared};
pub use relation::{Columns, ColumnsBuf, Relation, RelationColumn, ReplicaIdentity, TypeName};
pub use stream::{PgTimestamp, ServerMessage, StatusUpdate};
pub use transaction::{Begin, Commit, LogicalMessage, Origin};
pub use tuple::{Cell, Cells, Tuple, TupleBuf};
