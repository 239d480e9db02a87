//! Writes progress records: one at a time, in the order of the relay.

use std::collections::BTreeSet;

use relay::Progress;

use super::super::error::KafkaError;
use super::super::producer::{AutoCreation, Producer};
use super::{RequestKey, asked_parts, begun, encode, parts, requests};
use crate::copy::Part;
use crate::incremental::Request;

/// The writer of one slot's progress.
#[derive(Debug)]
pub struct ProgressWriter {
    topic: String,
    slot: String,
    begun: BTreeSet<String>,
    value: Vec<u8>,
    ticket: u64,
}

impl ProgressWriter {
    /// A writer to this topic, for this slot; `begun` are the topics that are stored already.
    #[must_use]
    pub fn new(topic: &str, slot: &str, begun: BTreeSet<String>) -> Self {
        Self {
            topic: topic.to_owned(),
            slot: slot.to_owned(),
            begun,
            value: Vec::new(),
            ticket: 0,
        }
    }

    /// Where they go.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hands a record to the producer; it comes back as `progress_settled`.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn store(
        &mut self,
        producer: &Producer,
        progress: &Progress,
        unix_nanos: i64,
    ) -> Result<(), KafkaError> {
        self.value.clear();
        encode(
            progress,
            &self.slot,
            unix_nanos / 1_000_000,
            &mut self.value,
        );
        self.ticket += 1;
        producer.store_progress(self.ticket, &self.topic, self.slot.as_bytes(), &self.value)
    }

    /// Says, ahead of any progress, that records are about to go to a topic, unless that is said
    /// already. Nothing comes back, unless it is refused.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn begin(&mut self, producer: &Producer, topic: &str) -> Result<(), KafkaError> {
        if producer.made_for().auto_creation() == AutoCreation::Allowed {
            // The topic may come to be with its first record only.
            return Ok(());
        }
        if !self.begun.insert(topic.to_owned()) {
            return Ok(());
        }
        let key = begun::key(&self.slot, topic);
        producer.store_note(&self.topic, &key, Some(&begun::value(&self.slot, topic)))
    }

    /// Notes how far the copy of a table (`schema.table`) has come. Nothing comes back, unless it is
    /// refused.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn note(&self, producer: &Producer, table: &str, part: &Part) -> Result<(), KafkaError> {
        let key = parts::key(&self.slot, table);
        producer.store_note(&self.topic, &key, Some(&parts::encode(&self.slot, part)))
    }

    /// Notes how far the copy of a table (`schema.table`) has come that a request asked for. Nothing comes
    /// back, unless it is refused.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn note_asked(
        &self,
        producer: &Producer,
        of: &RequestKey,
        table: &str,
        part: &Part,
    ) -> Result<(), KafkaError> {
        let key = asked_parts::key(&self.slot, table);
        let value = asked_parts::encode(&self.slot, of, part);
        producer.store_note(&self.topic, &key, Some(&value))
    }

    /// Takes back what is noted of a table's copy that was asked for.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn forget_asked(&self, producer: &Producer, table: &str) -> Result<(), KafkaError> {
        producer.store_note(&self.topic, &asked_parts::key(&self.slot, table), None)
    }

    /// Notes how far a request has come. A `ticket` above 0 comes back as `noted`.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn note_request(
        &self,
        producer: &Producer,
        request: &Request,
        ticket: u64,
    ) -> Result<(), KafkaError> {
        let key = requests::key(&self.slot, &request.id);
        let value = requests::encode(&self.slot, request);
        producer.store_awaited_note(ticket, &self.topic, &key, &value)
    }

    /// Takes back what is noted of a request.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn forget_request(&self, producer: &Producer, id: &str) -> Result<(), KafkaError> {
        producer.store_note(&self.topic, &requests::key(&self.slot, id), None)
    }

    /// Takes back what is noted of a table's copy.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn forget(&self, producer: &Producer, table: &str) -> Result<(), KafkaError> {
        producer.store_note(&self.topic, &parts::key(&self.slot, table), None)
    }
}
