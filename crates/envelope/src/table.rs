//! A table as it is at some point of the log, everything about its columns worked out beforehand:
//! names as JSON, encoders, the key, the topic.
//!
//! The shape is the Relation message's, which is right for its LSN; the catalog, asked later, only
//! adds what that message does not say.

use pgoutput::{Cell, Relation, RelationColumn, ReplicaIdentity, Tuple};

use crate::columns::ColumnMask;
use crate::details::RelationDetails;
use crate::error::EncodeErrorKind;
use crate::flat::Flat;
use crate::names::{self, ambiguous_fields};
use crate::options::{Compatibility, Options};
use crate::outbox::Shape;
use crate::partition::Partitioning;
use crate::schema::{self, Field, Schema, Wrapping};
use crate::value::{ValueEncoder, quoted, resolve};

/// A relation, ready to encode its rows.
#[derive(Debug, Clone)]
pub struct Table {
    relation: u32,
    qualified_name: String,
    topic: String,
    columns: Vec<Column>,
    key: Option<Vec<KeyColumn>>,
    /// `,"name":"value"}`, the key's end, when routing adds a field to it.
    key_end: Option<Vec<u8>>,
    /// A column whose field is another's, too.
    field_twice: Option<usize>,
    /// A column of the key that updates and deletes do not carry.
    key_not_carried: Option<usize>,
    /// `"public","table":"users"`, from the source block.
    source: Vec<u8>,
    key_wrapping: Wrapping,
    value_wrapping: Wrapping,
    /// What stands around the text `null`, where that is a delete among flat rows.
    null_wrapping: Wrapping,
    /// When rows are flat.
    flat: Option<Flat>,
    /// When fields choose the partition.
    partitioning: Option<Partitioning>,
    /// When rows are events of an outbox; what is wrong where it lacks a column.
    outbox: Option<Result<Box<Shape>, EncodeErrorKind>>,
}

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Apart, since rows seldom need it: what they need of all columns is to stay in the cache.
    pub(crate) described: Box<Described>,
    /// Whether rows have it; a key may have it all the same.
    pub(crate) shown: bool,
    pub(crate) mask: Option<Box<ColumnMask>>,
    /// `"name":`, behind a comma but for the first column that is shown.
    pub(crate) field: Vec<u8>,
    pub(crate) encoder: ValueEncoder,
    /// What stands for NULL.
    pub(crate) null: Vec<u8>,
    /// Whether a value that is not in the log is named where it has no mark.
    pub(crate) names_unavailable: bool,
    /// Whether a key tuple holds it.
    pub(crate) in_identity: bool,
    /// What stands in a `before` that was made of a key tuple.
    pub(crate) absent: Vec<u8>,
    /// What stands for an unchanged value that is not in the log; none when the type has no such.
    pub(crate) placeholder: Option<Vec<u8>>,
}

