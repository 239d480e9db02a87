//! What cannot be said about which column, and what to set. Never the value.

use std::fmt;

use pgoutput::Lsn;

use crate::value::ValueError;

/// A change that has no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// `schema.table`.
    pub table: String,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// Where the change stands in the log.
    pub lsn: Lsn,
    /// What is wrong.
    pub kind: EncodeErrorKind,
}

/// What is wrong with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeErrorKind {
    /// The chosen mode has no form for the value.
    #[error("{what} cannot be written; set envelope.{remedy}")]
    Unrepresentable {
        /// What kind of value.
        what: &'static str,
        /// The setting that can say it.
        remedy: &'static str,
    },
    /// Not the text Postgres prints for the type under the session's settings.
    #[error(
        "the text is not of the form that Postgres prints for this type; please report the \
         column's type and the server's version as a defect"
    )]
    Malformed,
    /// Bytes that are not UTF-8.
    #[error(
        "the text is not UTF-8, which happens in a database of encoding SQL_ASCII; convert the \
         database to UTF8 or exclude the column"
    )]
    NotUtf8,
    /// A cell in binary format, which walferry never asks for.
    #[error("the cell came in binary format, which was not asked for")]
    Binary,
    /// A row of another shape than the Relation message said.
    #[error("the row has {found} columns, its relation {expected}")]
    ColumnCount {
        /// Of the relation.
        expected: usize,
        /// Of the row.
        found: usize,
    },
    /// A key column whose unchanged value is not in the log.
    #[error(
        "a key column's value is stored out of line and was not logged (Postgres before 14.2); \
         upgrade the server or set REPLICA IDENTITY FULL on the table"
    )]
    KeyUnavailable,
    /// A change that does not carry a column of its key.
    #[error(
        "message.key.columns names a column that updates and deletes do not carry: ALTER TABLE ... \
         REPLICA IDENTITY FULL, or an index with this column as replica identity"
    )]
    KeyNotInIdentity,
    /// Two values of a row under one name.
    #[error(
        "two of the row's fields would have one name: rename a column, hide one with \
         column.exclude.list, or choose another field.name.adjustment.mode or name in \
         unwrap.add.fields"
    )]
    FieldTwice,
    /// A key that a mask would make the same for different rows.
    #[error(
        "a column of the key is masked with something other than a hash of a text: different rows \
         would have one key; hash it, or take it out of the mask's list"
    )]
    KeyMasked,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            column,
            lsn,
            kind,
        } = self;
        match column {
            Some(column) => write!(f, "table {table}, column {column}, at {lsn}: {kind}"),
            None => write!(f, "table {table} at {lsn}: {kind}"),
        }
    }
}

impl std::error::Error for EncodeError {}

impl From<ValueError> for EncodeErrorKind {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Malformed => Self::Malformed,
            ValueError::NotUtf8 => Self::NotUtf8,
            ValueError::Unrepresentable { what, remedy } => Self::Unrepresentable { what, remedy },
        }
    }
}
