//! Postgres refuses to run as root: when we are root, its programs run as somebody else.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::servers::{ServerError, process};

/// Whose processes and files the server's are.
#[derive(Debug, Clone)]
pub(super) enum Account {
    /// We are not root: ours.
    Ourselves,
    /// We are root: this unprivileged user's.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// Ourselves, or `postgres` where the machine has such a user, or `nobody`.
    pub(super) fn choose() -> Self {
        if !process::is_root() {
            return Self::Ourselves;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| in_passwd(&passwd, name))
            .unwrap_or(Self::Other {
                name: "nobody".to_owned(),
                uid: 65_534,
                gid: 65_534,
            })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Ourselves => "own",
            Self::Other { name, .. } => name,
        }
    }

    /// A command that runs under this account, without our libpq settings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for name in [
            "PGDATA",
            "PGPORT",
            "PGHOST",
            "PGUSER",
            "PGDATABASE",
            "PGOPTIONS",
        ] {
            command.env_remove(name);
        }
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid).env("HOME", "/");
        }
        command
    }

    /// Gives it a file or a directory.
    pub(super) fn own(&self, path: &Path) -> Result<(), ServerError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(ServerError::file(path))
            }
        }
    }
}

fn in_passwd(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other {
        name: name.to_owned(),
        uid,
        gid,
    })
}
