//! An inserted row as an event.

use pgoutput::{Cell, Relation, Tuple};

use super::assembly::{Assembly, Forms, Router};
use super::{Outbox, OutboxFields, OutboxForm, Placement};
use crate::change::{Context, SnapshotMark};
use crate::encoder::Encoder;
use crate::error::EncodeErrorKind;
use crate::event::Failure;
use crate::options::Options;
use crate::records::{Operation, Records};
use crate::row::{self, Scratch};
use crate::schema::{Schema, Wrapping};
use crate::table::{Column, Table};
use crate::value::{ValueEncoder, unix_millis};

/// Where in its rows an outbox table has the parts of events.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    id: usize,
    key: usize,
    payload: usize,
    route: usize,
    timestamp: Option<usize>,
    version: Option<usize>,
    tracing: Option<usize>,
    additional: Vec<(usize, Placement, String)>,
    key_wrapping: Wrapping,
    value_wrapping: Wrapping,
    payload_schema: Option<Schema>,
    schema_prefix: String,
}

impl Shape {
    /// For one table; none if its rows are no events.
    pub(crate) fn new(
        options: &Options,
        relation: &Relation<'_>,
        columns: &[Column],
    ) -> Option<Result<Box<Self>, EncodeErrorKind>> {
        let outbox = options.outbox.as_ref()?;
        outbox
            .has_table(relation.schema, relation.name)
            .then(|| Self::find(outbox, options, relation, columns).map(Box::new))
    }

    fn find(
        outbox: &Outbox,
        options: &Options,
        relation: &Relation<'_>,
        columns: &[Column],
    ) -> Result<Self, EncodeErrorKind> {
        let names = &outbox.fields;
        let find = |name: &str, option| {
            let mut columns = columns.iter();
            let found = columns.position(|column| column.shown && column.name == name);
            found.ok_or(EncodeErrorKind::OutboxColumn { option })
        };
        let maybe = |name: &Option<String>, option| match name {
            Some(name) => find(name, option).map(Some),
            None => Ok(None),
        };
        let mut additional = Vec::new();
        for field in &outbox.additional {
            match find(&field.field, "table.fields.additional.placement") {
                Ok(index) => additional.push((index, field.placement, field.alias.clone())),
                Err(_) if outbox.additional_may_miss => {}
                Err(kind) => return Err(kind),
            }
        }
        let id = find(&names.id, "table.field.event.id")?;
        let key = find(&names.key, "table.field.event.key")?;
        let payload = find(&names.payload, "table.field.event.payload")?;
        let schema = |index: usize| columns.get(index).map(|column| column.row_field().schema);
        let wrapping = |index| {
            Wrapping::of(options, || {
                schema(index).unwrap_or_else(|| Schema::structure(Vec::new()))
            })
        };
        Ok(Self {
            route: find(&names.route, "route.by.field")?,
            timestamp: maybe(&names.timestamp, "table.field.event.timestamp")?,
            version: maybe(&names.schema_version, "table.field.event.schema.version")?,
            tracing: match &names.tracing {
                Some(name) => Some(find(name, "tracing.span.context.field")?),
                // Seldom there, if nobody has said so.
                None => find(OutboxFields::TRACING, "").ok(),
            },
            key_wrapping: wrapping(key),
            value_wrapping: wrapping(payload),
            payload_schema: schema(payload).filter(|_| options.schemas),
            schema_prefix: options.own_topic(relation.schema, relation.name),
            id,
            key,
            payload,
            additional,
        })
    }
}

/// A row and what reads it.
struct Row<'a> {
    table: &'a Table,
    cells: Tuple<'a>,
    scratch: &'a mut Scratch,
}

impl<'a> Row<'a> {
    fn column(&self, index: usize) -> Option<&'a Column> {
        self.table.columns().get(index)
    }

    /// The text of a cell; none for null.
    fn text(&self, index: usize) -> Option<&'a [u8]> {
        match self.cells.cells().nth(index) {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn utf8(&self, index: usize) -> Result<Option<&'a str>, Failure> {
        let text = self.text(index).map(std::str::from_utf8).transpose();
        text.map_err(|_| failure(index, EncodeErrorKind::NotUtf8))
    }

    fn json(&mut self, index: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        row::column_after(self.table, index, Some(self.cells), None, out, self.scratch)
    }

    fn required(
        &mut self,
        index: usize,
        what: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match self.text(index) {
            Some(_) => self.json(index, out),
            None => Err(failure(index, EncodeErrorKind::OutboxNull { what })),
        }
    }
}

fn failure(index: usize, kind: EncodeErrorKind) -> Failure {
    Failure {
        column: Some(index),
        kind,
    }
}

