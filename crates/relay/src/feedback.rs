//! The status update: the only thing walferry ever tells the slot.

use pgoutput::{Lsn, PgTimestamp, StatusUpdate};

use crate::ledger::Confirmed;

/// A status update whose flush position is [`Confirmed`]. There is no other way to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    received: Lsn,
    confirmed: Confirmed,
    client_time: PgTimestamp,
    reply_requested: bool,
}

impl Feedback {
    pub(crate) fn new(
        received: Lsn,
        confirmed: Confirmed,
        client_time: PgTimestamp,
        reply_requested: bool,
    ) -> Self {
        Self {
            received,
            confirmed,
            client_time,
            reply_requested,
        }
    }

    /// The position that the slot is told.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        self.confirmed
    }

    /// Appends the message as it goes into CopyData.
    ///
    /// Written is what was received, which shows in `pg_stat_replication`; flush and apply are
    /// what is durable in Kafka, and flush alone moves a logical slot
    /// (<https://www.postgresql.org/docs/current/protocol-replication.html>, Standby status update).
    pub fn encode(&self, into: &mut Vec<u8>) {
        let confirmed = self.confirmed.lsn();
        let update = StatusUpdate {
            written: self.received.max(confirmed),
            flushed: confirmed,
            applied: confirmed,
            client_time: self.client_time,
            reply_requested: self.reply_requested,
        };
        update.encode(into);
    }
}
