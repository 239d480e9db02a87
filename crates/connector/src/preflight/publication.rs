//! The publication: does it publish what is to be captured, whole, and under the expected names?
//!
//! A publication that hides rows, columns or operations loses them without a trace in the stream,
//! so everything between "published" and "wanted" is said here.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::columns::{Columns, Generated};
use super::finding::{Finding, Remedy, Severity, Subject};
use super::quote::identifier;
use super::setup;
use super::slot::Slot;
use super::tables::{Kind, Relation, Selection, list, several};
use super::wanted::{Action, Create, Partitions, Wanted};

/// `pg_publication`, and what it publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The role that owns it.
    pub owner: String,
    /// Our role may alter it.
    pub owned: bool,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// The operations it publishes.
    pub actions: Vec<Action>,
    /// `publish_via_partition_root`.
    pub partitions: Partitions,
    /// `publish_generated_columns = stored` (18 and later).
    pub generated_columns: bool,
    /// What it publishes, by the OID of the table under whose name changes arrive.
    pub tables: BTreeMap<u32, Published>,
    /// The tables it lists by name.
    pub listed: BTreeSet<u32>,
    /// Those of them that it lists with columns.
    pub has_list: BTreeSet<u32>,
}

/// How one table is published (`pg_publication_tables`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// The published columns; `None` where the server has no column lists (14).
    pub columns: Option<Vec<String>>,
    /// The row filter (15 and later).
    pub row_filter: Option<String>,
}

// Columns that a major lacks come out of the row's JSON form as NULL: one text for 14 to 18.
const PUBLICATION: &str = "
    SELECT pg_get_userbyid(p.pubowner)::text, pg_has_role(p.pubowner, 'USAGE'), p.puballtables,
           p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
           coalesce(to_jsonb(p) ->> 'pubgencols' = 's', false),
           ARRAY(SELECT r.prrelid FROM pg_publication_rel r WHERE r.prpubid = p.oid),
           ARRAY(SELECT r.prrelid FROM pg_publication_rel r
                  WHERE r.prpubid = p.oid AND to_jsonb(r) ->> 'prattrs' IS NOT NULL)
      FROM pg_publication p
     WHERE p.pubname = $1";

const PUBLISHED: &str = "
    SELECT c.oid,
           CASE WHEN to_jsonb(t) ? 'attnames' THEN
             ARRAY(SELECT jsonb_array_elements_text(
                 -- Of a table without columns it is null.
                 CASE jsonb_typeof(to_jsonb(t) -> 'attnames')
                      WHEN 'array' THEN to_jsonb(t) -> 'attnames' ELSE '[]' END)) END,
           to_jsonb(t) ->> 'rowfilter'
      FROM pg_publication_tables t
      JOIN pg_namespace n ON n.nspname = t.schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
     WHERE t.pubname = $1";

/// Asks for the publication.
///
/// # Errors
/// What the server answered.
pub async fn read(
    client: &Client,
    name: &str,
) -> Result<Option<Publication>, tokio_postgres::Error> {
    let Some(row) = client.query_opt(PUBLICATION, &[&name]).await? else {
        return Ok(None);
    };
    let mut actions = Vec::new();
    for (column, action) in (3..).zip(Action::ALL) {
        if row.try_get(column)? {
            actions.push(action);
        }
    }
    let mut tables = BTreeMap::new();
    for row in client.query(PUBLISHED, &[&name]).await? {
        let published = Published {
            columns: row.try_get(1)?,
            row_filter: row.try_get(2)?,
        };
        tables.insert(row.try_get(0)?, published);
    }
    Ok(Some(Publication {
        owner: row.try_get(0)?,
        owned: row.try_get(1)?,
        all_tables: row.try_get(2)?,
        actions,
        partitions: if row.try_get(7)? {
            Partitions::Root
        } else {
            Partitions::Leaf
        },
        generated_columns: row.try_get(8)?,
        tables,
        listed: row.try_get::<_, Vec<u32>>(9)?.into_iter().collect(),
        has_list: row.try_get::<_, Vec<u32>>(10)?.into_iter().collect(),
    }))
}

