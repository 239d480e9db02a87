//! When heartbeats are due. One is sent only when the one before is in Kafka, so that none pile up
//! while Kafka is away. Positions have nothing to do with them: an idle slot moves without.

use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::{KafkaError, Producer};

/// The heart of one connection.
pub struct Heart {
    form: envelope::Heartbeat,
    every: Duration,
    due: Instant,
    under_way: bool,
}

impl Heart {
    /// None unless heartbeats are asked for. The first is due at once.
    #[must_use]
    pub fn new(options: &envelope::Options) -> Option<Self> {
        let every = options.heartbeat_interval_ms;
        (every > 0).then(|| Self {
            form: envelope::Heartbeat::new(options),
            every: Duration::from_millis(every),
            due: Instant::now(),
            under_way: false,
        })
    }

    /// When to look again, if there is something to look for.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.due)
    }

    /// Sends a heartbeat if one is due.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub fn beat(&mut self, producer: &Producer, unix_nanos: i64) -> Result<(), KafkaError> {
        let now = Instant::now();
        if self.under_way || now < self.due {
            return Ok(());
        }
        self.due = now + self.every;
        let (form, value) = (&self.form, self.form.value(unix_nanos));
        producer.heartbeat(form.topic(), form.key(), &value)?;
        self.under_way = true;
        Ok(())
    }

    /// The last one came back.
    pub fn settled(&mut self) {
        self.under_way = false;
    }
}
