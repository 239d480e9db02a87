//! Can the rules about columns be kept: what is masked, what keys are made of?

use std::collections::BTreeSet;

use envelope::{ColumnRules, PartitionField, Pattern, TypeDetails, is_maskable};

use super::columns::{Column, Columns, type_oids};
use super::finding::{Finding, Remedy, Subject};
use super::identity::{Identity, Index, Indexes, resolve};
use super::tables::Relation;
use super::wanted::{Action, Wanted};

/// Judges the rules on the captured tables.
#[must_use]
pub fn judge(
    wanted: &Wanted<'_>,
    captured: &[&Relation],
    columns: &Columns,
    types: &[TypeDetails],
    indexes: &Indexes,
) -> Vec<Finding> {
    let rules = &wanted.envelope.columns;
    if *rules == ColumnRules::default() {
        return Vec::new();
    }
    let maskable = |oid: &u32| is_maskable(*oid, types, wanted.envelope);
    let maskable: BTreeSet<u32> = type_oids(columns).into_iter().filter(maskable).collect();
    let mut findings = unused(rules, captured, columns);
    for &table in captured {
        let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let indexes = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
        findings.extend(not_text(rules, table, own, &maskable));
        let key = match rules.key(&table.schema, &table.name) {
            Some(key) => {
                findings.extend(key_unknown(table, own, key));
                findings.extend(key_not_carried(table, indexes, key));
                key
            }
            None => own_key(table, indexes),
        };
        findings.extend(key_masked(rules, table, key));
    }
    findings
}

/// A field that chooses the partition, and that deletes do not carry: they would be on another than
/// the row's other events, and in no order with them.
#[must_use]
pub fn partition_fields(
    wanted: &Wanted<'_>,
    captured: &[&Relation],
    columns: &Columns,
    indexes: &Indexes,
) -> Vec<Finding> {
    let Some(routing) = &wanted.envelope.partitions else {
        return Vec::new();
    };
    let skipped = wanted.envelope.skipped_operations.delete;
    if skipped || !wanted.actions.contains(&Action::Delete) {
        return Vec::new();
    }
    let chosen: Vec<&str> = routing.fields.iter().filter_map(of_old_row).collect();
    let finding = |table: &&Relation| {
        let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let indexes = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let carried = match resolve(table.identity, indexes) {
            Identity::Full => return None,
            Identity::PrimaryKey(index) | Identity::Index(index) => &index.columns[..],
            Identity::Missing(_) => &[],
        };
        let missing: Vec<&str> = own
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| chosen.contains(name) && !carried.iter().any(|it| it == name))
            .collect();
        (!missing.is_empty()).then(|| {
            let problem = format!(
                "partition.payload.fields names columns that deletes do not carry, so that they would \
                 go to another partition than the row's other events: {}.",
                missing.join(", ")
            );
            let name = table.sql_name();
            Finding::error("PARTITION_FIELD_NOT_CARRIED", table.subject(), problem)
                .sql(format!("ALTER TABLE {name} REPLICA IDENTITY FULL;"))
                .or(Remedy::Text("choose columns of the key".to_owned()))
        })
    };
    captured.iter().filter_map(finding).collect()
}

/// The column that a delete is asked for.
fn of_old_row(field: &PartitionField) -> Option<&str> {
    match field {
        PartitionField::Change(name) | PartitionField::Before(name) => Some(name),
        _ => None,
    }
}

/// The columns that an event's key has when nothing is said.
fn own_key<'a>(table: &Relation, indexes: &'a [Index]) -> &'a [String] {
    match resolve(table.identity, indexes) {
        Identity::PrimaryKey(index) | Identity::Index(index) => &index.columns,
        Identity::Full | Identity::Missing(_) => {
            let primary = indexes.iter().find(|index| index.primary);
            primary.map_or(&[], |index| &index.columns)
        }
    }
}

