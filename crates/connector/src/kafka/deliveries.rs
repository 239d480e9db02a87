//! The way back: what librdkafka's thread puts down, and the driver picks up whole.
//!
//! The delivery callback only pushes a number; it does not log, wait, or decide. Deliveries come in
//! order within a partition and in no order between partitions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use super::context::lock;
use super::error::KafkaError;

/// What came back since the last drain. Kept by the driver and used again and again.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tickets of records that Kafka has acknowledged.
    pub settled: Vec<u64>,
    /// Tickets of progress records that Kafka has acknowledged.
    pub progress_settled: Vec<u64>,
    /// Records that Kafka (or librdkafka) refused, oldest first. One ends the run.
    pub refused: Vec<Refused>,
    /// The highest ticket of a note that Kafka has acknowledged; they come in order.
    pub noted: u64,
    /// A heartbeat came back, whether or not it is in Kafka.
    pub heartbeat: bool,
    /// The producer has stopped for good; it must be closed and built anew.
    pub fault: Option<KafkaError>,
}

impl Batch {
    /// Whether nothing came back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settled.is_empty()
            && self.progress_settled.is_empty()
            && self.refused.is_empty()
            && self.noted == 0
            && !self.heartbeat
            && self.fault.is_none()
    }

    /// The record that ends the run: the first that was refused for its own sake, if there is one, since
    /// Kafka refuses the others of its batch with it.
    #[must_use]
    pub fn culprit(&self) -> Option<&Refused> {
        let own = |refused: &&Refused| refused.error.is_of_record();
        self.refused.iter().find(own).or(self.refused.first())
    }

    fn clear(&mut self) {
        self.settled.clear();
        self.progress_settled.clear();
        self.refused.clear();
        self.noted = 0;
        self.heartbeat = false;
        self.fault = None;
    }
}

/// A record that is not in Kafka, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The ticket it was published under.
    pub ticket: u64,
    /// What kind of record it was.
    pub stream: Stream,
    /// The reason; its [`class`](KafkaError::class) tells whether to try again.
    pub error: KafkaError,
}

/// Which kind of records a ticket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// A change event.
    Record,
    /// A progress record.
    Progress,
    /// A record beside the progress: a topic is begun, a part of a copy done.
    Note,
    /// A heartbeat: nobody's loss.
    Heartbeat,
}

/// The number librdkafka carries with a record: the ticket, its top two bits for the kind, the third
/// for a partition that walferry has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opaque(usize);

impl Opaque {
    const PROGRESS: u64 = 1 << 63;
    const NOTE: u64 = 1 << 62;
    const KIND: u64 = Self::PROGRESS | Self::NOTE;
    const PLACED: u64 = 1 << 61;

    pub(super) fn new(stream: Stream, ticket: u64) -> Self {
        debug_assert!(
            ticket & (Self::KIND | Self::PLACED) == 0,
            "tickets are dense, so the top bits are free"
        );
        let bits = match stream {
            Stream::Record => ticket,
            Stream::Progress => ticket | Self::PROGRESS,
            Stream::Note => ticket | Self::NOTE,
            Stream::Heartbeat => ticket | Self::KIND,
        };
        // Lossless: the build refuses targets narrower than 64 bits (below).
        #[allow(clippy::cast_possible_truncation)]
        Self(bits as usize)
    }

    /// A change event for a partition that a row or the configuration names.
    pub(super) fn placed(ticket: u64) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        Self(Self::new(Stream::Record, ticket).0 | Self::PLACED as usize)
    }

    pub(super) fn from_raw(raw: usize) -> Self {
        Self(raw)
    }

    pub(super) fn raw(self) -> usize {
        self.0
    }

    fn split(self) -> (Stream, u64) {
        let bits = self.0 as u64;
        let stream = match bits & Self::KIND {
            Self::PROGRESS => Stream::Progress,
            Self::NOTE => Stream::Note,
            Self::KIND => Stream::Heartbeat,
            _ => Stream::Record,
        };
        (stream, bits & !(Self::KIND | Self::PLACED))
    }

    /// What the code of a delivery report means for this record. Where nobody named a partition that is
    /// not there, it went with its topic: a deletion shows in the client's metadata as the last
    /// partition's end, a moment before the topic's.
    pub(super) fn meaning(self, code: Code) -> Code {
        match code {
            Code::UnknownPartition if self.0 as u64 & Self::PLACED == 0 => Code::UnknownTopic,
            code => code,
        }
    }
}

const _: () = assert!(
    usize::BITS == 64,
    "a ticket travels through librdkafka as a pointer"
);