/// Judges a publication that exists, or that is missing.
#[must_use]
pub fn judge(
    wanted: &Wanted<'_>,
    slot: Option<&Slot>,
    publication: Option<&Publication>,
    relations: &[Relation],
    selection: &Selection<'_>,
    columns: &Columns,
) -> Vec<Finding> {
    let Some(publication) = publication else {
        return vec![missing(wanted, slot, selection)];
    };
    let mut findings = Vec::new();
    findings.extend(operations(wanted, publication));
    findings.extend(absent_tables(wanted, publication, selection));
    findings.extend(unneeded_tables(wanted, publication, relations, selection));
    findings.extend(partition_names(wanted, publication, selection));
    for &table in &selection.captured {
        let Some(published) = publication.tables.get(&table.oid) else {
            continue;
        };
        findings.extend(row_filter(wanted, publication, table, published));
        findings.extend(column_list(wanted, publication, table, published, columns));
    }
    findings
}

const ON_PRIMARY: &str = "on the primary: a standby takes no writes";

fn subject(wanted: &Wanted<'_>) -> Subject {
    Subject::Publication(wanted.publication.to_owned())
}

/// A slot that is there, or a stored position, speaks of a publication that was dropped, or of a slot
/// made too early: the server reads WAL by the catalog of its time, and what was written before the
/// publication is made cannot be published. So that is a person's to decide.
fn missing(wanted: &Wanted<'_>, slot: Option<&Slot>, selection: &Selection<'_>) -> Finding {
    let sql = setup::create_publication(wanted, &selection.targets);
    if setup::is_under_way(wanted, slot) {
        return Finding::error(
            "PUBLICATION_MISSING",
            subject(wanted),
            "The publication does not exist, but its slot or a stored position does. Changes made \
             before it is made cannot be published.",
        )
        .sql(sql)
        .text(
            "if a start then still ends with this, changes were made without it: choose a new \
             postgres.slot with snapshot.mode: initial",
        )
        .or(Remedy::Setting("postgres: { publication: … }".to_owned()));
    }
    match wanted.create {
        Create::Auto => Finding::info(
            "PUBLICATION_MISSING",
            subject(wanted),
            match selection.targets.is_empty() {
                true => "It will be created at start, without tables: messages need none.".into(),
                false => format!(
                    "It will be created at start, for {}.",
                    list(&selection.targets)
                ),
            },
        ),
        Create::OnStandby => Finding::error(
            "PUBLICATION_MISSING",
            subject(wanted),
            "The publication does not exist, and the server is a standby, where it cannot be made. Make \
             it on the primary, before the slot.",
        )
        .sql(sql)
        .text(ON_PRIMARY),
        Create::Never => Finding::error(
            "PUBLICATION_MISSING",
            subject(wanted),
            "The publication does not exist: nothing would be published. Make it before the slot.",
        )
        .sql(sql)
        .or(Remedy::Setting("postgres: { create: auto }".to_owned())),
    }
}

fn operations(wanted: &Wanted<'_>, publication: &Publication) -> Option<Finding> {
    let hidden: Vec<Action> = wanted
        .actions
        .iter()
        .copied()
        .filter(|a| !publication.actions.contains(a))
        .collect();
    if hidden.is_empty() {
        return None;
    }
    let mut all: Vec<Action> = publication.actions.iter().chain(&hidden).copied().collect();
    all.sort();
    let problem = format!("It does not publish {}.", setup::words(&hidden));
    let skipped = wanted.envelope.skipped_operations;
    let is_needed = |action: &Action| *action == Action::Insert || !action.is_skipped(skipped);
    let finding = match hidden.iter().any(is_needed) {
        true => Finding::error("PUBLICATION_OPERATIONS", subject(wanted), problem),
        // Wanted for an outbox alone.
        false => Finding::warning(
            "PUBLICATION_OPERATIONS",
            subject(wanted),
            format!(
                "{problem} Rows of an outbox that are changed by these are not told of \
                 (outbox.table.op.invalid.behavior)."
            ),
        ),
    };
    Some(finding.sql(format!(
        "ALTER PUBLICATION {} SET (publish = '{}');",
        identifier(wanted.publication),
        setup::words(&all)
    )))
}

