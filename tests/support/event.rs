//! One record of a topic as a test wants to see it.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A record, its key and value as bytes and as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The key; `None` for a keyless table.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its time, milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// All headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Event {
    /// The key as JSON; null without a key.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn key_json(&self) -> Value {
        self.key
            .as_deref()
            .map_or(Value::Null, |key| parse(key, "key"))
    }

    /// The value as JSON; null for a tombstone.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        self.value
            .as_deref()
            .map_or(Value::Null, |value| parse(value, "value"))
    }

    /// `c`, `u`, `d`, `t`, `r`, `m`; `tombstone` without a value.
    ///
    /// # Panics
    /// When the value is no envelope.
    #[must_use]
    pub fn operation(&self) -> String {
        if self.value.is_none() {
            return "tombstone".to_owned();
        }
        let value = self.json();
        value["op"]
            .as_str()
            .unwrap_or_else(|| panic!("no op in {value}"))
            .to_owned()
    }

    /// The header `walferry.id`.
    ///
    /// # Panics
    /// When the record has none, or it is not `epoch:LSN:ordinal`.
    #[must_use]
    pub fn id(&self) -> EventId {
        let header = self.headers.iter().find(|(name, _)| name == "walferry.id");
        let (_, id) = header.unwrap_or_else(|| panic!("no walferry.id on {self:?}"));
        let text = String::from_utf8_lossy(id);
        text.parse()
            .unwrap_or_else(|()| panic!("walferry.id {text} is not epoch:LSN:ordinal"))
    }

    /// The value's bytes without the time of processing, which alone may differ between repeats: the
    /// envelope ends with its own `ts_*` fields, after `source`.
    #[must_use]
    pub fn value_without_processing_time(&self) -> Option<&[u8]> {
        const FIELD: &[u8] = b"\"ts_ms\":";
        let value = self.value.as_deref()?;
        let last = value.windows(FIELD.len()).rposition(|bytes| bytes == FIELD);
        Some(&value[..last.unwrap_or(value.len())])
    }
}

fn parse(bytes: &[u8], what: &str) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{what} {}: {error}", String::from_utf8_lossy(bytes)))
}

/// A record's identity, ordered as it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Raised when the history starts anew.
    pub epoch: u64,
    /// The transaction's commit.
    pub lsn: u64,
    /// The record's place in its transaction.
    pub ordinal: u64,
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(());
        let (epoch, lsn, ordinal) = (next()?, next()?, next()?);
        let (high, low) = lsn.split_once('/').ok_or(())?;
        let hexadecimal = |part| u32::from_str_radix(part, 16).map(u64::from).map_err(|_| ());
        Ok(Self {
            epoch: epoch.parse().map_err(|_| ())?,
            lsn: hexadecimal(high)? << 32 | hexadecimal(low)?,
            ordinal: ordinal.parse().map_err(|_| ())?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{:X}/{:X}:{}",
            self.epoch,
            self.lsn >> 32,
            self.lsn & 0xffff_ffff,
            self.ordinal
        )
    }
}
