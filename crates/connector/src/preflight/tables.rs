//! The relations of the database, and which of them are to be captured.
//!
//! Patterns are matched here and not in SQL: they are globs and expressions of the configuration.
//! So one query lists all relations, and a second (`columns.rs`, `identity.rs`) asks only about
//! those chosen.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::finding::{Finding, Subject};
use super::quote::qualified;
use super::wanted::{Part, Partitions, Pattern, Reach, Wanted};

/// One relation that a pattern could mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: Kind,
    /// `pg_class.relpersistence = 'u'`: not in the WAL, so never published.
    pub unlogged: bool,
    /// `pg_class.relreplident`.
    pub identity: IdentityKind,
    /// OIDs of the partitioned tables above it, nearest first.
    pub ancestors: Vec<u32>,
    /// Plain inheritance children exist; `ONLY` keeps them out of a publication.
    pub has_children: bool,
    /// Our role owns it, or is a member of the role that does.
    pub owned: bool,
    /// Our role may SELECT from it.
    pub may_select: bool,
    /// Our role has USAGE on its schema.
    pub may_use_schema: bool,
}

/// What kind of relation (`pg_class.relkind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table, or a leaf partition.
    Table,
    /// A partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
}

/// The declared replica identity (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// The primary key, if any.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The index marked `indisreplident`.
    Index,
}

impl Relation {
    /// `schema.name`, for a reader.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `"schema"."name"`, for SQL.
    #[must_use]
    pub fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// As the subject of a finding.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::Table(self.full_name())
    }

    /// Whether this is that table, or one of its partitions.
    #[must_use]
    pub fn is_within(&self, table: &Relation) -> bool {
        self.oid == table.oid || self.ancestors.contains(&table.oid)
    }

    /// The part of it that is to be published; `None` for all of it.
    #[must_use]
    pub fn part(&self, wanted: &Wanted<'_>) -> Option<Part> {
        (wanted.part)(&self.schema, &self.name)
    }

    /// As an item of `FOR TABLE`: exactly this table, without inheritance children.
    #[must_use]
    pub fn publication_item(&self) -> String {
        if self.has_children && self.kind == Kind::Table {
            format!("ONLY {}", self.sql_name())
        } else {
            self.sql_name()
        }
    }
}

impl<'a> Selection<'a> {
    /// Those that hold the rows of these tables: the partitions of a partitioned one.
    #[must_use]
    pub fn holders_of(&self, tables: &[&Relation]) -> Vec<&'a Relation> {
        let is_of = |holder: &&Relation| tables.iter().any(|table| holder.is_within(table));
        self.holders.iter().copied().filter(is_of).collect()
    }
}

/// Why a relation that a pattern matches is not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// A view: its rows are changes of other tables.
    View,
    /// A materialized view: REFRESH is not decoded.
    MaterializedView,
    /// A foreign table: its changes happen elsewhere.
    Foreign,
    /// An unlogged table: not in the WAL.
    Unlogged,
    /// A partition whose changes arrive under its partitioned table's name.
    UnderRoot,
    /// A partitioned table whose changes arrive under the leaves' names.
    UnderLeaves,
}

/// What the patterns chose.
#[derive(Debug, Default)]
pub struct Selection<'a> {
    /// Relations under whose names changes arrive.
    pub captured: Vec<&'a Relation>,
    /// What a publication lists to publish them: a partitioned table stands for its partitions.
    pub targets: Vec<&'a Relation>,
    /// Tables that hold the rows, whose replica identity counts: leaf partitions, never a root.
    pub holders: Vec<&'a Relation>,
    /// Partitions that would be among them, were their changes in the WAL: foreign and unlogged ones.
    pub not_in_wal: Vec<&'a Relation>,
    /// Matched, but not captured.
    pub excluded: Vec<(&'a Relation, Exclusion)>,
}

