//! Has an outbox table the columns that the outbox's options name? If not, its first row would stop.

use envelope::Outbox;

use super::columns::{Column, Columns};
use super::finding::{Finding, Remedy};
use super::tables::Relation;
use super::wanted::Wanted;

/// Judges the outbox tables among the captured ones.
#[must_use]
pub fn judge(wanted: &Wanted<'_>, captured: &[&Relation], columns: &Columns) -> Vec<Finding> {
    let Some(outbox) = &wanted.envelope.outbox else {
        return Vec::new();
    };
    let tables = captured
        .iter()
        .filter(|table| outbox.has_table(&table.schema, &table.name));
    let judged = |table: &&Relation| {
        let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
        missing(wanted, outbox, table, own)
    };
    tables.filter_map(judged).collect()
}

fn missing(
    wanted: &Wanted<'_>,
    outbox: &Outbox,
    table: &Relation,
    columns: &[Column],
) -> Option<Finding> {
    let rules = &wanted.envelope.columns;
    let is_there = |name: &str| {
        let mut columns = columns.iter();
        columns.any(|column| column.name == name && rules.shows(&table.schema, &table.name, name))
    };
    let missing: Vec<String> = needed(outbox)
        .into_iter()
        .filter(|(_, name)| !is_there(name))
        .map(|(option, name)| format!("{name} (outbox.{option})"))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let problem = format!(
        "The outbox's options name columns that the table does not have, or that are hidden: {}.",
        missing.join(", ")
    );
    let finding = Finding::error("OUTBOX_COLUMN", table.subject(), problem);
    Some(
        finding
            .text("mend the name, or add the column")
            .or(Remedy::Setting(
                "outbox: { table.field.additional.missing: ignore }, for further columns"
                    .to_owned(),
            )),
    )
}

/// What each row must have, by option.
fn needed(outbox: &Outbox) -> Vec<(&'static str, &str)> {
    let fields = &outbox.fields;
    let always = [
        ("table.field.event.id", Some(fields.id.as_str())),
        ("table.field.event.key", Some(&fields.key)),
        ("table.field.event.payload", Some(&fields.payload)),
        ("route.by.field", Some(&fields.route)),
        ("table.field.event.timestamp", fields.timestamp.as_deref()),
        (
            "table.field.event.schema.version",
            fields.schema_version.as_deref(),
        ),
        ("tracing.span.context.field", fields.tracing.as_deref()),
    ];
    let further = outbox.additional.iter();
    let further = further.filter(|_| !outbox.additional_may_miss);
    let further = further.map(|it| ("table.fields.additional.placement", Some(it.field.as_str())));
    let all = always.into_iter().chain(further);
    all.filter_map(|(option, name)| Some((option, name?)))
        .collect()
}
