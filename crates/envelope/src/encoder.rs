//! A change to its records (Debezium manual, "Data change events"): key, envelope, headers,
//! tombstones, and what a change of key becomes.

use std::convert::Infallible;

use pgoutput::{LogicalMessage, OldTuple, Tuple};

use crate::change::Context;
use crate::error::{EncodeError, EncodeErrorKind};
use crate::options::{LogicalMessages, Options};
use crate::records::{Draft, Operation, Records};
use crate::row::{self, Scratch};
use crate::schema::{self, Wrapping};
use crate::source::Source;
use crate::table::{Table, json_string};
use crate::value::quoted_bytes;

/// Header of the delete and tombstone of an old key: the new key.
pub const NEW_KEY_HEADER: &str = "__debezium.newkey";
/// Header of the create of a new key: the old key.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";
/// Header of a record with unchanged values that are not in the log and whose types have no room
/// for the placeholder: a JSON array of the columns' names. They stand as null.
pub const UNAVAILABLE_HEADER: &str = "walferry.unavailable";

/// Turns changes into records; keeps nothing from one to the next but buffers.
#[derive(Debug)]
pub struct Encoder {
    options: Options,
    message_topic: String,
    message_key: Wrapping,
    message_value: Wrapping,
    source: Source,
    scratch: Scratch,
    /// Keys of an update that has an old row.
    old_key: Vec<u8>,
    new_key: Vec<u8>,
}

/// The row an event is about, before and after.
#[derive(Clone, Copy)]
struct Rows<'a> {
    before: Option<OldTuple<'a>>,
    after: Option<Tuple<'a>>,
    /// Where unchanged values of `after` are to be found.
    fill: Option<OldTuple<'a>>,
}

/// The key of an event.
#[derive(Clone, Copy)]
enum Key<'a> {
    None,
    /// To be rendered from a row, its unchanged cells from another.
    Of(Tuple<'a>, Option<OldTuple<'a>>),
    /// Rendered already.
    Rendered(&'a [u8]),
}

/// One record to be written.
struct Event<'a> {
    operation: Operation,
    key: Key<'a>,
    rows: Rows<'a>,
    header: Option<(&'static str, &'a [u8])>,
}

