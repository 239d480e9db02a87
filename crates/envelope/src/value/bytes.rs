//! `bytea`, from Postgres' hex form (manual: "bytea Hex Format"), and base64 as Jackson writes it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::ValueError;
use super::string::quoted;
use crate::options::BinaryHandling;

/// Bytes decoded at a time: a multiple of three, so that base64 pieces join without padding.
pub(super) const PIECE: usize = 48;

/// Appends the bytes that the text of a `bytea` spells.
pub(crate) fn raw_bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"\\x").ok_or(ValueError::Malformed)?;
    for pair in digits.chunks(2) {
        let &[high, low] = pair else {
            return Err(ValueError::Malformed);
        };
        let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(ValueError::Malformed);
        let byte = nibble(high)? << 4 | nibble(low)?;
        out.push(u8::try_from(byte).unwrap_or_default());
    }
    Ok(())
}

pub(super) fn bytea(
    text: &[u8],
    handling: BinaryHandling,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"\\x").ok_or(ValueError::Malformed)?;
    if digits.len() % 2 != 0 {
        return Err(ValueError::Malformed);
    }
    out.push(b'"');
    if handling == BinaryHandling::Hex {
        if !digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(ValueError::Malformed);
        }
        out.extend_from_slice(digits);
    } else {
        let mut piece = [0; PIECE];
        for digits in digits.chunks(2 * PIECE) {
            let mut len = 0;
            for (byte, pair) in piece.iter_mut().zip(digits.chunks_exact(2)) {
                let [high, low] = pair else { continue };
                *byte = nibble(*high)? << 4 | nibble(*low)?;
                len += 1;
            }
            base64(piece.get(..len).unwrap_or_default(), handling, out);
        }
    }
    out.push(b'"');
    Ok(())
}

/// What stands for an unavailable value.
pub(super) fn placeholder(mark: &[u8], handling: BinaryHandling, out: &mut Vec<u8>) -> Option<()> {
    match handling {
        BinaryHandling::Bytes => quoted_base64(mark, out),
        _ => quoted(String::from_utf8_lossy(mark).as_bytes(), out).ok()?,
    }
    Some(())
}

/// Appends bytes as a JSON string of base64, which is Connect's form of bytes.
pub(crate) fn quoted_base64(bytes: &[u8], out: &mut Vec<u8>) {
    quoted_bytes(bytes, BinaryHandling::Bytes, out);
}

/// Appends bytes as a JSON string in the chosen form.
pub(crate) fn quoted_bytes(bytes: &[u8], handling: BinaryHandling, out: &mut Vec<u8>) {
    out.push(b'"');
    if handling == BinaryHandling::Hex {
        for byte in bytes {
            out.extend([byte >> 4, byte & 0xf].map(hex_digit));
        }
    } else {
        for piece in bytes.chunks(PIECE) {
            base64(piece, handling, out);
        }
    }
    out.push(b'"');
}

pub(crate) fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

/// At most [`PIECE`] bytes.
pub(super) fn base64(bytes: &[u8], handling: BinaryHandling, out: &mut Vec<u8>) {
    let mut text = [0; PIECE / 3 * 4];
    let written = match handling {
        BinaryHandling::Base64UrlSafe => URL_SAFE.encode_slice(bytes, &mut text),
        _ => STANDARD.encode_slice(bytes, &mut text),
    };
    // The room is exact for a full piece, so there is no error to tell of.
    out.extend_from_slice(text.get(..written.unwrap_or(0)).unwrap_or_default());
}

pub(super) fn nibble(digit: u8) -> Result<u8, ValueError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ValueError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &[u8], handling: BinaryHandling) -> Result<String, ValueError> {
        let mut out = Vec::new();
        bytea(text, handling, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_mode() {
        let forms = [
            (BinaryHandling::Bytes, "\"+/8Q\""),
            (BinaryHandling::Base64, "\"+/8Q\""),
            (BinaryHandling::Base64UrlSafe, "\"-_8Q\""),
            (BinaryHandling::Hex, "\"fbff10\""),
        ];
        for (handling, expected) in forms {
            assert_eq!(json(b"\\xfbff10", handling).unwrap(), expected);
            assert_eq!(json(b"\\x", handling).unwrap(), "\"\"");
            for malformed in [&b"\\xf"[..], b"ff", b"\\xfg", b"", b"\\000"] {
                assert_eq!(json(malformed, handling), Err(ValueError::Malformed));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = json(format!("\\x{hex}").as_bytes(), BinaryHandling::Bytes).unwrap();
            prop_assert_eq!(STANDARD.decode(text.trim_matches('"')).unwrap(), bytes);
        }
    }
}
