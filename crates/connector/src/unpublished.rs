//! Tables that the configuration wants and the publication leaves out: made, or renamed into a
//! pattern, since the start. Their changes are not in the stream, and nothing there tells of them.

use relay::SIGNAL_PREFIX;
use serde_json::json;
use tokio_postgres::Client;

use crate::config::TableFilter;
use crate::preflight::quote::{identifier, literal};
use crate::preflight::{publication, tables};

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unpublished {
    /// `schema.table`.
    pub table: String,
    /// The statement that takes it in.
    pub remedy: String,
}

impl Unpublished {
    /// Takes it in, and in the same transaction asks for the rows it has, if they are wanted. Whoever holds the
    /// table (`CREATE INDEX CONCURRENTLY`, `VACUUM`, an `ALTER` that is not committed) is not waited for for
    /// long: a later look tries again.
    ///
    /// # Errors
    /// What the server answered: not everybody may change a publication.
    pub async fn take_in(&self, client: &Client, rows: bool) -> Result<(), tokio_postgres::Error> {
        // One message of the protocol, and so one transaction.
        let bounded = format!("SET LOCAL lock_timeout = '2s'; {}", self.statements(rows));
        client.batch_execute(&bounded).await
    }

    /// The statements for that.
    #[must_use]
    pub fn statements(&self, rows: bool) -> String {
        match rows {
            true => format!("{}; {}", self.remedy, ask_for(&[self.table.as_str()])),
            false => self.remedy.clone(),
        }
    }
}

/// The statement that asks for the rows of these tables, in the transaction that publishes them.
#[must_use]
pub fn ask_for(tables: &[&str]) -> String {
    let id = match tables {
        [first, others @ ..] if !others.is_empty() => format!("new-{first}-and-{}", others.len()),
        _ => format!("new-{}", tables.concat()),
    };
    let names: Vec<String> = tables.iter().map(|table| regex::escape(table)).collect();
    let data = json!({ "data-collections": names });
    let signal = json!({ "id": id, "type": "execute-snapshot", "data": data });
    format!(
        "SELECT pg_catalog.pg_logical_emit_message(true, {}, {})",
        literal(SIGNAL_PREFIX),
        literal(&signal.to_string())
    )
}

/// Lists them. None while there is no such publication: that ends the stream by itself.
///
/// # Errors
/// What the server answered.
pub async fn find(
    client: &Client,
    publication: &str,
    wanted: &TableFilter,
) -> Result<Vec<Unpublished>, tokio_postgres::Error> {
    let Some(published) = publication::read(client, publication).await? else {
        return Ok(Vec::new());
    };
    let relations = tables::read(client).await?;
    let captures = |schema: &str, table: &str| wanted.matches(schema, table);
    let selection = tables::select(&relations, &captures, published.partitions);
    let left_out = selection
        .captured
        .iter()
        .filter(|relation| !published.tables.contains_key(&relation.oid));
    let publication = identifier(publication);
    let told = left_out.map(|relation| Unpublished {
        table: relation.full_name(),
        remedy: format!(
            "ALTER PUBLICATION {publication} ADD TABLE {}",
            relation.publication_item()
        ),
    });
    Ok(told.collect())
}
