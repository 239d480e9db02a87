//! How far the copy of each table has come, kept beside the progress while the copy is under way:
//! written when Kafka has a piece, taken back when the whole copy is stored as finished. Written to the
//! same partition by the same producer as the progress.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::note_key::NoteKey;
use crate::copy::Part;

/// Between the slot and the table.
const KEY: NoteKey = NoteKey(b':');

/// The record's key; the table is `schema.table`.
pub(super) fn key(slot: &str, table: &str) -> Vec<u8> {
    KEY.of(slot, table)
}

/// The table that a key is about, if it is one of `slot`.
pub(super) fn table_of<'a>(slot: &[u8], key: &'a [u8]) -> Option<&'a str> {
    KEY.name(slot, key)
}

/// The record's value.
pub(super) fn encode(slot: &str, part: &Part) -> Vec<u8> {
    let (format, slot, part) = (FORMAT, slot.to_owned(), part.clone());
    // Numbers and text only: there is nothing here that JSON could refuse.
    serde_json::to_vec(&Value { format, slot, part }).unwrap_or_default()
}

/// What a value tells; nothing, if it is not understood: then the table is copied from its beginning.
pub(super) fn decode(value: &[u8]) -> Option<Part> {
    let value: Value = serde_json::from_slice(value).ok()?;
    (value.format == FORMAT).then_some(value.part)
}

#[derive(Serialize, Deserialize)]
struct Value {
    format: u64,
    slot: String,
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
        let done: Done = serde_json::from_str("[[0,2048],[4096,4294967295]]").unwrap();
        let storage = "1f".to_owned();
        let (point, since) = ("0/16B3748".parse().unwrap(), 735);
        let part = Part {
            storage,
            point,
            since,
            done,
        };
        let value = encode("shop", &part);
        expect![[r#"{"format":1,"slot":"shop","storage":"1f","point":"0/16B3748","since":735,"done":[[0,2048],[4096,4294967295]]}"#]]
            .assert_eq(std::str::from_utf8(&value).unwrap());
        assert_eq!(decode(&value), Some(part));
        assert_eq!(decode(b"{}"), None);
    }

    #[test]
    fn keys_are_of_one_slot() {
        let made = key("shop", "public.users");
        assert_eq!(made, b"shop:public.users");
        assert_eq!(table_of(b"shop", &made), Some("public.users"));
        assert_eq!(table_of(b"shop_2", &made), None);
        assert_eq!(table_of(b"shop", b"shop/shop.public.users"), None);
    }
}
