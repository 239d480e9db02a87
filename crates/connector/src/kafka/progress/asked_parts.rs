//! How far the copy of each table has come that a blocking request asked for, kept beside the progress as
//! that of the first copy is (`parts.rs`), with the request that it belongs to: what is left of another is
//! never taken for it.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::note_key::NoteKey;
use crate::copy::Part;

/// Between the slot and the table.
const KEY: NoteKey = NoteKey(b'!');

/// The request that a note belongs to: its id, and where it was asked for.
pub type RequestKey = (String, String);

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedPart {
    /// Whose it is.
    pub of: RequestKey,
    /// How far the table's copy has come.
    pub part: Part,
}

/// The record's key; the table is `schema.table`.
pub(super) fn key(slot: &str, table: &str) -> Vec<u8> {
    KEY.of(slot, table)
}

/// The table that a key is about, if it is one of `slot`.
pub(super) fn table_of<'a>(slot: &[u8], key: &'a [u8]) -> Option<&'a str> {
    KEY.name(slot, key)
}

/// The record's value.
pub(super) fn encode(slot: &str, (request, at): &RequestKey, part: &Part) -> Vec<u8> {
    let value = Value {
        format: FORMAT,
        slot: slot.to_owned(),
        request: request.clone(),
        at: at.clone(),
        part: part.clone(),
    };
    // Numbers and text only: there is nothing here that JSON could refuse.
    serde_json::to_vec(&value).unwrap_or_default()
}

/// What a value tells; nothing, if it is not understood: then the table is read from its beginning.
pub(super) fn decode(value: &[u8]) -> Option<AskedPart> {
    let value: Value = serde_json::from_slice(value).ok()?;
    (value.format == FORMAT).then_some(AskedPart {
        of: (value.request, value.at),
        part: value.part,
    })
}

#[derive(Serialize, Deserialize)]
struct Value {
    format: u64,
    slot: String,
    request: String,
    at: String,
    #[serde(flatten)]
    part: Part,
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::copy::Done;

    #[test]
    fn the_format_is_stable() {
        let done: Done = serde_json::from_str("[[0,2048]]").unwrap();
        let part = Part {
            storage: "1f".to_owned(),
            point: "0/16B3748".parse().unwrap(),
            since: 735,
            done,
        };
        let of = ("x".to_owned(), "0/16B3700".to_owned());
        let value = encode("shop", &of, &part);
        expect![[r#"{"format":1,"slot":"shop","request":"x","at":"0/16B3700","storage":"1f","point":"0/16B3748","since":735,"done":[[0,2048]]}"#]]
            .assert_eq(std::str::from_utf8(&value).unwrap());
        assert_eq!(decode(&value), Some(AskedPart { of, part }));
        assert_eq!(decode(b"{}"), None);
        let made = key("shop", "public.users");
        assert_eq!(table_of(b"shop", &made), Some("public.users"));
        assert_eq!(table_of(b"shop", b"shop:public.users"), None);
        assert_eq!(table_of(b"shop_2", &made), None);
    }
}
