//! A walsender session: who the server is, slots, and the step into the stream ("Streaming
//! Replication Protocol").
//!
//! A walsender takes simple queries only. Ordinary SELECTs work here too, but each command ends
//! the life of a snapshot that [`ReplicationSession::create_slot`] exported.

use std::str::FromStr;
use std::time::Duration;

use bytes::BytesMut;
use pgoutput::Lsn;
use pgwire::command::{self, NewSlot};
use pgwire::{QueryStep, Rows, ServerError, SimpleQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::{info, warn};

use super::connect::{Connected, Purpose, connect, wire};
use super::conninfo::Conninfo;
use super::error::PostgresError;
use super::sql::within;
use super::stream::ReplicationStream;

/// What IDENTIFY_SYSTEM tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Unique to the cluster, and the same on its standbys.
    pub system_identifier: u64,
    /// Changes at each promotion.
    pub timeline: u32,
    /// The WAL's flushed end; on a standby, its replayed end.
    pub wal_position: Lsn,
    /// The database of this session.
    pub database: String,
}

/// A new slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// The stream begins here, and the snapshot shows what was committed before.
    pub consistent_point: Lsn,
    /// The exported snapshot, good until this session's next command.
    pub snapshot_name: Option<String>,
}

/// A walsender session that is not streaming yet.
pub struct ReplicationSession {
    connected: Connected,
    out: BytesMut,
}

impl ReplicationSession {
    /// Connects with `replication=database`.
    ///
    /// # Errors
    /// Everything that keeps a session from coming about.
    pub async fn connect(conninfo: &Conninfo) -> Result<Self, PostgresError> {
        let connected = Box::pin(connect(conninfo, Purpose::Replication)).await?;
        info!(server = %connected.peer, version = %connected.version, "replication session");
        Ok(ReplicationSession {
            connected,
            out: BytesMut::new(),
        })
    }

    /// The backend's process id, as `pg_replication_slots.active_pid` shows it.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.connected.greeting.process_id
    }

    /// `IDENTIFY_SYSTEM`.
    ///
    /// # Errors
    /// Of the server or the connection, and an answer without its columns.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, PostgresError> {
        const COMMAND: &str = "IDENTIFY_SYSTEM";
        let rows = self.command(COMMAND, command::identify_system()).await?;
        Ok(SystemIdentity {
            system_identifier: cell(&rows, COMMAND, "systemid")?,
            timeline: cell(&rows, COMMAND, "timeline")?,
            wal_position: cell(&rows, COMMAND, "xlogpos")?,
            database: cell(&rows, COMMAND, "dbname")?,
        })
    }

    /// `wal_sender_timeout`; `None` when it is off.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn wal_sender_timeout(&mut self) -> Result<Option<Duration>, PostgresError> {
        const COMMAND: &str = "SELECT wal_sender_timeout";
        const QUERY: &str =
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let rows = self.command(COMMAND, QUERY).await?;
        let milliseconds: u64 = cell(&rows, COMMAND, "setting")?;
        Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
    }

    /// Creates a logical slot. Waits for all running transactions to end.
    ///
    /// # Errors
    /// Of the server or the connection, and what this server's version cannot do.
    pub async fn create_slot(&mut self, slot: &NewSlot<'_>) -> Result<CreatedSlot, PostgresError> {
        const COMMAND: &str = "CREATE_REPLICATION_SLOT";
        let text = command::create_replication_slot(self.connected.version, slot)?;
        // Without a bound, for it waits for other people's transactions.
        let step = self.run(COMMAND, &text).await?;
        let rows = rows(COMMAND, step)?;
        Ok(CreatedSlot {
            consistent_point: cell(&rows, COMMAND, "consistent_point")?,
            snapshot_name: rows.text(0, "snapshot_name").map(str::to_owned),
        })
    }

    /// Drops a slot, once its reader is gone.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), PostgresError> {
        let text = command::drop_replication_slot(name)?;
        self.command("DROP_REPLICATION_SLOT", &text).await.map(drop)
    }

    /// Makes the session a stream from `start` on, or from the slot's confirmed position if that
    /// is later. The server does not check a start that is too late: it leaves changes out.
    ///
    /// # Errors
    /// Of the server or the connection: 55006 when the slot is in use, 55000 when it is lost,
    /// 42704 when there is none.
    pub async fn start_replication(
        mut self,
        slot: &str,
        publication: &str,
        start: Lsn,
    ) -> Result<ReplicationStream, PostgresError> {
        let version = self.connected.version;
        let text = command::start_replication(version, slot, start, &[publication])?;
        const DOING: &str = "start replication";
        match within(COMMAND_TIMEOUT, DOING, self.run(DOING, &text)).await? {
            QueryStep::CopyBoth => Ok(ReplicationStream::new(self.connected)),
            _ => Err(PostgresError::Answer {
                command: "START_REPLICATION",
                field: "CopyBoth",
            }),
        }
    }

    /// Ends the session in good order; dropping it does as well, less politely.
    pub async fn close(mut self) {
        self.out.clear();
        pgwire::session::terminate(&mut self.out);
        let _ = self.connected.transport.write_all(&self.out).await;
        let _ = self.connected.transport.shutdown().await;
    }

    async fn command(&mut self, name: &'static str, text: &str) -> Result<Rows, PostgresError> {
        let step = within(COMMAND_TIMEOUT, name, self.run(name, text)).await?;
        rows(name, step)
    }

    /// Runs a command to its end, or to the start of COPY both.
    async fn run(&mut self, doing: &'static str, text: &str) -> Result<QueryStep, PostgresError> {
        let io = |error| PostgresError::Io {
            doing: doing.to_owned(),
            error,
        };
        self.out.clear();
        let mut query = SimpleQuery::start(text, &mut self.out).map_err(wire(doing))?;
        let transport = &mut self.connected.transport;
        transport.write_all(&self.out).await.map_err(io)?;
        transport.flush().await.map_err(io)?;
        loop {
            if let Some(frame) = self.connected.frames.next().map_err(wire(doing))? {
                match query.handle(frame).map_err(wire(doing))? {
                    QueryStep::Continue => {}
                    QueryStep::Notice(notice) => handle_notice(notice)?,
                    QueryStep::Done(Err(error)) => {
                        return Err(PostgresError::Server { doing, error });
                    }
                    step => return Ok(step),
                }
                continue;
            }
            let spare = self.connected.frames.spare_mut(16 << 10);
            let count = transport.read(spare).await.map_err(io)?;
            if count == 0 {
                return Err(PostgresError::Closed { doing });
            }
            self.connected.frames.commit(count);
        }
    }
}

fn rows(command: &'static str, step: QueryStep) -> Result<Rows, PostgresError> {
    match step {
        QueryStep::Done(Ok(rows)) => Ok(rows),
        _ => Err(PostgresError::Answer {
            command,
            field: "rows",
        }),
    }
}

/// These commands are answered within milliseconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Logs a notice. One is an error: from 18 on the server only warns when the publication is not
/// there, and then leaves its changes out.
pub(super) fn handle_notice(notice: ServerError) -> Result<(), PostgresError> {
    if notice.sqlstate.as_str() == "55000" {
        return Err(PostgresError::PublicationSkipped(notice));
    }
    warn!(severity = %notice.severity, sqlstate = %notice.sqlstate, message = notice.message,
        "the server says");
    Ok(())
}

fn cell<T: FromStr>(
    rows: &Rows,
    command: &'static str,
    field: &'static str,
) -> Result<T, PostgresError> {
    rows.text(0, field)
        .and_then(|text| text.parse().ok())
        .ok_or(PostgresError::Answer { command, field })
}
