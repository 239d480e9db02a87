//! What an update changed and what it left alone, in headers; and rows without either (Debezium manual,
//! "Event changes", and `drop.fields.*` of "New Record State Extraction").
//!
//! Only an update whose whole old row is in the log tells; other events have empty lists.

use crate::event::{Event, Failure};
use crate::options::Options;
use crate::records::Draft;
use crate::row::{self, Scratch};
use crate::schema::Field;
use crate::table::{Column, Table, json_string};

/// The options of ExtractChangedRecordState, and what flat rows do with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// `header.changed.name`.
    pub changed: Option<String>,
    /// `header.unchanged.name`.
    pub unchanged: Option<String>,
    /// `drop.fields.header.name`: the columns that this one of the two names are left out of rows.
    pub dropped: Option<Dropped>,
    /// `drop.fields.keep.schema.compatible` not: columns that may not be null are left out too.
    pub breaks_schema: bool,
}

/// Which columns are left out of an update's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Those that it changed.
    Changed,
    /// Those that it left alone.
    Unchanged,
}

/// The same, for one table.
#[derive(Debug, Clone)]
pub(super) struct TableChanges {
    changes: Changes,
    /// Each shown column's number, and its field when rows are written with their schema.
    fields: Option<Vec<(usize, Field)>>,
}

impl TableChanges {
    pub(super) fn new(changes: &Changes, options: &Options, columns: &[Column]) -> Self {
        let fields = || {
            let shown = columns.iter().enumerate();
            let shown = shown.filter(|(_, column)| column.shown);
            shown
                .map(|(index, column)| (index, column.row_field()))
                .collect()
        };
        Self {
            changes: changes.clone(),
            fields: (options.schemas && changes.dropped.is_some()).then(fields),
        }
    }

    /// Compares the rows of an update, and chooses what is left out.
    pub(super) fn compare(
        &self,
        table: &Table,
        event: &Event<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Failure> {
        let rows = event.rows;
        let (Some(old), Some(new)) = (rows.before, rows.after) else {
            return Ok(());
        };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let columns = table.columns().iter().enumerate();
        for (index, column) in columns.filter(|(_, column)| column.shown) {
            before.clear();
            after.clear();
            row::column_before(table, index, Some(old), &mut before, scratch)?;
            row::column_after(table, index, Some(new), rows.fill, &mut after, scratch)?;
            let changed = before != after;
            scratch.compared.push((index, changed));
            let dropped = match self.changes.dropped {
                None => false,
                Some(Dropped::Changed) => changed,
                Some(Dropped::Unchanged) => !changed,
            };
            if dropped && (self.changes.breaks_schema || column.described.schema.is_optional()) {
                scratch.left_out.push(index);
            }
        }
        Ok(())
    }

    /// The schema's fields of a row from which columns are left out; none where all are as ever.
    pub(super) fn fields_without(&self, left_out: &[usize]) -> Option<Vec<Field>> {
        let fields = self.fields.as_ref().filter(|_| !left_out.is_empty())?;
        let kept = fields.iter().filter(|(index, _)| !left_out.contains(index));
        Some(kept.map(|(_, field)| field.clone()).collect())
    }

    /// Adds the headers that are asked for.
    pub(super) fn write_headers(&self, table: &Table, draft: &mut Draft<'_>, scratch: &Scratch) {
        let headers = [
            (&self.changes.changed, true),
            (&self.changes.unchanged, false),
        ];
        for (name, wanted) in headers {
            let Some(name) = name else {
                continue;
            };
            draft.header(name, |out| {
                out.push(b'[');
                let compared = scratch.compared.iter();
                let named = compared.filter(|(_, changed)| *changed == wanted);
                for (index, _) in named {
                    if out.last() != Some(&b'[') {
                        out.push(b',');
                    }
                    let column = table.columns().get(*index);
                    json_string(
                        column.map_or("", |column| &column.described.field_name),
                        out,
                    );
                }
                out.push(b']');
            });
        }
    }
}
