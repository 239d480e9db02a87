//! Who listens to signals while the stream stands for a blocking request: another stream, of a slot that
//! goes with its session, from before the standing on. Only its signals are looked at; those that stop
//! something are obeyed at once, and all of them come again where the stream goes on.
//!
//! Its slot is made while the stream goes on, and the server lets running transactions end for that. So
//! those that have run for long do not hold up the snapshot, for which the stream stands.

use std::time::Duration;

use pgoutput::{Insert, Lsn, Message, PgTimestamp, ServerMessage, StatusUpdate};
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot};
use relay::{SIGNAL_PREFIX, Signalled};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::interval;
use tracing::{info, warn};

use super::hand_in::ReadSettings;
use crate::postgres::{PostgresError, ReplicationSession, ReplicationStream};

/// What the watch says.
#[derive(Debug)]
pub(super) enum Said {
    /// It listens, or cannot.
    Ready,
    /// This stands in the stream.
    Signal(Lsn, Signalled),
}

/// The task that listens; it ends with this handle.
pub(super) struct Watch {
    said: mpsc::Receiver<Said>,
    came: Option<Said>,
    is_over: bool,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(super) fn begin(settings: std::sync::Arc<ReadSettings>) -> Self {
        let (sender, said) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            if let Err(error) = watch(&settings, &sender).await {
                warn!(%error, "signals that stop the blocking snapshot are seen after it only");
                let _ = sender.send(Said::Ready).await;
            }
        });
        Self {
            said,
            came: None,
            is_over: false,
            task: task.abort_handle(),
        }
    }

    /// Returns when there is something to take. Safe to cancel.
    pub(super) async fn ready(&mut self) {
        if self.came.is_some() {
            return;
        }
        if !self.is_over {
            self.came = self.said.recv().await;
            self.is_over = self.came.is_none();
        }
        if self.is_over {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn next(&mut self) -> Option<Said> {
        self.came.take().or_else(|| self.said.try_recv().ok())
    }
}

async fn watch(settings: &ReadSettings, said: &mpsc::Sender<Said>) -> Result<(), PostgresError> {
    let mut session = ReplicationSession::connect(&settings.conninfo).await?;
    let name = format!("walferry_watch_{}", session.process_id());
    info!("a blocking snapshot begins when the transactions have ended that run now");
    let made = session
        .create_slot(&NewSlot {
            name: &name,
            life: SlotLife::Temporary,
            snapshot: SlotSnapshot::Nothing,
            failover: Failover::Off,
        })
        .await?;
    let (publication, start) = (&settings.publication, made.consistent_point);
    let mut stream = session.start_replication(&name, publication, start).await?;
    if said.send(Said::Ready).await.is_err() {
        return Ok(());
    }
    let mut listener = Listener::new(settings.signal_table.clone());
    let mut ticks = interval(STATUS_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => tell(&mut stream, listener.to).await?,
            readable = stream.readable() => {
                readable?;
                stream.fill()?;
                let mut heard = Vec::new();
                while let Some(payload) = stream.next_payload()? {
                    heard.extend(listener.hear(payload));
                }
                if std::mem::take(&mut listener.is_asked) {
                    tell(&mut stream, listener.to).await?;
                }
                for (at, signalled) in heard {
                    if said.send(Said::Signal(at, signalled)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// That we live, and how far we have heard: nobody reads that slot again, which goes with its session, so
/// the server need keep no WAL and no row of a catalog for what is behind.
async fn tell(stream: &mut ReplicationStream, to: Lsn) -> Result<(), PostgresError> {
    let mut out = Vec::new();
    let update = StatusUpdate {
        written: to,
        flushed: to,
        applied: to,
        client_time: PgTimestamp(0),
        reply_requested: false,
    };
    update.encode(&mut out);
    stream.send(&out).await
}

/// Finds signals in a stream; whatever it does not understand is the other stream's to complain of.
struct Listener {
    /// `schema.table` of the signals,
    table: Option<String>,
    /// and its oid.
    relation: Option<u32>,
    /// Whether the server wants an answer.
    is_asked: bool,
    /// How far it has heard.
    to: Lsn,
}

impl Listener {
    fn new(table: Option<String>) -> Self {
        Self {
            table,
            relation: None,
            is_asked: false,
            to: Lsn::ZERO,
        }
    }

    fn hear(&mut self, payload: &[u8]) -> Option<(Lsn, Signalled)> {
        let (at, payload) = match ServerMessage::decode(payload).ok()? {
            ServerMessage::WalData {
                data_start,
                payload,
                ..
            } => (data_start, payload),
            ServerMessage::Keepalive {
                wal_end,
                reply_requested,
                ..
            } => {
                self.to = self.to.max(wal_end.0);
                self.is_asked |= reply_requested;
                return None;
            }
        };
        // It goes back from one transaction to the next.
        self.to = self.to.max(at);
        // Rows of other tables come by the million.
        let is_wanted = match payload.split_first()? {
            (b'M' | b'R', _) => true,
            (b'I', rest) => {
                let relation = self.relation.map(u32::to_be_bytes);
                relation.is_some_and(|oid| rest.starts_with(&oid))
            }
            _ => false,
        };
        if !is_wanted {
            return None;
        }
        match Message::decode(payload).ok()? {
            Message::Relation(relation) => {
                let name = format!("{}.{}", relation.schema, relation.name);
                if self.table.as_ref() == Some(&name) {
                    self.relation = Some(relation.oid);
                }
                None
            }
            Message::Insert(Insert { new, .. }) => Some((at, Signalled::of_row(&new))),
            Message::Logical(message) if message.prefix == SIGNAL_PREFIX => {
                Some((message.lsn, Signalled::Message(message.content.to_vec())))
            }
            _ => None,
        }
    }
}

/// Well within the server's patience, whatever it is set to.
const STATUS_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use pgoutput::{
        Cell, ColumnsBuf, KeepaliveLsn, LogicalMessage, Relation, RelationColumn, ReplicaIdentity,
        TupleBuf,
    };

    use super::*;

    fn heard(listener: &mut Listener, message: &Message<'_>) -> Option<(Lsn, Signalled)> {
        let mut payload = Vec::new();
        message.encode(&mut payload);
        let mut body = Vec::new();
        let at = Lsn::new(7);
        ServerMessage::WalData {
            data_start: at,
            wal_end: at,
            send_time: PgTimestamp(0),
            payload: &payload,
        }
        .encode(&mut body);
        listener.hear(&body)
    }

    #[test]
    fn the_slot_is_told_how_far_it_was_heard() {
        let mut listener = Listener::new(None);
        let mut keepalive = |wal_end, reply_requested| {
            let mut body = Vec::new();
            ServerMessage::Keepalive {
                wal_end: KeepaliveLsn(Lsn::new(wal_end)),
                send_time: PgTimestamp(0),
                reply_requested,
            }
            .encode(&mut body);
            assert_eq!(listener.hear(&body), None);
            (listener.to, listener.is_asked)
        };
        assert_eq!(keepalive(5, false), (Lsn::new(5), false));
        assert_eq!(keepalive(4, true), (Lsn::new(5), true));
        describe(&mut listener, 4, "others");
        assert_eq!(listener.to, Lsn::new(7));
    }

    fn describe(listener: &mut Listener, oid: u32, name: &str) {
        let column = RelationColumn {
            in_identity: true,
            name: "id",
            type_oid: 25,
            type_modifier: -1,
        };
        let columns: ColumnsBuf = [column].into_iter().collect();
        let relation = Relation {
            oid,
            schema: "public",
            name,
            replica_identity: ReplicaIdentity::Default,
            columns: columns.columns(),
        };
        assert_eq!(heard(listener, &Message::Relation(relation)), None);
    }

    #[test]
    fn signals_are_found_among_rows() {
        let mut listener = Listener::new(Some("public.signals".to_owned()));
        let mut row = TupleBuf::default();
        row.push(Cell::Text(b"a"));
        let insert = |relation| {
            let new = row.tuple();
            Message::Insert(Insert { relation, new })
        };
        assert_eq!(heard(&mut listener, &insert(5)), None);
        describe(&mut listener, 4, "others");
        describe(&mut listener, 5, "signals");
        assert_eq!(heard(&mut listener, &insert(4)), None);
        let (at, signal) = heard(&mut listener, &insert(5)).unwrap();
        let id = Some("a".to_owned());
        let (kind, data) = (None, None);
        assert_eq!(
            (at, signal),
            (Lsn::new(7), Signalled::Row { id, kind, data })
        );
        let message = |prefix| {
            Message::Logical(LogicalMessage {
                transactional: true,
                lsn: Lsn::new(9),
                prefix,
                content: b"x",
            })
        };
        assert_eq!(heard(&mut listener, &message("mine")), None);
        let found = heard(&mut listener, &message(SIGNAL_PREFIX));
        let content = Signalled::Message(b"x".to_vec());
        assert_eq!(found, Some((Lsn::new(9), content)));
    }
}