/// What a column is called and what type it has, in rows.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// The name as a field.
    pub(crate) field_name: String,
    /// With its default, and optional unless it is NOT NULL.
    pub(crate) schema: Schema,
    /// What its schema tells of its type in the database.
    source: Option<[(&'static str, String); 4]>,
}

/// One column of the key.
#[derive(Debug, Clone)]
pub(crate) struct KeyColumn {
    /// Among the table's columns.
    pub(crate) index: usize,
    /// `"name":`, behind a comma but for the first column of the key.
    pub(crate) field: Vec<u8>,
}

impl Table {
    /// Works out everything that is the same for all rows. `details` may be empty for a table that
    /// is gone by now: then nothing is known to be NOT NULL, keys are in the columns' order, and
    /// types that are not built in are carried as text.
    #[must_use]
    pub fn new(relation: &Relation<'_>, details: &RelationDetails, options: &Options) -> Self {
        let mut columns: Vec<Column> = Vec::with_capacity(relation.columns.len());
        let mut shown = 0;
        for column in relation.columns.iter() {
            let column = Column::new(shown, relation, &column, details, options);
            shown += usize::from(column.shown);
            columns.push(column);
        }
        let mut source = Vec::new();
        json_string(relation.schema, &mut source);
        source.extend_from_slice(b",\"table\":");
        json_string(relation.name, &mut source);
        let topic = options.topic(relation.schema, relation.name);
        let schema_topic = names::schema(&topic, options.schema_names).into_owned();
        let own_topic = options.own_topic(relation.schema, relation.name);
        let route_key = options
            .route
            .as_ref()
            .and_then(|route| route.key(&own_topic));
        let flat = options.unwrap.as_ref().map(|unwrap| {
            let names = (relation.schema, relation.name);
            Flat::new(unwrap, options, names, &schema_topic, &columns)
        });
        let rule = options.columns.key(relation.schema, relation.name);
        let key = rule
            .and_then(|names| key_of(names.iter(), &columns))
            .or_else(|| key(relation.replica_identity, details, &columns));
        let carried = rule.is_none() || relation.replica_identity == ReplicaIdentity::Full;
        let mut parts = key.iter().flatten().map(|part| part.index);
        let key_not_carried =
            parts.find(|index| !carried && !columns.get(*index).is_some_and(|it| it.in_identity));
        let shown = columns.iter().filter(|column| column.shown);
        let fields: Vec<Field> = shown.map(Column::row_field).collect();
        Self {
            relation: relation.oid,
            qualified_name: format!("{}.{}", relation.schema, relation.name),
            key_wrapping: Wrapping::of(options, || {
                let columns = key
                    .iter()
                    .flatten()
                    .filter_map(|key| columns.get(key.index));
                let routed = route_key.iter().map(|(name, _)| schema::text_field(name));
                let fields = columns.map(Column::schema_field).chain(routed);
                schema::table_key(&schema_topic, fields.collect())
            }),
            null_wrapping: match options.deletes_are_null() {
                true => Wrapping::of(options, || schema::table_row(&schema_topic, &fields)),
                false => Wrapping::default(),
            },
            value_wrapping: Wrapping::of(options, || match &flat {
                Some(flat) => flat.schema(fields),
                None => schema::table_value(&schema_topic, &fields),
            }),
            flat,
            key_end: route_key.as_ref().map(|(name, value)| {
                let mut end = b",".to_vec();
                json_string(name, &mut end);
                end.push(b':');
                json_string(value, &mut end);
                end.push(b'}');
                end
            }),
            partitioning: Partitioning::new(options, relation, &columns),
            outbox: Shape::new(options, relation, &columns),
            topic,
            key,
            field_twice: field_twice(&columns, options),
            key_not_carried,
            columns,
            source,
        }
    }

    /// The table's oid.
    #[must_use]
    pub fn relation(&self) -> u32 {
        self.relation
    }

    /// `schema.table`, not quoted.
    #[must_use]
    pub fn qualified_name(&self) -> &str {
        &self.qualified_name
    }

    /// The topic its records go to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether rows are events of an outbox, which name their topics themselves.
    #[must_use]
    pub fn is_outbox(&self) -> bool {
        self.outbox.is_some()
    }

    pub(crate) fn outbox(&self) -> Option<&Result<Box<Shape>, EncodeErrorKind>> {
        self.outbox.as_ref()
    }

    /// How many columns a row has.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Names of the key's columns in the key's order; none for a table whose records have no key.
    pub fn key_columns(&self) -> impl Iterator<Item = &str> {
        let key = self.key.iter().flatten();
        key.filter_map(|key| self.columns.get(key.index))
            .map(|column| column.name.as_str())
    }

    /// Whether two rows are one and the same by the replica identity, and tell it whole.
    #[must_use]
    pub fn is_one_row(&self, one: Tuple<'_>, other: Tuple<'_>) -> bool {
        let cells = self.columns.iter().zip(one.cells().zip(other.cells()));
        let mut identity = cells.filter(|(column, _)| column.in_identity).peekable();
        identity.peek().is_some()
            && identity.all(|(_, (one, other))| one == other && one != Cell::Unchanged)
    }

    /// Names of columns whose type has no form of its own yet and is carried as its text.
    pub fn fallback_columns(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .filter(|column| column.encoder.is_fallback())
            .map(|column| column.name.as_str())
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn key(&self) -> Option<&[KeyColumn]> {
        self.key.as_deref()
    }

    /// The key's end in place of its brace, when routing adds a field to it.
    pub(crate) fn key_end(&self) -> Option<&[u8]> {
        self.key_end.as_deref()
    }

    /// A column, by number, whose field is another's, too: rows cannot be written.
    pub(crate) fn field_twice(&self) -> Option<usize> {
        self.field_twice
    }

    /// A column of the key, by number, that updates and deletes do not carry.
    pub(crate) fn key_not_carried(&self) -> Option<usize> {
        self.key_not_carried
    }

    pub(crate) fn source(&self) -> &[u8] {
        &self.source
    }

    /// What stands around each key.
    pub(crate) fn key_wrapping(&self) -> &Wrapping {
        &self.key_wrapping
    }

    /// When rows are flat.
    pub(crate) fn flat(&self) -> Option<&Flat> {
        self.flat.as_ref()
    }

    /// When fields choose the partition.
    pub(crate) fn partitioning(&self) -> Option<&Partitioning> {
        self.partitioning.as_ref()
    }

    /// What stands around the text `null` for a delete.
    pub(crate) fn null_wrapping(&self) -> &Wrapping {
        &self.null_wrapping
    }

    /// What stands around each value.
    pub(crate) fn value_wrapping(&self) -> &Wrapping {
        &self.value_wrapping
    }
}

impl Column {
    /// `shown_before`: how many columns are shown before this one.
    fn new(
        shown_before: usize,
        relation: &Relation<'_>,
        column: &RelationColumn<'_>,
        details: &RelationDetails,
        options: &Options,
    ) -> Self {
        let (oid, modifier, types) = (column.type_oid, column.type_modifier, &details.types);
        let encoder = resolve(oid, modifier, types, options)
            .with_money_digits(details.money_digits.unwrap_or(2));
        let not_null = details.not_null.iter().any(|name| name == column.name);
        let encoder = match not_null {
            true => encoder.required(),
            false => encoder,
        };
        let lossless = options.compatibility == Compatibility::Lossless;
        let expression = details
            .defaults
            .iter()
            .find(|(name, _)| name == column.name);
        let default = expression.and_then(|(_, expression)| {
            schema::default_of(expression, oid, modifier, types, &encoder)
        });
        let rules = &options.columns;
        let mask = rules.mask(relation.schema, relation.name, column.name);
        // What cannot be masked is not shown.
        let shown = rules.shows(relation.schema, relation.name, column.name)
            && (mask.is_none() || encoder.is_text())
            && !encoder.is_left_out();
        let field_name = names::field(column.name, options.field_names).into_owned();
        let table = (relation.schema, relation.name);
        let propagated = rules.propagates(table, column.name, || schema::type_name(oid, types));
        // Connect's converter puts the default in the place of null.
        let null = match &default {
            Some(default) if !lossless => default.clone(),
            _ => b"null".to_vec(),
        };
        Self {
            name: column.name.to_owned(),
            field: field(&field_name, shown_before),
            described: Box::new(Described {
                source: propagated
                    .then(|| schema::source_parameters(column.name, oid, modifier, types)),
                field_name,
                schema: schema::of_column(oid, modifier, types, options, &encoder)
                    // Debezium's geometry is optional even where it is NOT NULL.
                    .optional_if(
                        !not_null || encoder == ValueEncoder::Geometry { geography: false },
                    )
                    .default(default.clone())
                    .masked(mask),
            }),
            shown,
            mask: mask.map(|mask| {
                Box::new(ColumnMask {
                    mask: mask.clone(),
                    length: length(oid, modifier),
                })
            }),
            null: null.clone(),
            names_unavailable: lossless,
            in_identity: column.in_identity,
            absent: if not_null && mask.is_some() {
                b"\"\"".to_vec()
            } else if not_null {
                default.unwrap_or_else(|| encoder.zero())
            } else {
                null
            },
            placeholder: encoder.placeholder(options),
            encoder,
        }
    }

    /// In a key.
    fn schema_field(&self) -> Field {
        self.described
            .schema
            .clone()
            .field(self.described.field_name.clone())
    }

    /// In a row.
    pub(crate) fn row_field(&self) -> Field {
        let parameters = self.described.source.iter().flatten();
        parameters
            .fold(self.described.schema.clone(), |schema, (name, value)| {
                schema.parameter(name, value)
            })
            .field(self.described.field_name.clone())
    }
}

/// A column whose field is another's, too.
fn field_twice(columns: &[Column], options: &Options) -> Option<usize> {
    let shown = columns.iter().filter(|column| column.shown);
    let twice = ambiguous_fields(shown.map(|column| column.name.as_str()), options);
    let is_twice = |column: &Column| column.shown && twice.contains(&column.described.field_name);
    columns.iter().position(is_twice)
}

/// The key is made of columns that every operation carries: the replica identity's. With FULL, all
/// columns are carried, and with NOTHING there are inserts only: then it is the primary key.
fn key(
    identity: ReplicaIdentity,
    details: &RelationDetails,
    columns: &[Column],
) -> Option<Vec<KeyColumn>> {
    let flagged = || {
        columns
            .iter()
            .filter(|column| column.in_identity)
            .map(|column| &column.name)
    };
    let names: Vec<&String> = match identity {
        ReplicaIdentity::Default => ordered(flagged().collect(), &details.primary_key),
        ReplicaIdentity::Index => ordered(flagged().collect(), &details.identity_index),
        ReplicaIdentity::Full | ReplicaIdentity::Nothing => details.primary_key.iter().collect(),
    };
    key_of(names.into_iter(), columns)
}

/// None if there is no column, or not all are there.
fn key_of<'a>(
    names: impl Iterator<Item = &'a String>,
    columns: &[Column],
) -> Option<Vec<KeyColumn>> {
    let key: Option<Vec<KeyColumn>> = names
        .enumerate()
        .map(|(position, name)| {
            let index = columns.iter().position(|column| column.name == *name)?;
            Some(KeyColumn {
                index,
                field: field(&columns.get(index)?.described.field_name, position),
            })
        })
        .collect();
    key.filter(|key| !key.is_empty())
}

/// How many characters a column of bpchar or varchar holds.
fn length(oid: u32, modifier: i32) -> Option<usize> {
    let is_limited = matches!(oid, 1042 | 1043) && modifier >= 4;
    is_limited
        .then(|| usize::try_from(modifier - 4).ok())
        .flatten()
}

/// The index's order where it has just these columns, else the table's: the index may have changed
/// since.
fn ordered<'a>(flagged: Vec<&'a String>, index: &'a [String]) -> Vec<&'a String> {
    let same = flagged.len() == index.len() && flagged.iter().all(|name| index.contains(name));
    if same {
        index.iter().collect()
    } else {
        flagged
    }
}

/// A topic's legal form of a name: Debezium puts `_` for each UTF-16 unit that Kafka does not allow.
pub(crate) fn topic(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut topic = String::with_capacity(name.len());
    for c in name.chars() {
        if legal(c) {
            topic.push(c);
        } else {
            topic.extend(std::iter::repeat_n('_', c.len_utf16()));
        }
    }
    topic
}

fn field(name: &str, position: usize) -> Vec<u8> {
    let mut field = Vec::with_capacity(name.len() + 4);
    if position > 0 {
        field.push(b',');
    }
    json_string(name, &mut field);
    field.push(b':');
    field
}

/// Appends a JSON string.
pub(crate) fn json_string(text: &str, out: &mut Vec<u8>) {
    // A str is UTF-8, the only thing that could be wrong.
    let _ = quoted(text.as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use pgoutput::{ColumnsBuf, RelationColumn};

    use super::*;

    fn table(identity: ReplicaIdentity, flagged: &[&str], details: &RelationDetails) -> Table {
        let columns: ColumnsBuf = ["a", "b", "c"]
            .into_iter()
            .map(|name| RelationColumn {
                in_identity: flagged.contains(&name),
                name,
                type_oid: 23,
                type_modifier: -1,
            })
            .collect();
        let relation = Relation {
            oid: 1,
            schema: "public",
            name: "t",
            replica_identity: identity,
            columns: columns.columns(),
        };
        Table::new(&relation, details, &Options::new("srv", "db"))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_key_has_what_every_operation_carries() {
        use ReplicaIdentity::{Default, Full, Index, Nothing};
        let primary = RelationDetails {
            primary_key: names(&["b", "a"]),
            ..RelationDetails::default()
        };
        let index = RelationDetails {
            identity_index: names(&["c", "b"]),
            primary_key: names(&["a"]),
            ..RelationDetails::default()
        };
        let gone = RelationDetails::default();
        let cases: [(ReplicaIdentity, &[&str], &RelationDetails, &[&str]); 9] = [
            (Default, &["a", "b"], &primary, &["b", "a"]),
            // The primary key was changed since: the identity in force counts.
            (Default, &["a", "c"], &primary, &["a", "c"]),
            (Default, &["a", "b"], &gone, &["a", "b"]),
            (Default, &[], &primary, &[]),
            (Index, &["b", "c"], &index, &["c", "b"]),
            (Full, &["a", "b", "c"], &primary, &["b", "a"]),
            (Full, &["a", "b", "c"], &gone, &[]),
            (Nothing, &[], &primary, &["b", "a"]),
            (Nothing, &[], &gone, &[]),
        ];
        for (identity, flagged, details, expected) in cases {
            let table = table(identity, flagged, details);
            assert_eq!(
                table.key_columns().collect::<Vec<_>>(),
                expected,
                "{identity:?} {flagged:?}"
            );
        }
    }

    #[test]
    fn topics_are_legal() {
        assert_eq!(topic("srv.public.We-ird Tbl"), "srv.public.We-ird_Tbl");
        assert_eq!(topic("srv.public.é漢😀"), "srv.public.____");
    }
}
