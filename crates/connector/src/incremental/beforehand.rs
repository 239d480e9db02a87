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
    let found = copy::published_table(sql, publication, &config.tables, table).await;
    let Some(found) = found.map_err(sql::sql("look for the published table"))? else {
        return Ok(None);
    };
    if kind == Kind::Blocking {
        return Ok(outbox_objection(&config.envelope, &found).map(str::to_owned));
    }
    let selects = &config.copy.selects;
    let published = (&config.envelope, publication.as_str(), selects);
    match ChunkTable::look(sql, found, published, (surrogate_key, None)).await {
        Err(Stop::Refused(reason)) => Ok(Some(reason)),
        Err(Stop::Failed(error)) => Err(error),
        Ok(_) | Err(Stop::Altered | Stop::Unwanted) => Ok(None),
    }
}
