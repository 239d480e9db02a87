//! Partitioned tables with partitions whose changes are in no WAL of this server: foreign tables, and
//! unlogged ones. Their rows never come by the stream, so that a row of the copy would be the last that is
//! heard of it; and a foreign table's are another server's. Such a table is read partition by partition.

use std::collections::HashMap;
use std::fmt::Write as _;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// The partitions that are read in a partitioned table's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaves {
    oids: Vec<u32>,
    /// As SQL names them.
    names: Vec<String>,
    /// All columns of the partitioned table, quoted: conditions may speak of any.
    columns: Vec<String>,
}

/// Looks which of these partitioned tables have to be read so.
///
/// # Errors
/// What the server answered.
pub(super) async fn of(
    client: &Client,
    partitioned: &[u32],
) -> Result<HashMap<u32, Leaves>, tokio_postgres::Error> {
    if partitioned.is_empty() {
        return Ok(HashMap::new());
    }
    let query = include_str!("leaves.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&partitioned, Type::OID_ARRAY)];
    let rows = client.query_typed(query, &parameters).await?;
    let leaves = |row: &Row| Ok((row.try_get("oid")?, Leaves::of(row)?));
    rows.iter().map(leaves).collect()
}

impl Leaves {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            oids: row.try_get("leaves")?,
            names: row.try_get("names")?,
            columns: row.try_get("columns")?,
        })
    }

    /// Each partition, and its name.
    pub(super) fn named(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        self.oids.iter().copied().zip(self.names.iter().cloned())
    }

    /// As `FROM` names them together, as `table`: with the system's columns that conditions speak of.
    pub(super) fn source(&self, table: &str) -> String {
        let columns: Vec<&str> = ["tableoid", "ctid", "xmin"]
            .into_iter()
            .chain(self.columns.iter().map(String::as_str))
            .collect();
        let columns = columns.join(", ");
        let mut text = String::from("(");
        for (place, name) in self.names.iter().enumerate() {
            let union = if place == 0 { "" } else { " UNION ALL " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{union}SELECT {columns} FROM ONLY {name}");
        }
        text + ") AS " + table
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.oids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_one_by_one_in_the_tables_place() {
        let text = |text: &str| text.to_owned();
        let leaves = Leaves {
            oids: vec![7, 8],
            names: vec![text("public.a"), text("public.\"B\"")],
            columns: vec![text("id"), text("\"A b\"")],
        };
        assert_eq!(
            leaves.source("\"orders\""),
            "(SELECT tableoid, ctid, xmin, id, \"A b\" FROM ONLY public.a \
             UNION ALL SELECT tableoid, ctid, xmin, id, \"A b\" FROM ONLY public.\"B\") AS \"orders\""
        );
    }
}
