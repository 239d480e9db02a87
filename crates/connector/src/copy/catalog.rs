//! What is copied: the published tables that the configuration wants, as the stream would describe
//! them at the snapshot's point.

use envelope::RelationDetails;
use pgoutput::{ColumnsBuf, Relation, RelationColumn, ReplicaIdentity};
use pgwire::command::quote_identifier;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::config::TableFilter;
use crate::postgres::{PostgresError, sql};

/// A table to be copied.
#[derive(Debug)]
pub(crate) struct CopyTable {
    oid: u32,
    schema: String,
    name: String,
    /// Its rows are in its partitions.
    partitioned: bool,
    identity: ReplicaIdentity,
    columns: ColumnsBuf,
    /// The publication's row filter, which the stream obeys, too.
    row_filter: Option<String>,
    /// What the stream's description does not tell.
    pub(crate) details: RelationDetails,
}

/// The published tables that are wanted, by schema and name.
///
/// # Errors
/// What the server answered.
pub(super) async fn tables(
    client: &Client,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<CopyTable>, tokio_postgres::Error> {
    let query = include_str!("tables.sql");
    let rows = client
        .query_typed(query, &[(&publication, Type::NAME)])
        .await?;
    let mut tables: Vec<CopyTable> = Vec::new();
    for row in rows {
        let oid = row.try_get("oid")?;
        if tables.last().is_none_or(|table| table.oid != oid) {
            tables.push(CopyTable::of(oid, &row)?);
        }
        let column: Option<&str> = row.try_get("column_name")?;
        if let (Some(table), Some(name)) = (tables.last_mut(), column) {
            table.columns.push(RelationColumn {
                in_identity: row.try_get("in_identity")?,
                name,
                type_oid: row.try_get("column_type")?,
                type_modifier: row.try_get("type_modifier")?,
            });
        }
    }
    tables.retain(|table| filter.matches(&table.schema, &table.name));
    Ok(tables)
}

/// Schema and name of each published table that is wanted.
///
/// # Errors
/// What the server answered.
pub(crate) async fn published(
    client: &Client,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<(String, String)>, PostgresError> {
    let tables = tables(client, publication, filter).await;
    let tables = tables.map_err(sql::sql("list the published tables"))?;
    let name = |table: CopyTable| (table.schema, table.name);
    Ok(tables.into_iter().map(name).collect())
}

/// Names of tables whose storage is not the snapshot's any more: an ALTER TABLE that rewrote one
/// since would show it empty to the snapshot, without an error. Sure once they are locked.
///
/// # Errors
/// What the server answered.
pub(super) async fn rewritten(
    client: &Client,
    tables: &[CopyTable],
) -> Result<Vec<String>, tokio_postgres::Error> {
    const QUERY: &str = "SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c \
         WHERE c.oid IN (SELECT o FROM unnest($1) AS o UNION ALL \
              SELECT p.relid FROM unnest($1) AS o \
              CROSS JOIN LATERAL pg_catalog.pg_partition_tree(o::pg_catalog.regclass) p) \
           AND c.relfilenode <> 0 \
           AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)";
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = client
        .query_typed(QUERY, &[(&oids, Type::OID_ARRAY)])
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

impl CopyTable {
    fn of(oid: u32, row: &Row) -> Result<Self, tokio_postgres::Error> {
        let identity: &str = row.try_get("identity")?;
        let kind: &str = row.try_get("kind")?;
        Ok(Self {
            oid,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            partitioned: kind == "p",
            identity: match identity {
                "n" => ReplicaIdentity::Nothing,
                "f" => ReplicaIdentity::Full,
                "i" => ReplicaIdentity::Index,
                _ => ReplicaIdentity::Default,
            },
            columns: ColumnsBuf::new(),
            row_filter: row.try_get("row_filter")?,
            details: RelationDetails::default(),
        })
    }

    /// As the stream would describe it.
    pub(crate) fn relation(&self) -> Relation<'_> {
        Relation {
            oid: self.oid,
            schema: &self.schema,
            name: &self.name,
            replica_identity: self.identity,
            columns: self.columns.columns(),
        }
    }

    /// Asks for what that description does not tell.
    ///
    /// # Errors
    /// What the server answered.
    pub(crate) async fn describe(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let columns = self.columns.columns();
        let types: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
        self.details = sql::describe(client, self.oid, &types).await?;
        Ok(())
    }

    pub(super) fn oid(&self) -> u32 {
        self.oid
    }

    pub(crate) fn column_count(&self) -> u16 {
        u16::try_from(self.columns.columns().len()).unwrap_or(u16::MAX)
    }

    /// `schema.table`, for a reader.
    pub(crate) fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// As `FROM` and `LOCK TABLE` name it: a plain table without its inheritance children, which
    /// are published under their own names.
    pub(super) fn source(&self) -> String {
        let only = if self.partitioned { "" } else { "ONLY " };
        let (schema, name) = (quote_identifier(&self.schema), quote_identifier(&self.name));
        format!("{only}{schema}.{name}")
    }

    /// Its schema and its name.
    pub(crate) fn name(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    /// The statement that reads its rows.
    pub(super) fn copy_statement(&self) -> String {
        self.statement("")
    }

    /// The same; before each row's columns stands where it lies: its table, and its `ctid` there.
    pub(crate) fn located_copy_statement(&self) -> String {
        self.statement("tableoid::pg_catalog.regclass, ctid, ")
    }

    fn statement(&self, before: &str) -> String {
        let columns: Vec<String> = self
            .columns
            .columns()
            .iter()
            .map(|column| quote_identifier(column.name))
            .collect();
        let filter = self.row_filter.as_ref();
        let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let (columns, source) = (columns.join(", "), self.source());
        format!("COPY (SELECT {before}{columns} FROM {source}{filter}) TO STDOUT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(partitioned: bool, row_filter: Option<&str>, columns: &[&str]) -> CopyTable {
        let column = |name: &&'static str| RelationColumn {
            in_identity: false,
            name,
            type_oid: 23,
            type_modifier: -1,
        };
        let columns: &[&'static str] = &columns
            .iter()
            .map(|name| &*(*name).to_owned().leak())
            .collect::<Vec<_>>();
        CopyTable {
            oid: 1,
            schema: "public".to_owned(),
            name: "we \"ird".to_owned(),
            partitioned,
            identity: ReplicaIdentity::Default,
            columns: columns.iter().map(column).collect(),
            row_filter: row_filter.map(str::to_owned),
            details: RelationDetails::default(),
        }
    }

    #[test]
    fn a_statement_reads_what_the_stream_would_show() {
        assert_eq!(
            table(false, None, &["id", "A b"]).copy_statement(),
            r#"COPY (SELECT "id", "A b" FROM ONLY "public"."we ""ird") TO STDOUT"#
        );
        assert_eq!(
            table(true, Some("(id > 5)"), &["id"]).copy_statement(),
            r#"COPY (SELECT "id" FROM "public"."we ""ird" WHERE (id > 5)) TO STDOUT"#
        );
        assert_eq!(
            table(false, None, &["id"]).located_copy_statement(),
            "COPY (SELECT tableoid::pg_catalog.regclass, ctid, \"id\" \
             FROM ONLY \"public\".\"we \"\"ird\") TO STDOUT"
        );
        assert_eq!(
            table(false, None, &[]).copy_statement(),
            r#"COPY (SELECT  FROM ONLY "public"."we ""ird") TO STDOUT"#
        );
    }
}
