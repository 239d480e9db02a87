//! A record's identity, read back from its header: `epoch:LSN:ordinal`.

use std::fmt;

use pgoutput::Lsn;
use serde::{Serialize, Serializer};

/// Where a record stands in the history of one epoch: ordered as it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Where the commit record starts; or the last byte before a snapshot's point.
    pub lsn: u64,
    /// The record's number in the transaction.
    pub ordinal: u64,
}

/// The whole identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The life of the slot.
    pub epoch: u64,
    /// Where in it.
    pub position: Position,
}

impl Id {
    /// Reads what walferry writes, and nothing else: a header in another spelling is a stranger's.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, rest) = split(text, b':')?;
        let (lsn, ordinal) = split(rest, b':')?;
        let (high, low) = split(lsn, b'/')?;
        Some(Self {
            epoch: decimal(epoch)?,
            position: Position {
                lsn: hexadecimal(high)? << 32 | hexadecimal(low)?,
                ordinal: decimal(ordinal)?,
            },
        })
    }
}

impl Position {
    /// Names no commit record: those start at multiples of 8. Rows of a snapshot have such a name,
    /// and messages outside of transactions.
    #[must_use]
    pub fn is_last_byte(self) -> bool {
        self.lsn % 8 == 7
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { lsn, ordinal } = self.position;
        write!(f, "{}:{}:{ordinal}", self.epoch, Lsn::new(lsn))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, text)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

/// Half of an LSN, in capitals and without zeros in front.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 8 || (digits.len() > 1 && digits.first() == Some(&b'0'))
    {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_walferrys_own_spelling_is_read() {
        let id = Id::parse(b"7412345678901234567:0/16B3748:12").unwrap();
        assert_eq!(id.epoch, 7_412_345_678_901_234_567);
        assert_eq!(id.position.lsn, 0x16B_3748);
        assert_eq!(id.position.ordinal, 12);
        for strange in [
            "",
            "1",
            "1:0/1",
            "1:0/1:",
            ":0/1:0",
            "1:0/1:0:0",
            "1:01:0",
            "1:0/g:0",
            "1:0/a:0",
            "1:0/0A:0",
            "01:0/A:0",
            "1:0/A:-1",
            "1:0/A:+1",
            "18446744073709551616:0/A:1",
            "1:100000000/0:1",
            " 1:0/A:1",
        ] {
            assert_eq!(Id::parse(strange.as_bytes()), None, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(epoch: u64, lsn: u64, ordinal: u64) {
            let id = Id { epoch, position: Position { lsn, ordinal } };
            prop_assert_eq!(Id::parse(id.to_string().as_bytes()), Some(id));
        }

        #[test]
        fn nothing_else_is_taken(text in "[0-9A-Fa-f:/ ]{0,30}") {
            if let Some(id) = Id::parse(text.as_bytes()) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
