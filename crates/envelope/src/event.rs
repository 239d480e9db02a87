//! One event to its record: key, envelope, headers, tombstone (Debezium manual, "Change event keys",
//! "Change event values").

use pgoutput::{OldTuple, Tuple};

use crate::change::{Context, SnapshotMark};
use crate::encoder::{Encoder, UNAVAILABLE_HEADER};
use crate::error::{EncodeError, EncodeErrorKind};
use crate::flat::{Form, Occasion, Unwrap};
use crate::partition::Partitioning;
use crate::records::{Draft, Operation, Records};
use crate::row::{self, Scratch};
use crate::source::Source;
use crate::table::Table;
use crate::transaction;

/// The row an event is about, before and after.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) before: Option<OldTuple<'a>>,
    pub(crate) after: Option<Tuple<'a>>,
    /// Where unchanged values of `after` are to be found.
    pub(crate) fill: Option<OldTuple<'a>>,
}

/// The key of an event.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    None,
    /// To be rendered from a row, its unchanged cells from another.
    Of(Tuple<'a>, Option<OldTuple<'a>>),
    /// Rendered already.
    Rendered(&'a [u8]),
}

/// One record to be written.
pub(crate) struct Event<'a> {
    pub(crate) operation: Operation,
    pub(crate) key: Key<'a>,
    pub(crate) rows: Rows<'a>,
    pub(crate) header: Option<(&'static str, &'a [u8])>,
}

impl Encoder {
    /// Writes the events, and after each delete its tombstone; all or nothing.
    pub(crate) fn write(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        out: &mut Records,
        events: &[Event<'_>],
    ) -> Result<(), EncodeError> {
        if let Some(column) = table.field_twice() {
            let (column, kind) = (Some(column), EncodeErrorKind::FieldTwice);
            return Err(Failure { column, kind }.at(table, context));
        }
        self.source.enter(context);
        let mark = out.mark();
        let mut ordinal = context.first_ordinal;
        for (before, event) in (0..).zip(events) {
            let written = self.write_with_tombstone(table, context, event, &mut ordinal, out);
            if let Err(failure) = written {
                out.rewind(&mark);
                if let Some(metadata) = &mut self.metadata {
                    metadata.forget(before + 1);
                }
                return Err(failure.at(table, context));
            }
        }
        Ok(())
    }

    fn write_with_tombstone(
        &mut self,
        table: &Table,
        context: &Context<'_>,
        event: &Event<'_>,
        ordinal: &mut u64,
        out: &mut Records,
    ) -> Result<(), Failure> {
        // Counted even if it is dropped, as Debezium counts before it transforms.
        let place = match &mut self.metadata {
            Some(metadata) if context.snapshot == SnapshotMark::Streaming => {
                Some(metadata.count(table.relation(), table.qualified_name()))
            }
            _ => None,
        };
        let unwrap = self.options.unwrap.as_ref();
        let form = unwrap.map_or(Form::Row, |unwrap| unwrap.form(event.operation));
        let tombstone = event.operation == Operation::Delete
            && self.options.tombstones_on_delete
            && unwrap.is_none_or(Unwrap::keeps_tombstones);
        let partitioning = table.partitioning();
        let partition = match partitioning {
            Some(partitioning) => partitioning.of(table, event, &mut self.scratch)?,
            None => None,
        };
        if form != Form::Dropped {
            let occasion = Occasion {
                event,
                context,
                place,
            };
            self.write_event(table, occasion, form, (*ordinal, partition), out)?;
            *ordinal += 1;
        }
        if tombstone {
            let follows = partitioning.is_some_and(Partitioning::with_tombstones);
            let partition = partition.filter(|_| follows);
            self.write_tombstone(table, event, (*ordinal, partition), out)?;
            *ordinal += 1;
        }
        Ok(())
    }

    fn write_event(
        &mut self,
        table: &Table,
        occasion: Occasion<'_>,
        form: Form,
        (ordinal, partition): (u64, Option<u32>),
        out: &mut Records,
    ) -> Result<(), Failure> {
        let event = occasion.event;
        let (source, scratch) = (&self.source, &mut self.scratch);
        let mut draft = out.draft(table.relation(), table.topic());
        draft.partition(partition);
        write_key(&mut draft, table, event.key, scratch)?;
        scratch.unavailable.clear();
        let mut wrapping = None;
        if let Some(flat) = table.flat() {
            flat.compare(table, event, scratch)?;
            wrapping = flat.wrapping(scratch);
        }
        if form == Form::Row {
            draft.try_value(|out| {
                wrapping
                    .as_ref()
                    .unwrap_or(table.value_wrapping())
                    .around(out, |out| match table.flat() {
                        None => write_envelope(table, occasion, source, out, scratch),
                        Some(flat) => flat.write(table, occasion, out, scratch),
                    })
            })?;
        } else if self.options.deletes_are_null() {
            draft.try_value(|out| {
                table.null_wrapping().always_around(out, |out| {
                    out.extend_from_slice(b"null");
                });
                Ok::<(), Failure>(())
            })?;
        }
        write_header(&mut draft, event.header);
        if let Some(flat) = table.flat() {
            flat.write_headers(table, occasion, &mut draft, scratch)?;
        }
        if !scratch.unavailable.is_empty() {
            draft.header(UNAVAILABLE_HEADER, |out| {
                out.extend_from_slice(&scratch.unavailable);
                out.push(b']');
            });
        }
        draft.finish(event.operation, source.id_prefix(), ordinal);
        Ok(())
    }

    fn write_tombstone(
        &mut self,
        table: &Table,
        event: &Event<'_>,
        (ordinal, partition): (u64, Option<u32>),
        out: &mut Records,
    ) -> Result<(), Failure> {
        let mut draft = out.draft(table.relation(), table.topic());
        draft.partition(partition);
        write_key(&mut draft, table, event.key, &mut self.scratch)?;
        write_header(&mut draft, event.header);
        draft.finish(Operation::Tombstone, self.source.id_prefix(), ordinal);
        Ok(())
    }
}

#[inline]
fn write_envelope(
    table: &Table,
    occasion: Occasion<'_>,
    source: &Source,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let Occasion {
        event,
        context,
        place,
    } = occasion;
    let Rows {
        before,
        after,
        fill,
    } = event.rows;
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
    transaction::write_block(place, context, out);
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(event.operation.code().unwrap_or_default().as_bytes());
    out.push(b'"');
    source.write_times(out);
    Ok(())
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
            wrapping.around(out, |out| {
                row::key(table, row, fill, out, scratch)?;
                end_key(table, out);
                Ok(())
            })
        }),
        Key::Rendered(key) => draft.try_key(|out| {
            table.key_wrapping().around(out, |out| {
                out.extend_from_slice(key);
                end_key(table, out);
                Ok(())
            })
        }),
        Key::None | Key::Of(..) => Ok(()),
    }
}

/// Adds what routing puts into keys.
fn end_key(table: &Table, out: &mut Vec<u8>) {
    if let Some(end) = table.key_end() {
        // The brace.
        out.pop();
        out.extend_from_slice(end);
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
    pub(crate) fn at(self, table: &Table, context: &Context<'_>) -> EncodeError {
        let column = self.column.and_then(|index| table.columns().get(index));
        EncodeError {
            table: table.qualified_name().to_owned(),
            is_message: false,
            column: column.map(|column| column.name.clone()),
            lsn: context.data_start,
            kind: self.kind,
        }
    }
}