fn not_text(
    rules: &ColumnRules,
    table: &Relation,
    columns: &[Column],
    maskable: &BTreeSet<u32>,
) -> Option<Finding> {
    let masked = columns.iter().filter(|column| {
        let mask = rules.mask(&table.schema, &table.name, &column.name);
        mask.is_some() && !maskable.contains(&column.type_oid)
    });
    let found: Vec<String> = masked
        .map(|column| format!("{} {}", column.name, column.type_name))
        .collect();
    if found.is_empty() {
        return None;
    }
    let problem = format!(
        "A mask is set on columns that are no texts, so that it cannot be applied: {}.",
        found.join(", ")
    );
    let remedy = "name only texts in the mask's list, and hide others with column.exclude.list";
    Some(Finding::error("MASK_NOT_A_TEXT", table.subject(), problem).text(remedy))
}

fn key_masked(rules: &ColumnRules, table: &Relation, key: &[String]) -> Option<Finding> {
    let masked = key.iter().filter(|column| {
        let mask = rules.mask(&table.schema, &table.name, column);
        mask.is_some_and(|mask| !mask.tells_apart())
    });
    let found: Vec<&str> = masked.map(String::as_str).collect();
    if found.is_empty() {
        return None;
    }
    let problem = format!(
        "Columns of the key are masked or truncated, so that different rows would have one key: {}.",
        found.join(", ")
    );
    let remedy = "mask them with column.mask.hash.v2, or take them out of the mask's list";
    Some(Finding::error("KEY_MASKED", table.subject(), problem).text(remedy))
}

fn key_unknown(table: &Relation, columns: &[Column], key: &[String]) -> Option<Finding> {
    let unknown: Vec<&str> = key
        .iter()
        .filter(|name| columns.iter().all(|column| column.name != **name))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let problem = format!(
        "message.key.columns names columns that the table does not have: {}.",
        unknown.join(", ")
    );
    Some(Finding::error("KEY_COLUMN_UNKNOWN", table.subject(), problem).text("mend the name"))
}

fn key_not_carried(table: &Relation, indexes: &[Index], key: &[String]) -> Option<Finding> {
    let carried = match resolve(table.identity, indexes) {
        Identity::Full => return None,
        Identity::PrimaryKey(index) | Identity::Index(index) => &index.columns[..],
        Identity::Missing(_) => &[],
    };
    let missing: Vec<&str> = key
        .iter()
        .filter(|column| !carried.contains(column))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let problem = format!(
        "message.key.columns names columns whose old values updates and deletes do not carry, so \
         that the row's old key would not be known: {}.",
        missing.join(", ")
    );
    let name = table.sql_name();
    Some(
        Finding::error("KEY_NOT_IN_IDENTITY", table.subject(), problem)
            .sql(format!("ALTER TABLE {name} REPLICA IDENTITY FULL;")),
    )
}

/// A mask that hides nothing may be a name misspelt.
fn unused(rules: &ColumnRules, captured: &[&Relation], columns: &Columns) -> Vec<Finding> {
    let names: Vec<String> = captured
        .iter()
        .flat_map(|table| {
            let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
            own.iter()
                .map(|column| format!("{}.{}", table.full_name(), column.name))
        })
        .collect();
    let masks = rules.masks.iter().flat_map(|(_, patterns)| patterns);
    let hidden = match &rules.shown {
        envelope::Names::Except(patterns) => patterns.as_slice(),
        _ => &[],
    };
    let unused = |pattern: &&Pattern| !names.iter().any(|name| pattern.matches(name));
    masks
        .chain(hidden)
        .filter(unused)
        .map(|pattern| {
            let subject = Subject::Pattern(pattern.as_str().to_owned());
            let problem = "It hides or masks nothing: no column of the captured tables matches.";
            Finding::warning("COLUMN_RULE_UNUSED", subject, problem)
                .text("mend the name, or take the entry out")
        })
        .collect()
}
