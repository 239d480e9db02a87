//! A mixed load from a seed: inserts, updates, deletes, changed keys, transactions of several rows
//! and tables, rolled-back ones and savepoints. The same seed gives the same statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio_postgres::{Client, NoTls};
use xtask::servers::PostgresServer;

/// The tables of the load. `accounts` has a primary key, `moves` a key of two columns and full
/// replica identity.
pub const TABLES: [&str; 2] = ["accounts", "moves"];

/// Makes the tables of the load.
///
/// # Panics
/// When Postgres refuses.
pub fn create_tables(postgres: &PostgresServer) {
    super::sql(
        postgres,
        "CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL,
                                note text, version int NOT NULL);
         CREATE TABLE moves (account bigint, number int, amount bigint NOT NULL, fine boolean,
                             PRIMARY KEY (account, number));
         ALTER TABLE moves REPLICA IDENTITY FULL",
    );
}

/// The primary key of a table of the load.
///
/// # Panics
/// When it is none of them.
#[must_use]
pub fn key_columns(table: &str) -> &'static [&'static str] {
    match table {
        "accounts" => &["id"],
        "moves" => &["account", "number"],
        other => panic!("{other} is not a table of the load"),
    }
}

/// Writers that go on until they are stopped, also over restarts of the server.
pub struct Workload {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    writers: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Starts `writers` sessions, each on rows of its own, with `pause_ms` between transactions.
    #[must_use]
    pub fn start(postgres: &PostgresServer, seed: u64, writers: u64, pause_ms: u64) -> Self {
        Self::start_with(postgres, seed, writers, pause_ms, Writer::transaction)
    }

    /// A session that updates a few of so many rows of a table at a time: `n` of those with these `id`s.
    #[must_use]
    pub fn update(postgres: &PostgresServer, seed: u64, table: &'static str, rows: u64) -> Self {
        Self::start_with(postgres, seed, 1, 5, move |writer| {
            let ids: Vec<String> = (0..5)
                .map(|_| (writer.dice.below(rows) + 1).to_string())
                .collect();
            let ids = ids.join(", ");
            format!("UPDATE {table} SET n = n + 1 WHERE id IN ({ids})")
        })
    }

    fn start_with(
        postgres: &PostgresServer,
        seed: u64,
        writers: u64,
        pause_ms: u64,
        transaction: impl Fn(&mut Writer) -> String + Copy + Send + 'static,
    ) -> Self {
        eprintln!("workload seed {seed}");
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let writer = |number: u64| {
            let (stop, transactions) = (Arc::clone(&stop), Arc::clone(&transactions));
            let url = postgres.socket_url_for("postgres");
            let dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let writer = Writer {
                    dice,
                    first_id: number * 1_000_000,
                    live: 0,
                };
                let done = writer.write(&url, pause_ms, transaction, &stop, &transactions);
                runtime.expect("a runtime").block_on(done);
            })
        };
        let writers = (0..writers).map(writer).collect();
        Self {
            stop,
            transactions,
            writers,
        }
    }

    /// Transactions that have been tried so far.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Stops after the running transactions.
    ///
    /// # Panics
    /// When a writer has panicked.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            writer.join().expect("a writer");
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Writer {
    dice: Dice,
    first_id: u64,
    /// Rows made so far; some have been deleted since.
    live: u64,
}

impl Writer {
    async fn write(
        mut self,
        url: &str,
        pause_ms: u64,
        transaction: impl Fn(&mut Self) -> String,
        stop: &AtomicBool,
        transactions: &AtomicU64,
    ) {
        let pause = std::time::Duration::from_millis(pause_ms);
        let mut session: Option<Client> = None;
        while !stop.load(Ordering::Relaxed) {
            let Some(client) = session.take() else {
                // The server may be down on purpose.
                session = connect(url).await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            let statements = transaction(&mut self);
            transactions.fetch_add(1, Ordering::Relaxed);
            match client.batch_execute(&statements).await {
                Ok(()) => session = Some(client),
                // A statement the server refuses is a fault of the load; a lost session is not.
                Err(error)
                    if error
                        .as_db_error()
                        .is_some_and(|db| is_ours(db.code().code())) =>
                {
                    panic!("{statements}: {error:?}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn transaction(&mut self) -> String {
        match self.dice.below(20) {
            0 => format!("BEGIN; {} {} ROLLBACK", self.insert(), self.update()),
            1 => format!(
                "BEGIN; {} SAVEPOINT s; {} ROLLBACK TO s; {} COMMIT",
                self.insert(),
                self.update(),
                self.update()
            ),
            2..=6 => {
                let count = 2 + self.dice.below(30);
                let rows: Vec<String> = (0..count).map(|_| self.any()).collect();
                format!("BEGIN; {} COMMIT", rows.join(" "))
            }
            _ => self.any(),
        }
    }

    fn any(&mut self) -> String {
        match self.dice.below(10) {
            0..=3 => self.insert(),
            4..=6 => self.update(),
            7 => {
                let id = self.some_id();
                format!(
                    "DELETE FROM moves WHERE account = {id}; DELETE FROM accounts WHERE id = {id};"
                )
            }
            8 => {
                // A changed key: delete, tombstone, create. The create could not carry a large note
                // that the update had left alone, so it says a new one.
                let (from, to) = (self.some_id(), self.new_id());
                format!(
                    "UPDATE accounts SET id = {to}, note = 'moved', version = version + 1 \
                     WHERE id = {from};"
                )
            }
            _ => {
                let (id, number) = (self.some_id(), self.dice.below(5));
                format!(
                    "INSERT INTO moves VALUES ({id}, {number}, {}, {}) ON CONFLICT (account, number) \
                     DO UPDATE SET amount = moves.amount + 1, fine = NOT moves.fine;",
                    self.dice.below(1000),
                    ["true", "false", "NULL"][usize::try_from(self.dice.below(3)).unwrap_or(0)]
                )
            }
        }
    }

    fn insert(&mut self) -> String {
        let id = self.new_id();
        let note = match self.dice.below(50) {
            0 => "NULL".to_owned(),
            1 => "repeat('worth storing apart ', 500)".to_owned(), // TOAST
            n => format!("'note {n} \"quoted\" \\ und mit Ümlaut'"),
        };
        format!(
            "INSERT INTO accounts VALUES ({id}, 'owner {id}', {}, {note}, 0);",
            id % 97
        )
    }

    fn update(&mut self) -> String {
        let id = self.some_id();
        format!("UPDATE accounts SET balance = balance + 1, version = version + 1 WHERE id = {id};")
    }

    fn new_id(&mut self) -> u64 {
        self.live += 1;
        self.first_id + self.live
    }

    fn some_id(&mut self) -> u64 {
        // Recent rows mostly, so that updates meet rows that are there.
        let back = self.dice.below(40).min(self.live.saturating_sub(1));
        self.first_id + self.live - back
    }
}

async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// SQLSTATE classes of a wrong statement: syntax, data, constraint.
fn is_ours(code: &str) -> bool {
    ["42", "22", "23"]
        .iter()
        .any(|class| code.starts_with(class))
}

/// xorshift64*: enough for a load, and no dependency.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit.max(1)
    }
}
