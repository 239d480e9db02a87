//! End-to-end tests on real servers, one behaviour a file. Run by `cargo xtask test`.

mod check;
mod committed_only;
mod copy_refused;
mod demo;
mod failover;
mod idle_advance;
mod kafka_absent;
mod kafka_outage;
mod large_transaction;
mod logical_messages;
mod new_table;
mod observation;
mod postgres_outage;
mod publication_dropped;
mod reader;
mod refusals;
mod restart_kill9;
mod run_until;
mod schema_change;
mod secrets;
mod servers;
mod shutdown;
mod snapshot;
mod takeover;
mod too_large;
mod types;
