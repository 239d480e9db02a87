//! The `walferry` command: words in, an exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use connector::app;
use connector::cli::Cli;

// Also librdkafka's: a record is allocated in one thread and freed in another, where the C library's
// allocator makes the two wait for each other (docs/decisions/0005-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    app::main(Cli::parse()).into()
}
