//! What of the captured tables is copied: a list or a statement that is misspelt changes nothing, and says
//! nothing either.

use super::finding::{Finding, Subject};
use super::tables::{Relation, list, nearest};
use super::wanted::{CopyFilter, Snapshot, StoredProgress, Wanted};

/// Judges the settings that choose rows for the snapshot.
#[must_use]
pub fn judge(wanted: &Wanted<'_>, captured: &[&Relation]) -> Vec<Finding> {
    let is_unused = |filter: &&CopyFilter<'_>| {
        let mut tables = captured.iter();
        !tables.any(|table| (filter.matches)(&table.full_name()))
    };
    let filters = wanted.copy_filters.iter();
    let unused = filters.filter(is_unused);
    let mut findings: Vec<Finding> = unused.map(|filter| told(filter, captured)).collect();
    findings.extend(of_nothing(wanted, captured));
    findings
}

fn told(filter: &CopyFilter<'_>, captured: &[&Relation]) -> Finding {
    let problem = format!(
        "It is named in {}, and no captured table is called so.",
        filter.setting
    );
    let subject = Subject::Pattern(filter.text.to_owned());
    let finding = Finding::warning("SNAPSHOT_FILTER_UNUSED", subject, problem);
    // Of an expression, as it is written most often.
    let text = filter.text.replace('\\', "");
    match nearest(captured.iter().copied(), &text) {
        Some(table) => finding.text(format!("did you mean {}?", table.full_name())),
        None => finding.text("mend the name, or take the entry out"),
    }
}

/// A copy of nothing would be noted as done, and never made again.
fn of_nothing(wanted: &Wanted<'_>, captured: &[&Relation]) -> Option<Finding> {
    let is_copied = |table: &&Relation| (wanted.copied)(&table.schema, &table.name);
    let has_list = wanted.copy_filters.iter().any(|it| it.setting == INCLUDE);
    let is_due = wanted.snapshot == Snapshot::Initial && wanted.progress != StoredProgress::Present;
    if !has_list || !is_due || captured.is_empty() || captured.iter().any(is_copied) {
        return None;
    }
    let problem = format!(
        "No captured table matches it: the first copy would publish no row, and would be over for good. \
         Captured are {}.",
        list(captured)
    );
    let subject = Subject::Setting(INCLUDE.to_owned());
    Some(
        Finding::error("SNAPSHOT_OF_NOTHING", subject, problem)
            .text("mend its entries, which are expressions for the whole schema.table")
            .or(super::finding::Remedy::Setting(
                "snapshot: { snapshot.mode: no_data }".to_owned(),
            )),
    )
}

/// As a person writes it, below `snapshot`.
pub(super) const INCLUDE: &str = "snapshot.include.collection.list";
/// As above.
pub(super) const SELECTS: &str = "snapshot.select.statement.overrides";
