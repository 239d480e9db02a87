//! Support for the end-to-end tests. The behaviours are in the files beside this one, one each, and
//! make one binary (`main.rs`), so that they share a Kafka.

pub mod support;