const RELATIONS: &str = "
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident,
           i.inhparent,
           c.relhassubclass AND EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhparent = c.oid),
           pg_has_role(c.relowner, 'USAGE'),
           coalesce(has_table_privilege(c.oid, 'SELECT'), false),
           coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_inherits i ON c.relispartition AND i.inhrelid = c.oid
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
     ORDER BY n.nspname, c.relname";

/// Lists the relations of the database: everything but system and temporary ones.
///
/// # Errors
/// What the server answered.
pub async fn read(client: &Client) -> Result<Vec<Relation>, tokio_postgres::Error> {
    let rows = client.query(RELATIONS, &[]).await?;
    let mut parents = BTreeMap::new();
    let mut relations = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = row.try_get(0)?;
        if let Some(parent) = row.try_get::<_, Option<u32>>(6)? {
            parents.insert(oid, parent);
        }
        relations.push(Relation {
            oid,
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
            kind: kind(row.try_get(3)?),
            unlogged: row.try_get::<_, i8>(4)? == b'u'.cast_signed(),
            identity: identity_kind(row.try_get(5)?),
            ancestors: Vec::new(),
            has_children: row.try_get(7)?,
            owned: row.try_get(8)?,
            may_select: row.try_get(9)?,
            may_use_schema: row.try_get(10)?,
        });
    }
    for relation in &mut relations {
        let above = |oid: &u32| parents.get(oid).copied();
        relation.ancestors = std::iter::successors(above(&relation.oid), above).collect();
    }
    Ok(relations)
}

fn kind(relkind: i8) -> Kind {
    match relkind.cast_unsigned() {
        b'p' => Kind::Partitioned,
        b'v' => Kind::View,
        b'm' => Kind::MaterializedView,
        b'f' => Kind::Foreign,
        _ => Kind::Table,
    }
}

fn identity_kind(relreplident: i8) -> IdentityKind {
    match relreplident.cast_unsigned() {
        b'n' => IdentityKind::Nothing,
        b'f' => IdentityKind::Full,
        b'i' => IdentityKind::Index,
        _ => IdentityKind::Default,
    }
}

/// Applies the patterns. `partitions` is what the publication in force says, or will say.
#[must_use]
pub fn select<'a>(
    relations: &'a [Relation],
    captures: &dyn Fn(&str, &str) -> bool,
    partitions: Partitions,
) -> Selection<'a> {
    let matched: BTreeSet<u32> = relations
        .iter()
        .filter(|r| captures(&r.schema, &r.name))
        .map(|r| r.oid)
        .collect();
    let mut selection = Selection::default();
    for relation in relations.iter().filter(|r| matched.contains(&r.oid)) {
        let under = relation.ancestors.iter().any(|oid| matched.contains(oid));
        match exclusion(relation, under, partitions) {
            Some(why) => selection.excluded.push((relation, why)),
            None => selection.captured.push(relation),
        }
        if !cannot_be_published(relation) && !under {
            selection.targets.push(relation);
        }
    }
    let captured: BTreeSet<u32> = selection.captured.iter().map(|r| r.oid).collect();
    selection.holders = relations
        .iter()
        .filter(|r| r.kind == Kind::Table && !r.unlogged)
        .filter(|r| {
            captured.contains(&r.oid) || r.ancestors.iter().any(|oid| captured.contains(oid))
        })
        .collect();
    // Under leaf names those that are matched themselves.
    selection.not_in_wal = relations
        .iter()
        .filter(|r| r.kind == Kind::Foreign || (r.kind == Kind::Table && r.unlogged))
        .filter(|r| {
            let is_matched = matched.contains(&r.oid) && !r.ancestors.is_empty();
            is_matched || r.ancestors.iter().any(|oid| captured.contains(oid))
        })
        .collect();
    selection
}

fn cannot_be_published(relation: &Relation) -> bool {
    relation.unlogged || !matches!(relation.kind, Kind::Table | Kind::Partitioned)
}

