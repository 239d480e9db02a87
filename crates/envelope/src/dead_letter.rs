//! Changes that cannot be written in the chosen form: as a record of their own in the dead-letter
//! topic, with what is wrong and the row as Postgres printed it, so that nothing is lost and the
//! stream goes on.

use pgoutput::{Cell, LogicalMessage, OldTuple, Tuple};

use crate::change::Context;
use crate::encoder::Encoder;
use crate::error::{EncodeError, EncodeErrorKind};
use crate::options::FailureHandling;
use crate::records::{Operation, Records};
use crate::table::{Table, json_string};
use crate::value::write_integer;

/// Stands for the text of a masked column, which has no business in this topic either.
const MASKED: &str = "***";

/// The change that could not be written.
#[derive(Clone, Copy)]
pub(crate) struct Letter<'a> {
    pub(crate) message: Option<&'a LogicalMessage<'a>>,
    pub(crate) operation: Operation,
    pub(crate) old: Option<OldTuple<'a>>,
    pub(crate) new: Option<Tuple<'a>>,
}

impl<'a> Letter<'a> {
    pub(crate) fn of_message(message: &'a LogicalMessage<'a>) -> Self {
        Self {
            message: Some(message),
            operation: Operation::Message,
            old: None,
            new: None,
        }
    }
}

impl Encoder {
    /// Gives the error back, or puts the change into the dead-letter topic when that is asked for.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        written: Result<(), EncodeError>,
        table: &Table,
        context: &Context<'_>,
        letter: Letter<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        match written {
            Ok(()) => Ok(()),
            Err(error) => self.bury(error, Some(table), context, letter, out),
        }
    }

    /// The same of a message.
    pub(crate) fn settle_message(
        &mut self,
        written: Result<(), EncodeError>,
        context: &Context<'_>,
        letter: Letter<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        match written {
            Ok(()) => Ok(()),
            Err(error) => self.bury(error, None, context, letter, out),
        }
    }

    #[cold]
    fn bury(
        &mut self,
        error: EncodeError,
        table: Option<&Table>,
        context: &Context<'_>,
        letter: Letter<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        // The first two are nobody's values: the stream itself is not what it should be. The third
        // was asked for.
        let stops = matches!(
            error.kind,
            EncodeErrorKind::Binary
                | EncodeErrorKind::ColumnCount { .. }
                | EncodeErrorKind::OutboxOperation
        );
        if self.options.failures == FailureHandling::Fail || stops {
            return Err(error);
        }
        self.source.enter(context);
        let relation = table.map_or(0, Table::relation);
        let mut draft = out.draft(relation, &self.dead_letter_topic);
        draft.value(|out| write(&error, table, letter, out));
        draft.finish(
            Operation::DeadLetter,
            self.source.id_prefix(),
            context.first_ordinal,
        );
        Ok(())
    }
}

fn write(error: &EncodeError, table: Option<&Table>, letter: Letter<'_>, out: &mut Vec<u8>) {
    let member = |name: &str, value: Option<&str>, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        match value {
            Some(value) => json_string(value, out),
            None => out.extend_from_slice(b"null"),
        }
    };
    member("{\"error\":", Some(&error.kind.to_string()), out);
    member(",\"table\":", table.map(Table::qualified_name), out);
    member(",\"column\":", error.column.as_deref(), out);
    let topic = table.filter(|table| !table.is_outbox()).map(Table::topic);
    member(",\"topic\":", topic, out);
    out.extend_from_slice(b",\"lsn\":");
    write_integer(error.lsn.as_u64(), out);
    member(",\"op\":", letter.operation.code(), out);
    if let Some(message) = letter.message {
        member(",\"prefix\":", Some(message.prefix), out);
        let content = String::from_utf8_lossy(message.content);
        member(",\"content\":", Some(&content), out);
    }
    out.extend_from_slice(b",\"before\":");
    write_row(table, letter.old.map(|old| old.tuple()), out);
    out.extend_from_slice(b",\"after\":");
    write_row(table, letter.new, out);
    out.push(b'}');
}

/// Every column that is shown, as text.
fn write_row(table: Option<&Table>, row: Option<Tuple<'_>>, out: &mut Vec<u8>) {
    let (Some(table), Some(row)) = (table, row) else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'{');
    for (column, cell) in table.columns().iter().zip(row.cells()) {
        if !column.shown {
            continue;
        }
        out.extend_from_slice(&column.field);
        match cell {
            Cell::Text(_) if column.mask.is_some() => json_string(MASKED, out),
            Cell::Text(text) => json_string(&String::from_utf8_lossy(text), out),
            Cell::Null | Cell::Unchanged | Cell::Binary(_) => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}
