//! `cargo xtask`: the developer's commands. Each lives in a module of its own with its arguments and
//! a `run`; this file only names them.

mod bench;
mod binary;
mod capture;
mod checks;
mod demo;
mod foreground;
mod fuzz;
mod oracle;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "walferry's developer commands", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See it work: a real Postgres, an embedded broker, a shop, and events on screen
    Demo(demo::Arguments),
    /// Run everything that CI runs
    Test(checks::Arguments),
    /// Feed mutated bytes to everything that reads a peer's bytes
    Fuzz(fuzz::Arguments),
    /// Take the decoder's golden bytes from real servers of every major
    Capture(capture::Arguments),
    /// Start Postgres and Kafka, print their addresses, and keep them until Ctrl-C
    Servers(foreground::Arguments),
    /// Measure walferry beside `pg_recvlogical` and a tuned Debezium, on real servers
    Bench(bench::Arguments),
    /// Compare every record with what real Debezium says of the same SQL
    Oracle(oracle::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments).map_err(Into::into),
        Command::Test(arguments) => checks::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Capture(arguments) => capture::run(&arguments),
        Command::Servers(arguments) => foreground::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments).map_err(Into::into),
        Command::Oracle(arguments) => oracle::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, in one line; a cause that the line already tells is not said twice.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