impl Encoder {
    /// An encoder for the given options. Tables must have been made with the same.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            message_topic: options.message_topic(),
            message_key: Wrapping::of(&options, schema::message_key),
            message_value: Wrapping::of(&options, || {
                schema::message_value(schema::of_bytes(options.binary))
            }),
            source: Source::new(&options),
            options,
            scratch: Scratch::default(),
            old_key: Vec::new(),
            new_key: Vec::new(),
        }
    }

    /// `c`: a row was inserted.
    ///
    /// # Errors
    /// A value that cannot be written. Then nothing of the change is in `out`; the same holds for
    /// every other operation.
    pub fn insert(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        new: Tuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        if self.options.skipped_operations.create {
            return Ok(());
        }
        self.row_appears(Operation::Create, table, context, new, out)
    }

    /// `r`: a row was found by a snapshot.
    ///
    /// # Errors
    /// As [`Encoder::insert`].
    pub fn read(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        new: Tuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        self.row_appears(Operation::Read, table, context, new, out)
    }

    fn row_appears(
        &mut self,
        operation: Operation,
        table: &Table,
        context: &Context<'_>,
        new: Tuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        let rows = Rows {
            before: None,
            after: Some(new),
            fill: None,
        };
        let event = Event {
            operation,
            key: Key::Of(new, None),
            rows,
            header: None,
        };
        self.write(table, context, out, &[event])
    }

    /// `u`; or, when the key changed, a delete of the old key, its tombstone, and a create of the
    /// new one. A change of key is published whatever `skipped.operations` says, or rows would stay
    /// under keys they no longer have.
    ///
    /// # Errors
    /// As [`Encoder::insert`].
    pub fn update(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        let rows = Rows {
            before: old,
            after: Some(new),
            fill: old,
        };
        let (Some(old), Some(_)) = (old, table.key()) else {
            if self.options.skipped_operations.update {
                return Ok(());
            }
            let event = Event {
                operation: Operation::Update,
                key: Key::Of(new, old),
                rows,
                header: None,
            };
            return self.write(table, context, out, &[event]);
        };
        // Taken out, so that they may be lent while the encoder writes.
        let mut old_key = std::mem::take(&mut self.old_key);
        let mut new_key = std::mem::take(&mut self.new_key);
        let written = self.update_with_keys(
            table,
            context,
            (old, new),
            (&mut old_key, &mut new_key),
            out,
        );
        self.old_key = old_key;
        self.new_key = new_key;
        written
    }

    fn update_with_keys(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        (old, new): (OldTuple<'_>, Tuple<'_>),
        (old_key, new_key): (&mut Vec<u8>, &mut Vec<u8>),
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        old_key.clear();
        new_key.clear();
        let rendered = row::key(table, old.tuple(), None, old_key, &mut self.scratch)
            .and_then(|()| row::key(table, new, Some(old), new_key, &mut self.scratch));
        rendered.map_err(|failure| failure.at(table, context))?;
        let (old_key, new_key): (&[u8], &[u8]) = (old_key, new_key);
        if old_key == new_key {
            if self.options.skipped_operations.update {
                return Ok(());
            }
            let rows = Rows {
                before: Some(old),
                after: Some(new),
                fill: Some(old),
            };
            let key = Key::Rendered(new_key);
            let event = Event {
                operation: Operation::Update,
                key,
                rows,
                header: None,
            };
            return self.write(table, context, out, &[event]);
        }
        let gone = Event {
            operation: Operation::Delete,
            key: Key::Rendered(old_key),
            rows: Rows {
                before: Some(old),
                after: None,
                fill: None,
            },
            header: Some((NEW_KEY_HEADER, new_key)),
        };
        let come = Event {
            operation: Operation::Create,
            key: Key::Rendered(new_key),
            rows: Rows {
                before: None,
                after: Some(new),
                fill: Some(old),
            },
            header: Some((OLD_KEY_HEADER, old_key)),
        };
        self.write(table, context, out, &[gone, come])
    }

    /// `d`, and its tombstone.
    ///
    /// # Errors
    /// As [`Encoder::insert`].
    pub fn delete(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        old: OldTuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        if self.options.skipped_operations.delete {
            return Ok(());
        }
        let rows = Rows {
            before: Some(old),
            after: None,
            fill: None,
        };
        let key = Key::Of(old.tuple(), None);
        let event = Event {
            operation: Operation::Delete,
            key,
            rows,
            header: None,
        };
        self.write(table, context, out, &[event])
    }

    /// `t`: the table was emptied. Of several tables in one TRUNCATE, each gives one event.
    ///
    /// # Errors
    /// None so far; as the other operations.
    pub fn truncate(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        if self.options.skipped_operations.truncate {
            return Ok(());
        }
        let rows = Rows {
            before: None,
            after: None,
            fill: None,
        };
        let event = Event {
            operation: Operation::Truncate,
            key: Key::None,
            rows,
            header: None,
        };
        self.write(table, context, out, &[event])
    }

    /// `m`: a message of `pg_logical_emit_message`, when these are asked for.
    ///
    /// # Errors
    /// None so far; as the other operations.
    pub fn logical_message(
        &mut self,
        context: &Context<'_>,
        message: &LogicalMessage<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        if self.options.logical_messages == LogicalMessages::Skip {
            return Ok(());
        }
        let context = &Context {
            xid: if message.transactional {
                context.xid
            } else {
                0
            },
            ..*context
        };
        self.source.enter(context);
        let mut draft = out.draft(0, &self.message_topic);
        draft.key(|out| {
            let Ok(()) = self.message_key.around(out, |out| {
                out.extend_from_slice(b"{\"prefix\":");
                json_string(message.prefix, out);
                out.push(b'}');
                Ok::<(), Infallible>(())
            });
        });
        draft.value(|out| {
            let Ok(()) = self.message_value.around(out, |out| {
                self.write_message(context, message, out);
                Ok::<(), Infallible>(())
            });
        });
        draft.finish(
            Operation::Message,
            self.source.id_prefix(),
            context.first_ordinal,
        );
        Ok(())
    }

    fn write_message(
        &self,
        context: &Context<'_>,
        message: &LogicalMessage<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
        let millis = context.now_unix_nanos.div_euclid(1_000_000);
        out.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
        self.source
            .write_block(context, b"\"\",\"table\":\"\"", out);
        out.extend_from_slice(b",\"message\":{\"prefix\":");
        json_string(message.prefix, out);
        out.extend_from_slice(b",\"content\":");
        quoted_bytes(message.content, self.options.binary, out);
        out.extend_from_slice(b"}}");
    }

    /// Writes the events, and after each delete its tombstone; all or nothing.
    fn write(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        out: &mut Records,
        events: &[Event<'_>],
    ) -> Result<(), EncodeError> {
        self.source.enter(context);
        let mark = out.mark();
        let mut ordinal = context.first_ordinal;
        for event in events {
            if let Err(failure) = self.write_event(table, context, event, ordinal, out) {
                out.rewind(&mark);
                return Err(failure.at(table, context));
            }
            ordinal += 1;
            if event.operation == Operation::Delete && self.options.tombstones_on_delete {
                if let Err(failure) = self.write_tombstone(table, event, ordinal, out) {
                    out.rewind(&mark);
                    return Err(failure.at(table, context));
                }
                ordinal += 1;
            }
        }
        Ok(())
    }

    fn write_event(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        event: &Event<'_>,
        ordinal: u64,
        out: &mut Records,
    ) -> Result<(), Failure> {
        let Rows {
            before,
            after,
            fill,
        } = event.rows;
        let mut draft = out.draft(table.relation(), table.topic());
        write_key(&mut draft, table, event.key, &mut self.scratch)?;
        self.scratch.unavailable.clear();
        let (source, scratch) = (&self.source, &mut self.scratch);
        draft.try_value(|out| {
            table.value_wrapping().around(out, |out| {
                out.extend_from_slice(b"{\"before\":");
                match before {
                    Some(before) => row::before(table, before, out, scratch)?,
                    None => out.extend_from_slice(b"null"),
                }
                out.extend_from_slice(b",\"after\":");
                match after {
                    Some(after) => row::after(table, after, fill, out, scratch)?,
                    None => out.extend_from_slice(b"null"),
                }
                source.write_block(context, table.source(), out);
                out.extend_from_slice(b",\"op\":\"");
                out.extend_from_slice(event.operation.code().unwrap_or_default().as_bytes());
                out.push(b'"');
                source.write_times(out);
                Ok::<(), Failure>(())
            })
        })?;
        write_header(&mut draft, event.header);
        if !self.scratch.unavailable.is_empty() {
            draft.header(UNAVAILABLE_HEADER, |out| {
                out.extend_from_slice(&self.scratch.unavailable);
                out.push(b']');
            });
        }
        draft.finish(event.operation, self.source.id_prefix(), ordinal);
        Ok(())
    }

    fn write_tombstone(
        &mut self,
        table: &Table,
        event: &Event<'_>,
        ordinal: u64,
        out: &mut Records,
    ) -> Result<(), Failure> {
        let mut draft = out.draft(table.relation(), table.topic());
        write_key(&mut draft, table, event.key, &mut self.scratch)?;
        write_header(&mut draft, event.header);
        draft.finish(Operation::Tombstone, self.source.id_prefix(), ordinal);
        Ok(())
    }
}

