//! Replication messages and pgoutput messages. What is accepted is what would be encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgoutput::{Message, ServerMessage, StatusUpdate};

fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::new();
    if let Ok(message) = Message::decode(bytes) {
        message.encode(&mut again);
        // The wire's empty schema name is pg_catalog, which a server never spells out.
        assert!(again == bytes || bytes.windows(11).any(|part| part == b"pg_catalog\0"));
        // Walks columns and cells.
        assert!(!format!("{message:?}").is_empty());
    }
    again.clear();
    if let Ok(message) = ServerMessage::decode(bytes) {
        message.encode(&mut again);
        assert_eq!(again, bytes);
        if let ServerMessage::WalData { payload, .. } = message {
            let _ = Message::decode(payload);
        }
    }
    again.clear();
    if let Ok(update) = StatusUpdate::decode(bytes) {
        update.encode(&mut again);
        assert_eq!(again, bytes);
    }
});
