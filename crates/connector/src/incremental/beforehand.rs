//! What would be said of a table once its turn came, said beforehand.

use super::reader::Stop;
use super::table::{ChunkTable, outbox_objection};
use crate::config::Config;
use crate::copy;
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};
use crate::signal::Kind;

/// Why a published table's rows would be left out, if they would; a blocking snapshot needs no key.
///
/// # Errors
/// Of the server or the connection.
pub async fn objection(
    config: &Config,
    sql: &SqlClient,
    table: &str,
    (kind, surrogate_key): (Kind, Option<&str>),
) -> Result<Option<String>, PostgresError> {
    let publication = &config.postgres.publication;
    let tables = copy::published_tables(sql, publication, &config.tables).await;
    let tables = tables.map_err(sql::sql("list the published tables"))?;
    let Some(found) = tables.into_iter().find(|it| it.qualified_name() == table) else {
        return Ok(None);
    };
    if kind == Kind::Blocking {
        return Ok(outbox_objection(&config.envelope, &found).map(str::to_owned));
    }
    match ChunkTable::look(sql, found, &config.envelope, (surrogate_key, None)).await {
        Err(Stop::Refused(reason)) => Ok(Some(reason)),
        Err(Stop::Failed(error)) => Err(error),
        Ok(_) | Err(Stop::Altered | Stop::Unwanted) => Ok(None),
    }
}
