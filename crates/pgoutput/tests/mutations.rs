//! Damaged bytes: every prefix, every flipped byte, and a seeded run of random damage to golden
//! messages. Decoding returns, and says where; what it accepts is what would be encoded.

mod testdata;

use pgoutput::{CopyRow, Message, ServerMessage, StatusUpdate};
use testdata::golden;

/// Any seed finds the same on any machine; a failure prints its seed and round.
const SEEDS: [u64; 4] = [1, 2, 3, 20_261_123];
const ROUNDS: u32 = 50_000;

#[test]
fn every_prefix_is_refused() {
    for message in messages() {
        if Message::decode(&message).is_err() {
            continue;
        }
        for cut in 0..message.len() {
            let error = Message::decode(&message[..cut]).expect_err("a part of a message");
            assert!(error.offset <= cut, "{error}");
        }
    }
}

#[test]
fn every_flipped_byte_returns() {
    for mut message in messages() {
        for at in 0..message.len() {
            for flip in [0x01, 0x20, 0x80, 0xFF] {
                message[at] ^= flip;
                check(&message);
                message[at] ^= flip;
            }
        }
    }
}

#[test]
fn random_damage_returns() {
    let messages = messages();
    for seed in SEEDS {
        let mut random = Random(seed);
        for round in 0..ROUNDS {
            let mut bytes = messages[random.below(messages.len())].clone();
            for _ in 0..=random.below(4) {
                let other = &messages[random.below(messages.len())];
                random.damage(&mut bytes, other);
            }
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(
                checked.is_ok(),
                "seed {seed}, round {round}: {}",
                bytes.escape_ascii()
            );
        }
    }
}

/// Of one major, since they differ in little; refused ones are good seeds, too.
fn messages() -> Vec<Vec<u8>> {
    let mut files = golden(15);
    // Ten times the same refusal.
    files.retain(|file| file.scenario() != "streaming");
    let messages: Vec<_> = files.into_iter().flat_map(|file| file.messages).collect();
    assert!(messages.len() > 100);
    messages
}

/// Runs every decoder of the crate over the bytes.
fn check(bytes: &[u8]) {
    match Message::decode(bytes) {
        Ok(message) => {
            let mut again = Vec::new();
            message.encode(&mut again);
            assert_eq!(again, bytes, "{message:?}");
            // Walks all there is, through Debug.
            assert!(!format!("{message:?}").is_empty());
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
    for tag in [b'w', b'k', b'r'] {
        let mut tagged = vec![tag];
        tagged.extend_from_slice(bytes);
        let mut again = Vec::new();
        if let Ok(message) = ServerMessage::decode(&tagged) {
            message.encode(&mut again);
            assert_eq!(again, tagged);
        } else if let Ok(update) = StatusUpdate::decode(&tagged) {
            update.encode(&mut again);
            assert_eq!(again, tagged);
        }
    }
    let mut copy = CopyRow::new();
    let columns = u16::from(bytes.first().copied().unwrap_or(0) & 7);
    if let Ok(row) = copy.decode(bytes, columns) {
        assert_eq!(row.cells().count(), usize::from(columns));
    }
}

/// xorshift64*: reproducible, and no crate for it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("64 bits");
        usize::try_from((self.next() >> 16) % bound).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        const TELLING: &[u8] = b"\0\x01\x7F\x80\xFFNKOntubBCORYIUDTMSEcA\\\t\n";
        match self.below(3) {
            0 => self.next().to_be_bytes()[0],
            _ => TELLING[self.below(TELLING.len())],
        }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let byte = self.byte();
        match self.below(6) {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at),
            2 => bytes.extend_from_slice(&other[self.below(other.len() + 1)..]),
            3 if at + 4 <= bytes.len() => {
                let length = [0, 1, 0x7FFF_FFFF, u32::MAX, u32::from(self.byte())];
                let length = length[self.below(length.len())].to_be_bytes();
                bytes[at..at + 4].copy_from_slice(&length);
            }
            4 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
}
