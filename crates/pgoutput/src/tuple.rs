//! A row's cells, as slices of the message (manual: "TupleData").

use alloc::vec::Vec;
use core::fmt;

use crate::cursor::{Cursor, put_counted};
use crate::error::{DecodeError, DecodeErrorKind};

/// The cells of one row, in the order of its Relation's columns.
///
/// Checked whole when it is decoded. `Debug` tells kinds and lengths, never values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    len: u16,
    /// As on the wire, without the count.
    bytes: &'a [u8],
}

/// One cell. `Debug` tells kind and length, never the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL; in a key tuple also "not part of the key, not sent".
    Null,
    /// A large value that the update did not touch and that is not in the WAL (TOAST).
    Unchanged,
    /// The type's text output, in the client encoding (UTF-8, but for `SQL_ASCII` any bytes).
    Text(&'a [u8]),
    /// The type's binary output.
    Binary(&'a [u8]),
}

impl<'a> Tuple<'a> {
    /// How many cells.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// True for a row of a table without columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// From the first to the last.
    #[inline]
    #[must_use]
    pub fn cells(&self) -> Cells<'a> {
        Cells {
            left: self.len,
            cursor: Cursor::new("TupleData", self.bytes),
        }
    }

    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
        let len = cursor.u16("number of columns")?;
        let start = *cursor;
        for _ in 0..len {
            Cell::read(cursor)?;
        }
        Ok(Tuple {
            len,
            bytes: cursor.since(&start),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(self.bytes);
    }

    /// `bytes` must hold `len` cells as on the wire.
    pub(crate) fn trusted(len: u16, bytes: &'a [u8]) -> Tuple<'a> {
        Tuple { len, bytes }
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cells()).finish()
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = Cell<'a>;
    type IntoIter = Cells<'a>;

    fn into_iter(self) -> Cells<'a> {
        self.cells()
    }
}

impl<'a> Cell<'a> {
    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Result<Cell<'a>, DecodeError> {
        let start = *cursor;
        match cursor.u8("cell kind")? {
            b't' => Ok(Cell::Text(cursor.counted("cell")?)),
            b'n' => Ok(Cell::Null),
            b'u' => Ok(Cell::Unchanged),
            b'b' => Ok(Cell::Binary(cursor.counted("cell")?)),
            tag => Err(start.error("cell kind", DecodeErrorKind::UnknownTag { tag })),
        }
    }
}

impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => write!(f, "Null"),
            Cell::Unchanged => write!(f, "Unchanged"),
            Cell::Text(value) => write!(f, "Text({} bytes)", value.len()),
            Cell::Binary(value) => write!(f, "Binary({} bytes)", value.len()),
        }
    }
}

/// Walks over a tuple's cells.
#[derive(Clone)]
pub struct Cells<'a> {
    left: u16,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Checked by `Tuple::read`, or written by `TupleBuf` or `CopyRow`: it does not end early.
        Cell::read(&mut self.cursor).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// Builds a [`Tuple`], to encode a change; its buffer is reused.
#[derive(Clone, Debug, Default)]
pub struct TupleBuf {
    len: u16,
    bytes: Vec<u8>,
}

impl TupleBuf {
    /// No cells yet.
    #[must_use]
    pub fn new() -> TupleBuf {
        TupleBuf::default()
    }

    /// Forgets the cells, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
        self.bytes.clear();
    }

    /// Adds a cell. Beyond 65,535 (Postgres' own limit is 1,600) it is left out.
    pub fn push(&mut self, cell: Cell<'_>) {
        let Some(len) = self.len.checked_add(1) else {
            return;
        };
        self.len = len;
        match cell {
            Cell::Null => self.bytes.push(b'n'),
            Cell::Unchanged => self.bytes.push(b'u'),
            Cell::Text(value) => {
                self.bytes.push(b't');
                put_counted(&mut self.bytes, value);
            }
            Cell::Binary(value) => {
                self.bytes.push(b'b');
                put_counted(&mut self.bytes, value);
            }
        }
    }

    /// The cells so far.
    #[must_use]
    pub fn tuple(&self) -> Tuple<'_> {
        Tuple::trusted(self.len, &self.bytes)
    }
}

impl<'c> FromIterator<Cell<'c>> for TupleBuf {
    fn from_iter<I: IntoIterator<Item = Cell<'c>>>(cells: I) -> TupleBuf {
        let mut buf = TupleBuf::new();
        cells.into_iter().for_each(|cell| buf.push(cell));
        buf
    }
}
