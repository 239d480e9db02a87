//! Tables that the configuration wants and the publication leaves out: made, or renamed into a
//! pattern, since the start. Their changes are not in the stream, and nothing there tells of them.

use tokio_postgres::Client;

use crate::config::TableFilter;
use crate::preflight::quote::identifier;
use crate::preflight::{publication, tables};

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unpublished {
    /// `schema.table`.
    pub table: String,
    /// The statement that takes it in.
    pub remedy: String,
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
