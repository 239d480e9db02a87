//! What the columns of captured tables mean for their events.

use std::collections::{BTreeMap, BTreeSet};

use envelope::{TypeDetails, ambiguous_fields, is_carried_as_text, is_left_out};
use tokio_postgres::Client;

use super::finding::Finding;
use super::tables::{IdentityKind, Relation, list, several};
use super::wanted::Wanted;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// The type as `format_type` writes it.
    pub type_name: String,
    /// How it gets its value.
    pub generated: Generated,
    /// Its values may be stored out of line (`attstorage` `x` or `e`).
    pub toastable: bool,
}

/// `pg_attribute.attgenerated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// Not generated.
    No,
    /// Stored in the row.
    Stored,
    /// Computed when read (18 and later).
    Virtual,
}

/// Columns by table OID, in the order of the table.
pub type Columns = BTreeMap<u32, Vec<Column>>;

// One row a table, not one a column: ten thousand tables have some hundred thousand columns.
const COLUMNS: &str = "
    SELECT a.attrelid,
           array_agg(a.attname::text ORDER BY a.attnum),
           array_agg(a.atttypid ORDER BY a.attnum),
           array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum),
           array_agg(a.attgenerated ORDER BY a.attnum),
           array_agg(a.attstorage ORDER BY a.attnum)
      FROM pg_attribute a
     WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
     GROUP BY a.attrelid";

/// Asks for the columns of these tables.
///
/// # Errors
/// What the server answered.
pub async fn read(client: &Client, oids: &[u32]) -> Result<Columns, tokio_postgres::Error> {
    let mut columns = Columns::new();
    for row in client.query(COLUMNS, &[&oids]).await? {
        let names: Vec<String> = row.try_get(1)?;
        let types: Vec<u32> = row.try_get(2)?;
        let type_names: Vec<String> = row.try_get(3)?;
        let generated: Vec<i8> = row.try_get(4)?;
        let storage: Vec<i8> = row.try_get(5)?;
        let table = names
            .into_iter()
            .zip(types)
            .zip(type_names)
            .zip(generated.into_iter().zip(storage))
            .map(
                |(((name, type_oid), type_name), (generated, storage))| Column {
                    name,
                    type_oid,
                    type_name,
                    generated: match generated.cast_unsigned() {
                        b's' => Generated::Stored,
                        b'v' => Generated::Virtual,
                        _ => Generated::No,
                    },
                    toastable: matches!(storage.cast_unsigned(), b'x' | b'e'),
                },
            )
            .collect();
        columns.insert(row.try_get(0)?, table);
    }
    Ok(columns)
}

/// The types that these columns have, each once.
#[must_use]
pub fn type_oids(columns: &Columns) -> BTreeSet<u32> {
    columns
        .values()
        .flatten()
        .map(|column| column.type_oid)
        .collect()
}

/// Judges the columns of the captured tables.
#[must_use]
pub fn judge(
    wanted: &Wanted<'_>,
    captured: &[&Relation],
    columns: &Columns,
    types: &[TypeDetails],
) -> Vec<Finding> {
    let as_text = |oid: &u32| is_carried_as_text(*oid, types, wanted.envelope);
    let as_text: BTreeSet<u32> = type_oids(columns).into_iter().filter(as_text).collect();
    let left_out = |oid: &u32| is_left_out(*oid, types, wanted.envelope);
    let left_out: BTreeSet<u32> = type_oids(columns).into_iter().filter(left_out).collect();
    let mut findings = Vec::new();
    let mut placeholders = Vec::new();
    for &table in captured {
        let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
        findings.extend(differ_by_case(table, own));
        findings.extend(fields_twice(wanted, table, own));
        findings.extend(carried_as_text(table, own, &as_text));
        findings.extend(columns_left_out(table, own, &left_out));
        if table.identity != IdentityKind::Full && own.iter().any(|column| column.toastable) {
            placeholders.push(table);
        }
    }
    if !placeholders.is_empty() {
        let problem = format!(
            "Large values (TOAST) that an UPDATE leaves alone are not in the WAL; events then \
             carry a placeholder: {}. With REPLICA IDENTITY FULL the value is taken from the old \
             row.",
            list(&placeholders)
        );
        findings.push(Finding::info(
            "TOAST_UNCHANGED",
            several(&placeholders),
            problem,
        ));
    }
    findings
}

fn differ_by_case(table: &Relation, columns: &[Column]) -> Option<Finding> {
    let mut seen = BTreeSet::new();
    let twins: Vec<&str> = columns
        .iter()
        .filter(|column| !seen.insert(column.name.to_lowercase()))
        .map(|column| column.name.as_str())
        .collect();
    if twins.is_empty() {
        return None;
    }
    Some(
        Finding::warning(
            "COLUMN_CASE",
            table.subject(),
            format!(
                "Columns differ from others only by case: {}. Events keep them apart, but sinks \
                 that fold case do not.",
                twins.join(", ")
            ),
        )
        .text("rename one of them, or see that every consumer keeps case"),
    )
}

fn fields_twice(wanted: &Wanted<'_>, table: &Relation, columns: &[Column]) -> Option<Finding> {
    let rules = &wanted.envelope.columns;
    let names = columns.iter().map(|column| column.name.as_str());
    let shown = names.filter(|name| rules.shows(&table.schema, &table.name, name));
    let twice = ambiguous_fields(shown, wanted.envelope);
    if twice.is_empty() {
        return None;
    }
    let problem = format!(
        "Two of a row's values would have one name: {}.",
        twice.into_iter().collect::<Vec<_>>().join(", ")
    );
    Some(
        Finding::error("FIELD_TWICE", table.subject(), problem).text(
            "rename a column, hide one with column.exclude.list, or choose another \
             field.name.adjustment.mode or name in unwrap.add.fields",
        ),
    )
}

fn carried_as_text(
    table: &Relation,
    columns: &[Column],
    as_text: &BTreeSet<u32>,
) -> Option<Finding> {
    let found = of_types(columns, as_text)?;
    let problem = format!("Columns carried as Postgres prints them, as a string: {found}.");
    Some(Finding::info("TYPE_AS_TEXT", table.subject(), problem))
}

fn columns_left_out(
    table: &Relation,
    columns: &[Column],
    left_out: &BTreeSet<u32>,
) -> Option<Finding> {
    let found = of_types(columns, left_out)?;
    let problem = format!(
        "Columns left out, since envelope.compatibility is debezium and Debezium has no form for \
         them: {found}."
    );
    let finding = Finding::warning("TYPE_LEFT_OUT", table.subject(), problem);
    Some(finding.text("set envelope.compatibility: lossless"))
}

/// The columns of these types with their types, for a reader.
fn of_types(columns: &[Column], types: &BTreeSet<u32>) -> Option<String> {
    let found: Vec<String> = columns
        .iter()
        .filter(|column| column.generated == Generated::No && types.contains(&column.type_oid))
        .map(|column| format!("{} {}", column.name, column.type_name))
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}
