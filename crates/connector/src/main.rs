//! The `walferry` command: words in, an exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use connector::app;
use connector::cli::Cli;

fn main() -> ExitCode {
    app::main(Cli::parse()).into()
}
