//! The text of the replication commands ("Streaming Replication Protocol"), and quoting.
//!
//! Replication commands have no bind parameters, so every name goes through [`quote_identifier`]
//! and every literal through [`quote_literal`]. Which options are written follows the server's
//! version: an option a server does not know is an error there, so none is sent "to try".

use std::fmt::{self, Write as _};

use thiserror::Error;

/// A server's version as `server_version_num` counts it: 150018 is 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(u32);

impl ServerVersion {
    /// The oldest server that walferry works with.
    pub const OLDEST: ServerVersion = ServerVersion(140_000);

    /// From `server_version_num`.
    #[must_use]
    pub fn from_num(num: u32) -> Self {
        ServerVersion(num)
    }

    /// From the `server_version` parameter, as `15.18 (Debian 15.18-0+deb12u1)` or `19beta1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = leading_number(text)?;
        let minor = rest
            .strip_prefix('.')
            .and_then(leading_number)
            .map_or(0, |(minor, _)| minor);
        (major < 1000 && minor < 10_000).then_some(ServerVersion(major * 10_000 + minor))
    }

    /// As `server_version_num`.
    #[must_use]
    pub fn as_num(self) -> u32 {
        self.0
    }

    /// 15 for 15.18.
    #[must_use]
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major(), self.0 % 10_000)
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

/// Whether a slot outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotLife {
    /// It stays until it is dropped.
    Permanent,
    /// It goes with the connection; for previews.
    Temporary,
}

/// What happens to the snapshot that a new slot's consistent point has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// Exported under a name, good until this connection's next command.
    Export,
    /// Not kept.
    Nothing,
}

/// Whether standbys keep a copy of the slot (17 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// `FAILOVER true`.
    Synced,
    /// The slot is this server's alone.
    Off,
}

/// A logical slot to create, with the `pgoutput` plugin.
#[derive(Clone, Copy, Debug)]
pub struct NewSlot<'a> {
    /// Its name: `[a-z0-9_]`, at most 63.
    pub name: &'a str,
    /// Whether it stays.
    pub life: SlotLife,
    /// Its snapshot.
    pub snapshot: SlotSnapshot,
    /// Whether standbys keep it.
    pub failover: Failover,
}

/// A command that this server cannot take, found before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Slot names are stricter than identifiers.
    #[error("'{0}' is no slot name: use 1 to 63 of a-z, 0-9 and _")]
    SlotName(String),
    /// An option of later versions.
    #[error("failover slots need Postgres 17, the server is {0}: leave failover off")]
    NoFailover(ServerVersion),
    /// Servers before 14 have no `messages` option and are out of support.
    #[error("the server is Postgres {0}; walferry needs 14 or later")]
    TooOld(ServerVersion),
    /// Nothing to subscribe to.
    #[error("no publication was named")]
    NoPublication,
    /// No quoting can carry a NUL.
    #[error("a publication's name has a NUL byte inside")]
    Nul,
}

/// `IDENTIFY_SYSTEM`.
#[must_use]
pub fn identify_system() -> &'static str {
    "IDENTIFY_SYSTEM"
}

/// `CREATE_REPLICATION_SLOT`: options in parentheses from 15 on, as keywords before.
///
/// # Errors
/// A name that is no slot name, or an option newer than the server.
pub fn create_replication_slot(
    version: ServerVersion,
    slot: &NewSlot<'_>,
) -> Result<String, CommandError> {
    let mut text = format!("CREATE_REPLICATION_SLOT {}", slot_name(slot.name)?);
    if slot.life == SlotLife::Temporary {
        text.push_str(" TEMPORARY");
    }
    text.push_str(" LOGICAL pgoutput");
    if slot.failover == Failover::Synced && version.major() < 17 {
        return Err(CommandError::NoFailover(version));
    }
    if version.major() < 15 {
        text.push_str(match slot.snapshot {
            SlotSnapshot::Export => " EXPORT_SNAPSHOT",
            SlotSnapshot::Nothing => " NOEXPORT_SNAPSHOT",
        });
        return Ok(text);
    }
    text.push_str(match slot.snapshot {
        SlotSnapshot::Export => " (SNAPSHOT 'export'",
        SlotSnapshot::Nothing => " (SNAPSHOT 'nothing'",
    });
    if slot.failover == Failover::Synced {
        text.push_str(", FAILOVER true");
    }
    text.push(')');
    Ok(text)
}

/// `DROP_REPLICATION_SLOT name WAIT`: waits until no one uses it.
///
/// # Errors
/// A name that is no slot name.
pub fn drop_replication_slot(name: &str) -> Result<String, CommandError> {
    Ok(format!("DROP_REPLICATION_SLOT {} WAIT", slot_name(name)?))
}

