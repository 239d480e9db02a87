//! The SQL session beside the stream, opened again when it was closed: by an administrator, a
//! proxy, a timeout. The stream has no part in that and goes on.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turnstile, Notify};
use tracing::info;

use super::conninfo::Conninfo;
use super::error::PostgresError;
use super::sql::{SqlClient, ask, sql};

/// A session with one server for as long as that server runs.
pub struct CatalogSession {
    conninfo: Conninfo,
    /// When the server started. Another one has another time, and so has this one after a restart,
    /// which the stream does not outlive.
    server: String,
    current: Mutex<Arc<SqlClient>>,
    /// One at a time opens it.
    opening: Turnstile<()>,
    missed: Notify,
}

impl CatalogSession {
    /// Keeps this session.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn new(client: SqlClient, conninfo: Conninfo) -> Result<Self, PostgresError> {
        Ok(Self {
            conninfo,
            server: server(&client).await?,
            current: Mutex::new(Arc::new(client)),
            opening: Turnstile::new(()),
            missed: Notify::new(),
        })
    }

    /// Whether the server has closed it. It may be shutting down then.
    pub fn is_closed(&self) -> bool {
        self.current().is_closed()
    }

    /// Asks whoever waits in [`CatalogSession::missed`] to open it again.
    pub fn miss(&self) {
        self.missed.notify_one();
    }

    /// Returns when somebody misses the session. Safe to cancel.
    pub async fn missed(&self) {
        self.missed.notified().await;
    }

    /// The session, opened again if it was closed.
    ///
    /// # Errors
    /// It could not be opened, or another server answered.
    pub async fn client(&self) -> Result<Arc<SqlClient>, PostgresError> {
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        self.instead_of(&current).await
    }

    /// Another session than this one, which does not answer or is closed; it is ended.
    ///
    /// # Errors
    /// As [`CatalogSession::client`].
    pub async fn instead_of(
        &self,
        former: &Arc<SqlClient>,
    ) -> Result<Arc<SqlClient>, PostgresError> {
        let _turn = self.opening.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, former) && !current.is_closed() {
            return Ok(current);
        }
        let client = SqlClient::connect(&self.conninfo).await?;
        if server(&client).await? != self.server {
            return Err(PostgresError::OtherServer);
        }
        current.abort_handle().abort();
        let client = Arc::new(client);
        *self.lock() = Arc::clone(&client);
        info!("opened the session for questions again");
        Ok(client)
    }

    /// A session of its own with the same server, for what may wait there.
    ///
    /// # Errors
    /// As [`CatalogSession::client`].
    pub async fn another(&self) -> Result<SqlClient, PostgresError> {
        let client = SqlClient::connect(&self.conninfo).await?;
        match server(&client).await? == self.server {
            true => Ok(client),
            false => Err(PostgresError::OtherServer),
        }
    }

    fn current(&self) -> Arc<SqlClient> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<SqlClient>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells one run of one server from all others.
async fn server(client: &SqlClient) -> Result<String, PostgresError> {
    const QUERY: &str = "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text";
    const DOING: &str = "ask the server when it started";
    let row = ask(DOING, client.query_one(QUERY, &[])).await?;
    row.try_get(0).map_err(sql(DOING))
}