/// Captured tables that the publication does not publish: their changes would be lost unseen.
fn absent_tables(
    wanted: &Wanted<'_>,
    publication: &Publication,
    selection: &Selection<'_>,
) -> Option<Finding> {
    let absent = setup::absent_targets(publication, selection);
    if absent.is_empty() {
        return None;
    }
    let sql = setup::add_tables(wanted, &absent);
    let names = list(&absent);
    if wanted.create == Create::Auto && publication.owned {
        let problem = format!("At start, tables will be added to it: {names}.");
        return Some(Finding::info(
            "PUBLICATION_TABLES_MISSING",
            subject(wanted),
            problem,
        ));
    }
    let problem = format!("Tables are to be captured, but it does not publish them: {names}.");
    let finding = Finding::error("PUBLICATION_TABLES_MISSING", subject(wanted), problem).sql(sql);
    Some(if wanted.create == Create::OnStandby {
        finding.text(ON_PRIMARY)
    } else if publication.owned {
        finding.or(Remedy::Setting("postgres: { create: auto }".to_owned()))
    } else {
        finding.text(format!(
            "as role {}, who owns the publication",
            publication.owner
        ))
    })
}

/// Published, but not captured: harmless, yet the server decodes and sends them for nothing.
fn unneeded_tables(
    wanted: &Wanted<'_>,
    publication: &Publication,
    relations: &[Relation],
    selection: &Selection<'_>,
) -> Vec<Finding> {
    let captured: BTreeSet<u32> = selection.captured.iter().map(|r| r.oid).collect();
    let unneeded: Vec<&Relation> = relations
        .iter()
        .filter(|r| publication.tables.contains_key(&r.oid) && !captured.contains(&r.oid))
        .collect();
    let mut findings = Vec::new();
    if publication.all_tables {
        findings.push(Finding::info(
            "PUBLICATION_ALL_TABLES",
            subject(wanted),
            format!(
                "It is FOR ALL TABLES: what is not captured ({} tables) is decoded and dropped, \
                 and each new table without a key will refuse UPDATE and DELETE.",
                unneeded.len()
            ),
        ));
    } else if !unneeded.is_empty() {
        let listed: Vec<String> = unneeded
            .iter()
            .filter(|r| publication.listed.contains(&r.oid))
            .map(|r| r.sql_name())
            .collect();
        let problem = format!(
            "It publishes tables that are not captured: {}.",
            list(&unneeded)
        );
        let finding = Finding::info("PUBLICATION_TABLES_UNNEEDED", subject(wanted), problem);
        findings.push(if listed.is_empty() {
            finding
        } else {
            finding.sql(format!(
                "ALTER PUBLICATION {} DROP TABLE {};",
                identifier(wanted.publication),
                listed.join(", ")
            ))
        });
    }
    findings
}

