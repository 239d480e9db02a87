//! Dev only: the relay's world on virtual time. A fake walsender replays a log of transactions from
//! a slot, a fake Kafka takes records at its own pace and fails, walferry is killed and restarted,
//! and an oracle watches that every promise holds at every moment. A seed decides everything.
//!
//! ```text
//!   workload -> wal -> walsender -> [socket] -> relay (porch) -> broker -> oracle
//!                        slot   <- [socket] <- feedback          progress
//! ```
//!
//! What is real here is `relay` with `envelope` and `pgoutput`; sockets, librdkafka, Postgres and
//! Kafka themselves are the end-to-end tests' matter.

mod broker;
mod oracle;
mod plan;
mod porch;
mod random;
mod session;
mod wal;
mod walsender;
mod workload;
mod world;

pub use oracle::Violation;
pub use world::{Failure, Summary, live};
