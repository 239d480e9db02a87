//! `cargo xtask fuzz`: coverage-guided fuzzing on the stable toolchain.
//!
//! LLVM's coverage pass is asked for by stable flags, and libFuzzer comes with its crate; only the
//! address sanitizer would need nightly, and there is no unsafe code for it to watch.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use xtask::workspace_root;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets (files of crates/fuzz/targets); all when none is named
    targets: Vec<String>,
}

/// Edges counted inline, with comparisons traced, so that libFuzzer finds its way into them.
const COVERAGE: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Overflow and our own assertions count as findings.
    "-Cdebug-assertions",
];

/// Runs the targets one after the other; the first finding ends it with its input's path.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let targets = match arguments.targets.as_slice() {
        [] => all_targets()?,
        named => named.to_vec(),
    };
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    run_targets(&names, arguments.seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// All targets, `seconds` each.
pub(crate) fn run_all(seconds: u32) -> Result<(), Box<dyn Error>> {
    let targets = all_targets()?;
    let names: Vec<&str> = targets.iter().map(String::as_str).collect();
    run_targets(&names, seconds)
}

fn run_targets(targets: &[&str], seconds: u32) -> Result<(), Box<dyn Error>> {
    let directory = build()?;
    for target in targets {
        eprintln!("fuzzing {target} for {seconds} s");
        let found = work_directory().join("corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut command = Command::new(directory.join(target));
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!(
                "-artifact_prefix={}/{target}-",
                work_directory().display()
            ))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&found)
            .arg(workspace_root().join("crates/fuzz/corpus").join(target));
        finish(&mut command, target)?;
    }
    Ok(())
}

fn all_targets() -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace_root().join("crates/fuzz/targets"))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

/// Builds them instrumented, and returns where they are.
fn build() -> Result<PathBuf, Box<dyn Error>> {
    // With a target named, the flags reach the crates and not the build scripts.
    let host = host_triple()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            &host,
            "--target-dir",
        ])
        .arg(work_directory())
        .arg("--manifest-path")
        .arg(workspace_root().join("crates/fuzz/Cargo.toml"))
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    finish(&mut command, "the fuzz targets' build")?;
    Ok(work_directory().join(host).join("release"))
}

fn work_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| workspace_root().join("target"))
        .join("fuzz")
}

fn host_triple() -> Result<String, Box<dyn Error>> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

fn finish(command: &mut Command, what: &str) -> Result<(), Box<dyn Error>> {
    let status = command.current_dir(Path::new(&workspace_root())).status()?;
    if status.success() {
        return Ok(());
    }
    let kept = work_directory().display().to_string();
    Err(format!("{what} ended with {status}; an input that was found is kept in {kept}").into())
}
