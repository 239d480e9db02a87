//! What is copied: the published tables that the configuration wants, as the stream would describe
//! them at the snapshot's point.

use std::collections::HashMap;

use envelope::RelationDetails;
use pgoutput::{ColumnsBuf, Relation, RelationColumn, ReplicaIdentity};
use pgwire::command::quote_identifier;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::leaves::{self, Leaves};
use super::pieces::{Blocks, Done};
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
    /// Those of them that are read, where that is not all.
    leaves: Option<Leaves>,
    identity: ReplicaIdentity,
    columns: ColumnsBuf,
    /// The publication's row filter, which the stream obeys, too.
    row_filter: Option<String>,
    /// A statement that gives its rows, in place of reading the table itself.
    select: Option<String>,
    /// The column that its rows are read in the order of, in one piece.
    order: Option<String>,
    /// A condition that was asked for.
    condition: Option<String>,
    /// What was asked for, as a statement by itself: what is well formed only between other words would
    /// change their meaning.
    bare: Option<String>,
    pub(super) size: Size,
}

/// How large a table is with its partitions, and where its rows are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Of the largest heap.
    pub(super) blocks: u32,
    /// Of all heaps, with what is stored outside of them.
    pub(super) bytes: u64,
    /// As the server last counted them.
    pub(super) rows: u64,
    /// The files that hold the heaps.
    pub(super) storage: String,
    /// Whether rows can be asked for by block.
    pub(super) by_block: bool,
    /// Whether values may be stored outside of their rows.
    pub(super) outside: bool,
}

impl Size {
    /// How many blocks make a piece: so many bytes, with what is stored outside.
    pub(super) fn blocks_a_piece(&self) -> u32 {
        let piece = (self.bytes / PIECES).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        let of = u64::from(self.blocks) * piece / self.bytes.max(1);
        u32::try_from(of).unwrap_or(u32::MAX).max(PIECE_BLOCKS_MIN)
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let [blocks, bytes, rows] =
            ["blocks", "bytes", "rows"].map(|name| row.try_get::<_, i64>(name));
        let positive = |number: i64| u64::try_from(number).unwrap_or_default();
        Ok(Self {
            blocks: u32::try_from(blocks?).unwrap_or_default(),
            bytes: positive(bytes?),
            rows: positive(rows?),
            storage: row.try_get("storage")?,
            by_block: row.try_get("by_block")?,
            outside: row.try_get("outside")?,
        })
    }
}

/// Enough for all readers to end at about the same time.
const PIECES: u64 = 64;
/// Less is not worth its statement.
const PIECE_BYTES_MIN: u64 = 1 << 20;
/// Read in a second or less; and no more than this is read again after a kill, by each reader.
const PIECE_BYTES_MAX: u64 = 16 << 20;
/// However much is stored outside of the rows.
const PIECE_BLOCKS_MIN: u32 = 16;

/// The published tables that are wanted, by schema and name.
///
/// # Errors
/// What the server answered.
pub(crate) async fn tables(
    client: &Client,
    publication: &str,
    filter: &TableFilter,
) -> Result<Vec<CopyTable>, tokio_postgres::Error> {
    named_tables(client, publication, filter, None).await
}

/// One of them, by its name: `schema.table`.
///
/// # Errors
/// What the server answered.
pub(crate) async fn table(
    client: &Client,
    publication: &str,
    filter: &TableFilter,
    name: &str,
) -> Result<Option<CopyTable>, tokio_postgres::Error> {
    let found = named_tables(client, publication, filter, Some(name)).await?;
    Ok(found.into_iter().next())
}

