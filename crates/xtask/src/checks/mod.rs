//! `cargo xtask test`: everything CI runs, step by step, with what it needs provisioned.
//!
//! A step that fails does not hide the next ones, except where they need what it makes. Exit code 0
//! only when each step that was asked for has passed.

mod deny;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use xtask::servers::postgres::Binaries;
use xtask::servers::{KafkaOptions, KafkaServer, versions};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run these steps alone; may be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// Postgres' major version for the tests on real servers, 14 to 18
    #[arg(long, default_value_t = versions::POSTGRES_MAJOR_DEFAULT)]
    postgres: u32,
    /// Passed to the end-to-end tests: a filter, or `--nocapture`
    #[arg(last = true)]
    rest: Vec<String>,
}

/// In the order in which they run: the cheap and the strict first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Step {
    /// rustfmt
    Format,
    /// clippy over all targets, warnings denied
    Clippy,
    /// licences, sources, duplicate and vulnerable dependencies
    Deny,
    /// rustdoc, warnings denied
    Docs,
    /// unit, property and simulator tests, and the tidy test; no server
    Unit,
    /// each fuzz target for a few seconds
    Fuzz,
    /// the walferry binary, and the example in Rust
    Build,
    /// walferry's own tests against a real Postgres and a real Kafka
    Live,
    /// what walferry says of the cases in tests/oracle, against Debezium's records
    Oracle,
    /// the binary as a process between real servers
    E2e,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

enum Verdict {
    Passed,
    Failed(String),
    NotRun(&'static str),
}

/// Enough to find a shallow fault in each target; deep ones take `cargo xtask fuzz`.
const FUZZ_SECONDS: u32 = 10;

type StepResult = Result<(), Box<dyn Error>>;

/// Runs the steps and prints a summary.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let asked = |step: &Step| arguments.only.is_empty() || arguments.only.contains(step);
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(asked)
        .collect();
    let mut results: Vec<(Step, Verdict, Duration)> = Vec::new();
    for step in steps {
        let start = Instant::now();
        let unbuilt = |(step, verdict, _): &(Step, Verdict, Duration)| {
            *step == Step::Build && matches!(verdict, Verdict::Failed(_))
        };
        let needs_binary = matches!(step, Step::E2e | Step::Oracle);
        let verdict = if needs_binary && results.iter().any(unbuilt) {
            Verdict::NotRun("there is no binary to test")
        } else {
            eprintln!("\n==== {} ====", step.name());
            match run_step(step, arguments) {
                Ok(()) => Verdict::Passed,
                Err(error) => Verdict::Failed(error.to_string()),
            }
        };
        results.push((step, verdict, start.elapsed()));
    }
    summarise(&results)?;
    let all_passed = results
        .iter()
        .all(|(_, verdict, _)| matches!(verdict, Verdict::Passed));
    Ok(if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_step(step: Step, arguments: &Arguments) -> StepResult {
    match step {
        Step::Format => cargo(&["fmt", "--all", "--", "--check"]),
        Step::Clippy => cargo(&[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "--deny=warnings",
        ]),
        Step::Deny => deny::run(),
        Step::Docs => finish(
            // Private items too: these pages are read by who works on them.
            cargo_command(&["doc", "--locked", "--workspace", "--no-deps"])
                .arg("--document-private-items")
                .env("RUSTDOCFLAGS", "--deny=warnings"),
        ),
        Step::Unit => cargo(&["test", "--locked", "--no-fail-fast"]),
        Step::Fuzz => crate::fuzz::run_all(FUZZ_SECONDS),
        Step::Build => cargo(&[
            "build",
            "--locked",
            "--package=walferry",
            "--package=example-consumer",
        ]),
        Step::Live => live(arguments.postgres),
        Step::Oracle => crate::oracle::run_recorded(arguments.postgres),
        Step::E2e => end_to_end(arguments),
    }
}

/// The connector's `*_live` tests skip themselves unless they are told where servers are.
fn live(postgres: u32) -> StepResult {
    let binaries = Binaries::find(postgres)?;
    let kafka = KafkaServer::start(&KafkaOptions::default())?;
    let mut command = cargo_command(&["test", "--locked", "--package=walferry", "--tests"]);
    command
        .env("WALFERRY_TEST_POSTGRES_BIN", binaries.directory())
        .env("WALFERRY_TEST_KAFKA", kafka.bootstrap_servers());
    finish(&mut command)
}

fn end_to_end(arguments: &Arguments) -> StepResult {
    let mut command = cargo_command(&["test", "--locked", "--package=e2e"]);
    command.env(
        "WALFERRY_TEST_POSTGRES_MAJOR",
        arguments.postgres.to_string(),
    );
    finish(command.arg("--").args(&arguments.rest))
}

fn cargo(arguments: &[&str]) -> StepResult {
    finish(&mut cargo_command(arguments))
}

fn cargo_command(arguments: &[&str]) -> Command {
    // Cargo tells its children where it is: the same toolchain runs all steps.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(xtask::workspace_root());
    command
}

/// Runs it with its output shown.
fn finish(command: &mut Command) -> StepResult {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    Err(format!(
        "{} {} ended with {status}",
        program.display(),
        words.join(" ")
    )
    .into())
}

fn summarise(results: &[(Step, Verdict, Duration)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nstep      seconds  result")?;
    for (step, verdict, took) in results {
        let said = match verdict {
            Verdict::Passed => "ok".to_owned(),
            Verdict::Failed(why) => format!("FAILED: {why}"),
            Verdict::NotRun(why) => format!("not run: {why}"),
        };
        writeln!(
            out,
            "{:<9} {:>7.1}  {said}",
            step.name(),
            took.as_secs_f64()
        )?;
    }
    let passed = results
        .iter()
        .filter(|(_, verdict, _)| matches!(verdict, Verdict::Passed))
        .count();
    writeln!(out, "\n{passed} passed, {} failed", results.len() - passed)
}
