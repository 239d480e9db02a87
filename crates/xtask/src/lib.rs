//! Dev only: what the demo, the tests and the benchmarks share. Real servers come from here; nothing
//! in this crate is linked into walferry.

pub mod servers;

use std::path::{Path, PathBuf};

/// The directory of the workspace this crate was built in.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
