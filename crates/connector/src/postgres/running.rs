//! The transactions that run at a moment, and their end.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::PostgresError;
use super::slots;
use super::sql::{SqlClient, ask};

/// All that had an id at a moment and had not ended.
pub struct Running {
    /// The first id (`xid8`) that was given out to none of them.
    next: String,
}

impl Running {
    /// Those of this moment. A snapshot's `xmax` does not tell: it comes after the newest transaction
    /// that has *ended*, and newer ones may run.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn now(sql: &SqlClient) -> Result<Self, PostgresError> {
        let next = match slots::is_standby(sql).await? {
            false => text(sql, "SELECT pg_catalog.pg_current_xact_id()::text").await?,
            true => next_of_a_standby(sql).await?.to_string(),
        };
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

/// The first id that no transaction had, as a standby knows it from the log. It gives out none itself and has
/// no function for it, but refuses to tell of a transaction that does not exist yet.
async fn next_of_a_standby(sql: &SqlClient) -> Result<u64, PostgresError> {
    const ENDED: &str =
        "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text";
    let mut exists = text(sql, ENDED).await?.parse::<u64>().unwrap_or_default();
    if !exists_there(sql, exists).await? {
        return Ok(exists);
    }
    let mut step = 1;
    while exists_there(sql, exists + step).await? {
        exists += step;
        step *= 2;
    }
    // It exists, and what is `step` after it does not.
    while step > 1 {
        step /= 2;
        if exists_there(sql, exists + step).await? {
            exists += step;
        }
    }
    Ok(exists + 1)
}

async fn exists_there(sql: &SqlClient, id: u64) -> Result<bool, PostgresError> {
    let query = format!("SELECT pg_catalog.pg_xact_status('{id}'::pg_catalog.xid8)");
    let asked = async { sql.query_typed_one(&query, &[]).await.map(drop) };
    match ask(DOING, asked).await {
        Err(error)
            if error
                .sqlstate()
                .is_some_and(|state| state.as_str() == NOT_YET) =>
        {
            Ok(false)
        }
        other => other.map(|()| true),
    }
}

async fn text(sql: &SqlClient, query: &str) -> Result<String, PostgresError> {
    ask(DOING, async {
        sql.query_typed_one(query, &[]).await?.try_get(0)
    })
    .await
}

const DOING: &str = "look at running transactions";
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(100);
/// `invalid_parameter_value`, of an id that nobody has had yet.
const NOT_YET: &str = "22023";