async fn named_tables(
    client: &Client,
    publication: &str,
    filter: &TableFilter,
    name: Option<&str>,
) -> Result<Vec<CopyTable>, tokio_postgres::Error> {
    let query = include_str!("tables.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&publication, Type::NAME), (&name, Type::TEXT)];
    let rows = client.query_typed(query, &parameters).await?;
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
    let partitioned = tables.iter().filter(|table| table.partitioned);
    let partitioned: Vec<u32> = partitioned.map(|table| table.oid).collect();
    let mut leaves = leaves::of(client, &partitioned).await?;
    for table in &mut tables {
        table.leaves = leaves.remove(&table.oid);
    }
    Ok(tables)
}

/// Looks how large they are, and where their rows lie.
///
/// # Errors
/// What the server answered.
pub(super) async fn measure(
    client: &Client,
    tables: &mut [CopyTable],
) -> Result<(), tokio_postgres::Error> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let query = include_str!("sizes.sql");
    let rows = client
        .query_typed(query, &[(&oids, Type::OID_ARRAY)])
        .await?;
    let mut sizes = HashMap::new();
    for row in rows {
        sizes.insert(row.try_get::<_, u32>("oid")?, Size::of(&row)?);
    }
    for table in tables {
        // Without storage, as a partitioned table without partitions, there is one piece, of nothing.
        table.size = sizes.remove(&table.oid).unwrap_or_default();
    }
    Ok(())
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

/// Asks for names of tables whose storage is not the snapshot's any more: an ALTER TABLE that rewrote
/// one since would show it empty to the snapshot, without an error. And for names by which another table
/// goes meanwhile. Sure once they are locked.
pub(super) struct Rewritten(Statement);

impl Rewritten {
    /// For this session.
    ///
    /// # Errors
    /// What the server answered.
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        const QUERY: &str = "SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c \
             WHERE c.oid IN (SELECT o FROM unnest($1) AS o UNION ALL \
                  SELECT p.relid FROM unnest($1) AS o \
                  CROSS JOIN LATERAL pg_catalog.pg_partition_tree(o::pg_catalog.regclass) p) \
               AND c.relfilenode <> 0 \
               AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid) \
             UNION ALL SELECT named.name FROM unnest($1, $2) AS named(o, name) \
             WHERE pg_catalog.to_regclass(named.name)::oid IS DISTINCT FROM named.o";
        let prepared = client.prepare_typed(QUERY, &[Type::OID_ARRAY, Type::TEXT_ARRAY]);
        let prepared = prepared.await;
        prepared.map(Self)
    }

    /// Which of these tables, in the session that this was prepared for.
    ///
    /// # Errors
    /// What the server answered.
    pub(super) async fn of(
        &self,
        client: &Client,
        tables: impl Iterator<Item = &CopyTable>,
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        let (oids, names): (Vec<u32>, Vec<String>) = tables.flat_map(CopyTable::named).unzip();
        let rows = client.query(&self.0, &[&oids, &names]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
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
            leaves: None,
            identity: match identity {
                "n" => ReplicaIdentity::Nothing,
                "f" => ReplicaIdentity::Full,
                "i" => ReplicaIdentity::Index,
                _ => ReplicaIdentity::Default,
            },
            columns: ColumnsBuf::new(),
            row_filter: row.try_get("row_filter")?,
            select: None,
            order: None,
            condition: None,
            bare: None,
            size: Size::default(),
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
    pub(crate) async fn describe(
        &self,
        client: &Client,
    ) -> Result<RelationDetails, tokio_postgres::Error> {
        sql::describe(client, self.oid, &self.types()).await
    }

    /// Its columns' types.
    pub(super) fn types(&self) -> Vec<u32> {
        let columns = self.columns.columns();
        columns.iter().map(|column| column.type_oid).collect()
    }

    pub(crate) fn oid(&self) -> u32 {
        self.oid
    }

    pub(crate) fn column_count(&self) -> u16 {
        u16::try_from(self.columns.columns().len()).unwrap_or(u16::MAX)
    }

    /// `schema.table`, for a reader.
    pub(crate) fn qualified_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// As `FROM` names it: without partitions whose changes are in no WAL.
    pub(crate) fn source(&self) -> String {
        match &self.leaves {
            Some(leaves) if leaves.is_empty() => format!("ONLY {}", self.quoted_name()),
            Some(leaves) => leaves.source(&quote_identifier(&self.name)),
            None => self.lock_name(),
        }
    }

    /// As `LOCK TABLE` names it: a plain table without its inheritance children, which are published
    /// under their own names.
    pub(crate) fn lock_name(&self) -> String {
        let only = if self.partitioned { "" } else { "ONLY " };
        format!("{only}{}", self.quoted_name())
    }

    /// Whether its partitions are read by their names.
    pub(crate) fn is_read_by_partitions(&self) -> bool {
        self.leaves.is_some()
    }

    /// It, and what else is read by its name.
    fn named(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        let leaves = self.leaves.iter().flat_map(Leaves::named);
        std::iter::once((self.oid, self.quoted_name())).chain(leaves)
    }

    /// As SQL names it.
    pub(crate) fn quoted_name(&self) -> String {
        let (schema, name) = (quote_identifier(&self.schema), quote_identifier(&self.name));
        format!("{schema}.{name}")
    }

    /// Only those of its rows are wanted that meet this condition; or that it gives, if it is a whole
    /// statement.
    pub(super) fn narrow(&mut self, filter: &str) {
        // A line of its own, so that a comment ends with it.
        match filter.split_whitespace().next() {
            Some(word) if word.eq_ignore_ascii_case("select") => {
                let statement = filter.trim().trim_end_matches(';');
                self.bare = Some(statement.to_owned());
                self.read_by(&format!("{statement}\n"));
            }
            _ => {
                self.bare = Some(self.bare_condition(filter));
                self.condition = Some(format!("({filter}\n)"));
            }
        }
    }

    /// A statement with this condition and nothing behind it.
    pub(crate) fn bare_condition(&self, filter: &str) -> String {
        format!("SELECT FROM {} WHERE {filter}", self.source())
    }

    /// What was asked for, as a statement by itself.
    pub(super) fn bare(&self) -> Option<&str> {
        self.bare.as_deref()
    }

    /// Whether a statement gives its rows.
    pub(super) fn is_read_by_statement(&self) -> bool {
        self.select.is_some()
    }

    /// Its rows are those that this statement gives, whose blocks nobody knows.
    pub(super) fn read_by(&mut self, select: &str) {
        self.select = Some(select.to_owned());
        self.size.by_block = false;
        // What is written meanwhile is no part of the statement's rows.
        self.size.outside = false;
    }

    /// Its rows are events, of which several have one key: they are read in one piece, by their time if
    /// a column has it, else in the order in which they lie.
    pub(super) fn read_as_events(&mut self, time: Option<&str>) {
        self.order = time.map(str::to_owned);
        self.size.by_block = false;
    }

    /// What is left of it to read, in pieces.
    pub(super) fn pieces(&self, done: &Done) -> Vec<Blocks> {
        if self.size.by_block {
            done.pieces(self.size.blocks, self.size.blocks_a_piece())
        } else if done.is_whole() {
            Vec::new()
        } else {
            vec![Blocks::ALL]
        }
    }

    /// The statement that reads the rows which meet a condition; all of them without one.
    pub(crate) fn copy_statement(&self, condition: &str) -> String {
        self.statement("", condition, self.order.as_deref().map(quote_identifier))
    }

    /// The same, in the order of these columns, which are quoted.
    pub(crate) fn copy_statement_by(&self, condition: &str, columns: &[String]) -> String {
        self.statement("", condition, Some(columns.join(", ")))
    }

    /// All its rows; before each row's columns stands where it lies: its table, and its `ctid` there.
    pub(crate) fn located_copy_statement(&self) -> String {
        let order = self.order.as_deref().map(quote_identifier);
        self.statement("tableoid::pg_catalog.regclass, ctid, ", "", order)
    }

    /// The publication's row filter.
    pub(crate) fn row_filter(&self) -> Option<&str> {
        self.row_filter.as_deref()
    }

    /// Its schema and its name.
    pub(crate) fn name(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    fn statement(&self, before: &str, condition: &str, order: Option<String>) -> String {
        let columns: Vec<String> = self
            .columns
            .columns()
            .iter()
            .map(|column| quote_identifier(column.name))
            .collect();
        let filters = [self.row_filter.as_deref(), self.condition.as_deref()];
        let conditions: Vec<&str> = filters
            .into_iter()
            .flatten()
            .chain(Some(condition).filter(|condition| !condition.is_empty()))
            .collect();
        let filter = match conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let source = match &self.select {
            Some(select) => format!("({select}) AS t"),
            None => self.source(),
        };
        let columns = columns.join(", ");
        let order = order.map_or_else(String::new, |columns| format!(" ORDER BY {columns}"));
        format!("COPY (SELECT {before}{columns} FROM {source}{filter}{order}) TO STDOUT")
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
            leaves: None,
            identity: ReplicaIdentity::Default,
            columns: columns.iter().map(column).collect(),
            row_filter: row_filter.map(str::to_owned),
            select: None,
            order: None,
            condition: None,
            bare: None,
            size: Size::default(),
        }
    }

    #[test]
    fn a_statement_reads_what_the_stream_would_show() {
        assert_eq!(
            table(false, None, &["id", "A b"]).copy_statement(""),
            r#"COPY (SELECT "id", "A b" FROM ONLY "public"."we ""ird") TO STDOUT"#
        );
        assert_eq!(
            table(true, Some("(id > 5)"), &["id"]).copy_statement(&Blocks(0, 4).to_string()),
            r#"COPY (SELECT "id" FROM "public"."we ""ird" WHERE (id > 5) AND ctid < '(4,0)') TO STDOUT"#
        );
        assert_eq!(
            table(false, None, &["id"]).located_copy_statement(),
            "COPY (SELECT tableoid::pg_catalog.regclass, ctid, \"id\" \
             FROM ONLY \"public\".\"we \"\"ird\") TO STDOUT"
        );
        assert_eq!(
            table(false, None, &["id"])
                .copy_statement_by("id > 5", &["b".to_owned(), "a".to_owned()]),
            r#"COPY (SELECT "id" FROM ONLY "public"."we ""ird" WHERE id > 5 ORDER BY b, a) TO STDOUT"#
        );
        assert_eq!(
            table(false, None, &[]).copy_statement(""),
            r#"COPY (SELECT  FROM ONLY "public"."we ""ird") TO STDOUT"#
        );
    }
}
