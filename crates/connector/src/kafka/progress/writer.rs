//! Writes progress records: one at a time, in the order of the relay.

use relay::Progress;

use super::super::error::KafkaError;
use super::super::producer::Producer;
use super::{begun, encode};

/// The writer of one slot's progress.
#[derive(Debug)]
pub struct ProgressWriter {
    topic: String,
    slot: String,
    value: Vec<u8>,
    ticket: u64,
}

impl ProgressWriter {
    /// A writer to this topic, for this slot.
    #[must_use]
    pub fn new(topic: &str, slot: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            slot: slot.to_owned(),
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

    /// Says, ahead of any progress, that records are about to go to a topic. Nothing comes back,
    /// unless it is refused.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn begin(&self, producer: &Producer, topic: &str) -> Result<(), KafkaError> {
        let key = begun::key(&self.slot, topic);
        producer.store_topic(&self.topic, &key, &begun::value(&self.slot, topic))
    }
}
