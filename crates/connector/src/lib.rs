//! The porch: the only room with sockets, a clock, threads, the environment and librdkafka.

pub mod admin;
pub mod cli;
pub mod config;
pub mod driver;
pub mod exit;
pub mod halt;
pub mod kafka;
pub mod postgres;
pub mod preflight;
pub mod secret;
pub mod supervisor;
pub mod telemetry;
