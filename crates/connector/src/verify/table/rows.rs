//! A table's rows in the snapshot, each as the topic would have it: the same encoder writes them.

use std::hash::{DefaultHasher, Hasher as _};
use std::pin::pin;

use bytes::Bytes;
use envelope::{
    Context, Encoder, FailureHandling, Options, Records, RelationDetails, SnapshotMark, Table,
};
use futures_util::StreamExt as _;
use pgoutput::{Cell, CommitLsn, CopyRow, Lsn, PgTimestamp, Tuple, TupleBuf};

use super::columns::Columns;
use super::members::member;
use super::topic::payload;
use crate::copy::CopyTable;
use crate::postgres::PostgresError;
use crate::postgres::sql::{SqlClient, sql};

/// Writes rows.
pub(super) struct Writer {
    table: Table,
    encoder: Encoder,
    records: Records,
    row: CopyRow,
    columns: u16,
    schemas: bool,
}

/// What a topic would hold of one row.
pub(super) struct Written<'a> {
    pub(super) key: u64,
    pub(super) after: &'a [u8],
}

impl Writer {
    pub(super) fn new(of: &CopyTable, details: &RelationDetails, options: &Options) -> Self {
        let options = Options {
            // A row that cannot be written is none that could be compared.
            failures: FailureHandling::Fail,
            ..options.clone()
        };
        Self {
            table: Table::new(&of.relation(), details, &options),
            schemas: options.schemas,
            encoder: Encoder::new(options),
            records: Records::new(),
            row: CopyRow::new(),
            columns: of.column_count(),
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// One line of COPY; none when it cannot be written.
    pub(super) fn write(&mut self, line: &[u8]) -> Option<Written<'_>> {
        let tuple = self.row.decode(line, self.columns).ok()?;
        self.records.clear();
        encode(&mut self.encoder, &self.table, tuple, &mut self.records)?;
        written(&self.records, self.schemas)
    }

    /// The columns, found out by a row.
    pub(super) fn columns(&mut self, line: &[u8], keys: &[bool]) -> Option<Columns> {
        let tuple = self.row.decode(line, self.columns).ok()?;
        let cells = tuple.cells().zip(keys);
        let unavailable: TupleBuf = cells
            .map(|(cell, key)| if *key { cell } else { Cell::Unchanged })
            .collect();
        let mut records = Records::new();
        for row in [tuple, unavailable.tuple()] {
            encode(&mut self.encoder, &self.table, row, &mut records)?;
        }
        let value = |index| {
            let value = payload(records.get(index)?.value?, self.schemas)?;
            member(value, b"\"after\"")
        };
        Columns::of(value(0)?, value(1)?)
    }
}

fn encode(
    encoder: &mut Encoder,
    table: &Table,
    tuple: Tuple<'_>,
    records: &mut Records,
) -> Option<()> {
    let context = Context {
        epoch: 0,
        commit_lsn: CommitLsn(Lsn::ZERO),
        commit_time: PgTimestamp::from_unix_micros(0),
        xid: 0,
        data_start: Lsn::ZERO,
        origin: None,
        snapshot: SnapshotMark::Row,
        first_ordinal: 0,
        now_unix_nanos: 0,
    };
    encoder.read(table, &context, tuple, records).ok()
}

fn written(records: &Records, schemas: bool) -> Option<Written<'_>> {
    let record = records.get(0)?;
    let value = payload(record.value?, schemas)?;
    Some(Written {
        key: key_hash(payload(record.key?, schemas)?),
        after: member(value, b"\"after\"")?,
    })
}

/// What a key is known by.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

/// A line of the located COPY: where the row lies, and the row.
pub(super) fn located(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut tabs = memchr::memchr_iter(b'\t', line);
    let (_, second) = (tabs.next()?, tabs.next()?);
    Some((line.get(..second)?, line.get(second + 1..)?))
}

/// For people: `public.users (0,1)`.
pub(super) fn place(location: &[u8]) -> String {
    String::from_utf8_lossy(location).replace('\t', " ")
}

/// The first row, if there is one.
pub(super) async fn first(
    client: &SqlClient,
    table: &CopyTable,
) -> Result<Option<Bytes>, PostgresError> {
    let statement = table.located_copy_statement();
    let rows = statement.strip_suffix(") TO STDOUT").unwrap_or_default();
    let limited = format!("{rows} LIMIT 1) TO STDOUT");
    let lines = client.copy_out(&limited).await.map_err(sql(DOING))?;
    let mut lines = pin!(lines);
    let mut first = None;
    // To its end, or the session would be in the middle of an answer.
    while let Some(line) = lines.next().await {
        first = Some(line.map_err(sql(DOING))?);
    }
    Ok(first)
}

/// Hands each row to `take`, until it wants no more.
pub(super) async fn each(
    client: &SqlClient,
    table: &CopyTable,
    mut take: impl FnMut(&[u8], &[u8]) -> Go,
) -> Result<(), PostgresError> {
    let statement = table.located_copy_statement();
    let lines = client.copy_out(&statement).await.map_err(sql(DOING))?;
    let mut lines = pin!(lines);
    while let Some(line) = lines.next().await {
        let line = line.map_err(sql(DOING))?;
        let go = located(&line).map_or(Go::On, |(location, row)| take(location, row));
        if go == Go::Stop {
            break;
        }
    }
    Ok(())
}

/// Whether rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Stop,
}

const DOING: &str = "read a table's rows";
