//! Bit strings (Debezium manual, "Basic types": `BIT`, `BIT VARYING`): one bit is a boolean, more
//! are bytes with the last bit first, as many as the highest bit needs.

use super::ValueError;
use super::bytes::{PIECE, base64};
use crate::options::BinaryHandling;

/// `bit(1)`, `varbit(1)`. An empty `varbit(1)` is neither true nor false.
pub(super) fn bit(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    out.extend_from_slice(match text {
        b"1" => b"true",
        b"0" => b"false",
        b"" => b"null",
        _ => return Err(ValueError::Malformed),
    });
    Ok(())
}

/// Any other length.
pub(super) fn bits(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    if !text.iter().all(|bit| matches!(bit, b'0' | b'1')) {
        return Err(ValueError::Malformed);
    }
    let leading = text.iter().take_while(|bit| **bit == b'0').count();
    let significant = text.get(leading..).unwrap_or_default();
    out.push(b'"');
    for bits in significant.rchunks(8 * PIECE) {
        let mut piece = [0; PIECE];
        let bytes = bits.rchunks(8);
        let len = bytes.len();
        for (byte, bits) in piece.iter_mut().zip(bytes) {
            *byte = bits.iter().fold(0, |byte, bit| byte << 1 | (bit & 1));
        }
        let piece = piece.get(..len).unwrap_or_default();
        base64(piece, BinaryHandling::Bytes, out);
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let mut out = Vec::new();
        bits(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_bit_comes_first() {
        assert_eq!(of("101"), "\"BQ==\"");
        assert_eq!(of("100000001"), "\"AQE=\"");
        assert_eq!(of("110000000001"), "\"AQw=\"");
        assert_eq!(of("1000000000000000"), "\"AIA=\"");
        assert_eq!(of("000"), "\"\"");
        assert_eq!(of(""), "\"\"");
        // More than a piece: base64 must not be padded in the middle.
        let long = of(&"10".repeat(400));
        assert_eq!(long.len(), 136 + 2);
        assert_eq!(long.find('='), Some(135));
    }

    #[test]
    fn what_is_no_bit_is_refused() {
        assert_eq!(bits(b"102", &mut Vec::new()), Err(ValueError::Malformed));
        assert_eq!(bit(b"t", &mut Vec::new()), Err(ValueError::Malformed));
    }
}
