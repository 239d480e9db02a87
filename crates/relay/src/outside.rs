//! Logical messages outside of transactions.

use pgoutput::{Begin, CommitLsn, EndLsn, LogicalMessage, Lsn, Message, PgTimestamp};

use crate::error::RelayError;
use crate::interface::Now;
use crate::relay::{Relay, encode};
use crate::transaction::{Replay, Transaction};

impl Relay {
    /// A message that belongs to no transaction is one of its own: the server sends it when it
    /// decodes it, and skips it by the same rule as a transaction.
    ///
    /// It is named by its last byte. Where it ends, a commit record may start (emit a message as
    /// the last thing in a transaction), and that position names the transaction.
    pub(crate) fn handle_message_outside(
        &mut self,
        now: Now,
        message: &Message<'_>,
        logical: &LogicalMessage<'_>,
    ) -> Result<(), RelayError> {
        if self.transaction.is_some() {
            return Err(self.out_of_place(message));
        }
        let unix_micros = now.unix_nanos / 1000;
        let commit_time = PgTimestamp::from_unix_micros(unix_micros);
        let last_byte = Lsn::new(logical.lsn.as_u64().saturating_sub(1));
        let begin = Begin {
            commit_lsn: CommitLsn(last_byte),
            commit_time,
            xid: 0,
        };
        let open = Transaction::begin(&begin, self.settings.start.mark());
        if logical.lsn <= self.settings.start.commit_end_lsn {
            return Ok(());
        }
        if self.take_own_message(logical.lsn, logical, Replay::New) {
            self.ledger.begin(open.commit_lsn, unix_micros, 0);
            self.ledger.commit(EndLsn(logical.lsn));
            return Ok(());
        }
        let context = open.context(self.settings.start.epoch, logical.lsn, now.unix_nanos);
        let encoded = self
            .encoder
            .logical_message(&context, logical, &mut self.records);
        encode(open.commit_lsn, encoded)?;
        self.ledger.begin(open.commit_lsn, unix_micros, 0);
        self.end_with_records(EndLsn(logical.lsn));
        Ok(())
    }
}
