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
        self.bytes.push(b't');
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        loop {
            let rest = cursor.rest();
            let plain = memchr::memchr3(b'\t', b'\\', b'\n', rest).unwrap_or(rest.len());
            self.bytes.extend_from_slice(cursor.bytes(plain, "cell")?);
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
