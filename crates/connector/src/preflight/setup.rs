//! What `walferry run` may create before it starts, as a plan that changes nothing by itself.
//!
//! Order is part of the plan: publication, tables, topics, and the slot last, since a publication
//! made after the slot is invisible to the changes in between.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::publication::Publication;
use super::quote::identifier;
use super::slot::Slot;
use super::tables::{Kind, Relation, Selection};
use super::wanted::{Action, Create, Part, Partitions, StoredProgress, Wanted};
use crate::postgres::PostgresError;
use crate::postgres::sql::sql;

/// What is to be created, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetupPlan {
    /// CREATE PUBLICATION, when it is missing.
    pub create_publication: Option<String>,
    /// ALTER PUBLICATION … ADD TABLE, when tables have come to match since.
    pub add_tables: Option<String>,
    /// Take tables out and put them back, when another part of them is to be published.
    pub change_parts: Option<String>,
    /// Create the slot, through the replication session.
    pub create_slot: bool,
}

/// Plans what is missing and may be created; of the tables in `changed` the publication publishes
/// another part than is wanted. With `create: never` that is nothing.
///
/// The slot is planned only when it is known that no position is stored for it: a slot made anew
/// starts at the present, and everything since the stored position would be skipped unseen. The
/// publication only while there is no slot: one made later is invisible to what the slot holds.
#[must_use]
pub fn plan(
    wanted: &Wanted<'_>,
    slot: Option<&Slot>,
    publication: Option<&Publication>,
    selection: &Selection<'_>,
    changed: &[&Relation],
) -> SetupPlan {
    let create_slot = slot.is_none() && wanted.progress == StoredProgress::Absent;
    match wanted.create {
        Create::Auto => {}
        Create::Never => return SetupPlan::default(),
        Create::OnStandby => {
            return SetupPlan {
                create_slot,
                ..SetupPlan::default()
            };
        }
    }
    let absent = publication
        .filter(|publication| publication.owned)
        .map(|publication| absent_targets(publication, selection))
        .filter(|absent| !absent.is_empty());
    // An outbox of messages has no table, and a publication all the same.
    let has_targets = !selection.targets.is_empty() || wanted.patterns.is_empty();
    let is_owned = publication.is_some_and(|publication| publication.owned);
    let change_parts = (is_owned && !changed.is_empty()).then(|| publish_anew(wanted, changed));
    SetupPlan {
        create_publication: match publication {
            None if has_targets && !is_under_way(wanted, slot) => {
                Some(create_publication(wanted, &selection.targets))
            }
            _ => None,
        },
        add_tables: absent.map(|absent| add_tables(wanted, &absent)),
        change_parts,
        create_slot,
    }
}

/// Whether something was read or published before: a publication that is missing then was dropped.
pub(crate) fn is_under_way(wanted: &Wanted<'_>, slot: Option<&Slot>) -> bool {
    slot.is_some() || wanted.progress == StoredProgress::Present
}

impl SetupPlan {
    /// Runs the SQL part; the slot is the replication session's to make, afterwards. Both statements
    /// lock the tables, against others of their kind only; who holds one is waited for a while.
    ///
    /// # Errors
    /// What the server answered. Statements before the failed one stay done.
    pub async fn apply_sql(&self, client: &Client) -> Result<(), PostgresError> {
        const DOING: &str = "create or extend the publication";
        let planned = [
            &self.create_publication,
            &self.add_tables,
            &self.change_parts,
        ];
        for statement in planned.into_iter().flatten() {
            let bounded = format!("SET LOCAL lock_timeout = '30s'; {statement}");
            client.batch_execute(&bounded).await.map_err(sql(DOING))?;
        }
        Ok(())
    }
}

