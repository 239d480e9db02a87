//! Tables that are wanted and that a publication leaves out, one by one: a start takes them in.

use super::finding::{Finding, Severity};
use super::identity::{self, Indexes};
use super::publication::Publication;
use super::quote::identifier;
use super::setup;
use super::tables::{Relation, Selection};
use super::wanted::{Action, Wanted};

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
        let is_of =
            |table: &&Relation| target.oid == table.oid || table.ancestors.contains(&target.oid);
        let holders: Vec<&Relation> = selection.holders.iter().copied().filter(is_of).collect();
        let new = selection.captured.iter().copied().filter(is_of);
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
            obstacle: obstacle(wanted, target, &holders, (indexes, needs_identity)),
        }
    });
    absent.collect()
}

fn obstacle(
    wanted: &Wanted<'_>,
    target: &Relation,
    holders: &[&Relation],
    (indexes, needs_identity): (&Indexes, bool),
) -> Option<Finding> {
    match target.owned {
        true => objection(holders, indexes, needs_identity),
        false => {
            let remedy = setup::add_tables(wanted, &[target]);
            Some(foreign(target, &remedy))
        }
    }
}

/// A table without a replica identity had better not be published: its application's updates would fail.
pub(crate) fn objection(
    holders: &[&Relation],
    indexes: &Indexes,
    needs_identity: bool,
) -> Option<Finding> {
    let mut findings = identity::judge(holders, indexes, needs_identity).into_iter();
    findings.find(|it| it.severity == Severity::Error)
}

/// Nor can everybody publish it.
pub(crate) fn foreign(table: &Relation, remedy: &str) -> Finding {
    Finding::error(
        "TABLE_OWNER",
        table.subject(),
        "Only its owner may publish it.",
    )
    .text(format!(
        "{}; as its owner or a superuser",
        remedy.trim_end_matches(';')
    ))
}

/// ALTER PUBLICATION … ADD TABLE for these.
#[must_use]
pub fn add(publication: &str, absent: &[Absent]) -> Option<String> {
    let items: Vec<&str> = absent.iter().map(|it| it.item.as_str()).collect();
    let publication = identifier(publication);
    (!items.is_empty()).then(|| {
        format!(
            "ALTER PUBLICATION {publication} ADD TABLE {};",
            items.join(", ")
        )
    })
}