impl Encoder {
    /// Writes the event of an outbox table's row.
    pub(crate) fn outbox_row(
        &mut self,
        table: &Table,
        shape: &Result<Box<Shape>, EncodeErrorKind>,
        context: &Context<'_>,
        (operation, row): (Operation, Tuple<'_>),
        out: &mut Records,
    ) -> Result<(), Failure> {
        self.count_event(table, context);
        let shape = match shape {
            Ok(shape) => shape,
            Err(kind) => {
                let (column, kind) = (None, *kind);
                return Err(Failure { column, kind });
            }
        };
        let (expected, found) = (table.column_count(), row.len());
        if expected != found {
            let (column, kind) = (None, EncodeErrorKind::ColumnCount { expected, found });
            return Err(Failure { column, kind });
        }
        // Taken out, so that it may be lent while the encoder writes.
        let Some(mut router) = self.outbox.take() else {
            return Ok(());
        };
        let mut row = Row {
            table,
            cells: row,
            scratch: &mut self.scratch,
        };
        let assembled = assemble(&mut router, shape, &self.options, &mut row);
        let forms = Forms {
            relation: table.relation(),
            key: &shape.key_wrapping,
            value: &shape.value_wrapping,
            payload: shape.payload_schema.as_ref(),
            schema_prefix: &shape.schema_prefix,
        };
        let written = assembled.and_then(|()| {
            self.emit(&mut router, &forms, context, operation, out)
                .map_err(|kind| failure(shape.route, kind))
        });
        self.outbox = Some(router);
        written
    }

    /// A change of an outbox table that is no event.
    pub(crate) fn outbox_other(
        &mut self,
        table: &Table,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        self.count_event(table, context);
        let behaviour = self.outbox.as_ref().map(|it| it.options.invalid_operation);
        if behaviour == Some(super::InvalidOperation::Fatal) {
            let (column, kind) = (None, EncodeErrorKind::OutboxOperation);
            return Err(Failure { column, kind });
        }
        self.ignored = Some(table.relation());
        Ok(())
    }

    /// Counts a change as transaction metadata does, which is before it is routed.
    pub(crate) fn count_event(&mut self, table: &Table, context: &Context<'_>) {
        if let Some(metadata) = &mut self.metadata
            && context.snapshot == SnapshotMark::Streaming
        {
            metadata.count(table.relation(), table.qualified_name());
        }
    }
}

fn assemble(
    router: &mut Router,
    shape: &Shape,
    options: &Options,
    row: &mut Row<'_>,
) -> Result<(), Failure> {
    let Router {
        options: outbox,
        parts,
        ..
    } = router;
    parts.clear();
    row.required(shape.id, "its id", &mut parts.id)?;
    parts.check_id().map_err(|kind| failure(shape.id, kind))?;
    row.required(shape.key, "its key", &mut parts.key)?;
    let null = EncodeErrorKind::OutboxNull {
        what: "the value that routes it",
    };
    let route = row.utf8(shape.route)?.ok_or(failure(shape.route, null))?;
    parts.route.push_str(route);
    payload(outbox, shape, options, row, parts)?;
    if let Some(index) = shape.timestamp {
        let time = row.utf8(index)?.map(unix_millis);
        let unreadable = failure(index, EncodeErrorKind::OutboxTimestamp);
        parts.timestamp = time.map(|time| time.ok_or(unreadable)).transpose()?;
    }
    if let Some(index) = shape.version {
        let version = row.utf8(index)?.map(str::parse).transpose();
        parts.version = version.map_err(|_| failure(index, EncodeErrorKind::OutboxVersion))?;
    }
    if let Some(index) = shape.tracing
        && let Some(text) = row.utf8(index)?
    {
        let taken = parts.properties(text);
        taken.map_err(|kind| failure(index, kind))?;
    }
    for (index, placement, alias) in &shape.additional {
        let mut json = Vec::new();
        match placement {
            Placement::Partition => {
                let placed = row.utf8(*index)?.map(|number| parts.place(number));
                placed.transpose().map_err(|kind| failure(*index, kind))?;
            }
            Placement::Header => {
                row.json(*index, &mut json)?;
                let added = parts.header(alias.clone(), json);
                added.map_err(|kind| failure(*index, kind))?;
            }
            Placement::Envelope => {
                row.json(*index, &mut json)?;
                let schema = row.column(*index).filter(|_| options.schemas);
                let schema = schema.map(|column| column.row_field().schema);
                parts.envelope.push((alias.clone(), json, schema));
            }
        }
    }
    Ok(())
}

fn payload(
    outbox: &Outbox,
    shape: &Shape,
    options: &Options,
    row: &mut Row<'_>,
    parts: &mut Assembly,
) -> Result<(), Failure> {
    let Some(text) = row.text(shape.payload) else {
        parts.payload_is_empty = true;
        return row.json(shape.payload, &mut parts.payload);
    };
    let encoder = row.column(shape.payload).map(|column| &column.encoder);
    let is_text = encoder.is_some_and(ValueEncoder::is_text);
    parts.payload_is_empty = is_text && text.iter().all(u8::is_ascii_whitespace);
    let is_bytea = matches!(encoder, Some(ValueEncoder::Bytea(_)));
    if is_bytea && outbox.values == OutboxForm::Bytes && !outbox.has_envelope() {
        parts.payload_is_bytes = true;
        let written = crate::value::raw_bytea(text, &mut parts.payload);
        return written.map_err(|error| failure(shape.payload, error.into()));
    }
    row.json(shape.payload, &mut parts.payload)?;
    let masked = row
        .column(shape.payload)
        .is_some_and(|it| it.mask.is_some());
    if outbox.expand_json && is_text && !masked && !parts.payload_is_empty {
        let expanded = parts.expand(text, outbox, options);
        expanded.map_err(|kind| failure(shape.payload, kind))?;
    }
    Ok(())
}
