//! The Postgres edge against a real server: authentication, TLS, sessions, the stream.
//!
//! Skipped, and says so, unless `WALFERRY_TEST_POSTGRES_BIN` names a directory with `initdb` and
//! `postgres`. Each test starts a server of its own in a temporary directory.
#![allow(clippy::print_stdout, reason = "a skipped test must say so")]

#[path = "postgres_live/server.rs"]
mod server;

#[path = "postgres_live/authentication.rs"]
mod authentication;
#[path = "postgres_live/streaming.rs"]
mod streaming;
#[path = "postgres_live/values.rs"]
mod values;
