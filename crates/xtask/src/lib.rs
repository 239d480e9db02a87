//! Dev only: what the demo, the tests and the benchmarks share. Real servers come from here; nothing
//! in this crate is linked into walferry.

pub mod servers;

use std::path::PathBuf;

/// The directory of the workspace that cargo runs us in: the nearest with a lock file. (Where we
/// were built says less: several work trees may share a target directory.)
#[must_use]
pub fn workspace_root() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built, PathBuf::from);
    let root = here
        .ancestors()
        .find(|directory| directory.join("Cargo.lock").is_file());
    root.unwrap_or(&here).to_owned()
}
