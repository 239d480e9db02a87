//! Now and then the log tells how far the table is whose rows are read beside the stream: one may take hours.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::info;

use crate::copy::CopyTable;
use crate::postgres::PostgresError;
use crate::postgres::sql;

/// What is told of the table under way, and when.
pub(super) struct Telling {
    /// Of the request, when the table began.
    rows_before: u64,
    /// As the server last counted them, once that was asked.
    rows_estimated: Option<u64>,
    due: Instant,
}

impl Telling {
    /// Of a request whose reading begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rows_before: 0,
            rows_estimated: None,
            due: now + EVERY,
        }
    }

    /// A table begins, where the request has published so many rows. Tables that are read in no time are not
    /// told of one by one.
    pub(super) fn begin_table(&mut self, rows: u64) {
        self.rows_before = rows;
        self.rows_estimated = None;
    }

    /// When a line is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether one is; the next is so much later.
    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + EVERY;
        }
        is_due
    }

    /// Tells how far the table is, if that is due; the request has published so many rows.
    pub(super) async fn now_and_then(
        &mut self,
        sql: &Client,
        request: &str,
        table: &CopyTable,
        rows: u64,
    ) -> Result<(), PostgresError> {
        if !self.take_due(Instant::now()) {
            return Ok(());
        }
        let rows_estimated = match self.rows_estimated {
            Some(known) => known,
            None => estimated(sql, table).await?,
        };
        self.rows_estimated = Some(rows_estimated);
        info!(
            request,
            table = table.qualified_name(),
            rows = rows - self.rows_before,
            rows_estimated,
            "reading the table beside the stream"
        );
        Ok(())
    }
}

/// How many rows it has with its partitions, as the server last counted them; 0 if it never did.
async fn estimated(sql: &Client, table: &CopyTable) -> Result<u64, PostgresError> {
    const QUERY: &str = "WITH RECURSIVE tree(relid) AS ( \
             SELECT $1 UNION ALL SELECT i.inhrelid FROM tree t \
             JOIN pg_catalog.pg_class p ON p.oid = t.relid AND p.relkind = 'p' \
             JOIN pg_catalog.pg_inherits i ON i.inhparent = t.relid) \
         SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM tree t \
         JOIN pg_catalog.pg_class c ON c.oid = t.relid \
         WHERE c.relkind = 'r' AND c.relpersistence = 'p'";
    const DOING: &str = "estimate how many rows a table has";
    let rows = sql.query_typed(QUERY, &[(&table.oid(), Type::OID)]).await;
    let rows = rows.map_err(sql::sql(DOING))?;
    let count = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
    let count = count.map_err(sql::sql(DOING))?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

/// As the first copy does.
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_every_ten_seconds_whatever_tables_begin() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut telling = Telling::new(begun);
        let told: Vec<u64> = (0..35)
            .filter(|second| {
                telling.begin_table(*second);
                telling.take_due(at(*second))
            })
            .collect();
        assert_eq!(told, [10, 20, 30]);
        // Behind a pause one is due at once, and then in ten seconds again.
        assert!(telling.take_due(at(95)));
        assert!(!telling.take_due(at(104)));
        assert_eq!(telling.due(), at(105));
    }
}
