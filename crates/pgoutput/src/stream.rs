//! The body of a CopyData message while replication streams: WAL data and keepalives from the
//! server, status updates to it (manual: "Streaming Replication Protocol", `START_REPLICATION`).

use alloc::vec::Vec;

use crate::cursor::Cursor;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::lsn::{KeepaliveLsn, Lsn};

/// Microseconds since 2000-01-01 00:00 UTC, Postgres' epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgTimestamp(pub i64);

/// Microseconds from 1970-01-01 to 2000-01-01.
const UNIX_EPOCH_TO_POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl PgTimestamp {
    /// Microseconds since 1970-01-01 00:00 UTC; `i64::MAX` when that is out of range.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0.saturating_add(UNIX_EPOCH_TO_POSTGRES_EPOCH)
    }

    /// From microseconds since 1970-01-01 00:00 UTC; saturates at `i64::MIN`.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> PgTimestamp {
        PgTimestamp(micros.saturating_sub(UNIX_EPOCH_TO_POSTGRES_EPOCH))
    }
}

/// What the walsender puts into one CopyData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// `XLogData`: one message of the output plugin.
    WalData {
        /// For diagnosis only. It is `0/0` for Relation, Type and Origin, is shared by neighbours,
        /// and goes backwards: neither an identity nor an order.
        data_start: Lsn,
        /// For logical decoding the same as `data_start`, not the end of the server's WAL.
        wal_end: Lsn,
        /// The server's clock when it was sent.
        send_time: PgTimestamp,
        /// The plugin's message: see [`Message`](crate::Message).
        payload: &'a [u8],
    },
    /// Primary keepalive.
    Keepalive {
        /// How far decoding has got.
        wal_end: KeepaliveLsn,
        /// The server's clock when it was sent.
        send_time: PgTimestamp,
        /// True when the server hangs up unless a status update comes soon.
        reply_requested: bool,
    },
}

impl<'a> ServerMessage<'a> {
    /// Reads the body of one CopyData message.
    ///
    /// # Errors
    /// Anything that is neither a whole `XLogData` header nor exactly one keepalive.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<ServerMessage<'a>, DecodeError> {
        let mut cursor = Cursor::new("replication message", bytes);
        let start = cursor;
        match cursor.u8("type")? {
            b'w' => {
                cursor.named("XLogData");
                Ok(ServerMessage::WalData {
                    data_start: Lsn::new(cursor.u64("data_start")?),
                    wal_end: Lsn::new(cursor.u64("wal_end")?),
                    send_time: PgTimestamp(cursor.i64("send_time")?),
                    payload: cursor.rest(),
                })
            }
            b'k' => {
                cursor.named("Keepalive");
                let keepalive = ServerMessage::Keepalive {
                    wal_end: KeepaliveLsn(Lsn::new(cursor.u64("wal_end")?)),
                    send_time: PgTimestamp(cursor.i64("send_time")?),
                    reply_requested: cursor.bool("reply_requested")?,
                };
                cursor.finish()?;
                Ok(keepalive)
            }
            tag => Err(start.error("type", DecodeErrorKind::UnknownMessage { tag })),
        }
    }

    /// Appends the body of one CopyData message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            ServerMessage::WalData {
                data_start,
                wal_end,
                send_time,
                payload,
            } => {
                out.push(b'w');
                out.extend_from_slice(&data_start.as_u64().to_be_bytes());
                out.extend_from_slice(&wal_end.as_u64().to_be_bytes());
                out.extend_from_slice(&send_time.0.to_be_bytes());
                out.extend_from_slice(payload);
            }
            ServerMessage::Keepalive {
                wal_end,
                send_time,
                reply_requested,
            } => {
                out.push(b'k');
                out.extend_from_slice(&wal_end.0.as_u64().to_be_bytes());
                out.extend_from_slice(&send_time.0.to_be_bytes());
                out.push(u8::from(reply_requested));
            }
        }
    }
}

/// Standby status update: what we tell the walsender. Each position is the last byte plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// Shown in `pg_stat_replication`; moves nothing.
    pub written: Lsn,
    /// What moves the slot's `confirmed_flush_lsn`. Never beyond what is durable in Kafka: the
    /// server believes any position, even one beyond its WAL. `0/0` means "no position".
    pub flushed: Lsn,
    /// Shown in `pg_stat_replication`; moves nothing.
    pub applied: Lsn,
    /// Our clock.
    pub client_time: PgTimestamp,
    /// True asks the server for a keepalive at once: a ping that finds a dead peer.
    pub reply_requested: bool,
}

impl StatusUpdate {
    /// Reads a status update, as the fake walsender does.
    ///
    /// # Errors
    /// Anything but exactly one status update.
    pub fn decode(bytes: &[u8]) -> Result<StatusUpdate, DecodeError> {
        let mut cursor = Cursor::new("StatusUpdate", bytes);
        let start = cursor;
        let tag = cursor.u8("type")?;
        if tag != b'r' {
            return Err(start.error("type", DecodeErrorKind::UnknownMessage { tag }));
        }
        let update = StatusUpdate {
            written: Lsn::new(cursor.u64("written")?),
            flushed: Lsn::new(cursor.u64("flushed")?),
            applied: Lsn::new(cursor.u64("applied")?),
            client_time: PgTimestamp(cursor.i64("client_time")?),
            reply_requested: cursor.bool("reply_requested")?,
        };
        cursor.finish()?;
        Ok(update)
    }

    /// Appends the body of one CopyData message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'r');
        out.extend_from_slice(&self.written.as_u64().to_be_bytes());
        out.extend_from_slice(&self.flushed.as_u64().to_be_bytes());
        out.extend_from_slice(&self.applied.as_u64().to_be_bytes());
        out.extend_from_slice(&self.client_time.0.to_be_bytes());
        out.push(u8::from(self.reply_requested));
    }
}
