//! What was asked for while the stream goes on, kept beside the progress: written to the same partition by
//! the same producer, ahead of the position of the signal that asked for it.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::note_key::NoteKey;
use crate::incremental::Request;

/// Between the slot and the request's id.
const KEY: NoteKey = NoteKey(b'?');

/// The record's key.
pub(super) fn key(slot: &str, id: &str) -> Vec<u8> {
    KEY.of(slot, id)
}

/// The id that a key is about, if it is one of `slot`.
pub(super) fn id_of<'a>(slot: &[u8], key: &'a [u8]) -> Option<&'a str> {
    KEY.name(slot, key)
}

/// The record's value.
pub(super) fn encode(slot: &str, request: &Request) -> Vec<u8> {
    let (format, slot, request) = (FORMAT, slot.to_owned(), request.clone());
    let value = Value {
        format,
        slot,
        request,
    };
    // Numbers and text only: there is nothing here that JSON could refuse.
    serde_json::to_vec(&value).unwrap_or_default()
}

/// What a value tells; nothing, if it is not understood: then it has to be asked for again.
pub(super) fn decode(value: &[u8]) -> Option<Request> {
    let value: Value = serde_json::from_slice(value).ok()?;
    (value.format == FORMAT).then_some(value.request)
}

#[derive(Serialize, Deserialize)]
struct Value {
    format: u64,
    slot: String,
    request: Request,
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::signal::Wanted;

    #[test]
    fn the_format_is_stable() {
        let wanted = Wanted {
            collections: vec!["public.a".to_owned()],
            ..Wanted::default()
        };
        let mut request = Request::new("x".to_owned(), "0/16B3748".to_owned(), wanted);
        request.tables = Some(request.collections.clone());
        request.after = Some(vec!["7".to_owned()]);
        let value = encode("shop", &request);
        expect![[r#"{"format":1,"slot":"shop","request":{"id":"x","at":"0/16B3748","collections":["public.a"],"state":"running","paused":false,"tables":["public.a"],"after":["7"],"rows":0,"chunks":0}}"#]]
            .assert_eq(std::str::from_utf8(&value).unwrap());
        assert_eq!(decode(&value), Some(request));
        assert_eq!(decode(b"{}"), None);
        let made = key("shop", "x");
        assert_eq!(id_of(b"shop", &made), Some("x"));
        assert_eq!(id_of(b"shop_2", &made), None);
    }
}
