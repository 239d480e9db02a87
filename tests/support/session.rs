//! Somebody else's session, which holds its transaction open for as long as a test wants.

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};
use xtask::servers::PostgresServer;

/// A session in database `postgres`.
pub struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Opens one.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn open(postgres: &PostgresServer) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let url = postgres.socket_url_for("postgres");
        let (client, connection) = runtime
            .block_on(tokio_postgres::connect(&url, NoTls))
            .expect("a session");
        runtime.spawn(connection);
        Self { runtime, client }
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When the server refuses one.
    pub fn run(&self, sql: &str) {
        let done = self.runtime.block_on(self.client.batch_execute(sql));
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Begins a transaction that writes; its id.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn begin(&self) -> u32 {
        self.run("BEGIN");
        let asked = self.client.query_one("SELECT txid_current()", &[]);
        let row = self.runtime.block_on(asked).expect("an id");
        u32::try_from(row.get::<_, i64>(0)).expect("a young cluster")
    }
}
