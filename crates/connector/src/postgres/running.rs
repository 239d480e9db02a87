//! The transactions that run at a moment, and their end.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::PostgresError;
use super::sql::{SqlClient, ask};

/// All that had an id at a moment and had not ended.
pub struct Running {
    /// The first id (`xid8`) that was given out to none of them.
    next: String,
}

impl Running {
    /// Those of this moment.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn now(sql: &SqlClient) -> Result<Self, PostgresError> {
        const QUERY: &str =
            "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text";
        let asked = async { sql.query_typed_one(QUERY, &[]).await?.try_get(0) };
        let next = ask(DOING, asked).await?;
        Ok(Self { next })
    }

    /// Whether all of them have ended.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn are_over(&self, sql: &SqlClient) -> Result<bool, PostgresError> {
        const QUERY: &str = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) \
             >= $1::text::pg_catalog.xid8";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&self.next, Type::TEXT)];
        let asked = async { sql.query_typed_one(QUERY, &parameters).await?.try_get(0) };
        ask(DOING, asked).await
    }

    /// Waits for their end, which nothing bounds.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn wait(&self, sql: &SqlClient) -> Result<(), PostgresError> {
        while !self.are_over(sql).await? {
            sleep(AGAIN).await;
        }
        Ok(())
    }
}

const DOING: &str = "look at running transactions";
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(100);