fn exclusion(relation: &Relation, under: bool, partitions: Partitions) -> Option<Exclusion> {
    match relation.kind {
        Kind::View => Some(Exclusion::View),
        Kind::MaterializedView => Some(Exclusion::MaterializedView),
        Kind::Foreign => Some(Exclusion::Foreign),
        _ if relation.unlogged => Some(Exclusion::Unlogged),
        Kind::Partitioned if partitions == Partitions::Leaf => Some(Exclusion::UnderLeaves),
        Kind::Table | Kind::Partitioned if under && partitions == Partitions::Root => {
            Some(Exclusion::UnderRoot)
        }
        Kind::Table | Kind::Partitioned => None,
    }
}

/// Judges the choice: patterns that match nothing, and matches that cannot be captured.
#[must_use]
pub fn judge(
    wanted: &Wanted<'_>,
    relations: &[Relation],
    selection: &Selection<'_>,
    partitions: Partitions,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wanted
        .patterns
        .iter()
        .filter_map(|p| unmatched(wanted, p, relations))
        .collect();
    // An outbox of messages needs none.
    let mut outbox = wanted.envelope.outbox.iter();
    let has_messages = outbox.any(|it| !it.message_prefixes.is_empty());
    if selection.captured.is_empty() && !has_messages {
        findings.push(
            Finding::error(
                "NO_TABLES",
                Subject::Setting("tables.include".to_owned()),
                "No table of this database would be captured.",
            )
            .text("name tables that exist as schema.table, or as globs such as \"public.*\""),
        );
    }
    findings.extend(excluded(wanted, selection));
    findings.extend(not_in_wal(selection));
    if partitions == Partitions::Leaf {
        findings.extend(leaves_left_out(relations, selection));
    }
    findings
}

fn unmatched(
    wanted: &Wanted<'_>,
    pattern: &Pattern<'_>,
    relations: &[Relation],
) -> Option<Finding> {
    if relations
        .iter()
        .any(|r| (pattern.matches)(&r.schema, &r.name))
    {
        return None;
    }
    let subject = Subject::Pattern(pattern.text.to_owned());
    let finding = match pattern.reach {
        Reach::One => Finding::error("PATTERN_UNMATCHED", subject, "There is no such table."),
        Reach::Many => Finding::warning(
            "PATTERN_UNMATCHED",
            subject,
            "The pattern matches no table.",
        ),
    };
    let mut outbox = wanted.envelope.outbox.iter().flat_map(|it| &it.tables);
    if outbox.any(|table| table.as_str() == pattern.text) {
        return Some(finding.text(
            "make it with the SQL of `walferry outbox init` (--apply runs it), or correct outbox.table",
        ));
    }
    let published = relations.iter().filter(|r| !cannot_be_published(r));
    Some(match nearest(published, pattern.text) {
        Some(table) => finding.text(format!("did you mean {}?", table.full_name())),
        None => finding.text("correct tables.include, or create the table first"),
    })
}

/// The relation whose name is most like this one, if one is.
pub(super) fn nearest<'a>(
    relations: impl Iterator<Item = &'a Relation>,
    text: &str,
) -> Option<&'a Relation> {
    relations
        .map(|r| (strsim::jaro_winkler(&r.full_name(), text), r))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, relation)| relation)
}

fn excluded(wanted: &Wanted<'_>, selection: &Selection<'_>) -> Vec<Finding> {
    let mut by_reason: BTreeMap<Exclusion, Vec<&Relation>> = BTreeMap::new();
    let mut findings = Vec::new();
    for &(relation, why) in &selection.excluded {
        let named = wanted.patterns.iter().any(|pattern| {
            pattern.reach == Reach::One && (pattern.matches)(&relation.schema, &relation.name)
        });
        if named && !matches!(why, Exclusion::UnderRoot | Exclusion::UnderLeaves) {
            findings.push(named_but_excluded(relation, why));
        } else {
            by_reason.entry(why).or_default().push(relation);
        }
    }
    for (why, relations) in by_reason {
        let problem = format!("Not captured: {}: {}.", reason(why), list(&relations));
        findings.push(Finding::info(
            "TABLE_EXCLUDED",
            several(&relations),
            problem,
        ));
    }
    findings
}

