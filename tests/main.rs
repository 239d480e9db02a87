//! End-to-end tests on real servers, one behaviour a file. Run by `cargo xtask test`.

mod reader;
mod servers;
