//! What cannot be said about which column, and what to set. Never the value.

use std::fmt;

use pgoutput::Lsn;

use crate::value::ValueError;

/// A change that has no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// `schema.table`; of a message, its prefix.
    pub table: String,
    /// Whether it is a logical message.
    pub is_message: bool,
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
    /// An outbox table, or a message, without something that the options name.
    #[error(
        "there is no column (or member of the message's body) of the name that outbox.{option} gives"
    )]
    OutboxColumn {
        /// The option.
        option: &'static str,
    },
    /// An event that lacks something it must have.
    #[error(
        "an outbox event without {what}; make the column NOT NULL, or set envelope.event.processing.failure.handling.mode: dead-letter"
    )]
    OutboxNull {
        /// What is missing.
        what: &'static str,
    },
    /// An id that tells no event from another.
    #[error(
        "an outbox event whose id is empty, so that no consumer would know its repeats; give each event \
         an id of its own, such as a UUID"
    )]
    OutboxEmptyId,
    /// A route into a topic that is not the events'.
    #[error(
        "the value that routes the event leads to a topic that is walferry's own or a captured table's; \
         see outbox.route.topic.regex and outbox.route.topic.replacement"
    )]
    OutboxTopicTaken,
    /// A route to nowhere.
    #[error(
        "the value that routes the event makes no name of a topic that Kafka takes (letters, digits, \
         '.', '_' and '-', up to 249); see outbox.route.topic.regex"
    )]
    OutboxTopic,
    /// Not JSON, where it is to be expanded.
    #[error("the payload is not JSON, which outbox.table.expand.json.payload promises")]
    OutboxNotJson,
    /// No number of a partition.
    #[error("the field placed as partition is not the number of one (0 to 2147483647)")]
    OutboxPartition,
    /// No time.
    #[error("the event's timestamp is not a finite time with a date")]
    OutboxTimestamp,
    /// No version.
    #[error("the event's schema version is not a whole number")]
    OutboxVersion,
    /// An update or truncate that the options forbid.
    #[error(
        "a row of an outbox table was changed after its insert, and \
         outbox.table.op.invalid.behavior is fatal"
    )]
    OutboxOperation,
    /// No body.
    #[error(
        "the content is not a JSON object with texts for id, key and route; write it with \
         outbox_emit(), or set envelope.event.processing.failure.handling.mode: dead-letter"
    )]
    OutboxBody,
    /// Headers of no form.
    #[error("headers is not an object of texts, numbers, booleans and nulls")]
    OutboxHeader,
    /// Headers that would stand for what walferry says of the event.
    #[error(
        "a header of the event has a name that is not its to give: id, or one that begins with walferry."
    )]
    OutboxHeaderName,
    /// A message that does not wait for its transaction.
    #[error(
        "the message was sent outside of its transaction, and would be published even if that rolls \
         back: give true as the first argument of pg_logical_emit_message"
    )]
    OutboxOutside,
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
            is_message,
            column,
            lsn,
            kind,
        } = self;
        if *is_message {
            return write!(f, "message of prefix {table:?} at {lsn}: {kind}");
        }
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
