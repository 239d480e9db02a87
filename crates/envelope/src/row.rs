//! A tuple as a JSON object: the whole row after a change, what is known of it before, its key.

use pgoutput::{Cell, OldTuple, Tuple};

use crate::columns::ColumnMask;
use crate::error::EncodeErrorKind;
use crate::event::Failure;
use crate::table::{Column, Table, json_string};

/// Buffers that rows are written with.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// An array's element without its quotes.
    element: Vec<u8>,
    /// Of an update's rows: each shown column, and whether it is another.
    pub(crate) compared: Vec<(usize, bool)>,
    /// Columns that the row after the change goes without.
    pub(crate) left_out: Vec<usize>,
    /// A field that chooses the partition.
    pub(crate) field: Vec<u8>,
    /// Names of columns that stand as null though they are not, as a JSON array less its end.
    pub(crate) unavailable: Vec<u8>,
}

/// Writes the row as it is after the change. Unchanged cells are taken from `fill` where it has
/// them.
#[inline]
pub(crate) fn after(
    table: &Table,
    row: Tuple<'_>,
    fill: Option<OldTuple<'_>>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    check_count(table, row)?;
    let leaves_out = !scratch.left_out.is_empty();
    out.push(b'{');
    for (index, (column, cell)) in table.columns().iter().zip(row.cells()).enumerate() {
        if !column.shown || (leaves_out && scratch.left_out.contains(&index)) {
            continue;
        }
        out.extend_from_slice(&column.field);
        let cell = match cell {
            Cell::Unchanged => filled(index, column, fill),
            cell => cell,
        };
        write_cell(index, column, cell, out, scratch)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes what is known of the row before the change: all of it, or the identity's columns.
pub(crate) fn before(
    table: &Table,
    row: OldTuple<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let only_identity = matches!(row, OldTuple::Key(_));
    let row = row.tuple();
    check_count(table, row)?;
    out.push(b'{');
    for (index, (column, cell)) in table.columns().iter().zip(row.cells()).enumerate() {
        if !column.shown {
            continue;
        }
        out.extend_from_slice(&column.field);
        if only_identity && !column.in_identity {
            out.extend_from_slice(&column.absent);
        } else {
            write_cell(index, column, cell, out, scratch)?;
        }
    }
    out.push(b'}');
    Ok(())
}

/// Writes one column as it is after the change, in a place of its own; null without a row.
pub(crate) fn column_after(
    table: &Table,
    index: usize,
    row: Option<Tuple<'_>>,
    fill: Option<OldTuple<'_>>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let cell = row.and_then(|row| row.cells().nth(index));
    let (Some(column), Some(cell)) = (table.columns().get(index), cell) else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let cell = match cell {
        Cell::Unchanged => filled(index, column, fill),
        cell => cell,
    };
    write_cell_again(index, column, cell, out, scratch)
}

/// Writes one column as it was before the change, in a place of its own; null without a row.
pub(crate) fn column_before(
    table: &Table,
    index: usize,
    row: Option<OldTuple<'_>>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let cell = row.and_then(|row| row.tuple().cells().nth(index));
    let (Some(column), Some(row), Some(cell)) = (table.columns().get(index), row, cell) else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    if matches!(row, OldTuple::Key(_)) && !column.in_identity {
        out.extend_from_slice(&column.absent);
        return Ok(());
    }
    write_cell_again(index, column, cell, out, scratch)
}

/// As [`write_cell`], of a column that is written elsewhere too and named there if it is
/// unavailable.
fn write_cell_again(
    index: usize,
    column: &Column,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let named = scratch.unavailable.len();
    write_cell(index, column, cell, out, scratch)?;
    scratch.unavailable.truncate(named);
    Ok(())
}

/// Writes the key of the row; nothing for a table without one.
pub(crate) fn key(
    table: &Table,
    row: Tuple<'_>,
    fill: Option<OldTuple<'_>>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let Some(key) = table.key() else {
        return Ok(());
    };
    check_count(table, row)?;
    out.push(b'{');
    for part in key {
        out.extend_from_slice(&part.field);
        let (Some(column), Some(cell)) =
            (table.columns().get(part.index), row.cells().nth(part.index))
        else {
            continue;
        };
        let cell = match cell {
            Cell::Unchanged => filled(part.index, column, fill),
            cell => cell,
        };
        if cell == Cell::Unchanged {
            return Err(Failure {
                column: Some(part.index),
                kind: EncodeErrorKind::KeyUnavailable,
            });
        }
        if column.mask.is_some() {
            write_masked_key(part.index, column, cell, out)?;
            continue;
        }
        write_cell(part.index, column, cell, out, scratch)?;
    }
    out.push(b'}');
    Ok(())
}

/// A masked column in a key: a hash, all of it, so that different rows have different keys.
#[cold]
fn write_masked_key(
    index: usize,
    column: &Column,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let failure = |kind| Failure {
        column: Some(index),
        kind,
    };
    let mask = column.mask.as_ref().filter(|mask| mask.mask.tells_apart());
    let (Some(mask), true) = (mask, column.encoder.is_text()) else {
        return Err(failure(EncodeErrorKind::KeyMasked));
    };
    match cell {
        Cell::Text(text) => {
            let written = mask.write_whole(text, out);
            written.map_err(|error| failure(error.into()))
        }
        _ => {
            mask.null(out);
            Ok(())
        }
    }
}

/// Whether every column that is shown is the same in both rows.
pub(crate) fn same_where_shown(table: &Table, old: Tuple<'_>, new: Tuple<'_>) -> bool {
    let cells = old.cells().zip(new.cells());
    table
        .columns()
        .iter()
        .zip(cells)
        .all(|(column, (old, new))| !column.shown || new == Cell::Unchanged || old == new)
}

/// The old row's cell where the new one's is unchanged and the old row has it.
fn filled<'a>(index: usize, column: &Column, old: Option<OldTuple<'a>>) -> Cell<'a> {
    let cell = match old {
        Some(OldTuple::Full(row)) => row.cells().nth(index),
        Some(OldTuple::Key(row)) if column.in_identity => row.cells().nth(index),
        _ => None,
    };
    cell.unwrap_or(Cell::Unchanged)
}