fn write_key(
    draft: &mut Draft<'_>,
    table: &Table,
    key: Key<'_>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    match key {
        Key::Of(row, fill) if table.key().is_some() => draft.try_key(|out| {
            let wrapping = table.key_wrapping();
            wrapping.around(out, |out| row::key(table, row, fill, out, scratch))
        }),
        Key::Rendered(key) => draft.try_key(|out| {
            table.key_wrapping().around(out, |out| {
                out.extend_from_slice(key);
                Ok(())
            })
        }),
        Key::None | Key::Of(..) => Ok(()),
    }
}

fn write_header(draft: &mut Draft<'_>, header: Option<(&'static str, &[u8])>) {
    if let Some((name, value)) = header {
        draft.header(name, |out| out.extend_from_slice(value));
    }
}

/// What is wrong, before table and position are added.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Among the table's columns.
    pub(crate) column: Option<usize>,
    pub(crate) kind: EncodeErrorKind,
}

impl Failure {
    #[cold]
    fn at(self, table: &Table, context: &Context<'_>) -> EncodeError {
        let column = self.column.and_then(|index| table.columns().get(index));
        EncodeError {
            table: table.qualified_name().to_owned(),
            column: column.map(|column| column.name.clone()),
            lsn: context.data_start,
            kind: self.kind,
        }
    }
}
