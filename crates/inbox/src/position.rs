//! The header `walferry.id`: `epoch:LSN:ordinal`, such as `7412345678901234567:0/16B3748:0`.

use std::fmt;
use std::str::FromStr;

/// Where an event stands in the source: positions of one partition only grow, but for repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Of the connector's life; positions of different ones say nothing of each other.
    pub epoch: u64,
    /// Where the transaction's commit record starts in the WAL.
    pub lsn: u64,
    /// The event's number in its transaction.
    pub ordinal: u64,
}

/// A header of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header walferry.id is of the form epoch:LSN:ordinal, such as 7:0/16B3748:0")]
pub struct UnreadablePosition;

impl FromStr for Position {
    type Err = UnreadablePosition;

    fn from_str(text: &str) -> Result<Self, UnreadablePosition> {
        let mut parts = text.split(':');
        let (Some(epoch), Some(lsn), Some(ordinal), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(UnreadablePosition);
        };
        let (high, low) = lsn.split_once('/').ok_or(UnreadablePosition)?;
        let half = |text| u32::from_str_radix(text, 16).map_err(|_| UnreadablePosition);
        Ok(Self {
            epoch: epoch.parse().map_err(|_| UnreadablePosition)?,
            lsn: u64::from(half(high)?) << 32 | u64::from(half(low)?),
            ordinal: ordinal.parse().map_err(|_| UnreadablePosition)?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.lsn >> 32, self.lsn & 0xFFFF_FFFF);
        write!(f, "{}:{high:X}/{low:X}:{}", self.epoch, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_numbers_not_texts() {
        let position = |text: &str| text.parse::<Position>().unwrap();
        assert!(position("7:0/FF:10") > position("7:0/FF:9"));
        assert!(position("7:0/100:0") > position("7:0/FF:9"));
        assert!(position("7:10/0:0") > position("7:9/FFFFFFFF:0"));
        assert_eq!(position("7:A/16B3748:4").to_string(), "7:A/16B3748:4");
        for wrong in [
            "",
            "7:0:1",
            "7:0/0",
            "7:0/0:1:2",
            "x:0/0:1",
            "7:0/1FFFFFFFF:1",
        ] {
            assert_eq!(
                wrong.parse::<Position>(),
                Err(UnreadablePosition),
                "{wrong}"
            );
        }
    }
}