/// The tray between librdkafka's thread and the driver.
#[derive(Debug, Default)]
pub(super) struct Tray {
    batch: Mutex<Batch>,
    returned: AtomicU64,
    filled: Notify,
}

impl Tray {
    /// Called from the delivery callback.
    pub(super) fn put(&self, opaque: Opaque, refused: Option<Code>) {
        let (stream, ticket) = opaque.split();
        // The lock is held for a push here and for a swap in `take`, never longer.
        let mut batch = lock(&self.batch);
        let was_empty = batch.is_empty();
        match (refused, stream) {
            (None, Stream::Record) => batch.settled.push(ticket),
            (None, Stream::Progress) => batch.progress_settled.push(ticket),
            (None, Stream::Note) => batch.noted = batch.noted.max(ticket),
            (_, Stream::Heartbeat) => batch.heartbeat = true,
            (Some(code), _) => {
                let error = KafkaError::of_delivery(ticket, opaque.meaning(code));
                batch.refused.push(Refused {
                    ticket,
                    stream,
                    error,
                });
            }
        }
        // Before it can be taken: whoever has taken the last one finds none under way.
        self.returned.fetch_add(1, Ordering::Release);
        drop(batch);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// How many records have come back since the start.
    pub(super) fn returned(&self) -> u64 {
        self.returned.load(Ordering::Acquire)
    }

    /// Lets the driver look although nothing was put down.
    pub(super) fn wake(&self) {
        self.filled.notify_one();
    }

    /// Swaps what has come in with the emptied `batch`.
    pub(super) fn take(&self, batch: &mut Batch) {
        batch.clear();
        std::mem::swap(&mut *lock(&self.batch), batch);
    }

    /// Returns when there may be something to take. Safe to cancel: the signal is kept.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_ticket_survives_the_pointer(ticket in 0..Opaque::PLACED) {
            for stream in [
                Stream::Record,
                Stream::Progress,
                Stream::Note,
                Stream::Heartbeat,
            ] {
                let raw = Opaque::new(stream, ticket).raw();
                prop_assert_eq!(Opaque::from_raw(raw).split(), (stream, ticket));
            }
            let raw = Opaque::placed(ticket).raw();
            prop_assert_eq!(Opaque::from_raw(raw).split(), (Stream::Record, ticket));
        }
    }

    #[test]
    fn kinds_are_told_apart_and_buffers_swap() {
        let tray = Tray::default();
        tray.put(Opaque::new(Stream::Record, 1), None);
        tray.put(Opaque::new(Stream::Progress, 1), None);
        tray.put(Opaque::new(Stream::Note, 0), None);
        tray.put(Opaque::new(Stream::Note, 3), None);
        tray.put(
            Opaque::new(Stream::Record, 2),
            Some(Code::MessageSizeTooLarge),
        );
        let mut batch = Batch::default();
        tray.take(&mut batch);
        assert_eq!(batch.settled, [1]);
        assert_eq!(batch.progress_settled, [1]);
        assert_eq!(batch.noted, 3);
        assert_eq!(batch.refused.len(), 1);
        assert_eq!(
            batch.refused[0].error,
            KafkaError::RecordTooLarge { ticket: 2 }
        );
        tray.take(&mut batch);
        assert!(batch.is_empty(), "{batch:?}");
    }

    #[test]
    fn a_partition_that_nobody_named_went_with_its_topic() {
        let refused = |opaque| {
            let tray = Tray::default();
            tray.put(opaque, Some(Code::UnknownPartition));
            let mut batch = Batch::default();
            tray.take(&mut batch);
            batch.refused.remove(0).error
        };
        for stream in [Stream::Record, Stream::Progress, Stream::Note] {
            let error = refused(Opaque::new(stream, 1));
            assert_eq!(error, KafkaError::UnknownTopic, "{stream:?}");
        }
        let error = refused(Opaque::placed(1));
        assert!(error.is_of_record(), "{error}");
    }

    #[tokio::test]
    async fn no_delivery_is_slept_over() {
        let tray = Arc::new(Tray::default());
        let putter = Arc::clone(&tray);
        const COUNT: u64 = 100_000;
        let thread = std::thread::spawn(move || {
            for ticket in 0..COUNT {
                putter.put(Opaque::new(Stream::Record, ticket), None);
            }
        });
        let mut batch = Batch::default();
        let mut next = 0;
        while next < COUNT {
            tokio::time::timeout(Duration::from_secs(10), tray.filled())
                .await
                .expect("a filled tray always signals");
            tray.take(&mut batch);
            for ticket in &batch.settled {
                assert_eq!(*ticket, next);
                next += 1;
            }
        }
        thread.join().unwrap();
    }
}
