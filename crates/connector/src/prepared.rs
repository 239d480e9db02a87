//! Prepared transactions that nobody ends (PREPARE TRANSACTION): while one stands, the server keeps the
//! WAL since it began for the slot, and vacuum removes nothing that it might see.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::preflight::quote::literal;

/// One row of `pg_prepared_xacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreparedTransaction {
    /// The name it was prepared under.
    pub gid: String,
    /// Where it can be ended.
    pub database: String,
    /// Who prepared it.
    pub owner: String,
    /// Since it was prepared.
    pub age_seconds: u64,
    /// WAL that the server keeps for the slot by now, for whatever reason; none while there is no slot.
    pub retained_bytes: Option<u64>,
}

/// All of them, the oldest first, and what is kept for this slot.
///
/// # Errors
/// What the server answered.
pub async fn find(
    client: &Client,
    slot: &str,
) -> Result<Vec<PreparedTransaction>, tokio_postgres::Error> {
    const QUERY: &str = "SELECT gid, database::text, owner::text, \
         greatest(extract(epoch FROM now() - prepared), 0)::bigint, \
         (SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                 ELSE pg_current_wal_lsn() END, restart_lsn)::bigint \
            FROM pg_catalog.pg_replication_slots WHERE slot_name = $1) \
         FROM pg_catalog.pg_prepared_xacts ORDER BY prepared";
    let rows = client.query_typed(QUERY, &[(&slot, Type::NAME)]).await?;
    let transaction = |row: &Row| {
        let retained: Option<i64> = row.try_get(4)?;
        Ok(PreparedTransaction {
            gid: row.try_get(0)?,
            database: row.try_get(1)?,
            owner: row.try_get(2)?,
            age_seconds: row.try_get::<_, i64>(3)?.unsigned_abs(),
            retained_bytes: retained.map(|bytes| u64::try_from(bytes).unwrap_or_default()),
        })
    };
    rows.iter().map(transaction).collect()
}

impl PreparedTransaction {
    /// Whether it is so old that it may be forgotten.
    #[must_use]
    pub fn is_older_than(&self, age: Duration) -> bool {
        self.age_seconds >= age.as_secs().max(1)
    }

    /// The statement that ends it for good.
    #[must_use]
    pub fn commit(&self) -> String {
        format!("COMMIT PREPARED {};", literal(&self.gid))
    }

    /// The statement that ends it as if it had never been.
    #[must_use]
    pub fn rollback(&self) -> String {
        format!("ROLLBACK PREPARED {};", literal(&self.gid))
    }
}

impl fmt::Display for PreparedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gid,
            database,
            owner,
            age_seconds,
            retained_bytes,
        } = self;
        write!(
            f,
            "The transaction that {owner} prepared as {gid:?} in database {database} is {age_seconds} s \
             old. It holds back vacuum, and the WAL since it began"
        )?;
        match retained_bytes {
            // The server tells no parts of it.
            Some(bytes) => write!(
                f,
                ". For the slot {bytes} bytes of WAL are kept in all, those that are not read yet included."
            ),
            None => f.write_str("; a new slot waits for it."),
        }
    }
}
