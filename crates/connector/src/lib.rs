//! The porch: the only room with sockets, a clock, threads, the environment and librdkafka.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod copy;
pub mod credentials;
pub mod driver;
pub mod end;
pub mod exit;
pub mod halt;
pub mod heartbeat;
pub mod kafka;
pub mod observer;
pub mod outbox_init;
pub mod ownership;
pub mod postgres;
pub mod preflight;
pub mod questions;
pub mod resume;
pub mod secret;
pub mod slot_watch;
pub mod start;
pub mod supervisor;
pub mod telemetry;
pub mod unpublished;
