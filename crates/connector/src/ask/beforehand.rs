//! What can be known before anything is asked.

use tokio_postgres::types::Type;

use super::{AskError, say};
use crate::config::Config;
use crate::copy;
use crate::incremental;
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};
use crate::preflight::quote::qualified;
use crate::signal::Kind;

/// Says when nobody reads the slot now, and refuses where there is none.
pub(super) async fn is_read(config: &Config, sql: &SqlClient) -> Result<(), AskError> {
    let slot = &config.postgres.slot;
    match has_reader(sql, slot).await? {
        None => Err(AskError::NoSlot { slot: slot.clone() }),
        Some(true) => Ok(()),
        Some(false) => {
            say(&format!(
                "nobody reads slot {slot} now: the next `walferry run` takes the request up"
            ));
            Ok(())
        }
    }
}

/// Whether somebody reads the slot now; none where there is no slot.
pub(super) async fn has_reader(sql: &SqlClient, slot: &str) -> Result<Option<bool>, PostgresError> {
    const QUERY: &str =
        "SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1::text::name";
    let asked = async { sql.query_typed(QUERY, &[(&slot, Type::TEXT)]).await };
    let rows = sql::ask("look at the slot", asked).await?;
    Ok(rows.first().map(|row| row.try_get(0).unwrap_or(true)))
}

/// What would be refused later is refused now.
pub(super) async fn checked(
    config: &Config,
    sql: &SqlClient,
    table: &str,
    how: (Kind, Option<&str>),
) -> Result<(), AskError> {
    const QUERY: &str = "SELECT pg_catalog.to_regclass($1) IS NOT NULL, \
         coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass($1), 'SELECT') \
             OR pg_catalog.has_any_column_privilege(pg_catalog.to_regclass($1), 'SELECT'), false)";
    const DOING: &str = "look at the table";
    let refused = |reason: &str| {
        let (table, reason) = (table.to_owned(), reason.to_owned());
        Err(AskError::Table { table, reason })
    };
    let Some((schema, name)) = table.split_once('.') else {
        return refused("has no schema: write schema.table");
    };
    let quoted = qualified(schema, name);
    let asked = async {
        let rows = sql.query_typed(QUERY, &[(&quoted, Type::TEXT)]).await?;
        let row = rows.first();
        let flag = |place| row.map_or(Ok(false), |row| row.try_get::<_, bool>(place));
        Ok((flag(0)?, flag(1)?))
    };
    let (exists, readable) = sql::ask(DOING, asked).await?;
    let published = copy::published(sql, &config.postgres.publication, &config.tables).await?;
    let published = published.iter().any(|(of, it)| of == schema && it == name);
    match (exists, published, readable) {
        (false, ..) => refused("does not exist"),
        (_, false, _) => refused(
            "is not published: tables.include must match it and the publication have it; of a partitioned \
             table, name the partitions",
        ),
        (.., false) => refused("may not be read by this role: GRANT SELECT"),
        _ => match incremental::objection(config, sql, table, how).await? {
            Some(reason) => refused(&format!("cannot be read: {reason}")),
            None => Ok(()),
        },
    }
}