/// `START_REPLICATION SLOT … LOGICAL start (…)` for pgoutput: whole committed transactions, text
/// format, logical messages included. `start` is an LSN in Postgres' own form.
///
/// `streaming` and `two_phase` are not written: they are off by default in every version, and a
/// server must not be asked for options it may not know.
///
/// # Errors
/// A server too old, no publication, or names that cannot be sent.
pub fn start_replication(
    version: ServerVersion,
    slot: &str,
    start: impl fmt::Display,
    publications: &[&str],
) -> Result<String, CommandError> {
    if version < ServerVersion::OLDEST {
        return Err(CommandError::TooOld(version));
    }
    if publications.is_empty() {
        return Err(CommandError::NoPublication);
    }
    if publications.iter().any(|name| name.contains('\0')) {
        return Err(CommandError::Nul);
    }
    // The value is a literal whose content is a list of identifiers: quoted twice.
    let names: Vec<String> = publications
        .iter()
        .map(|name| quote_identifier(name))
        .collect();
    let mut text = format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (",
        slot_name(slot)?
    );
    let _ = write!(
        text,
        "proto_version '1', publication_names {}, messages 'true', binary 'false')",
        quote_literal(&names.join(","))
    );
    Ok(text)
}

fn slot_name(name: &str) -> Result<String, CommandError> {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(legal) {
        return Err(CommandError::SlotName(name.escape_default().to_string()));
    }
    Ok(quote_identifier(name))
}

/// An SQL identifier, always in quotes ("Identifiers and Key Words").
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL literal for a session with `standard_conforming_strings`, which walferry pins, and for
/// replication commands, which know no backslash escapes.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const V14: ServerVersion = ServerVersion(140_023);
    const V15: ServerVersion = ServerVersion(150_018);
    const V17: ServerVersion = ServerVersion(170_010);

    #[test]
    fn versions_as_servers_write_them() {
        for (text, num) in [
            ("15.18 (Debian 15.18-0+deb12u1)", Some(150_018)),
            ("14.23", Some(140_023)),
            ("19beta1", Some(190_000)),
            ("18devel", Some(180_000)),
            ("", None),
            ("x15", None),
            ("99999999999", None),
        ] {
            assert_eq!(
                ServerVersion::parse(text).map(ServerVersion::as_num),
                num,
                "{text}"
            );
        }
        assert_eq!(V15.to_string(), "15.18");
    }

    #[test]
    fn slots_by_version() {
        let mut seen = String::new();
        for version in [V14, V15, V17] {
            for (life, snapshot, failover) in [
                (SlotLife::Permanent, SlotSnapshot::Export, Failover::Off),
                (SlotLife::Temporary, SlotSnapshot::Nothing, Failover::Off),
                (SlotLife::Permanent, SlotSnapshot::Nothing, Failover::Synced),
            ] {
                let slot = NewSlot {
                    name: "walferry_shop",
                    life,
                    snapshot,
                    failover,
                };
                match create_replication_slot(version, &slot) {
                    Ok(text) => seen.push_str(&text),
                    Err(error) => seen.push_str(&error.to_string()),
                }
                seen.push('\n');
            }
        }
        expect![[r#"
            CREATE_REPLICATION_SLOT "walferry_shop" LOGICAL pgoutput EXPORT_SNAPSHOT
            CREATE_REPLICATION_SLOT "walferry_shop" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT
            failover slots need Postgres 17, the server is 14.23: leave failover off
            CREATE_REPLICATION_SLOT "walferry_shop" LOGICAL pgoutput (SNAPSHOT 'export')
            CREATE_REPLICATION_SLOT "walferry_shop" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')
            failover slots need Postgres 17, the server is 15.18: leave failover off
            CREATE_REPLICATION_SLOT "walferry_shop" LOGICAL pgoutput (SNAPSHOT 'export')
            CREATE_REPLICATION_SLOT "walferry_shop" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')
            CREATE_REPLICATION_SLOT "walferry_shop" LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER true)
        "#]]
        .assert_eq(&seen);
    }

    #[test]
    fn publications_are_quoted_twice() {
        let text =
            start_replication(V15, "s", "0/15D68C50", &["plain", "we,ird 'Pub\" ☃"]).unwrap();
        expect![[r#"START_REPLICATION SLOT "s" LOGICAL 0/15D68C50 (proto_version '1', publication_names '"plain","we,ird ''Pub"" ☃"', messages 'true', binary 'false')"#]]
        .assert_eq(&text);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for slot in ["", "Shop", "shop-1", "s'", "s\"; DROP", &"a".repeat(64)] {
            assert!(
                matches!(
                    start_replication(V15, slot, "0/0", &["p"]),
                    Err(CommandError::SlotName(_))
                ),
                "{slot}"
            );
        }
        let old = ServerVersion(130_000);
        assert_eq!(
            start_replication(old, "s", "0/0", &["p"]),
            Err(CommandError::TooOld(old))
        );
        assert_eq!(
            start_replication(V15, "s", "0/0", &[]),
            Err(CommandError::NoPublication)
        );
        assert_eq!(
            start_replication(V15, "s", "0/0", &["a\0b"]),
            Err(CommandError::Nul)
        );
    }
}
