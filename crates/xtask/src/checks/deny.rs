//! `cargo deny`, installed into the cache at its pinned version when it is not there.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use xtask::servers::{cache_dir, versions};

use super::{StepResult, cargo_command, finish};

pub(super) fn run() -> StepResult {
    let program = installed()?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--locked", "--all-features"]).args(arguments);
        command.current_dir(xtask::workspace_root());
        command
    };
    // It finds `.cargo/deny.toml` by itself.
    finish(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    // The advisory database is a repository; where that cannot be reached, the rest still counts.
    let fetched = deny(&["fetch", "db"]).stderr(Stdio::null()).status()?;
    if !fetched.success() {
        eprintln!("The advisory database cannot be fetched here: advisories were not checked.");
        return Ok(());
    }
    finish(&mut deny(&["check", "--disable-fetch", "advisories"]))
}

fn installed() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let root = cache_dir().join(format!("cargo-deny-{}", versions::CARGO_DENY));
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!(
            "installing cargo-deny {} into {}",
            versions::CARGO_DENY,
            root.display()
        );
        let package = format!("cargo-deny@{}", versions::CARGO_DENY);
        let mut install = cargo_command(&["install", "--quiet", "--locked", &package, "--root"]);
        finish(install.arg(&root))?;
    }
    Ok(program)
}
