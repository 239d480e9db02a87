//! A table that is read in chunks: the key that orders its rows, and the statements.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use envelope::{Options, RelationDetails, Table};
use pgwire::command::{quote_identifier, quote_literal};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::reader::Stop;
use crate::copy::{CopyTable, EVENTS_COME_ONCE};
use crate::postgres::sql;

/// A column of the key, its type's name, and what orders its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyColumn {
    name: String,
    of_type: String,
    /// Its oid, 0 for none.
    collation: String,
}

/// A table as it was when its reading began.
pub(super) struct ChunkTable {
    pub(super) copied: CopyTable,
    pub(super) details: RelationDetails,
    pub(super) key: Vec<KeyColumn>,
    /// Changes with the table's columns and keys.
    pub(super) fingerprint: String,
    condition: Option<String>,
}

/// Rows behind one key, up to another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span<'a> {
    pub(super) after: Option<&'a [String]>,
    pub(super) to: Option<&'a [String]>,
}

/// How events are written, of which publication's tables, and which of those have a select override.
pub(super) type Published<'a> = (&'a Options, &'a str, &'a BTreeMap<String, String>);

const BY_STATEMENT: &str = "snapshot.select.statement.overrides has a statement for it, which gives its rows \
     as a whole and not in chunks: ask by --blocking (type: blocking), where it holds";

impl ChunkTable {
    /// Looks at a published table.
    pub(super) async fn look(
        sql: &Client,
        copied: CopyTable,
        (options, publication, selects): Published<'_>,
        (surrogate, condition): (Option<&str>, Option<&str>),
    ) -> Result<Self, Stop> {
        const DOING: &str = "look at a table to be read in chunks";
        if let Some(reason) = outbox_objection(options, &copied) {
            return Err(Stop::refused(reason));
        }
        if selects.contains_key(&copied.qualified_name()) {
            return Err(Stop::refused(BY_STATEMENT));
        }
        let details = copied.describe(sql).await.map_err(sql::sql(DOING))?;
        let table = Table::new(&copied.relation(), &details, options);
        if table.key_columns().next().is_none() {
            return Err(Stop::refused(
                "its records have no key, so that a row cannot be told from its newer state: ask by \
                 --blocking (type: blocking), give it a primary key, or set message.key.columns",
            ));
        }
        let key = key(sql, copied.oid(), surrogate).await?;
        let fingerprint = fingerprint(sql, &copied, publication).await?.1;
        if let Some(condition) = condition {
            let prepared = sql.prepare(&copied.bare_condition(condition)).await;
            prepared.map_err(sql::rows("look at the condition that was asked for"))?;
        }
        let condition = condition.map(str::to_owned);
        Ok(Self {
            copied,
            details,
            key,
            fingerprint,
            condition,
        })
    }

    /// What orders its rows, for a note: a place in that order means nothing in another, nor in another
    /// table that has come to its name.
    pub(super) fn order(&self) -> Vec<String> {
        let table = format!("table {}", self.copied.oid());
        let column = |it: &KeyColumn| format!("{} {} {}", it.name, it.of_type, it.collation);
        let columns = self.key.iter().map(column);
        std::iter::once(table).chain(columns).collect()
    }

    /// The last key of the next rows, at most so many: one text a column.
    pub(super) fn bound_statement(&self, span: Span<'_>, rows: usize) -> String {
        let names = self.names();
        let texts: Vec<String> = (1..=names.len()).map(|n| format!("k{n}::text")).collect();
        let aliased: Vec<String> = (1..)
            .zip(&names)
            .map(|(n, it)| format!("{it} AS k{n}"))
            .collect();
        let backwards: Vec<String> = (1..=names.len()).map(|n| format!("k{n} DESC")).collect();
        format!(
            "SELECT ARRAY[{}] FROM (SELECT {} FROM {}{} ORDER BY {} LIMIT {rows}) AS t ORDER BY {} LIMIT 1",
            texts.join(", "),
            aliased.join(", "),
            self.copied.source(),
            self.filter(span),
            // By place: a column of the table may be called as another is here.
            (1..=names.len())
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .join(", "),
            backwards.join(", ")
        )
    }

    /// The rows of a span, in the key's order.
    pub(super) fn copy_statement(&self, span: Span<'_>) -> String {
        let condition = self.conditions(span).join(" AND ");
        self.copied.copy_statement_by(&condition, &self.names())
    }

    fn filter(&self, span: Span<'_>) -> String {
        let row_filter = self.copied.row_filter().map(|filter| format!("({filter})"));
        let conditions = row_filter.into_iter().chain(self.conditions(span));
        let conditions: Vec<String> = conditions.collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    fn conditions(&self, span: Span<'_>) -> Vec<String> {
        let bound = |operator: &str, key: &[String]| {
            let mut text = format!("({}) {operator} (", self.names().join(", "));
            for (place, (column, value)) in self.key.iter().zip(key).enumerate() {
                let comma = if place == 0 { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}{}::{}", quote_literal(value), column.of_type);
            }
            text + ")"
        };
        // A line of its own, so that a comment ends with it.
        let condition = self.condition.iter().map(|text| format!("({text}\n)"));
        let after = span.after.map(|key| bound(">", key));
        condition
            .chain(after)
            .chain(span.to.map(|key| bound("<=", key)))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let names = self.key.iter().map(|column| quote_identifier(&column.name));
        names.collect()
    }
}

/// Why the rows of a table are not published a second time, if they are events.
pub(super) fn outbox_objection(options: &Options, table: &CopyTable) -> Option<&'static str> {
    let (schema, name) = table.name();
    let is_outbox = options.is_outbox(schema, name);
    is_outbox.then_some(EVENTS_COME_ONCE)
}

