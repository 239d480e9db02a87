//! The snapshot that a copy reads: a transaction at the consistent point of a slot (manual:
//! "Logical Decoding Concepts", "Exported Snapshots").

use std::time::Duration;

use pgoutput::Lsn;
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot, quote_literal};
use tracing::info;

use super::standby::Standby;
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{Conninfo, CreatedSlot, PostgresError, ReplicationSession};

/// Where the snapshot comes from.
pub enum Source {
    /// It was taken when the slot was made.
    Taken(Snapshot),
    /// A slot that is there already has none to give any more; one that goes with its session
    /// gives one of the present.
    Present(Conninfo),
    /// The rows are read on a standby, whose slot gives one of its present.
    Standby(Box<Standby>),
}

/// The point of a snapshot against the slot's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotAge {
    /// The slot begins at that very point.
    New,
    /// The slot was there before: the stream goes first.
    Older,
}

/// A session inside a transaction that sees what was committed before a point of the WAL.
pub struct Snapshot {
    /// The session.
    pub(crate) sql: SqlClient,
    /// Every transaction whose commit record starts before it is visible, and no other.
    pub(crate) point: Lsn,
    /// Where other sessions can join it.
    pub(super) conninfo: Conninfo,
    /// A transaction id of its time, for `source.txId`.
    pub(super) xid: u32,
    pub(super) slot: SlotAge,
}

impl Snapshot {
    /// Takes over the snapshot that the creation of a slot has exported. That session must run no
    /// command before this is done.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn import(conninfo: &Conninfo, made: &CreatedSlot) -> Result<Self, PostgresError> {
        const DOING: &str = "import the slot's snapshot";
        let name = made.snapshot_name.as_deref().ok_or(PostgresError::Answer {
            command: "CREATE_REPLICATION_SLOT",
            field: "snapshot_name",
        })?;
        let sql = SqlClient::connect(conninfo).await?;
        let xid = sql::ask(DOING, xid(&sql)).await?;
        begin(&sql, name).await?;
        Ok(Self {
            sql,
            conninfo: conninfo.clone(),
            point: made.consistent_point,
            xid,
            slot: SlotAge::New,
        })
    }

    /// Makes one of the present.
    pub(crate) async fn of(source: Source) -> Result<Self, PostgresError> {
        let conninfo = match source {
            Source::Taken(snapshot) => return Ok(snapshot),
            Source::Present(conninfo) => conninfo,
            Source::Standby(standby) => return standby.snapshot().await,
        };
        let mut session = ReplicationSession::connect(&conninfo).await?;
        let name = format!("walferry_copy_{}", session.process_id());
        info!("taking a snapshot; the server lets running transactions end first");
        let made = session
            .create_slot(&NewSlot {
                name: &name,
                life: SlotLife::Temporary,
                snapshot: SlotSnapshot::Export,
                failover: Failover::Off,
            })
            .await?;
        let snapshot = Self::import(&conninfo, &made).await?;
        session.close().await;
        Ok(Self {
            slot: SlotAge::Older,
            ..snapshot
        })
    }
}

/// Lets other sessions see what this one sees, by this name.
pub(super) async fn export(sql: &SqlClient) -> Result<String, PostgresError> {
    const QUERY: &str = "SELECT pg_catalog.pg_export_snapshot()";
    let exported = async { sql.query_one(QUERY, &[]).await?.try_get(0) };
    sql::ask("export the snapshot", exported).await
}

/// A session that sees what the one sees that exported the snapshot.
pub(super) async fn join(conninfo: &Conninfo, name: &str) -> Result<SqlClient, PostgresError> {
    let sql = SqlClient::connect(conninfo).await?;
    begin(&sql, name).await?;
    Ok(sql)
}

/// The transaction (`xid8`) before which all had ended: the snapshot's `xmin`. Of those from it on some may be
/// visible, too.
pub(super) async fn since(sql: &SqlClient) -> Result<u64, PostgresError> {
    const QUERY: &str =
        "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text";
    let asked = async { sql.query_one(QUERY, &[]).await?.try_get::<_, String>(0) };
    let text = sql::ask("look at the snapshot", asked).await?;
    Ok(text.parse().unwrap_or_default())
}

/// No lock is waited for longer than this: who waits behind us would wait as long.
pub(super) async fn bound_locks(sql: &SqlClient, bound: Duration) -> Result<(), PostgresError> {
    let set = format!("SET LOCAL lock_timeout = {}", bound.as_millis());
    sql::ask("bound the wait for locks", sql.batch_execute(&set)).await
}

async fn begin(sql: &SqlClient, name: &str) -> Result<(), PostgresError> {
    const DOING: &str = "join the snapshot";
    // 17 and later have this one, too; a copy takes as long as it takes.
    const UNBOUNDED: &str = "SELECT pg_catalog.set_config(name, '0', false) \
         FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";
    // With row security a role that it binds gets an error, and not a part of the rows.
    let begin = format!(
        "SET row_security = off; \
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(name)
    );
    sql::ask(DOING, sql.batch_execute(UNBOUNDED)).await?;
    sql::ask(DOING, sql.batch_execute(&begin)).await
}

/// A transaction id of our own, as Debezium takes one: no change has it. Not of the snapshot's
/// transaction, which would hold up the creation of other slots then. 0, which is none, on a standby.
async fn xid(client: &tokio_postgres::Client) -> Result<u32, tokio_postgres::Error> {
    // The low half: the stream tells no more of its transactions' ids.
    const QUERY: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 \
         ELSE pg_catalog.txid_current() & 4294967295 END";
    let row = client.query_one(QUERY, &[]).await?;
    let xid: i64 = row.try_get(0)?;
    Ok(u32::try_from(xid).unwrap_or_default())
}
