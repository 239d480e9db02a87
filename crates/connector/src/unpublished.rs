//! Tables that the configuration wants and the publication leaves out: made, or renamed into a
//! pattern, since the start. Their changes are not in the stream, and nothing there tells of them.

use tokio_postgres::Client;

use crate::config::TableFilter;
use crate::new_rows::{NewRows, Rows};
use crate::preflight::finding::Finding;
use crate::preflight::identity::{self, Indexes};
use crate::preflight::quote::identifier;
use crate::preflight::tables::Relation;
use crate::preflight::wanted::Part;
use crate::preflight::{absent, publication, setup, tables};

/// One such table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unpublished {
    /// `schema.table`.
    pub table: String,
    /// The statement that takes it in.
    pub remedy: String,
    /// What becomes of the rows that it has.
    pub rows: Rows,
    /// The statement that asks for them, in the transaction of the other.
    pub asks: Option<String>,
    /// Whether a part of it is wanted. One that the replica identity does not cover would have the server refuse
    /// the application's updates; a start looks at that, and nobody else.
    pub is_part: bool,
    /// The topic of its events, if it is the table's.
    pub topic: Option<String>,
    /// Why it is not taken in as it is.
    pub obstacle: Option<Obstacle>,
}

/// What a start would refuse, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// The check's name for it.
    pub code: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl From<Finding> for Obstacle {
    fn from(finding: Finding) -> Self {
        Self {
            code: finding.code,
            fix: finding.fix(),
            problem: finding.problem,
        }
    }
}

impl Unpublished {
    /// Takes it in, and in the same transaction asks for the rows it has, as far as they are wanted. Whoever holds the
    /// table (`CREATE INDEX CONCURRENTLY`, `VACUUM`, an `ALTER` that is not committed) is not waited for for
    /// long: a later look tries again.
    ///
    /// # Errors
    /// What the server answered: not everybody may change a publication.
    pub async fn take_in(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        // One message of the protocol, and so one transaction.
        let bounded = format!("SET LOCAL lock_timeout = '2s'; {}", self.statements());
        client.batch_execute(&bounded).await
    }

    /// The statements for that.
    #[must_use]
    pub fn statements(&self) -> String {
        match &self.asks {
            Some(asks) => format!("{}; {asks}", self.remedy),
            None => self.remedy.clone(),
        }
    }
}

/// Lists them. None while there is no such publication: that ends the stream by itself.
///
/// # Errors
/// What the server answered.
pub async fn find(
    client: &Client,
    publication: &str,
    wanted: &TableFilter,
    new_rows: &NewRows,
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
    let left_out: Vec<&Relation> = left_out.copied().collect();
    let holding = selection.holders_of(&left_out).into_iter();
    let oids = holding.chain(left_out.iter().copied()).map(|it| it.oid);
    let oids: Vec<u32> = oids.collect();
    let indexes = match oids.is_empty() {
        true => Indexes::new(),
        false => identity::read(client, &oids).await?,
    };
    let needs_identity = published.actions.iter().any(|it| it.needs_identity());
    let publication = identifier(publication);
    let told = left_out.into_iter().map(|relation| {
        let part = wanted.part(&relation.schema, &relation.name);
        let is_part = part.is_some();
        let part = part.map(|part| Part {
            row_filter: part.row_filter.clone(),
            columns: part.columns.clone(),
        });
        let item = setup::item_of(relation, part.unwrap_or_default());
        let remedy = format!("ALTER PUBLICATION {publication} ADD TABLE {item}");
        let holders = selection.holders_of(&[relation]);
        let obstacle = absent::obstacle(relation, &holders, (&indexes, needs_identity), &remedy);
        let is_ordered = identity::ordered(relation, &indexes);
        let rows = new_rows.of_table(&relation.schema, &relation.name, is_ordered);
        let table = relation.full_name();
        Unpublished {
            asks: new_rows.ask_for(&[(table.clone(), rows)]),
            table,
            remedy,
            rows,
            topic: new_rows.topic(&relation.schema, &relation.name),
            is_part,
            obstacle: obstacle.map(Obstacle::from),
        }
    });
    Ok(told.collect())
}
