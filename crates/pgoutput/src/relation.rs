//! What the stream says about a table and its types before their first use.

use alloc::vec::Vec;
use core::fmt;

use crate::cursor::{Cursor, put_string};
use crate::error::{DecodeError, DecodeErrorKind};

type Result<T> = core::result::Result<T, DecodeError>;

/// A table's description. Comes before the table's first change on a connection and again after
/// anything that may have altered it; column order and count of tuples follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The table's oid; changes name it.
    pub oid: u32,
    /// The schema's name (the wire's empty name is `pg_catalog`).
    pub schema: &'a str,
    /// The table's name.
    pub name: &'a str,
    /// What an update's or a delete's old tuple holds.
    pub replica_identity: ReplicaIdentity,
    /// The published columns.
    pub columns: Columns<'a>,
}

/// `REPLICA IDENTITY` of a table (manual: `ALTER TABLE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// Nothing: updates and deletes cannot be published.
    Nothing,
    /// All columns.
    Full,
    /// The columns of a unique index.
    Index,
}

impl<'a> Relation<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Relation<'a>> {
        Ok(Relation {
            oid: cursor.u32("oid")?,
            schema: schema(cursor)?,
            name: cursor.string("name")?,
            replica_identity: ReplicaIdentity::read(cursor)?,
            columns: Columns::read(cursor)?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.oid.to_be_bytes());
        put_schema(out, self.schema);
        put_string(out, self.name);
        out.push(self.replica_identity.letter());
        out.extend_from_slice(&self.columns.len.to_be_bytes());
        out.extend_from_slice(self.columns.bytes);
    }
}

impl ReplicaIdentity {
    fn read(cursor: &mut Cursor<'_>) -> Result<ReplicaIdentity> {
        let start = *cursor;
        Ok(match cursor.u8("replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            tag => {
                return Err(start.error("replica identity", DecodeErrorKind::UnknownTag { tag }));
            }
        })
    }

    fn letter(self) -> u8 {
        match self {
            ReplicaIdentity::Default => b'd',
            ReplicaIdentity::Nothing => b'n',
            ReplicaIdentity::Full => b'f',
            ReplicaIdentity::Index => b'i',
        }
    }
}

/// A relation's columns in the order of its tuples.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a> {
    len: u16,
    /// As on the wire, checked by [`Columns::read`].
    bytes: &'a [u8],
}

/// One column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Part of the replica identity, which need not be the primary key: with
    /// [`ReplicaIdentity::Full`] every column is.
    pub in_identity: bool,
    /// The column's name.
    pub name: &'a str,
    /// The type's oid (`pg_type.oid`); for a domain the domain's.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub type_modifier: i32,
}

impl<'a> Columns<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// True for a table without columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// From the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = RelationColumn<'a>> + use<'a> {
        let mut cursor = Cursor::new("Relation", self.bytes);
        // Checked by `read`, or written by `ColumnsBuf`: it does not end early.
        (0..self.len).map_while(move |_| RelationColumn::read(&mut cursor).ok())
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Columns<'a>> {
        let len = cursor.u16("number of columns")?;
        let start = *cursor;
        for _ in 0..len {
            RelationColumn::read(cursor)?;
        }
        Ok(Columns {
            len,
            bytes: cursor.since(&start),
        })
    }
}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> RelationColumn<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<RelationColumn<'a>> {
        Ok(RelationColumn {
            in_identity: cursor.bool("column flags")?,
            name: cursor.string("column name")?,
            type_oid: cursor.u32("column type")?,
            type_modifier: cursor.i32("column type modifier")?,
        })
    }
}

/// Builds [`Columns`], to encode a Relation.
#[derive(Clone, Debug, Default)]
pub struct ColumnsBuf {
    len: u16,
    bytes: Vec<u8>,
}

impl ColumnsBuf {
    /// No columns yet.
    #[must_use]
    pub fn new() -> ColumnsBuf {
        ColumnsBuf::default()
    }

    /// Adds a column. Beyond 65,535 (Postgres' own limit is 1,600) it is left out.
    pub fn push(&mut self, column: RelationColumn<'_>) {
        let Some(len) = self.len.checked_add(1) else {
            return;
        };
        self.len = len;
        self.bytes.push(u8::from(column.in_identity));
        put_string(&mut self.bytes, column.name);
        self.bytes.extend_from_slice(&column.type_oid.to_be_bytes());
        self.bytes
            .extend_from_slice(&column.type_modifier.to_be_bytes());
    }

    /// The columns so far.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            len: self.len,
            bytes: &self.bytes,
        }
    }
}

impl<'c> FromIterator<RelationColumn<'c>> for ColumnsBuf {
    fn from_iter<I: IntoIterator<Item = RelationColumn<'c>>>(columns: I) -> ColumnsBuf {
        let mut buf = ColumnsBuf::new();
        columns.into_iter().for_each(|column| buf.push(column));
        buf
    }
}

/// A type that is not built in, before the Relation that uses it (manual: "Type"). For a domain the
/// oid is the domain's and the name is the *base* type's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName<'a> {
    /// `pg_type.oid`.
    pub oid: u32,
    /// The schema's name (the wire's empty name is `pg_catalog`).
    pub schema: &'a str,
    /// The type's name.
    pub name: &'a str,
}

impl<'a> TypeName<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<TypeName<'a>> {
        Ok(TypeName {
            oid: cursor.u32("oid")?,
            schema: schema(cursor)?,
            name: cursor.string("name")?,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.oid.to_be_bytes());
        put_schema(out, self.schema);
        put_string(out, self.name);
    }
}

/// The schema that the wire writes as an empty name.
const PG_CATALOG: &str = "pg_catalog";

fn schema<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    Ok(match cursor.string("schema")? {
        "" => PG_CATALOG,
        schema => schema,
    })
}

fn put_schema(out: &mut Vec<u8>, schema: &str) {
    put_string(out, if schema == PG_CATALOG { "" } else { schema });
}
