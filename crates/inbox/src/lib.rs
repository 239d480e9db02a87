//! Exactly one effect per event, for consumers with a Postgres of their own.
//!
//! walferry publishes each event at least once; a repeat has the id it had. Ask [`Inbox`] in the
//! transaction that also has the event's effect: either both are committed, or neither.
//!
//! ```no_run
//! # async fn consume(client: &mut tokio_postgres::Client, id: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let inbox = inbox::Inbox::new("billing");
//! let transaction = client.transaction().await?;
//! if inbox.is_new(&transaction, id).await? {
//!     transaction.execute("UPDATE account SET balance = balance + 1", &[]).await?;
//! }
//! transaction.commit().await?; // and only then the offset in Kafka
//! # Ok(())
//! # }
//! ```
//!
//! Two ways to know an event: by its id ([`Inbox::is_new`]; any order, a row an event, to be cleaned), or
//! by its position ([`Inbox::advance`]; each partition in order, a row a partition). The same functions
//! can be called from any language: [`SQL`] makes them.
//!
//! A session by itself is no transaction, and would remember the event without its effect. So this is not
//! accepted:
//!
//! ```compile_fail,E0308
//! # async fn consume(client: &tokio_postgres::Client) -> Result<bool, tokio_postgres::Error> {
//! inbox::Inbox::new("billing").is_new(client, "an id").await
//! # }
//! ```

mod position;

use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Transaction};

pub use position::{Position, UnreadablePosition};

/// What makes the tables and functions, in the schema `walferry_inbox`. Safe to run again.
pub const SQL: &str = include_str!("../sql/inbox.sql");

/// One consumer's memory of events. Consumers of different names do not see each other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    consumer: String,
}

impl Inbox {
    /// The memory of the consumer with this name; its Kafka consumer group, say.
    #[must_use]
    pub fn new(consumer: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
        }
    }

    /// Makes the tables and functions, or brings them up to date. Several processes may do it at once.
    ///
    /// # Errors
    /// What the server answered: the role must be able to make a schema.
    pub async fn install(client: &impl GenericClient) -> Result<(), tokio_postgres::Error> {
        client.batch_execute(SQL).await
    }

    /// Whether an event's id (the header `id` of an outbox's event, or `walferry.id`) is seen for the
    /// first time, and remembers it. Call it in the transaction of the event's effect.
    ///
    /// # Errors
    /// What the server answered. Under `REPEATABLE READ` or above that may be a serialization failure
    /// (40001), after which the transaction is to be tried again.
    pub async fn is_new(
        &self,
        transaction: &Transaction<'_>,
        id: &str,
    ) -> Result<bool, tokio_postgres::Error> {
        const QUERY: &str = "SELECT walferry_inbox.is_new($1, $2)";
        let parameters: [&(dyn ToSql + Sync); 2] = [&self.consumer, &id];
        transaction.query_one(QUERY, &parameters).await?.try_get(0)
    }

    /// Whether an event is beyond all that was seen of its partition, and remembers its position. Call
    /// it in the transaction of the event's effect, with each partition's events in order.
    ///
    /// # Errors
    /// What the server answered; also if the events are of an older epoch than those before, which is
    /// another database (`55000`; see `walferry_inbox.forget`).
    pub async fn advance(
        &self,
        transaction: &Transaction<'_>,
        topic: &str,
        partition: i32,
        position: Position,
    ) -> Result<bool, tokio_postgres::Error> {
        const QUERY: &str = "SELECT walferry_inbox.advance($1, $2, $3, $4)";
        let position = position.to_string();
        let parameters: [&(dyn ToSql + Sync); 4] = [&self.consumer, &topic, &partition, &position];
        transaction.query_one(QUERY, &parameters).await?.try_get(0)
    }

    /// Deletes ids that are older than `age`, of all consumers, at most `batch` of them; how many. The
    /// age must be longer than any repeat can be late.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn clean(
        client: &impl GenericClient,
        age: Duration,
        batch: i32,
    ) -> Result<i64, tokio_postgres::Error> {
        const QUERY: &str = "SELECT walferry_inbox.clean(make_interval(secs => $1), $2)";
        let age = age.as_secs_f64();
        let parameters: [&(dyn ToSql + Sync); 2] = [&age, &batch];
        client.query_one(QUERY, &parameters).await?.try_get(0)
    }
}
