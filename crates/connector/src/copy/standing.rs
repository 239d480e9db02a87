//! What is waited for while the stream still goes on. It stands from before a snapshot is taken, so
//! that must not take long.

use tokio::sync::oneshot;
use tracing::info;

use super::error::CopyError;
use super::items::{Item, Items, Stop, send};
use super::kept_wal::Room;
use super::snapshot::Source;
use crate::postgres::running::Running;
use crate::postgres::sql::SqlClient;
use crate::postgres::{Conninfo, PostgresError};

/// Lets the stream go on where the server keeps much WAL already, until it need not; until a standby is
/// there; and while transactions run, whose end the snapshot's slot would wait for. Then the stream stands.
pub(super) async fn stream_first(
    source: &Source,
    mut room: Room,
    items: &Items,
) -> Result<(), Stop> {
    let (server, standby) = match source {
        Source::Taken(_) => return Ok(()),
        Source::Present(conninfo) => (conninfo, None),
        Source::Standby(standby) => (&standby.primary, Some(standby)),
    };
    let running = look(server).await.map_err(CopyError::beginning)?;
    if standby.is_none() && running.is_none() && !room.is_short().await {
        return Ok(());
    }
    send(items, Item::Later).await?;
    if let Some(standby) = standby {
        standby.ready().await.map_err(CopyError::beginning)?;
    }
    if let Some((sql, running)) = running {
        info!(
            "transactions run whose end the snapshot needs (pg_stat_activity: the oldest backend_xid): changes are \
             published meanwhile"
        );
        let ended = running.wait(&sql).await;
        ended.map_err(CopyError::beginning)?;
    }
    if room.is_short().await {
        room.freed().await;
    }
    let (standing, stands) = oneshot::channel();
    send(items, Item::Stand(standing)).await?;
    stands.await.map_err(|_| Stop::Unwanted)
}

/// The transactions that run, and a session to look again; none, when none does.
async fn look(server: &Conninfo) -> Result<Option<(SqlClient, Running)>, PostgresError> {
    let sql = SqlClient::connect(server).await?;
    let running = Running::now(&sql).await?;
    let over = running.are_over(&sql).await?;
    Ok((!over).then_some((sql, running)))
}