/// A partition that is captured by name while its root is published: changes arrive as the root's.
fn partition_names(
    wanted: &Wanted<'_>,
    publication: &Publication,
    selection: &Selection<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hidden: Vec<&Relation> = selection
        .captured
        .iter()
        .copied()
        .filter(|table| !publication.tables.contains_key(&table.oid))
        .filter(|table| {
            table
                .ancestors
                .iter()
                .any(|oid| publication.tables.contains_key(oid))
        })
        .collect();
    if !hidden.is_empty() {
        findings.push(
            Finding::error(
                "PUBLICATION_VIA_ROOT",
                several(&hidden),
                format!(
                    "Changes of these partitions arrive under the partitioned table's name, which \
                     matches no pattern: {}.",
                    list(&hidden)
                ),
            )
            .sql(via_root(wanted, Partitions::Leaf))
            .or(Remedy::Text(
                "include the partitioned table instead".to_owned(),
            )),
        );
    }
    let partitioned = selection
        .targets
        .iter()
        .any(|table| table.kind == Kind::Partitioned);
    if publication.partitions != wanted.partitions && partitioned {
        let (now, then) = match publication.partitions {
            Partitions::Root => ("the partitioned table's name", "each partition's own"),
            Partitions::Leaf => ("each partition's own name", "the partitioned table's"),
        };
        findings.push(
            Finding::info(
                "PUBLICATION_VIA_ROOT",
                subject(wanted),
                format!(
                    "Changes of partitioned tables arrive under {now}; a publication of walferry's \
                     own making has {then}. Topics follow the publication."
                ),
            )
            .sql(via_root(wanted, wanted.partitions)),
        );
    }
    findings
}

fn via_root(wanted: &Wanted<'_>, partitions: Partitions) -> String {
    format!(
        "ALTER PUBLICATION {} SET (publish_via_partition_root = {});",
        identifier(wanted.publication),
        partitions == Partitions::Root
    )
}

fn row_filter(
    wanted: &Wanted<'_>,
    publication: &Publication,
    table: &Relation,
    published: &Published,
) -> Option<Finding> {
    let filter = published.row_filter.as_deref()?;
    if table
        .part(wanted)
        .is_some_and(|part| part.row_filter.is_some())
    {
        return None;
    }
    let problem = format!(
        "The publication hides rows: only those with {filter} are published, and an UPDATE across \
         that line arrives as an insert or a delete."
    );
    let finding = Finding::warning("PUBLICATION_ROW_FILTER", table.subject(), problem);
    Some(listed_anew(finding, wanted, publication, table))
}

fn column_list(
    wanted: &Wanted<'_>,
    publication: &Publication,
    table: &Relation,
    published: &Published,
    columns: &Columns,
) -> Vec<Finding> {
    let own = columns.get(&table.oid).map_or(&[][..], Vec::as_slice);
    let mut findings = Vec::new();
    let hidden = |generated: bool| {
        own.iter()
            .filter(|column| (column.generated != Generated::No) == generated)
            .filter(|column| match &published.columns {
                Some(list) => !list.contains(&column.name),
                None => generated,
            })
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>()
    };
    let listed_out = hidden(false);
    let part = table.part(wanted);
    let on_purpose = part.is_some_and(|part| part.columns.is_some());
    if !listed_out.is_empty() && !on_purpose {
        let problem = format!(
            "The publication's column list hides columns: {}. Events will not have them.",
            listed_out.join(", ")
        );
        let finding = Finding::warning("PUBLICATION_COLUMN_LIST", table.subject(), problem);
        findings.push(listed_anew(finding, wanted, publication, table));
    }
    let generated = hidden(true);
    if !generated.is_empty() {
        findings.push(Finding::new(
            Severity::Info,
            "GENERATED_COLUMNS",
            table.subject(),
            format!(
                "Generated columns are not in the stream: {}. Postgres 18 can publish stored ones \
                 (publish_generated_columns = stored).",
                generated.join(", ")
            ),
        ));
    }
    findings
}

/// The table is taken out and put back whole, so that no change falls between.
fn listed_anew(
    finding: Finding,
    wanted: &Wanted<'_>,
    publication: &Publication,
    table: &Relation,
) -> Finding {
    if !publication.listed.contains(&table.oid) {
        return finding.text("the list stands at its partitioned table: publish that one whole");
    }
    finding
        .sql(setup::publish_anew(wanted, &[table]))
        .or(Remedy::Text("leave it, if that is on purpose".to_owned()))
}
