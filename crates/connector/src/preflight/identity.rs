//! Can the old row of an UPDATE or DELETE be named?
//!
//! A published table without replica identity does not only lose information: Postgres refuses the
//! application's own UPDATE and DELETE on it ("ALTER TABLE … REPLICA IDENTITY" in the manual). So
//! this is judged before a publication is made. For partitioned tables the leaves count, since they
//! hold the rows.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::finding::{Finding, Remedy, Severity};
use super::quote::identifier;
use super::tables::{IdentityKind, Relation, list, several};

/// One unique index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name, in the table's schema.
    pub name: String,
    /// It is the primary key's.
    pub primary: bool,
    /// It is marked as the replica identity (`indisreplident`).
    pub identity: bool,
    /// Postgres could use it as an identity: valid, unique, immediate, not partial, only plain
    /// columns.
    pub usable: bool,
    /// All its columns are NOT NULL.
    pub not_null: bool,
    /// Its key columns, in order; expressions are left out.
    pub columns: Vec<String>,
}

/// Unique indexes by table OID.
pub type Indexes = BTreeMap<u32, Vec<Index>>;

const INDEXES: &str = "
    SELECT x.indrelid, c.relname, x.indisprimary, x.indisreplident,
           x.indisvalid AND x.indisunique AND x.indimmediate
             AND x.indpred IS NULL AND x.indexprs IS NULL,
           bool_and(coalesce(a.attnotnull, false)),
           array_agg(a.attname::text ORDER BY k.ordinal) FILTER (WHERE a.attname IS NOT NULL)
      FROM pg_index x
      JOIN pg_class c ON c.oid = x.indexrelid
     CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, ordinal)
      LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
     WHERE x.indrelid = ANY ($1) AND (x.indisunique OR x.indisreplident)
       AND k.ordinal <= x.indnkeyatts
     GROUP BY x.indexrelid, c.relname
     ORDER BY x.indrelid, c.relname";

/// Asks for the unique indexes of these tables.
///
/// # Errors
/// What the server answered.
pub async fn read(client: &Client, oids: &[u32]) -> Result<Indexes, tokio_postgres::Error> {
    let mut indexes = Indexes::new();
    for row in client.query(INDEXES, &[&oids]).await? {
        indexes.entry(row.try_get(0)?).or_default().push(Index {
            name: row.try_get(1)?,
            primary: row.try_get(2)?,
            identity: row.try_get(3)?,
            usable: row.try_get(4)?,
            not_null: row.try_get(5)?,
            columns: row
                .try_get::<_, Option<Vec<String>>>(6)?
                .unwrap_or_default(),
        });
    }
    Ok(indexes)
}

/// What Postgres will log of the old row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    /// The primary key's columns.
    PrimaryKey(&'a Index),
    /// The columns of the index the table names.
    Index(&'a Index),
    /// All columns.
    Full,
    /// Nothing, and why.
    Missing(Missing),
}

/// Why a table has no usable identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The default identity, and no primary key.
    NoPrimaryKey,
    /// The primary key is deferrable, which Postgres does not accept as an identity.
    DeferrableKey,
    /// REPLICA IDENTITY NOTHING.
    Nothing,
    /// REPLICA IDENTITY USING INDEX, and the index is gone.
    IndexGone,
}

/// Resolves a table's identity as the server does (`RelationGetReplicaIndex`).
#[must_use]
pub fn resolve<'a>(kind: IdentityKind, indexes: &'a [Index]) -> Identity<'a> {
    let primary = indexes.iter().find(|index| index.primary);
    match kind {
        IdentityKind::Full => Identity::Full,
        IdentityKind::Nothing => Identity::Missing(Missing::Nothing),
        IdentityKind::Default => match primary {
            Some(key) if key.usable => Identity::PrimaryKey(key),
            Some(_) => Identity::Missing(Missing::DeferrableKey),
            None => Identity::Missing(Missing::NoPrimaryKey),
        },
        IdentityKind::Index => indexes
            .iter()
            .find(|index| index.identity)
            .map_or(Identity::Missing(Missing::IndexGone), Identity::Index),
    }
}

/// Do this table's records have a key?
#[must_use]
pub fn keyed(table: &Relation, indexes: &Indexes) -> bool {
    let own = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
    match resolve(table.identity, own) {
        Identity::PrimaryKey(_) | Identity::Index(_) => true,
        Identity::Full | Identity::Missing(_) => own.iter().any(|index| index.primary),
    }
}

/// Can this table's rows be read in chunks: does the primary key or the replica identity order them?
#[must_use]
pub fn ordered(table: &Relation, indexes: &Indexes) -> bool {
    let own = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
    let orders =
        |index: &Index| (index.primary || index.identity) && index.usable && index.not_null;
    own.iter().any(orders)
}

