//! The messages that change a table: Insert, Update, Delete, Truncate.

use alloc::vec::Vec;
use core::fmt;

use crate::cursor::Cursor;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::tuple::Tuple;

type Result<T> = core::result::Result<T, DecodeError>;

/// A row was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The table's oid.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

impl<'a> Insert<'a> {
    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Insert<'a>> {
        let relation = cursor.u32("relation")?;
        Ok(Insert {
            relation,
            new: new_tuple(cursor)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relation.to_be_bytes());
        out.push(b'N');
        self.new.write(out);
    }
}

/// A row was updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The table's oid.
    pub relation: u32,
    /// The row before. With the default or an index identity it comes only when an identity column
    /// changed or is stored out of line: its presence does not prove that the key changed.
    pub old: Option<OldTuple<'a>>,
    /// The row after. Large untouched values are [`Cell::Unchanged`](crate::Cell::Unchanged).
    pub new: Tuple<'a>,
}

impl<'a> Update<'a> {
    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Update<'a>> {
        let relation = cursor.u32("relation")?;
        let old = match cursor.rest().first() {
            Some(b'N') => None,
            _ => Some(OldTuple::read(cursor)?),
        };
        Ok(Update {
            relation,
            old,
            new: new_tuple(cursor)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relation.to_be_bytes());
        if let Some(old) = &self.old {
            old.write(out);
        }
        out.push(b'N');
        self.new.write(out);
    }
}

/// A row was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The table's oid.
    pub relation: u32,
    /// The row before.
    pub old: OldTuple<'a>,
}

impl<'a> Delete<'a> {
    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Delete<'a>> {
        let relation = cursor.u32("relation")?;
        Ok(Delete {
            relation,
            old: OldTuple::read(cursor)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relation.to_be_bytes());
        self.old.write(out);
    }
}

/// A row as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// Only the replica identity's columns; all others are NULL, which means "not sent".
    Key(Tuple<'a>),
    /// The whole row (`REPLICA IDENTITY FULL`).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The cells, whichever they are.
    #[must_use]
    pub fn tuple(&self) -> Tuple<'a> {
        match *self {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => tuple,
        }
    }

    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Result<OldTuple<'a>> {
        let start = *cursor;
        match cursor.u8("tuple kind")? {
            b'K' => Tuple::read(cursor).map(OldTuple::Key),
            b'O' => Tuple::read(cursor).map(OldTuple::Full),
            tag => Err(start.error("tuple kind", DecodeErrorKind::UnknownTag { tag })),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(match self {
            OldTuple::Key(_) => b'K',
            OldTuple::Full(_) => b'O',
        });
        self.tuple().write(out);
    }
}

#[inline]
fn new_tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>> {
    let start = *cursor;
    match cursor.u8("tuple kind")? {
        b'N' => Tuple::read(cursor),
        tag => Err(start.error("tuple kind", DecodeErrorKind::UnknownTag { tag })),
    }
}

/// Tables were truncated by one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// `CASCADE` was said.
    pub cascade: bool,
    /// `RESTART IDENTITY` was said.
    pub restart_identity: bool,
    /// The tables' oids.
    pub relations: Oids<'a>,
}

const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;

impl<'a> Truncate<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Truncate<'a>> {
        let count = cursor.u32("number of relations")?;
        let flags = cursor.flags("flags", CASCADE | RESTART_IDENTITY)?;
        let len = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(4);
        Ok(Truncate {
            cascade: flags & CASCADE != 0,
            restart_identity: flags & RESTART_IDENTITY != 0,
            relations: Oids {
                bytes: cursor.bytes(len, "relations")?,
            },
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.relations.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        let cascade = if self.cascade { CASCADE } else { 0 };
        let restart_identity = if self.restart_identity {
            RESTART_IDENTITY
        } else {
            0
        };
        out.push(cascade | restart_identity);
        out.extend_from_slice(self.relations.bytes);
    }
}

/// Oids of tables, in the server's order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Oids<'a> {
    /// Four bytes each.
    bytes: &'a [u8],
}

impl<'a> Oids<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / 4
    }

    /// True for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// From the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|oid| u32::from_be_bytes(*oid))
    }
}

impl fmt::Debug for Oids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Builds [`Oids`], to encode a Truncate.
#[derive(Clone, Debug, Default)]
pub struct OidsBuf {
    bytes: Vec<u8>,
}

impl OidsBuf {
    /// The oids so far.
    #[must_use]
    pub fn oids(&self) -> Oids<'_> {
        Oids { bytes: &self.bytes }
    }
}

impl FromIterator<u32> for OidsBuf {
    fn from_iter<I: IntoIterator<Item = u32>>(oids: I) -> OidsBuf {
        OidsBuf {
            bytes: oids.into_iter().flat_map(u32::to_be_bytes).collect(),
        }
    }
}
