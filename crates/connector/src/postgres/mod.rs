//! The Postgres edge: sockets, TLS, sessions. No change is decoded here and no position kept.
//!
//! ```text
//! conninfo ──> connect (transport, tls, pgwire's handshake) ──┬─> replication: session, stream
//!              passfile                                       └─> sql: tokio-postgres on the same
//!                                                                 session: one kept open
//! ```
//! Both kinds of session come from one [`connect`], so that the rules about passwords, TLS and
//! pinned settings exist once. Whether to try again after an error is `supervisor.rs`'s decision;
//! [`PostgresError::class`] is what the SQLSTATE alone says.

mod condition;
mod connect;
pub mod conninfo;
pub mod error;
mod paced;
pub mod pacing;
pub mod passfile;
mod pause;
mod pump;
mod replication;
pub mod running;
mod session;
pub mod slots;
pub mod sql;
mod stream;
mod tls;
mod transport;

pub use conninfo::Conninfo;
pub use error::{Class, PostgresError};
pub use replication::{CreatedSlot, ReplicationSession, SystemIdentity};
pub use session::CatalogSession;
pub use sql::SqlClient;
pub use stream::ReplicationStream;