/// Targets that an existing publication does not publish.
///
/// Under leaf names the publication shows only leaves, so a partitioned table is present when it is
/// listed, or when all of its captured leaves are.
pub(crate) fn absent_targets<'a>(
    publication: &Publication,
    selection: &Selection<'a>,
) -> Vec<&'a Relation> {
    if publication.all_tables {
        return Vec::new();
    }
    let published: BTreeSet<u32> = publication
        .tables
        .keys()
        .chain(&publication.listed)
        .copied()
        .collect();
    let present = |table: &Relation| {
        published.contains(&table.oid) || table.ancestors.iter().any(|oid| published.contains(oid))
    };
    let by_leaves = |table: &Relation| {
        let mut leaves = selection
            .captured
            .iter()
            .filter(|leaf| leaf.ancestors.contains(&table.oid))
            .peekable();
        publication.partitions == Partitions::Leaf
            && leaves.peek().is_some()
            && leaves.all(|leaf| present(leaf))
    };
    selection
        .targets
        .iter()
        .copied()
        .filter(|table| !present(table))
        .filter(|table| table.kind != Kind::Partitioned || !by_leaves(table))
        .collect()
}

/// CREATE PUBLICATION for these tables.
#[must_use]
pub fn create_publication(wanted: &Wanted<'_>, targets: &[&Relation]) -> String {
    // TRUNCATE harms nobody by being published, and is there when it comes to be wanted.
    let mut actions = wanted.actions.to_vec();
    actions.push(Action::Truncate);
    actions.sort();
    actions.dedup();
    let tables = if targets.is_empty() {
        String::new()
    } else {
        format!(" FOR TABLE {}", items(wanted, targets))
    };
    format!(
        "CREATE PUBLICATION {}{tables} WITH (publish = '{}', publish_via_partition_root = {});",
        identifier(wanted.publication),
        words(&actions),
        wanted.partitions == Partitions::Root
    )
}

/// ALTER PUBLICATION … ADD TABLE for these tables.
#[must_use]
pub fn add_tables(wanted: &Wanted<'_>, targets: &[&Relation]) -> String {
    add_items(wanted.publication, &items(wanted, targets))
}

/// The same for items of `FOR TABLE`.
pub(crate) fn add_items(publication: &str, items: &str) -> String {
    format!(
        "ALTER PUBLICATION {} ADD TABLE {items};",
        identifier(publication)
    )
}

/// The tables taken out and put back, in one transaction, so that no change falls between.
#[must_use]
pub fn publish_anew(wanted: &Wanted<'_>, tables: &[&Relation]) -> String {
    let name = identifier(wanted.publication);
    let dropped: Vec<String> = tables.iter().map(|table| table.sql_name()).collect();
    format!(
        "BEGIN; ALTER PUBLICATION {name} DROP TABLE {}; {} COMMIT;",
        dropped.join(", "),
        add_tables(wanted, tables)
    )
}

fn items(wanted: &Wanted<'_>, targets: &[&Relation]) -> String {
    let items: Vec<String> = targets.iter().map(|table| item(wanted, table)).collect();
    items.join(", ")
}

/// As an item of `FOR TABLE`, with the part that is wanted.
pub(crate) fn item(wanted: &Wanted<'_>, table: &Relation) -> String {
    item_of(table, table.part(wanted).unwrap_or_default())
}

/// As an item of `FOR TABLE`, with this part.
pub(crate) fn item_of(table: &Relation, part: Part) -> String {
    let mut item = table.publication_item();
    if let Some(columns) = part.columns {
        let columns: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
        item = format!("{item} ({})", columns.join(", "));
    }
    match part.row_filter {
        // A comment at its end ends with the line.
        Some(filter) if filter.contains("--") => format!("{item} WHERE ({filter}\n)"),
        Some(filter) => format!("{item} WHERE ({filter})"),
        None => item,
    }
}

/// `insert, update`
pub(crate) fn words(actions: &[Action]) -> String {
    actions
        .iter()
        .map(|action| action.word())
        .collect::<Vec<_>>()
        .join(", ")
}
