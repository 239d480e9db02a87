//! `.pgpass` ("The Password File"): `hostname:port:database:username:password`, first match wins.
//!
//! As libpq, a file that others may read is passed over with a warning; and so is one that cannot
//! be read, for a password may not be needed at all.

use std::fs;
use std::io;
use std::path::Path;

use tracing::warn;
use zeroize::Zeroizing;

use super::conninfo::{Address, Host};
use crate::secret::Secret;

/// Larger files are no password files.
const SIZE_MAX: u64 = 1 << 20;

/// Looks up the password for one host.
#[must_use]
pub fn lookup(path: &Path, host: &Host, dbname: &str, user: &str) -> Option<Secret> {
    match read(path) {
        Ok(text) => find(&text, host, dbname, user),
        Err(Unusable::Missing) => None,
        Err(Unusable::Because(reason)) => {
            warn!(path = %path.display(), reason, "the password file is not used");
            None
        }
    }
}

enum Unusable {
    Missing,
    Because(&'static str),
}

fn read(path: &Path) -> Result<Zeroizing<String>, Unusable> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unusable::Missing,
        _ => Unusable::Because("it cannot be read"),
    })?;
    if !metadata.is_file() {
        return Err(Unusable::Because("it is not a plain file"));
    }
    if metadata.len() > SIZE_MAX {
        return Err(Unusable::Because("it is larger than 1 MiB"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Unusable::Because("others may read it: chmod 600"));
        }
    }
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|_| Unusable::Because("it cannot be read"))
}

fn find(text: &str, host: &Host, dbname: &str, user: &str) -> Option<Secret> {
    // A socket in its default directory is called localhost in password files.
    let name = match &host.address {
        Address::UnixDirectory(directory)
            if directory == Path::new("/var/run/postgresql") || directory == Path::new("/tmp") =>
        {
            "localhost"
        }
        _ => host.name.as_str(),
    };
    let port = host.port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for wanted in [name, &port, dbname, user] {
                let (field, after) = field(rest)?;
                if field != "*" && unescaped(field) != wanted {
                    return None;
                }
                rest = after;
            }
            // The password may not have its colons escaped.
            Some(Secret::new(unescaped(
                field(rest).map_or(rest, |(password, _)| password),
            )))
        })
}

/// Up to the next colon that no backslash protects; `None` without one.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((&text[..index], &text[index + 1..])),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        let address = if name.starts_with('/') {
            Address::UnixDirectory(name.into())
        } else {
            Address::Lookup
        };
        Host {
            name: name.to_owned(),
            address,
            port,
        }
    }

    #[test]
    fn the_first_matching_line_wins() {
        let text = "# localhost:5432:shop:walferry:commented\n\
                    broken line\n\
                    db.example:5433:shop:walferry:one\n\
                    db.example:*:shop:walferry:two\n\
                    ::1:5432:x:y:unescaped-colons\n\
                    \\:\\:1:5432:*:*:v6\\:pass\\\\word\n\
                    localhost:*:*:*:socket\n\
                    *:*:*:other\\:user:star";
        for (name, port, dbname, user, password) in [
            ("db.example", 5433, "shop", "walferry", Some("one")),
            ("db.example", 5432, "shop", "walferry", Some("two")),
            ("db.example", 5432, "shopping", "walferry", None),
            ("::1", 5432, "a", "b", Some("v6:pass\\word")),
            ("/var/run/postgresql", 5432, "a", "b", Some("socket")),
            ("/srv/sockets", 5432, "a", "other:user", Some("star")),
        ] {
            let found = find(text, &host(name, port), dbname, user);
            assert_eq!(
                found.as_ref().map(Secret::expose),
                password,
                "{name} {dbname} {user}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("walferry-pgpass-{}", std::process::id()));
        fs::write(&path, "*:*:*:*:secret\n").unwrap();
        for (mode, usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = lookup(&path, &host("h", 1), "d", "u");
            assert_eq!(found.is_some(), usable, "{mode:o}");
        }
        fs::remove_file(&path).unwrap();
        assert!(lookup(&path, &host("h", 1), "d", "u").is_none());
    }
}
