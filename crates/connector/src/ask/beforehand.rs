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
                "nobody reads slot {slot} now: the next `walferry run` takes it up"
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
    let refused = |table: &str, reason: &str| {
        let (table, reason) = (table.to_owned(), reason.to_owned());
        Err(AskError::Table { table, reason })
    };
    let Some((schema, name)) = named(table) else {
        return refused(&format!("{table:?}"), "is no name: write schema.table");
    };
    let found = look(sql, schema, name).await?;
    if config.signals.table_name().as_deref() == Some(table) {
        return refused(table, ARE_SIGNALS);
    }
    let published = copy::published(sql, &config.postgres.publication, &config.tables).await?;
    let published = published.iter().any(|(of, it)| of == schema && it == name);
    match found {
        None => refused(table, "does not exist"),
        Some((relkind, _)) if !published => refused(table, unpublished(relkind)),
        Some((_, false)) => refused(table, "may not be read by this role: GRANT SELECT"),
        Some(_) => match incremental::objection(config, sql, table, how).await? {
            Some(reason) => refused(table, &format!("cannot be read: {reason}")),
            None => Ok(()),
        },
    }
}

/// The schema and the name.
fn named(table: &str) -> Option<(&str, &str)> {
    let parts = table.split_once('.');
    parts.filter(|(schema, name)| !schema.is_empty() && !name.is_empty())
}

/// Of a relation that exists, its kind, and whether it may be read.
async fn look(
    sql: &SqlClient,
    schema: &str,
    name: &str,
) -> Result<Option<(char, bool)>, PostgresError> {
    const QUERY: &str = "SELECT c.relkind, pg_catalog.has_table_privilege(c.oid, 'SELECT') \
             OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT') \
         FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";
    let quoted = qualified(schema, name);
    let asked = async {
        let rows = sql.query_typed(QUERY, &[(&quoted, Type::TEXT)]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let relkind: i8 = row.try_get(0)?;
        Ok(Some((char::from(relkind.cast_unsigned()), row.try_get(1)?)))
    };
    sql::ask("look at the table", asked).await
}

/// Why what has this `pg_class.relkind` is not published, and what helps.
fn unpublished(relkind: char) -> &'static str {
    match relkind {
        'r' => "is not published: tables.include must match it and the publication have it",
        'p' => {
            "is partitioned, and published by its partitions, if at all: name them \
             (tables.include must match each)"
        }
        'v' => "is a view, which has no changes of its own: name the tables it reads from",
        'm' => {
            "is a materialized view, whose REFRESH is not decoded: name the tables it reads from"
        }
        'f' => "is a foreign table, whose changes happen on another server",
        _ => "is no table",
    }
}

const ARE_SIGNALS: &str = "is the signal table (envelope.signal.data.collection): its rows are signals, \
     which are never published";

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_name_has_two_parts() {
        assert_eq!(named("public.a.b"), Some(("public", "a.b")));
        for table in ["", "users", ".users", "public."] {
            assert_eq!(named(table), None, "{table}");
        }
    }
}
