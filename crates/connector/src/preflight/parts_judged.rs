//! Can the wanted parts of tables be published, and does the publication publish them?
//!
//! A row filter or column list that the replica identity does not cover makes the server refuse the
//! application's own UPDATE and DELETE ("Row Filters" and "Column Lists" in the manual's chapter on
//! logical replication). So that is found before a publication is made.

use super::columns::{Columns, Generated};
use super::finding::{Finding, Remedy};
use super::identity::{Identity, Indexes, resolve};
use super::parts::{Answers, carried};
use super::publication::Publication;
use super::server::Server;
use super::setup;
use super::tables::{Exclusion, Relation, Selection};
use super::wanted::{Action, Create, Part, Partitions, Wanted};

/// What the judgement looks at.
pub struct Seen<'a> {
    /// The configuration's wishes.
    pub wanted: &'a Wanted<'a>,
    /// The server, when it could be asked.
    pub server: Option<&'a Server>,
    /// The publication, if there is one.
    pub publication: Option<&'a Publication>,
    /// The tables.
    pub selection: &'a Selection<'a>,
    /// Columns of the captured tables.
    pub columns: &'a Columns,
    /// Their indexes.
    pub indexes: &'a Indexes,
    /// What the server said.
    pub answers: &'a Answers,
}

/// Judges each captured table of which a part is wanted.
#[must_use]
pub fn judge(seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &table in &seen.selection.captured {
        let Some(part) = table.part(seen.wanted) else {
            continue;
        };
        if let Some(finding) = impossible(seen, table) {
            findings.push(finding);
            continue;
        }
        findings.extend(refused(seen, table));
        findings.extend(row_filter(seen, table));
        findings.extend(column_list(seen, table, &part));
        findings.extend(differs(seen, table, &part));
    }
    findings.extend(seen.selection.excluded.iter().filter_map(|(table, why)| {
        let left_out = without_effect(seen, table, *why);
        left_out.then(|| of_partitions(seen.wanted, table))
    }));
    findings
}

/// What no server, or no publication of this form, can publish in part.
fn impossible(seen: &Seen<'_>, table: &Relation) -> Option<Finding> {
    if let Some(server) = seen.server.filter(|server| server.version < 150_000) {
        let problem = format!(
            "Only some rows or columns are to be published, which PostgreSQL {} cannot do: that came \
             with 15.",
            server.version / 10_000
        );
        let finding = Finding::error("PART_UNSUPPORTED", table.subject(), problem);
        return Some(finding.text(
            "take where and columns out; envelope: { column.exclude.list: … } hides columns here",
        ));
    }
    let listed = |publication: &Publication| publication.listed.contains(&table.oid);
    let published = |publication: &Publication| publication.tables.contains_key(&table.oid);
    match seen.publication {
        Some(publication) if listed(publication) => None,
        Some(publication) if published(publication) => {
            let problem = "Only a part of it is to be published, but the publication publishes it \
                           without listing it by name: with all tables, its schema or its partitioned table.";
            let finding = Finding::error("PART_NOT_LISTED", table.subject(), problem);
            Some(finding.text("list the tables by name in a publication of their own"))
        }
        _ if seen.selection.targets.iter().any(|t| t.oid == table.oid) => None,
        _ => Some(of_partitions(seen.wanted, table)),
    }
}

/// A matched table's part that nothing would be done with: of the two, a partitioned table and its
/// partitions, only one is published by name.
fn without_effect(seen: &Seen<'_>, table: &Relation, why: Exclusion) -> bool {
    let Some(part) = table.part(seen.wanted) else {
        return false;
    };
    let captured = seen.selection.captured.iter();
    match why {
        Exclusion::UnderLeaves => true,
        Exclusion::UnderRoot => captured
            .filter(|root| table.ancestors.contains(&root.oid))
            .any(|root| root.part(seen.wanted).as_ref() != Some(&part)),
        _ => false,
    }
}

fn of_partitions(wanted: &Wanted<'_>, table: &Relation) -> Finding {
    let finding = Finding::error(
        "PART_OF_PARTITIONS",
        table.subject(),
        "Only a part of it is to be published, but it is not published by its own name.",
    );
    match wanted.partitions {
        Partitions::Leaf => finding
            .text("name the partitions alone, each with where and columns")
            .or(Remedy::Setting(
                "envelope: { publish.via.partition.root: true }, with where and columns at the \
                 partitioned table"
                    .to_owned(),
            )),
        Partitions::Root => finding.text("say where and columns at the partitioned table"),
    }
}

/// Does, or will, the publication publish UPDATE or DELETE?
fn needs_identity(seen: &Seen<'_>) -> bool {
    let actions = seen
        .publication
        .map_or(seen.wanted.actions, |publication| &publication.actions);
    actions.iter().copied().any(Action::needs_identity)
}

fn refused(seen: &Seen<'_>, table: &Relation) -> Option<Finding> {
    let said = seen.answers.get(&table.oid)?.refused.as_ref()?;
    let problem = format!("No publication can publish this part of it: {said}.");
    let finding = Finding::error("PART_REFUSED", table.subject(), problem);
    Some(finding.text("mend `where` and `columns` in tables.include"))
}