/// Judges the identities of the tables that hold captured rows.
///
/// `fails` says whether UPDATE or DELETE is, or will be, published: only then does a missing one
/// break the application.
#[must_use]
pub fn judge(holders: &[&Relation], indexes: &Indexes, fails: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut full = Vec::new();
    let mut by_index = Vec::new();
    for &table in holders {
        let own = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
        let primary = own.iter().find(|index| index.primary);
        match resolve(table.identity, own) {
            Identity::PrimaryKey(_) => {}
            Identity::Full if primary.is_none() => findings.push(keyless(table, own)),
            Identity::Full => full.push(table),
            Identity::Index(index) => match primary {
                Some(key) if !same_columns(key, index) => {
                    findings.push(index_beside_key(table, key, index));
                }
                _ => by_index.push(table),
            },
            Identity::Missing(why) if fails => findings.push(missing(table, own, why)),
            Identity::Missing(_) => {}
        }
    }
    if !full.is_empty() {
        let problem = format!(
            "The whole old row is written to the WAL at each UPDATE and DELETE (replica identity \
             FULL): {}. Events then have a complete `before`, at the price of WAL.",
            list(&full)
        );
        findings.push(Finding::info("IDENTITY_FULL", several(&full), problem));
    }
    if !by_index.is_empty() {
        let problem = format!(
            "Keys are the replica identity index's columns: {}.",
            list(&by_index)
        );
        findings.push(Finding::info("IDENTITY_INDEX", several(&by_index), problem));
    }
    findings
}

/// Judges tables that are published without being captured: their application breaks all the same.
#[must_use]
pub fn judge_bystanders(tables: &[&Relation], indexes: &Indexes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &table in tables {
        let own = indexes.get(&table.oid).map_or(&[][..], Vec::as_slice);
        if let Identity::Missing(why) = resolve(table.identity, own) {
            let mut finding = missing(table, own, why);
            finding.severity = Severity::Warning;
            finding.code = "PUBLISHED_WITHOUT_KEY";
            findings.push(finding);
        }
    }
    findings
}

fn same_columns(a: &Index, b: &Index) -> bool {
    let sorted = |index: &Index| {
        let mut columns = index.columns.clone();
        columns.sort();
        columns
    };
    sorted(a) == sorted(b)
}

fn missing(table: &Relation, indexes: &[Index], why: Missing) -> Finding {
    let name = table.sql_name();
    let because = match why {
        Missing::NoPrimaryKey => "has no primary key and its replica identity is the default one",
        Missing::DeferrableKey => "has only a deferrable primary key, which cannot be an identity",
        Missing::Nothing => "has REPLICA IDENTITY NOTHING",
        Missing::IndexGone => "names a replica identity index that was dropped",
    };
    let code = match why {
        Missing::NoPrimaryKey | Missing::DeferrableKey => "PK_MISSING",
        Missing::Nothing => "IDENTITY_NOTHING",
        Missing::IndexGone => "IDENTITY_INDEX_GONE",
    };
    let problem = format!(
        "It {because}: as part of a publication, the application's own UPDATE and DELETE on it \
         fail."
    );
    let finding = Finding::error(code, table.subject(), problem);
    let has_key = indexes.iter().any(|index| index.primary && index.usable);
    let full = format!("ALTER TABLE {name} REPLICA IDENTITY FULL;");
    if has_key {
        return finding.sql(format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT;"));
    }
    let finding = match candidate(indexes) {
        Some(index) => finding
            .sql(format!(
                "ALTER TABLE {name} REPLICA IDENTITY USING INDEX {};",
                identifier(&index.name)
            ))
            .or(Remedy::Sql(full)),
        None => finding.sql(full),
    };
    finding.or(Remedy::Text(
        "give the table a primary key, or leave it out".to_owned(),
    ))
}

/// An index that could serve as the identity.
fn candidate(indexes: &[Index]) -> Option<&Index> {
    indexes
        .iter()
        .filter(|index| index.usable && index.not_null && !index.primary)
        .min_by_key(|index| index.columns.len())
}

fn keyless(table: &Relation, indexes: &[Index]) -> Finding {
    let finding = Finding::warning(
        "KEYLESS",
        table.subject(),
        "It has REPLICA IDENTITY FULL and no primary key: its records have no key, so they are \
         spread over partitions without order per row, and compaction cannot keep the latest.",
    );
    match candidate(indexes) {
        Some(index) => finding.sql(format!(
            "ALTER TABLE {} REPLICA IDENTITY USING INDEX {};",
            table.sql_name(),
            identifier(&index.name)
        )),
        None => finding.text("give the table a primary key"),
    }
}

fn index_beside_key(table: &Relation, key: &Index, index: &Index) -> Finding {
    Finding::warning(
        "IDENTITY_INDEX_BESIDE_PK",
        table.subject(),
        format!(
            "Its replica identity is index {} ({}), beside the primary key ({}). Deletes carry \
             only the identity's columns, so these are the keys of its records.",
            index.name,
            index.columns.join(", "),
            key.columns.join(", ")
        ),
    )
    .sql(format!(
        "ALTER TABLE {} REPLICA IDENTITY DEFAULT;",
        table.sql_name()
    ))
}
