//! Which topics this slot's records have gone to, kept beside its progress.
//!
//! A topic that is missing was either never made, and is made, or it was deleted with all that it
//! held, and is not made again as if nothing had happened. Kafka does not tell the two apart; so
//! each topic has a record of its own, written once, before the first row goes to the topic. It
//! goes to the same partition by the same producer as the progress does: whatever progress is
//! stored, the topics that it tells of are stored before it.

use serde::Serialize;

use super::FORMAT;
use super::note_key::NoteKey;

/// Between the slot and the topic.
const KEY: NoteKey = NoteKey(b'/');

/// The record's key.
pub(super) fn key(slot: &str, topic: &str) -> Vec<u8> {
    KEY.of(slot, topic)
}

/// The topic that a key is about, if it is one of `slot`.
pub(super) fn topic_of<'a>(slot: &[u8], key: &'a [u8]) -> Option<&'a str> {
    KEY.name(slot, key)
}

/// The record's value; only that there is one counts.
pub(super) fn value(slot: &str, topic: &str) -> Vec<u8> {
    let value = Value {
        format: FORMAT,
        slot,
        topic,
    };
    // Numbers and text only: there is nothing here that JSON could refuse.
    serde_json::to_vec(&value).unwrap_or_default()
}

#[derive(Serialize)]
struct Value<'a> {
    format: u64,
    slot: &'a str,
    topic: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_one_slot() {
        let made = key("shop", "shop.public.users");
        assert_eq!(made, b"shop/shop.public.users");
        assert_eq!(topic_of(b"shop", &made), Some("shop.public.users"));
        assert_eq!(topic_of(b"shop", b"shop"), None);
        assert_eq!(topic_of(b"shop", &key("shop_2", "users")), None);
        assert_eq!(topic_of(b"shop_2", &made), None);
        let value = value("shop", "users");
        assert_eq!(value, br#"{"format":1,"slot":"shop","topic":"users"}"#);
    }
}