/// The snapshot of the transaction, and what changes with a table's name, columns and keys, with what
/// of it is published, and with its partitions where some are not read.
pub(super) async fn fingerprint(
    sql: &Client,
    table: &CopyTable,
    publication: &str,
) -> Result<(String, String), Stop> {
    const QUERY: &str = "SELECT pg_catalog.pg_current_snapshot()::text, \
         (pg_catalog.to_regclass($2)::oid = $1)::text || \
         coalesce((SELECT c.relreplident::text FROM pg_catalog.pg_class c WHERE c.oid = $1), '') || \
         coalesce((SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.to_jsonb(r)::text, '' \
              ORDER BY r.oid)) \
          FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid \
          WHERE p.pubname = $3 AND r.prrelid IN (SELECT $1 UNION ALL \
              SELECT a.relid FROM pg_catalog.pg_partition_ancestors($1::pg_catalog.regclass) AS a(relid))), '') || \
         coalesce((SELECT pg_catalog.string_agg(c.oid::text, ' ' ORDER BY c.oid) \
          FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) p \
          JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relkind <> 'p' \
          HAVING NOT bool_and(c.relkind = 'r' AND c.relpersistence = 'p')), '') || \
         coalesce((SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', \
             a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped, a.attnotnull), \
             ',' ORDER BY a.attnum)) \
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0), '') || \
         coalesce((SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', \
             i.indkey, i.indisprimary, i.indisreplident), ',' ORDER BY i.indexrelid) \
          FROM pg_catalog.pg_index i \
          WHERE i.indrelid = $1 AND (i.indisprimary OR i.indisreplident)), '')";
    let (oid, name) = (table.oid(), table.quoted_name());
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&oid, Type::OID),
        (&name, Type::TEXT),
        (&publication, Type::NAME),
    ];
    let rows = sql.query_typed(QUERY, &parameters).await;
    let rows = rows.map_err(sql::sql("take a snapshot of the table"))?;
    let row = rows.first().ok_or(Stop::Unwanted)?;
    let get = |place| {
        row.try_get(place)
            .map_err(sql::sql("take a snapshot of the table"))
    };
    Ok((get(0)?, get(1)?))
}

/// The columns that order rows: those asked for, if a unique index has them; else the primary key's, else
/// the replica identity's.
async fn key(sql: &Client, oid: u32, surrogate: Option<&str>) -> Result<Vec<KeyColumn>, Stop> {
    const DOING: &str = "look for the table's key";
    // From 18 on a column is NOT NULL by a constraint, which need not hold for the rows that are there.
    const QUERY: &str = "SELECT i.indisprimary AS is_primary, i.indisreplident AS is_identity, \
             pg_catalog.array_agg(a.attname::text ORDER BY k.place) AS names, \
             pg_catalog.array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY k.place) AS types, \
             pg_catalog.array_agg(a.attcollation::text ORDER BY k.place) AS collations \
         FROM pg_catalog.pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
           AND i.indexprs IS NULL AND k.place <= i.indnkeyatts \
         GROUP BY i.indexrelid, i.indisprimary, i.indisreplident \
         HAVING pg_catalog.bool_and(a.attnotnull AND NOT EXISTS ( \
             SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = a.attrelid \
               AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated)) \
         ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indexrelid";
    let rows = sql.query_typed(QUERY, &[(&oid, Type::OID)]).await;
    let wanted: Option<Vec<String>> = surrogate.map(|text| {
        let names = text.split(',').map(|name| name.trim().to_owned());
        names.collect()
    });
    for row in rows.map_err(sql::sql(DOING))? {
        let get = |name| row.try_get::<_, Vec<String>>(name).map_err(sql::sql(DOING));
        let (names, types) = (get("names")?, get("types")?);
        let collations = get("collations")?;
        let flag = |name| row.try_get::<_, bool>(name).map_err(sql::sql(DOING));
        let fits = match &wanted {
            Some(wanted) => *wanted == names,
            None => flag("is_primary")? || flag("is_identity")?,
        };
        if fits {
            let columns = names.into_iter().zip(types).zip(collations);
            let columns = columns.map(|((name, of_type), collation)| KeyColumn {
                name,
                of_type,
                collation,
            });
            return Ok(columns.collect());
        }
    }
    Err(Stop::refused(match wanted {
        Some(_) => {
            "no unique index has the columns of surrogate-key, in that order and all NOT NULL (VALID)"
        }
        None => {
            "it has no primary key and no replica identity index: name the columns of a unique index, \
                 all NOT NULL, as surrogate-key"
        }
    }))
}
