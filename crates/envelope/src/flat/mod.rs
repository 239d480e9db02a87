//! Flat rows: the row after the change in place of the envelope, and what else of the envelope is
//! asked for, in fields behind the columns or in headers (Debezium manual, "New Record State
//! Extraction").

mod changes;
mod options;

use changes::TableChanges;
pub use changes::{Changes, Dropped};
pub use options::{AddedField, UnknownField, Unwrap};
use options::{EnvelopePart, SourceField, TransactionField, Unit};

use crate::change::{Context, SnapshotMark};
use crate::event::{Event, Failure};
use crate::options::{DeleteTombstoneHandling, Options};
use crate::records::{Draft, Operation};
use crate::row::{self, Scratch};
use crate::schema::{self, Field, Kind, Schema, Wrapping};
use crate::source::{self, VERSION};
use crate::table::{Column, Table, json_string};
use crate::transaction::{self, Place};
use crate::value::{unquoted, write_integer};

/// What becomes of an event that is written as a flat row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A record with its value.
    Row,
    /// A record with its key alone.
    NoValue,
    /// Nothing.
    Dropped,
}

/// What a table's flat rows hold besides their columns.
#[derive(Debug, Clone)]
pub(crate) struct Flat {
    /// Whether each row says if it was deleted.
    tells_deletes: bool,
    fields: Vec<Part>,
    headers: Vec<Part>,
    changes: Option<TableChanges>,
    /// Of the schema's name.
    topic: String,
}

/// One added field, found in a table.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    schema: Schema,
    value: PartValue,
}

#[derive(Debug, Clone)]
enum PartValue {
    /// The same for all events of a table, as JSON.
    Constant(Vec<u8>),
    Operation,
    Processed(Unit),
    Committed(Unit),
    Snapshot,
    Sequence,
    TxId,
    Lsn,
    Origin,
    OriginLsn,
    Transaction(TransactionField),
    Before(usize),
    After(usize),
}

/// An event and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) event: &'a Event<'a>,
    pub(crate) context: &'a Context<'a>,
    pub(crate) place: Option<Place>,
}

impl Unwrap {
    /// What becomes of an event.
    pub(crate) fn form(&self, operation: Operation) -> Form {
        use DeleteTombstoneHandling::{DeleteToTombstone, Drop, Tombstone};
        match (operation, self.deletes) {
            (Operation::Truncate, _) | (Operation::Delete, Drop) => Form::Dropped,
            (Operation::Delete, Tombstone | DeleteToTombstone) => Form::NoValue,
            _ => Form::Row,
        }
    }

    /// Whether a tombstone still follows each delete.
    pub(crate) fn keeps_tombstones(&self) -> bool {
        self.deletes == DeleteTombstoneHandling::RewriteWithTombstone
    }

    /// What rows have besides their columns.
    pub(crate) fn field_names(&self) -> impl Iterator<Item = &str> {
        let deleted = self.tells_deletes().then_some("__deleted");
        let added = self.fields.iter().map(|field| field.name.as_str());
        deleted.into_iter().chain(added)
    }

    fn tells_deletes(&self) -> bool {
        matches!(
            self.deletes,
            DeleteTombstoneHandling::Rewrite | DeleteTombstoneHandling::RewriteWithTombstone
        )
    }
}

impl Flat {
    pub(crate) fn new(
        unwrap: &Unwrap,
        options: &Options,
        (schema, table): (&str, &str),
        topic: &str,
        columns: &[Column],
    ) -> Self {
        let find = |added: &[AddedField]| -> Vec<Part> {
            let parts = added.iter();
            parts
                .filter_map(|field| Part::find(field, options, (schema, table), columns))
                .collect()
        };
        Self {
            tells_deletes: unwrap.tells_deletes(),
            fields: find(&unwrap.fields),
            headers: find(&unwrap.headers),
            changes: unwrap
                .changes
                .as_ref()
                .map(|changes| TableChanges::new(changes, options, columns)),
            topic: topic.to_owned(),
        }
    }

    /// The schema of the rows.
    pub(crate) fn schema(&self, mut columns: Vec<Field>) -> Schema {
        if self.tells_deletes {
            columns.push(Schema::new(Kind::String).optional().field("__deleted"));
        }
        let added = self.fields.iter();
        columns.extend(added.map(|part| part.schema.clone().field(part.name.clone())));
        Schema::structure(columns).name(format!("{}.Value", self.topic))
    }

    /// Compares the rows of an update, where something is to be made of that.
    pub(crate) fn compare(
        &self,
        table: &Table,
        event: &Event<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        scratch.compared.clear();
        scratch.left_out.clear();
        match &self.changes {
            Some(changes) => changes.compare(table, event, scratch),
            None => Ok(()),
        }
    }

    /// What stands around a row from which columns are left out; none where it is as ever.
    pub(crate) fn wrapping(&self, scratch: &Scratch) -> Option<Wrapping> {
        let changes = self.changes.as_ref()?;
        let fields = changes.fields_without(&scratch.left_out)?;
        Some(Wrapping::of_schema(&self.schema(fields)))
    }

