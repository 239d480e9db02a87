//! `point`, and PostGIS' `geometry` and `geography` from their EWKB in hexadecimal (Debezium manual,
//! "PostGIS types"; PostGIS manual, `ST_AsEWKB`).

use super::ValueError;
use super::bytes::{PIECE, base64, nibble, quoted_base64};
use super::number::{float, write_integer};
use crate::options::BinaryHandling;

/// A well-known binary point in little-endian order, before its coordinates.
const WKB_POINT: [u8; 5] = [1, 1, 0, 0, 0];
/// Set in EWKB's type when a reference system follows.
const HAS_SRID: u32 = 0x2000_0000;

/// The zero of a NOT NULL geometry: an empty collection.
pub(super) const EMPTY: &[u8] = b"{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null}";

/// `(1,2.5)` with its coordinates as numbers and as well-known binary.
pub(super) fn point(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let inner = text
        .strip_prefix(b"(")
        .and_then(|text| text.strip_suffix(b")"))
        .ok_or(ValueError::Malformed)?;
    let comma = memchr::memchr(b',', inner).ok_or(ValueError::Malformed)?;
    let (x, y) = inner.split_at(comma);
    let y = y.get(1..).unwrap_or_default();
    out.extend_from_slice(b"{\"x\":");
    float(x, out)?;
    out.extend_from_slice(b",\"y\":");
    float(y, out)?;
    out.extend_from_slice(b",\"wkb\":");
    let mut wkb = [0; WKB_POINT.len() + 16];
    let bytes = WKB_POINT
        .into_iter()
        .chain(coordinate(x)?)
        .chain(coordinate(y)?);
    for (byte, value) in wkb.iter_mut().zip(bytes) {
        *byte = value;
    }
    quoted_base64(&wkb, out);
    out.extend_from_slice(b",\"srid\":null}");
    Ok(())
}

fn coordinate(text: &[u8]) -> Result<[u8; 8], ValueError> {
    let text = std::str::from_utf8(text).map_err(|_| ValueError::Malformed)?;
    let number: f64 = text.parse().map_err(|_| ValueError::Malformed)?;
    Ok(number.to_le_bytes())
}

/// A geometry's bytes, and its reference system where they name one.
pub(super) fn ewkb(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    if text.is_empty() {
        return Err(ValueError::Malformed);
    }
    let mut piece = [0; PIECE];
    let mut srid = None;
    out.extend_from_slice(b"{\"wkb\":\"");
    for (index, digits) in text.chunks(2 * PIECE).enumerate() {
        let mut len = 0;
        for (byte, pair) in piece.iter_mut().zip(digits.chunks(2)) {
            let [high, low] = pair else {
                return Err(ValueError::Malformed);
            };
            *byte = digit(*high)? << 4 | digit(*low)?;
            len += 1;
        }
        let bytes = piece.get(..len).unwrap_or_default();
        if index == 0 {
            srid = reference_system(bytes)?;
        }
        base64(bytes, BinaryHandling::Bytes, out);
    }
    out.extend_from_slice(b"\",\"srid\":");
    match srid {
        Some(srid) => write_integer(srid, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(())
}

/// PostGIS prints capitals.
fn digit(digit: u8) -> Result<u8, ValueError> {
    nibble(digit.to_ascii_lowercase())
}

fn reference_system(bytes: &[u8]) -> Result<Option<i32>, ValueError> {
    let (order, rest) = bytes.split_first().ok_or(ValueError::Malformed)?;
    let (kind, rest) = rest.split_first_chunk::<4>().ok_or(ValueError::Malformed)?;
    let little = *order == 1;
    let kind = match little {
        true => u32::from_le_bytes(*kind),
        false => u32::from_be_bytes(*kind),
    };
    if kind & HAS_SRID == 0 {
        return Ok(None);
    }
    let (srid, _) = rest.split_first_chunk::<4>().ok_or(ValueError::Malformed)?;
    Ok(Some(match little {
        true => i32::from_le_bytes(*srid),
        false => i32::from_be_bytes(*srid),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_its_coordinates_twice() {
        let mut out = Vec::new();
        point(b"(1,2.5)", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"x\":1.0,\"y\":2.5,\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAARA\",\"srid\":null}"
        );
        for wrong in ["", "1,2", "(1)", "(1,2", "(a,b)", "(1,2,3)"] {
            assert!(point(wrong.as_bytes(), &mut Vec::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_ewkb_is_refused() {
        for wrong in ["", "01", "0101000", "010100002000", "xx01000000"] {
            assert!(ewkb(wrong.as_bytes(), &mut Vec::new()).is_err(), "{wrong}");
        }
        let mut out = Vec::new();
        ewkb(b"0020000001000010E6", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"wkb\":\"ACAAAAEAABDm\",\"srid\":4326}"
        );
    }
}
