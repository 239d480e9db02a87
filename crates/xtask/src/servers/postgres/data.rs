//! Data directories: one by initdb for each version, which takes seconds, and copies of it, which
//! take a fraction of one.

use std::path::Path;

use super::superuser::Account;
use super::{Binaries, Cluster};
use crate::servers::{ServerError, cache, process};

/// Makes `data` inside `directory`.
pub(super) fn make(
    cluster: Cluster,
    binaries: &Binaries,
    account: &Account,
    directory: &Path,
) -> Result<(), ServerError> {
    if cluster == Cluster::New {
        return initdb(binaries, account, directory);
    }
    let name = format!("postgres-data-{}-{}", binaries.version(), account.name());
    let template = cache::entry(&name, |partial| {
        account.own(partial)?;
        initdb(binaries, account, partial)
    })?;
    let mut copy = account.command(Path::new("cp"));
    copy.current_dir("/")
        .arg("-R")
        .arg(template.join("data"))
        .arg(directory);
    process::run(&mut copy, "copying the data directory")
}

fn initdb(binaries: &Binaries, account: &Account, directory: &Path) -> Result<(), ServerError> {
    let mut initdb = account.command(&binaries.program("initdb"));
    initdb
        .current_dir(directory)
        .arg("-D")
        .arg(directory.join("data"))
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
    process::run(&mut initdb, "making a data directory")
}
