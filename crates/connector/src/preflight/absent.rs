//! Tables that are wanted and that a publication leaves out, one by one: a start takes them in.

use std::collections::BTreeSet;

use super::Examination;
use super::finding::{Finding, Severity, Subject};
use super::identity::{self, Indexes};
use super::publication::Publication;
use super::setup;
use super::tables::{Relation, Selection};
use super::wanted::{Action, Wanted};
use crate::config::{Config, NewTables};

/// One of them, as a publication lists it: a partitioned table stands for its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// As an item of `FOR TABLE`.
    pub item: String,
    /// The tables whose events begin with it: under leaf names, those of a partitioned table's leaves.
    pub tables: Vec<NewTable>,
    /// Why its application, or the server, would not bear it.
    pub obstacle: Option<Finding>,
    /// `schema.table` of itself and of what holds its rows.
    pub names: Vec<String>,
}

/// A table whose events begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether its rows can be read in chunks.
    pub is_ordered: bool,
}

impl NewTable {
    /// `schema.table`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// Lists them.
#[must_use]
pub fn list(
    wanted: &Wanted<'_>,
    publication: &Publication,
    selection: &Selection<'_>,
    indexes: &Indexes,
) -> Vec<Absent> {
    let targets = setup::absent_targets(publication, selection).into_iter();
    let needs_identity = publication.actions.iter().copied();
    let needs_identity = needs_identity.into_iter().any(Action::needs_identity);
    let absent = targets.map(|target| {
        let holders = selection.holders_of(&[target]);
        let new = selection.captured.iter().copied();
        let new = new.filter(|table| table.is_within(target));
        let new = new.filter(|table| !publication.tables.contains_key(&table.oid));
        let tables = new.map(|table| NewTable {
            schema: table.schema.clone(),
            name: table.name.clone(),
            is_ordered: identity::ordered(table, indexes),
        });
        let names = std::iter::once(target).chain(holders.iter().copied());
        Absent {
            item: setup::item(wanted, target),
            tables: tables.collect(),
            names: names.map(Relation::full_name).collect(),
            obstacle: obstacle(
                target,
                &holders,
                (indexes, needs_identity),
                &setup::add_tables(wanted, &[target]),
            ),
        }
    });
    absent.collect()
}

/// What keeps a table out, of which these hold the rows; `remedy` is the statement that takes it in.
pub(crate) fn obstacle(
    table: &Relation,
    holders: &[&Relation],
    (indexes, needs_identity): (&Indexes, bool),
    remedy: &str,
) -> Option<Finding> {
    if !table.owned {
        let fix = format!(
            "{}; as its owner or a superuser",
            remedy.trim_end_matches(';')
        );
        let problem = "Only its owner may publish it.";
        return Some(Finding::error(OWNER, table.subject(), problem).text(fix));
    }
    // Without a replica identity it had better not be published: its application's updates would fail.
    let mut findings = identity::judge(holders, indexes, needs_identity).into_iter();
    findings.find(|it| it.severity == Severity::Error)
}

impl Examination {
    /// Leaves out what is ignored, and what something is in the way of.
    pub fn leave_out_unwelcome(&mut self, config: &Config) {
        let is_ignored = config.signals.new_tables == NewTables::Ignore;
        let publication = &config.postgres.publication;
        self.leave_out(publication, |it| is_ignored || it.obstacle.is_some());
    }

    /// Leaves tables out that a start behind stored progress does not take in: other tables go on without them, and
    /// the running process looks at them again. What is said against them holds up nothing any more.
    pub fn leave_out(&mut self, publication: &str, is_left: impl Fn(&Absent) -> bool) {
        let absent = std::mem::take(&mut self.absent);
        let (left, taken): (Vec<_>, Vec<_>) = absent.into_iter().partition(is_left);
        self.absent = taken;
        if left.is_empty() {
            return;
        }
        if self.plan.add_tables.is_some() {
            let items: Vec<&str> = self.absent.iter().map(|it| it.item.as_str()).collect();
            let add = || setup::add_items(publication, &items.join(", "));
            self.plan.add_tables = (!items.is_empty()).then(add);
        }
        let tables = left.iter().flat_map(|it| &it.tables);
        let mut names: BTreeSet<String> = tables.map(NewTable::full_name).collect();
        self.captured
            .retain(|it| !names.contains(&it.relation.full_name()));
        names.extend(left.iter().flat_map(|it| it.names.iter().cloned()));
        let findings = std::mem::take(&mut self.findings).into_iter();
        let findings = findings.filter_map(|it| self.behind(it, &names));
        self.findings = findings.collect();
        let obstacles = left.into_iter().filter_map(|it| it.obstacle);
        let owned = obstacles.filter(|it| it.code == OWNER).map(|it| Finding {
            severity: Severity::Warning,
            ..it
        });
        self.findings.extend(owned);
    }

    /// What is left of a finding, where tables of these names are left out.
    fn behind(&self, mut finding: Finding, names: &BTreeSet<String>) -> Option<Finding> {
        let is_of_left = match (&finding.subject, finding.code) {
            // Each of them has its own.
            (_, OWNER) if self.plan.change_parts.is_none() => return None,
            (_, TABLES_MISSING) if finding.severity == Severity::Info => {
                if self.absent.is_empty() {
                    return None;
                }
                let added = self.absent.iter().filter_map(|it| it.names.first());
                let added: Vec<&str> = added.map(String::as_str).collect();
                finding.problem = format!(
                    "At start, tables will be added to it: {}.",
                    added.join(", ")
                );
                false
            }
            (_, TABLES_MISSING) => self.absent.is_empty(),
            (Subject::Table(name), _) => names.contains(name),
            _ => false,
        };
        if is_of_left {
            finding.severity = finding.severity.min(Severity::Warning);
        }
        Some(finding)
    }
}

const OWNER: &str = "TABLE_OWNER";
const TABLES_MISSING: &str = "PUBLICATION_TABLES_MISSING";
