//! Positions in the write-ahead log, and the three meanings that must not be mixed up.
//!
//! There is no arithmetic on an [`Lsn`] but the distance between two of them, for lag.

use core::fmt;
use core::str::FromStr;
use thiserror::Error;

/// A byte position in the write-ahead log (manual: "`pg_lsn` Type").
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// `0/0`: Postgres' "no position".
    pub const ZERO: Lsn = Lsn(0);

    /// The position that many bytes from the start of the log.
    #[must_use]
    pub const fn new(position: u64) -> Lsn {
        Lsn(position)
    }

    /// Bytes from the start of the log.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// How many bytes this position is ahead of `earlier`; 0 when it is not ahead.
    #[must_use]
    pub const fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// As Postgres 14 to 18 print it: two hexadecimal halves in capitals, unpadded.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an LSN: write two hexadecimal numbers of at most 8 digits with a slash between")]
pub struct ParseLsnError;

impl FromStr for Lsn {
    type Err = ParseLsnError;

    /// Reads what Postgres' `pg_lsn` reads: either case, with or without leading zeros.
    fn from_str(text: &str) -> Result<Lsn, ParseLsnError> {
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        Ok(Lsn((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}

fn half(digits: &str) -> Result<u32, ParseLsnError> {
    // from_str_radix would also take a sign.
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ParseLsnError);
    }
    u32::from_str_radix(digits, 16).map_err(|_| ParseLsnError)
}

macro_rules! meaning {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Lsn);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

meaning! {
    /// Where a transaction's commit record *starts*: `final_lsn` of Begin, `commit_lsn` of Commit.
    /// It names the transaction and orders transactions; confirming it would bring it again.
    CommitLsn
}
meaning! {
    /// Where a transaction's commit record *ends*, plus one: `end_lsn` of Commit. Confirming it
    /// tells the slot that the transaction need not come again.
    EndLsn
}
meaning! {
    /// How far the walsender has decoded, told by a keepalive. It can go backwards after a
    /// reconnect, and may be confirmed only when everything received before it is durable.
    KeepaliveLsn
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn prints_and_reads_as_postgres_does() {
        for (text, position) in [
            ("0/0", 0),
            ("16/B374D848", 0x16_B374_D848),
            ("0/1724238", 0x172_4238),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
            ("1/0", 1 << 32),
        ] {
            assert_eq!(Lsn::new(position).to_string(), text);
            assert_eq!(text.parse(), Ok(Lsn::new(position)));
        }
        assert_eq!("00000016/b374d848".parse(), Ok(Lsn::new(0x16_B374_D848)));
    }

    #[test]
    fn refuses_what_pg_lsn_refuses() {
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            "G/0",
            "+1/0",
            "-1/0",
            " 1/0",
            "123456789/0",
        ] {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError), "{text:?}");
        }
    }

    #[test]
    fn distance_is_never_negative() {
        assert_eq!(Lsn::new(10).bytes_since(Lsn::new(4)), 6);
        assert_eq!(Lsn::new(4).bytes_since(Lsn::new(10)), 0);
    }
}
