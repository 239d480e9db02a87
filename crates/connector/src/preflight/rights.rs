//! May our role do what it will have to do?

use tokio_postgres::Client;

use super::finding::{Finding, Remedy, Subject};
use super::publication::Publication;
use super::quote::identifier;
use super::setup::{self, SetupPlan};
use super::tables::{Kind, Relation, Selection, list, several};
use super::wanted::{Snapshot, Wanted};

/// What our role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `current_user`.
    pub name: String,
    /// It is a superuser.
    pub superuser: bool,
    /// It has the REPLICATION attribute.
    pub replication: bool,
    /// Membership in `rds_replication`; `None` where there is no such role.
    pub rds_replication: Option<bool>,
    /// It has CREATE on the database.
    pub create: bool,
    /// The database.
    pub database: String,
}

const ROLE: &str = "
    SELECT r.rolname::text, r.rolsuper, r.rolreplication,
           (SELECT pg_has_role(r.oid, d.oid, 'MEMBER') FROM pg_roles d
             WHERE d.rolname = 'rds_replication'),
           has_database_privilege(current_database(), 'CREATE'), current_database()::text
      FROM pg_roles r
     WHERE r.rolname = current_user";

/// Asks who we are.
///
/// # Errors
/// What the server answered.
pub async fn read(client: &Client) -> Result<Role, tokio_postgres::Error> {
    let row = client.query_one(ROLE, &[]).await?;
    Ok(Role {
        name: row.try_get(0)?,
        superuser: row.try_get(1)?,
        replication: row.try_get(2)?,
        rds_replication: row.try_get(3)?,
        create: row.try_get(4)?,
        database: row.try_get(5)?,
    })
}

/// Judges the role against the plan and the choice.
#[must_use]
pub fn judge(
    wanted: &Wanted<'_>,
    role: &Role,
    plan: &SetupPlan,
    publication: Option<&Publication>,
    selection: &Selection<'_>,
) -> Vec<Finding> {
    if role.superuser {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(create(wanted, role, plan, selection));
    findings.extend(ownership(wanted, role, plan, publication, selection));
    if wanted.snapshot == Snapshot::Initial {
        findings.extend(select(wanted, role, selection));
    }
    findings
}

fn subject(role: &Role) -> Subject {
    Subject::Role(role.name.clone())
}

/// Judges the one right that does not depend on any table: to read a slot.
#[must_use]
pub fn replication(role: &Role) -> Option<Finding> {
    if role.superuser || role.replication || role.rds_replication == Some(true) {
        return None;
    }
    let name = identifier(&role.name);
    let finding = Finding::error(
        "ROLE_REPLICATION",
        subject(role),
        "It may not read a replication slot.",
    );
    Some(if role.rds_replication.is_some() {
        finding.sql(format!("GRANT rds_replication TO {name};"))
    } else {
        finding.sql(format!("ALTER ROLE {name} REPLICATION;"))
    })
}

fn create(
    wanted: &Wanted<'_>,
    role: &Role,
    plan: &SetupPlan,
    selection: &Selection<'_>,
) -> Option<Finding> {
    if plan.create_publication.is_none() || role.create {
        return None;
    }
    Some(
        Finding::error(
            "ROLE_CREATE",
            subject(role),
            "It may not create the publication in this database.",
        )
        .sql(format!(
            "GRANT CREATE ON DATABASE {} TO {};",
            identifier(&role.database),
            identifier(&role.name)
        ))
        .or(Remedy::Sql(setup::create_publication(
            wanted,
            &selection.targets,
        ))),
    )
}

/// Only a table's owner may publish it. The gentle way is to let the owner make the publication.
fn ownership(
    wanted: &Wanted<'_>,
    role: &Role,
    plan: &SetupPlan,
    publication: Option<&Publication>,
    selection: &Selection<'_>,
) -> Option<Finding> {
    let (needed, sql) = match publication {
        None if plan.create_publication.is_some() => (
            selection.targets.clone(),
            setup::create_publication(wanted, &selection.targets),
        ),
        Some(publication) if plan.add_tables.is_some() => {
            let absent = setup::absent_targets(publication, selection);
            let sql = setup::add_tables(wanted, &absent);
            (absent, sql)
        }
        Some(publication) if plan.change_parts.is_some() => {
            let changed: Vec<&Relation> = selection
                .captured
                .iter()
                .copied()
                .filter(|table| publication.listed.contains(&table.oid))
                .filter(|table| table.part(wanted).is_some())
                .collect();
            let sql = setup::publish_anew(wanted, &changed);
            (changed, sql)
        }
        _ => return None,
    };
    let foreign: Vec<&Relation> = needed.into_iter().filter(|table| !table.owned).collect();
    if foreign.is_empty() {
        return None;
    }
    let problem = format!(
        "Only their owner may publish these tables, and {} is not: {}.",
        role.name,
        list(&foreign)
    );
    Some(
        Finding::error("TABLE_OWNER", several(&foreign), problem)
            .sql(sql)
            .text("as their owner or a superuser"),
    )
}

/// What the first copy names. A partitioned table stands for its partitions, but where some are not in the WAL:
/// then the others are read one by one.
fn read_by_name<'a>(wanted: &Wanted<'_>, selection: &Selection<'a>) -> Vec<&'a Relation> {
    let is_mixed = |table: &Relation| {
        let mut left_out = selection.not_in_wal.iter();
        left_out.any(|partition| partition.ancestors.contains(&table.oid))
    };
    let captured = selection.captured.iter().copied();
    let copied: Vec<&Relation> = captured
        .filter(|table| (wanted.copied)(&table.schema, &table.name))
        .collect();
    let mixed: Vec<u32> = copied
        .iter()
        .filter(|table| table.kind == Kind::Partitioned && is_mixed(table))
        .map(|table| table.oid)
        .collect();
    let holders = selection.holders.iter().copied();
    let leaves = holders.filter(|leaf| leaf.ancestors.iter().any(|oid| mixed.contains(oid)));
    copied.iter().copied().chain(leaves).collect()
}

fn select(wanted: &Wanted<'_>, role: &Role, selection: &Selection<'_>) -> Vec<Finding> {
    let name = identifier(&role.name);
    let read = read_by_name(wanted, selection);
    let mut findings = Vec::new();
    let closed: Vec<&Relation> = read
        .iter()
        .copied()
        .filter(|table| !table.may_use_schema)
        .collect();
    if !closed.is_empty() {
        let mut schemas: Vec<String> = closed.iter().map(|t| identifier(&t.schema)).collect();
        schemas.sort();
        schemas.dedup();
        findings.push(
            Finding::error(
                "SCHEMA_USAGE",
                several(&closed),
                format!(
                    "The snapshot cannot look into the schema of {}.",
                    list(&closed)
                ),
            )
            .sql(format!(
                "GRANT USAGE ON SCHEMA {} TO {name};",
                schemas.join(", ")
            )),
        );
    }
    let unreadable: Vec<&Relation> = read
        .iter()
        .copied()
        .filter(|table| !table.may_select)
        .collect();
    if !unreadable.is_empty() {
        let tables: Vec<String> = unreadable.iter().map(|table| table.sql_name()).collect();
        findings.push(
            Finding::error(
                "TABLE_SELECT",
                several(&unreadable),
                format!("The snapshot may not read {}.", list(&unreadable)),
            )
            .sql(format!("GRANT SELECT ON {} TO {name};", tables.join(", ")))
            .or(Remedy::Setting(
                "snapshot: { snapshot.mode: no_data }".to_owned(),
            )),
        );
    }
    findings
}