fn row_filter(seen: &Seen<'_>, table: &Relation) -> Option<Finding> {
    let answer = seen.answers.get(&table.oid)?;
    if let Some(said) = &answer.invalid {
        let problem = format!("`where` is no condition on this table: {said}.");
        let finding = Finding::error("ROW_FILTER_INVALID", table.subject(), problem);
        return Some(finding.text("mend it in tables.include"));
    }
    let said = answer.beside_identity.as_ref()?;
    if !needs_identity(seen) {
        return None;
    }
    let problem = format!(
        "`where` uses columns that are not in the replica identity ({said}): the application's own \
         UPDATE and DELETE would fail."
    );
    Some(
        Finding::error("ROW_FILTER_BESIDE_IDENTITY", table.subject(), problem)
            .sql(full_identity(table))
            .or(Remedy::Text("use columns of the key alone".to_owned())),
    )
}

fn full_identity(table: &Relation) -> String {
    format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.sql_name())
}

fn column_list(seen: &Seen<'_>, table: &Relation, part: &Part) -> Vec<Finding> {
    let Some(listed) = &part.columns else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let own = seen.columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
    let publishable = |name: &&String| {
        own.iter()
            .any(|column| column.name == **name && column.generated != Generated::Virtual)
    };
    let unknown: Vec<&str> = listed
        .iter()
        .filter(|name| !publishable(name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        let problem = format!(
            "`columns` names what are no stored columns of the table: {}.",
            unknown.join(", ")
        );
        let finding = Finding::error("COLUMN_LIST_UNKNOWN", table.subject(), problem);
        findings.push(finding.text("mend it in tables.include"));
    }
    if needs_identity(seen) {
        findings.extend(identity_hidden(seen, table, listed));
    }
    findings
}

fn identity_hidden(seen: &Seen<'_>, table: &Relation, listed: &[String]) -> Option<Finding> {
    let full = seen.selection.holders.iter().any(|holder| {
        let own = seen.indexes.get(&holder.oid).map_or(&[][..], Vec::as_slice);
        holder.is_within(table) && resolve(holder.identity, own) == Identity::Full
    });
    if full {
        // Even a list of all columns: the server does not look which they are.
        let problem = "`columns` does not go with REPLICA IDENTITY FULL: the application's own UPDATE \
                       and DELETE would fail.";
        let sql = format!("ALTER TABLE {} REPLICA IDENTITY DEFAULT;", table.sql_name());
        let finding = Finding::error("COLUMN_LIST_WITHOUT_IDENTITY", table.subject(), problem);
        return Some(finding.sql(sql).or(Remedy::Text(
            "hide columns in events only: envelope: { column.exclude.list: … }".to_owned(),
        )));
    }
    let carried = carried(table, seen.selection, seen.indexes);
    let of_identity = carried.into_iter().flatten();
    let mut hidden: Vec<&str> = of_identity
        .filter(|name| !listed.contains(name))
        .map(String::as_str)
        .collect();
    hidden.dedup();
    if hidden.is_empty() {
        return None;
    }
    let problem = format!(
        "`columns` leaves out columns of the replica identity ({}): the application's own UPDATE and \
         DELETE would fail.",
        hidden.join(", ")
    );
    let finding = Finding::error("COLUMN_LIST_WITHOUT_IDENTITY", table.subject(), problem);
    Some(finding.text("list them too in tables.include"))
}

/// Tables that the publication is to publish otherwise, which is walferry's to do.
pub(crate) fn to_change<'a>(
    wanted: &Wanted<'_>,
    publication: &Publication,
    selection: &Selection<'a>,
    answers: &Answers,
) -> Vec<&'a Relation> {
    let captured = selection.captured.iter().copied();
    captured
        .filter(|table| publication.listed.contains(&table.oid))
        .filter(|table| answers.get(&table.oid).is_some_and(|a| !a.is_published))
        .filter(|table| {
            table
                .part(wanted)
                .is_some_and(|part| !widens(&part, publication, table))
        })
        .collect()
}

/// What the configuration does not speak of may have been hidden on purpose.
fn widens(part: &Part, publication: &Publication, table: &Relation) -> bool {
    let Some(published) = publication.tables.get(&table.oid) else {
        return false;
    };
    let rows = part.row_filter.is_none() && published.row_filter.is_some();
    rows || (part.columns.is_none() && publication.has_list.contains(&table.oid))
}

fn differs(seen: &Seen<'_>, table: &Relation, part: &Part) -> Option<Finding> {
    let publication = seen.publication?;
    if seen.answers.get(&table.oid)?.is_published {
        return None;
    }
    let subject = table.subject();
    let sql = setup::publish_anew(seen.wanted, &[table]);
    let is_ours = seen.wanted.create == Create::Auto && publication.owned;
    if is_ours && !widens(part, publication, table) {
        let problem = "At start, the publication will be altered to publish the part of it that is \
                       wanted now. Changes before are published as they were then.";
        return Some(Finding::info("PART_DIFFERS", subject, problem));
    }
    let published = publication.tables.get(&table.oid)?;
    let problem = format!(
        "The publication publishes another part of it than tables.include wants: rows {}, columns {}.",
        published.row_filter.as_deref().unwrap_or("all"),
        published
            .columns
            .as_ref()
            .map_or_else(|| "all".to_owned(), |columns| columns.join(", "))
    );
    Some(
        Finding::error("PART_DIFFERS", subject, problem)
            .sql(sql)
            .or(Remedy::Text(
                "say in tables.include what is published".to_owned(),
            )),
    )
}
