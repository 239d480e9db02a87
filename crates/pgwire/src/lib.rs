//! The Postgres frontend/backend protocol v3, as much of it as logical replication needs.
//!
//! Bytes go in, frames and typed steps come out; the caller owns the socket and the clock. The
//! building of messages and the cryptography of SCRAM and md5 are `postgres-protocol`'s; what that
//! crate lacks (COPY both, replication commands) is here. What is *inside* a CopyData body belongs
//! to `pgoutput`: this crate knows no LSN, a position is text to it.
//!
//! ```text
//! socket bytes -> FrameBuffer -> Frame -> Handshake | SimpleQuery | CopyBoth -> typed step
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod body;
pub mod command;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod session;

pub use command::ServerVersion;
pub use error::{ServerError, Severity, SqlState, WireError};
pub use frame::{Frame, FrameBuffer, FrameSpan};
pub use handshake::{ChannelBinding, Greeting, Handshake, HandshakeError, Privacy};
pub use session::{CopyBoth, QueryStep, Rows, SimpleQuery, StreamItem};
