//! Where provisioned servers are kept between runs. One installer at a time, and an entry appears
//! only when it is whole.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::ServerError;
use super::process::is_root;

/// The cache: `WALFERRY_CACHE`, else `$XDG_CACHE_HOME/walferry`, else `~/.cache/walferry`. For root it
/// is `/var/cache/walferry`, since Postgres runs there as another user, who cannot enter root's home.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = set("WALFERRY_CACHE") {
        return dir;
    }
    if is_root() {
        return PathBuf::from("/var/cache/walferry");
    }
    if let Some(dir) = set("XDG_CACHE_HOME") {
        return dir.join("walferry");
    }
    set("HOME").map_or_else(
        || env::temp_dir().join("walferry-cache"),
        |home| home.join(".cache/walferry"),
    )
}

/// The directory `name` of the cache; `install` fills an empty one first if it is not there yet.
pub(super) fn entry(
    name: &str,
    install: impl FnOnce(&Path) -> Result<(), ServerError>,
) -> Result<PathBuf, ServerError> {
    let root = cache_dir();
    fs::create_dir_all(&root).map_err(ServerError::file(&root))?;
    let whole = root.join(name);
    if whole.exists() {
        return Ok(whole);
    }
    let lock_path = root.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(ServerError::file(&lock_path))?;
    lock.lock().map_err(ServerError::file(&lock_path))?;
    if whole.exists() {
        return Ok(whole); // another process installed it while we waited
    }
    let partial = root.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(ServerError::file(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(ServerError::file(&partial))?;
    install(&partial)?;
    fs::rename(&partial, &whole).map_err(ServerError::file(&whole))?;
    Ok(whole)
}

/// The entry if it is there already.
pub(super) fn existing(name: &str) -> Option<PathBuf> {
    Some(cache_dir().join(name)).filter(|dir| dir.exists())
}