    /// Writes the row after the change; of a delete, the row before it.
    pub(crate) fn write(
        &self,
        table: &Table,
        occasion: Occasion<'_>,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let rows = occasion.event.rows;
        let start = out.len();
        match (rows.after, rows.before) {
            (Some(after), _) => row::after(table, after, rows.fill, out, scratch)?,
            (None, Some(before)) => row::before(table, before, out, scratch)?,
            (None, None) => out.extend_from_slice(b"{}"),
        }
        // The row's closing brace; and the comma behind a first column that was left out.
        out.pop();
        if out.get(start + 1) == Some(&b',') {
            out.remove(start + 1);
        }
        if self.tells_deletes {
            field("__deleted", out);
            let deleted = occasion.event.operation == Operation::Delete;
            out.extend_from_slice(if deleted { b"\"true\"" } else { b"\"false\"" });
        }
        for part in &self.fields {
            field(&part.name, out);
            part.write(table, occasion, out, scratch)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Adds the headers.
    pub(crate) fn write_headers(
        &self,
        table: &Table,
        occasion: Occasion<'_>,
        draft: &mut Draft<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        if let Some(changes) = &self.changes {
            changes.write_headers(table, draft, scratch);
        }
        let mut value = Vec::new();
        for part in &self.headers {
            value.clear();
            part.write(table, occasion, &mut value, scratch)?;
            match value.as_slice() {
                b"null" => draft.null_header(&part.name),
                value => draft.header(&part.name, |out| unquoted(value, out)),
            }
        }
        Ok(())
    }
}

impl Part {
    fn find(
        added: &AddedField,
        options: &Options,
        (schema, table): (&str, &str),
        columns: &[Column],
    ) -> Option<Self> {
        let column = |name: &str| columns.iter().position(|column| column.name == name);
        let text = || Schema::new(Kind::String);
        let long = || Schema::new(Kind::Int64);
        let constant = |text: &str| {
            let mut json = Vec::new();
            json_string(text, &mut json);
            PartValue::Constant(json)
        };
        let (value, of) = match &added.part {
            EnvelopePart::Operation => (PartValue::Operation, text()),
            EnvelopePart::Processed(unit) => (PartValue::Processed(*unit), long()),
            EnvelopePart::Transaction(field) => {
                let id = *field == TransactionField::Id;
                let schema = if id { text() } else { long() };
                (PartValue::Transaction(*field), schema)
            }
            EnvelopePart::Before(name) => {
                let index = column(name)?;
                (
                    PartValue::Before(index),
                    columns.get(index)?.described.schema.clone(),
                )
            }
            EnvelopePart::After(name) => {
                let index = column(name)?;
                (
                    PartValue::After(index),
                    columns.get(index)?.described.schema.clone(),
                )
            }
            EnvelopePart::Source(field) => match field {
                SourceField::Version => (constant(VERSION), text()),
                SourceField::Connector => (constant("postgresql"), text()),
                SourceField::Name => (constant(&options.server_name), text()),
                SourceField::Db => (constant(&options.database), text()),
                SourceField::Schema => (constant(schema), text()),
                SourceField::Table => (constant(table), text()),
                SourceField::Xmin => (PartValue::Constant(b"null".to_vec()), long()),
                SourceField::Committed(unit) => (PartValue::Committed(*unit), long()),
                SourceField::Snapshot => (PartValue::Snapshot, schema::snapshot_mark()),
                SourceField::Sequence => (PartValue::Sequence, text()),
                SourceField::TxId => (PartValue::TxId, long()),
                SourceField::Lsn => (PartValue::Lsn, long()),
                SourceField::Origin => (PartValue::Origin, text()),
                SourceField::OriginLsn => (PartValue::OriginLsn, long()),
            },
        };
        Some(Self {
            name: added.name.clone(),
            schema: of.optional().default(None),
            value,
        })
    }

    fn write(
        &self,
        table: &Table,
        Occasion {
            event,
            context,
            place,
        }: Occasion<'_>,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let rows = event.rows;
        match &self.value {
            PartValue::Constant(json) => out.extend_from_slice(json),
            PartValue::Operation => {
                json_string(event.operation.code().unwrap_or_default(), out);
            }
            PartValue::Processed(unit) => {
                write_integer(unit.of(i128::from(context.now_unix_nanos)), out);
            }
            PartValue::Committed(unit) => {
                let micros = context.commit_time.unix_micros();
                write_integer(unit.of(i128::from(micros) * 1_000), out);
            }
            PartValue::Snapshot => match context.snapshot {
                SnapshotMark::Streaming => out.extend_from_slice(b"null"),
                mark => json_string(mark.as_str(), out),
            },
            PartValue::Sequence => source::write_sequence(context, out),
            PartValue::TxId => match context.tx_id() {
                None => out.extend_from_slice(b"null"),
                Some(xid) => write_integer(xid, out),
            },
            PartValue::Lsn => match context.lsn() {
                None => out.extend_from_slice(b"null"),
                Some(lsn) => write_integer(lsn.as_u64(), out),
            },
            PartValue::Origin => match context.origin {
                Some((name, _)) => json_string(name, out),
                None => out.extend_from_slice(b"null"),
            },
            PartValue::OriginLsn => match context.origin {
                Some((_, lsn)) => write_integer(lsn.as_u64(), out),
                None => out.extend_from_slice(b"null"),
            },
            PartValue::Transaction(field) => match (place, field) {
                (None, _) => out.extend_from_slice(b"null"),
                (Some(_), TransactionField::Id) => transaction::write_id(context, out),
                (Some(place), TransactionField::TotalOrder) => write_integer(place.total, out),
                (Some(place), TransactionField::DataCollectionOrder) => {
                    write_integer(place.order, out)
                }
            },
            PartValue::Before(index) => {
                return row::column_before(table, *index, rows.before, out, scratch);
            }
            PartValue::After(index) => {
                return row::column_after(table, *index, rows.after, rows.fill, out, scratch);
            }
        }
        Ok(())
    }
}

/// Starts one more field of an object.
fn field(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    json_string(name, out);
    out.push(b':');
}