#[inline]
fn write_cell(
    index: usize,
    column: &Column,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    if let Some(mask) = &column.mask {
        return write_masked(index, column, mask, cell, out, scratch);
    }
    match cell {
        Cell::Text(text) => column
            .encoder
            .encode(text, out, &mut scratch.element)
            .map_err(|error| Failure {
                column: Some(index),
                kind: error.into(),
            }),
        Cell::Null => {
            out.extend_from_slice(&column.null);
            Ok(())
        }
        Cell::Unchanged => {
            write_unavailable(column, out, scratch);
            Ok(())
        }
        Cell::Binary(_) => Err(Failure {
            column: Some(index),
            kind: EncodeErrorKind::Binary,
        }),
    }
}

fn write_masked(
    index: usize,
    column: &Column,
    mask: &ColumnMask,
    cell: Cell<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    match cell {
        Cell::Text(text) => mask.write(text, out).map_err(|error| Failure {
            column: Some(index),
            kind: error.into(),
        }),
        Cell::Unchanged => {
            write_unavailable(column, out, scratch);
            Ok(())
        }
        Cell::Null | Cell::Binary(_) => {
            mask.null(out);
            Ok(())
        }
    }
}

#[cold]
fn write_unavailable(column: &Column, out: &mut Vec<u8>, scratch: &mut Scratch) {
    if let Some(placeholder) = &column.placeholder {
        out.extend_from_slice(placeholder);
        return;
    }
    out.extend_from_slice(b"null");
    if !column.names_unavailable {
        return;
    }
    let names = &mut scratch.unavailable;
    names.push(if names.is_empty() { b'[' } else { b',' });
    json_string(&column.name, names);
}

fn check_count(table: &Table, row: Tuple<'_>) -> Result<(), Failure> {
    let (expected, found) = (table.columns().len(), row.len());
    if expected == found {
        return Ok(());
    }
    Err(Failure {
        column: None,
        kind: EncodeErrorKind::ColumnCount { expected, found },
    })
}