/// A pattern that names exactly this relation asks for something that cannot be had.
fn named_but_excluded(relation: &Relation, why: Exclusion) -> Finding {
    let problem = format!(
        "It is named in tables.include but cannot be captured: {}.",
        reason(why)
    );
    let finding = Finding::error("TABLE_EXCLUDED", relation.subject(), problem);
    if why == Exclusion::Unlogged {
        finding.sql(format!("ALTER TABLE {} SET LOGGED;", relation.sql_name()))
    } else {
        finding.text("take it out of tables.include; name the tables it reads from instead")
    }
}

fn reason(why: Exclusion) -> &'static str {
    match why {
        Exclusion::View => "a view has no changes of its own",
        Exclusion::MaterializedView => "a materialized view's REFRESH is not decoded",
        Exclusion::Foreign => "a foreign table's changes happen on another server",
        Exclusion::Unlogged => "an unlogged table is not in the WAL",
        Exclusion::UnderRoot => "a partition's changes arrive as its partitioned table's",
        Exclusion::UnderLeaves => "a partitioned table's changes arrive as its partitions'",
    }
}

/// Who reads a partitioned table's topic would not guess that some of its rows are in none.
fn not_in_wal(selection: &Selection<'_>) -> Option<Finding> {
    let partitions = &selection.not_in_wal;
    if partitions.is_empty() {
        return None;
    }
    let problem = format!(
        "Partitions are left out, of the snapshot and of the stream, since their changes are not in this \
         server's WAL (a foreign table, an unlogged one): {}.",
        list(partitions)
    );
    let mut finding = Finding::warning("PARTITIONS_NOT_IN_WAL", several(partitions), problem);
    for partition in partitions {
        finding = match partition.kind {
            Kind::Foreign => finding,
            _ => finding.sql(format!("ALTER TABLE {} SET LOGGED;", partition.sql_name())),
        };
    }
    let is_foreign = partitions.iter().any(|it| it.kind == Kind::Foreign);
    Some(match is_foreign {
        true => finding.text("publish a foreign partition's rows from the server that has them"),
        false => finding,
    })
}

/// With leaf names in the stream, a pattern that matches only the root would silently capture
/// nothing.
fn leaves_left_out(relations: &[Relation], selection: &Selection<'_>) -> Vec<Finding> {
    let captured: BTreeSet<u32> = selection.captured.iter().map(|r| r.oid).collect();
    let mut findings = Vec::new();
    for &(root, why) in &selection.excluded {
        if why != Exclusion::UnderLeaves {
            continue;
        }
        let left_out: Vec<&Relation> = relations
            .iter()
            .filter(|r| r.kind == Kind::Table && !r.unlogged && !captured.contains(&r.oid))
            .filter(|r| r.ancestors.contains(&root.oid))
            .collect();
        if !left_out.is_empty() {
            findings.push(
                Finding::error(
                    "PARTITIONS_UNMATCHED",
                    root.subject(),
                    format!(
                        "The partitioned table is matched, but its changes arrive under its \
                         partitions' names (publish_via_partition_root is off), and these match no \
                         pattern: {}.",
                        list(&left_out)
                    ),
                )
                .text("include the partitions by a pattern, or publish via the partition root"),
            );
        }
    }
    findings
}

/// The first few names, and how many more.
pub(crate) fn list(relations: &[&Relation]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = relations
        .iter()
        .take(SHOWN_MAX)
        .map(|r| r.full_name())
        .collect();
    match relations.len().saturating_sub(SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// One table by its name, several by their number.
pub(crate) fn several(relations: &[&Relation]) -> Subject {
    match relations {
        [one] => one.subject(),
        many => Subject::Tables(format!("{} tables", many.len())),
    }
}

#[cfg(test)]
mod tests;
