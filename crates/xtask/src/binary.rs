//! The walferry binary: built by the cargo that runs us, so that what is shown and measured is this
//! working tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::workspace_root;

/// Cargo's profiles that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

/// Builds `walferry` and returns its path. Cargo's progress goes to stderr as usual.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace_root()).args([
        "build",
        "--package",
        "walferry",
        "--bin",
        "walferry",
    ]);
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    let status = command.status().context("cannot start cargo")?;
    ensure!(
        status.success(),
        "walferry does not build; see cargo's messages above"
    );
    Ok(target_directory().join(directory).join("walferry"))
}

/// A command that runs it with nothing but its file to go by: what our own environment says by
/// `WALFERRY_*` and `PG*` is meant for us, or for the user's own servers.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("WALFERRY_") || text.starts_with("PG") {
            command.env_remove(&name);
        }
    }
    command
}

/// Cargo's target directory.
pub(crate) fn target_directory() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| workspace_root().join("target"))
}
