//! Dev only: what the demo, the tests and the benchmarks share. Real servers come from here; nothing
//! in this crate is linked into walferry.

pub mod servers;
