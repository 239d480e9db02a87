//! Partitions by chosen fields (Debezium manual, "Partition Routing"): a record goes to the partition
//! that the hashes of some of its fields say, and without any of them where its key says.

use pgoutput::Relation;

use crate::event::{Event, Failure};
use crate::java_hash::{HashFunction, JavaForm};
use crate::options::{Compatibility, Options};
use crate::records::Operation;
use crate::row::{self, Scratch};
use crate::table::{Column, Table};

/// The options of PartitionRouting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRouting {
    /// `partition.payload.fields`.
    pub fields: Vec<PartitionField>,
    /// `partition.topic.num`: the partitions in use, from the first.
    pub partitions: u32,
    /// `partition.hash.function`.
    pub function: HashFunction,
}

/// A field of the envelope that partitions are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionField {
    /// `before.<column>`.
    Before(String),
    /// `after.<column>`.
    After(String),
    /// `change.<column>`: of `before` for a delete, else of `after`.
    Change(String),
    /// `op`.
    Operation,
    /// `source.connector`.
    Connector,
    /// `source.name`: the prefix of the topics.
    Name,
    /// `source.db`.
    Database,
    /// `source.schema`.
    Schema,
    /// `source.table`.
    Table,
}

impl std::str::FromStr for PartitionField {
    type Err = String;

    /// Says what is wrong as the tail of a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('.') {
            Some(("before", column)) if is_name(column) => Self::Before(column.to_owned()),
            Some(("after", column)) if is_name(column) => Self::After(column.to_owned()),
            Some(("change", column)) if is_name(column) => Self::Change(column.to_owned()),
            Some(("source", "connector")) => Self::Connector,
            Some(("source", "name")) => Self::Name,
            Some(("source", "db")) => Self::Database,
            Some(("source", "schema")) => Self::Schema,
            Some(("source", "table")) => Self::Table,
            None if text == "op" => Self::Operation,
            _ => {
                return Err("is no field that can choose a partition: write change.COLUMN, \
                            before.COLUMN, after.COLUMN, op, or connector, name, db, schema or table \
                            of source; times and positions would scatter a row's events"
                    .to_owned());
            }
        })
    }
}

fn is_name(column: &str) -> bool {
    !column.is_empty() && !column.contains('.')
}

/// What of a table's records the partition is made of.
#[derive(Debug, Clone)]
pub(crate) struct Partitioning {
    parts: Vec<Part>,
    partitions: u32,
    function: HashFunction,
    with_tombstones: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Constant(i32),
    Operation,
    Column {
        index: usize,
        form: JavaForm,
        row: Row,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Before,
    After,
    Change,
}

impl Partitioning {
    /// For one table; none without such a rule.
    pub(crate) fn new(
        options: &Options,
        relation: &Relation<'_>,
        columns: &[Column],
    ) -> Option<Self> {
        let routing = options.partitions.as_ref()?;
        let constant = |text: &str| Some(Part::Constant(routing.function.of_text(text.as_bytes())));
        let column = |name: &str, row| {
            let found = columns.iter().enumerate();
            let mut found =
                found.filter(|(_, column)| column.shown && column.described.field_name == name);
            let (index, column) = found.next()?;
            let form = match column.mask {
                Some(_) => JavaForm::String,
                None => JavaForm::of(&column.described.schema),
            };
            Some(Part::Column { index, form, row })
        };
        let parts = routing.fields.iter().filter_map(|field| match field {
            PartitionField::Before(name) => column(name, Row::Before),
            PartitionField::After(name) => column(name, Row::After),
            PartitionField::Change(name) => column(name, Row::Change),
            PartitionField::Operation => Some(Part::Operation),
            PartitionField::Connector => constant("postgresql"),
            PartitionField::Name => constant(&options.server_name),
            PartitionField::Database => constant(&options.database),
            PartitionField::Schema => constant(relation.schema),
            PartitionField::Table => constant(relation.name),
        });
        Some(Self {
            parts: parts.collect(),
            partitions: routing.partitions.max(1),
            function: routing.function,
            with_tombstones: options.compatibility == Compatibility::Lossless,
        })
    }

    /// Whether a tombstone follows its delete. Debezium's goes where the key says, and compaction then
    /// never finds what it should remove.
    pub(crate) fn with_tombstones(&self) -> bool {
        self.with_tombstones
    }

    /// The partition of an event; none if it has none of the fields.
    pub(crate) fn of(
        &self,
        table: &Table,
        event: &Event<'_>,
        scratch: &mut Scratch,
    ) -> Result<Option<u32>, Failure> {
        if event.operation == Operation::Truncate {
            return Ok(None);
        }
        let mut sum: Option<i32> = None;
        let mut json = std::mem::take(&mut scratch.field);
        for part in &self.parts {
            json.clear();
            let hash = match part {
                Part::Constant(hash) => *hash,
                Part::Operation => {
                    let code = event.operation.code().unwrap_or_default();
                    self.function.of_text(code.as_bytes())
                }
                Part::Column { index, form, row } => {
                    let rows = &event.rows;
                    let is_before = match row {
                        Row::Change => event.operation == Operation::Delete,
                        row => *row == Row::Before,
                    };
                    if is_before {
                        row::column_before(table, *index, rows.before, &mut json, scratch)?;
                    } else {
                        let (after, fill) = (rows.after, rows.fill);
                        row::column_after(table, *index, after, fill, &mut json, scratch)?;
                    }
                    if json == b"null" {
                        continue;
                    }
                    form.hash(&json, self.function)
                }
            };
            sum = Some(sum.unwrap_or_default().wrapping_add(hash));
        }
        scratch.field = json;
        Ok(sum.map(|sum| match sum.cast_unsigned() & 0x7fff_ffff {
            0x7fff_ffff => 0,
            sum => sum % self.partitions,
        }))
    }
}
