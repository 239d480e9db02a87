//! The changes of a transaction: which table, which records.

use envelope::{Context, Operation};
use pgoutput::{Delete, Insert, Lsn, Message, Relation, Truncate, Update};

use crate::error::RelayError;
use crate::incremental::{Partial, Signalled};
use crate::interface::Now;
use crate::relay::{Relay, encode};
use crate::transaction::Replay;

impl Relay {
    pub(crate) fn handle_change(
        &mut self,
        now: Now,
        at: Lsn,
        message: &Message<'_>,
    ) -> Result<(), RelayError> {
        let Some(open) = &self.transaction else {
            return Err(self.out_of_place(message));
        };
        let (replay, writer, commit_lsn) = (open.replay, open.writer(), open.commit_lsn);
        if let Message::Logical(logical) = message
            && self.take_own_message(at, logical, replay)
        {
            return Ok(());
        }
        if replay == Replay::Whole {
            self.incremental.unknown(writer);
            return Ok(());
        }
        if self.take_signal_row(commit_lsn.0, message) {
            return Ok(());
        }
        let Some(open) = &self.transaction else {
            return Ok(());
        };
        let context = open.context(self.settings.start.epoch, at, now.unix_nanos);
        let (encoder, catalog, out) = (&mut self.encoder, &mut self.catalog, &mut self.records);
        let encoded = match message {
            Message::Insert(Insert { relation, new }) => catalog
                .captured(*relation, commit_lsn)?
                .map(|table| encoder.insert(table, &context, *new, out)),
            Message::Update(Update { relation, old, new }) => catalog
                .captured(*relation, commit_lsn)?
                .map(|table| encoder.update(table, &context, *old, *new, out)),
            Message::Delete(Delete { relation, old }) => catalog
                .captured(*relation, commit_lsn)?
                .map(|table| encoder.delete(table, &context, *old, out)),
            Message::Truncate(Truncate { relations, .. }) => {
                for oid in relations.iter() {
                    self.incremental.truncated(writer, oid);
                }
                let first_ordinal = context.first_ordinal;
                relations.iter().try_for_each(|oid| {
                    let Some(table) = catalog.captured(oid, commit_lsn)? else {
                        return Ok(());
                    };
                    let first_ordinal = first_ordinal + out.len() as u64;
                    let context = Context {
                        first_ordinal,
                        ..context
                    };
                    encode(commit_lsn, encoder.truncate(table, &context, out))
                })?;
                None
            }
            Message::Logical(logical) => Some(encoder.logical_message(&context, logical, out)),
            _ => return Err(self.out_of_place(message)),
        };
        encode(commit_lsn, encoded.unwrap_or(Ok(())))?;
        if let Some(relation) = self.encoder.take_ignored() {
            self.catalog.count(relation, Operation::Ignored);
        }
        if self.incremental.has_windows() {
            let partial = Partial::of(message, &self.options);
            self.note_touched(writer, partial.as_ref());
        }
        self.number_records();
        Ok(())
    }

    /// Whether this is the table of signals; then its rows are looked at.
    pub(crate) fn is_signal_table(&mut self, relation: &Relation<'_>) -> bool {
        let table = self.incremental.signal_table.as_ref();
        let found =
            table.is_some_and(|(schema, name)| schema == relation.schema && name == relation.name);
        if found {
            self.incremental.signal_relation = Some(relation.oid);
        }
        found
    }

    /// Takes in a row of the table of signals, whose other changes say nothing.
    fn take_signal_row(&mut self, at: Lsn, message: &Message<'_>) -> bool {
        let signals = self.incremental.signal_relation;
        match message {
            Message::Insert(Insert { relation, new }) if Some(*relation) == signals => {
                let row = Signalled::of_row(new);
                self.incremental.signals.push_back((at, row));
                true
            }
            _ => false,
        }
    }
}
