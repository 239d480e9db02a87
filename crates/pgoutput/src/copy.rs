//! One row of `COPY … TO STDOUT` in text format, as a [`Tuple`]: the snapshot's door, so that
//! behind it a snapshot's row and a streamed row are the same (manual: `COPY`, "Text Format").
//!
//! Only the default options are read: tab between columns, `\N` for NULL. The server sends one row
//! a CopyData message, with its line feed.

use alloc::vec::Vec;

use crate::cursor::Cursor;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::tuple::Tuple;

/// Reads COPY rows into one buffer, reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct CopyRow {
    /// Cells as in a TupleData message.
    bytes: Vec<u8>,
}

impl CopyRow {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> CopyRow {
        CopyRow::default()
    }

    /// Reads one row of `columns` columns, with or without its line feed. The count is needed: an
    /// empty line is one empty text, or the row of a table without columns.
    ///
    /// # Errors
    /// Another number of columns, a backslash sequence that the server does not write, or a line
    /// feed inside the row.
    pub fn decode(&mut self, line: &[u8], columns: u16) -> Result<Tuple<'_>, DecodeError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.bytes.clear();
        if columns == 0 && line.is_empty() {
            return Ok(Tuple::trusted(0, &self.bytes));
        }
        let mut cursor = Cursor::new("COPY row", line);
        let mut found = 0u16;
        loop {
            if found == columns {
                return Err(count(&cursor, columns, usize::from(found) + 1));
            }
            found += 1;
            let end = self.cell(&mut cursor)?;
            if end == End::Row {
                break;
            }
        }
        if found < columns {
            return Err(count(&cursor, columns, usize::from(found)));
        }
        Ok(Tuple::trusted(columns, &self.bytes))
    }

    /// Reads one cell and what ends it. Most cells have no escape and are copied in one piece.
    fn cell(&mut self, cursor: &mut Cursor<'_>) -> Result<End, DecodeError> {
        if let Some(rest) = cursor.rest().strip_prefix(b"\\N")
            && matches!(rest.first(), None | Some(b'\t'))
        {
            self.bytes.push(b'n');
            cursor.bytes(2, "NULL")?;
            return end(cursor);
        }
        self.bytes.extend_from_slice(&[b't', 0, 0, 0, 0]);
        let length_at = self.bytes.len() - 4;
        loop {
            let plain = copy_plain(cursor.rest(), &mut self.bytes);
            cursor.bytes(plain, "cell")?;
            if cursor.rest().first() != Some(&b'\\') {
                break;
            }
            self.bytes.push(escape(cursor)?);
        }
        self.set_length(length_at);
        end(cursor)
    }

    fn set_length(&mut self, length_at: usize) {
        let len = self.bytes.len().saturating_sub(length_at + 4);
        // A CopyData message is below 2 GiB, and unescaping only shortens.
        let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&len);
        }
    }
}

/// Appends the bytes before the first tab, backslash or line feed, and tells how many there are.
///
/// Most cells are a few bytes long: they are copied a word at a time while they are looked through.
#[inline]
fn copy_plain(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    for _ in 0..SHORT_WORDS {
        let Some((word, behind)) = rest.split_first_chunk::<8>() else {
            break;
        };
        let special = special(u64::from_le_bytes(*word));
        out.extend_from_slice(word);
        if special != 0 {
            let plain = special.trailing_zeros() as usize / 8;
            out.truncate(out.len() - word.len() + plain);
            return bytes.len() - rest.len() + plain;
        }
        rest = behind;
    }
    let plain = memchr::memchr3(b'\t', b'\\', b'\n', rest).unwrap_or(rest.len());
    out.extend_from_slice(rest.get(..plain).unwrap_or_default());
    bytes.len() - rest.len() + plain
}

/// So many words are looked through one by one; longer cells are left to the processor's wide registers.
const SHORT_WORDS: usize = 5;

/// A word whose lowest bit that is set is in the first byte that ends a run of plain ones; 0 without one.
#[inline]
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    // Bits above the lowest one may be of bytes that follow a match, and mean nothing.
    let is = |byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
    };
    is(b'\t') | is(b'\\') | is(b'\n')
}

#[derive(PartialEq, Eq)]
enum End {
    Cell,
    Row,
}

fn end(cursor: &mut Cursor<'_>) -> Result<End, DecodeError> {
    let start = *cursor;
    if cursor.rest().is_empty() {
        return Ok(End::Row);
    }
    match cursor.u8("delimiter")? {
        b'\t' => Ok(End::Cell),
        _ => Err(start.error("delimiter", DecodeErrorKind::LineFeed)),
    }
}

/// What `CopyAttributeOutText` writes, and no more: octal and hexadecimal are only for input.
fn escape(cursor: &mut Cursor<'_>) -> Result<u8, DecodeError> {
    let start = *cursor;
    cursor.u8("escape")?;
    Ok(match cursor.u8("escape")? {
        b'\\' => b'\\',
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0C,
        b'v' => 0x0B,
        escape => return Err(start.error("escape", DecodeErrorKind::UnknownEscape { escape })),
    })
}

#[cold]
fn count(cursor: &Cursor<'_>, expected: u16, found: usize) -> DecodeError {
    let expected = usize::from(expected);
    cursor.error("columns", DecodeErrorKind::ColumnCount { expected, found })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn plain_bytes_end_at_the_first_special_one_wherever_it_is() {
        for len in 0..80 {
            // Neighbours of the special ones, and their likes with the high bit.
            let plain = [b'a', 0x08, 0x0B, b'[', b']', 0x89, 0xDC, 0x8A, 0x00, 0xFF];
            let bytes: Vec<u8> = plain.iter().copied().cycle().take(len).collect();
            let mut out = vec![7];
            assert_eq!(copy_plain(&bytes, &mut out), len);
            assert_eq!(out.split_first(), Some((&7, &bytes[..])));
            for special in *b"\t\\\n" {
                for at in 0..len {
                    let mut bytes = bytes.clone();
                    bytes[at] = special;
                    if let Some(last) = bytes.last_mut() {
                        *last = special;
                    }
                    let mut out = Vec::new();
                    assert_eq!(copy_plain(&bytes, &mut out), at, "{len}");
                    assert_eq!(out, bytes[..at]);
                }
            }
        }
    }
}
