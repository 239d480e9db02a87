//! A change to its records (Debezium manual, "Data change events"): key, envelope, headers,
//! tombstones, and what a change of key becomes.

use pgoutput::{OldTuple, Tuple};

use crate::change::Context;
use crate::dead_letter::Letter;
use crate::error::{EncodeError, EncodeErrorKind};
use crate::event::{Event, Failure, Key, Rows};
use crate::message::Messages;
use crate::options::Options;
use crate::outbox::Router;
use crate::records::{Operation, Records};
use crate::row::{self, Scratch};
use crate::source::Source;
use crate::table::Table;
use crate::transaction::Metadata;

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
    pub(crate) options: Options,
    pub(crate) messages: Option<Messages>,
    /// When transaction metadata is asked for.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) source: Source,
    pub(crate) scratch: Scratch,
    pub(crate) dead_letter_topic: String,
    /// When rows or messages are events of an outbox.
    pub(crate) outbox: Option<Box<Router>>,
    /// The outbox table whose change was no event.
    pub(crate) ignored: Option<u32>,
    /// Keys of an update that has an old row.
    old_key: Vec<u8>,
    new_key: Vec<u8>,
}

impl Encoder {
    /// An encoder for the given options. Tables must have been made with the same.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            messages: Messages::new(&options),
            metadata: Metadata::new(&options),
            source: Source::new(&options),
            dead_letter_topic: options.dead_letter_topic(),
            outbox: Router::new(&options),
            ignored: None,
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
        if self.options.skipped_operations.create && !table.is_outbox() {
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
        if let Some(shape) = table.outbox() {
            let written = self.outbox_row(table, shape, context, (operation, new), out);
            let written = written.map_err(|failure| failure.at(table, context));
            let letter = Letter {
                message: None,
                operation,
                old: None,
                new: Some(new),
            };
            return self.settle(written, table, context, letter, out);
        }
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
        let written = self.write(table, context, out, &[event]);
        let letter = Letter {
            message: None,
            operation,
            old: None,
            new: Some(new),
        };
        self.settle(written, table, context, letter, out)
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
        let written = match table.is_outbox() {
            true => self.outbox_change(table, context),
            false => self.update_row(table, context, old, new, out),
        };
        let letter = Letter {
            message: None,
            operation: Operation::Update,
            old,
            new: Some(new),
        };
        self.settle(written, table, context, letter, out)
    }

    fn update_row(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        check_key_carried(table, context, old)?;
        let unchanged = self.options.skip_messages_without_change
            && matches!(old, Some(OldTuple::Full(old)) if row::same_where_shown(table, old, new));
        let rows = Rows {
            before: old,
            after: Some(new),
            fill: old,
        };
        let (Some(old), Some(_)) = (old, table.key()) else {
            if self.options.skipped_operations.update || unchanged {
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
        let rows = (old, new, unchanged);
        let keys = (&mut old_key, &mut new_key);
        let written = self.update_with_keys(table, context, rows, keys, out);
        self.old_key = old_key;
        self.new_key = new_key;
        written
    }

    fn update_with_keys(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        (old, new, unchanged): (OldTuple<'_>, Tuple<'_>, bool),
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
            if self.options.skipped_operations.update || unchanged {
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
        if table.is_outbox() {
            // Cleaning up is no event.
            self.count_event(table, context);
            return Ok(());
        }
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
        let written = check_key_carried(table, context, Some(old))
            .and_then(|()| self.write(table, context, out, &[event]));
        let letter = Letter {
            message: None,
            operation: Operation::Delete,
            old: Some(old),
            new: None,
        };
        self.settle(written, table, context, letter, out)
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
        if table.is_outbox() {
            return self.outbox_change(table, context);
        }
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
}

impl Encoder {
    fn outbox_change(&mut self, table: &Table, context: &Context<'_>) -> Result<(), EncodeError> {
        let taken = self.outbox_other(table, context);
        taken.map_err(|failure| failure.at(table, context))
    }

    /// Keeps events of an outbox out of a topic that is a captured table's.
    pub fn take_topic(&mut self, topic: &str) {
        if let Some(router) = &mut self.outbox {
            router.take_topic(topic);
        }
    }

    /// The outbox table whose last change was no event, once.
    pub fn take_ignored(&mut self) -> Option<u32> {
        self.ignored.take()
    }
}

/// A key made of columns that a change does not carry would be a wrong one.
fn check_key_carried(
    table: &Table,
    context: &Context<'_>,
    old: Option<OldTuple<'_>>,
) -> Result<(), EncodeError> {
    match (table.key_not_carried(), old) {
        (None, _) | (_, Some(OldTuple::Full(_))) => Ok(()),
        (column, _) => {
            let kind = EncodeErrorKind::KeyNotInIdentity;
            Err(Failure { column, kind }.at(table, context))
        }
    }
}
