//! Signals that do not come by the stream, since nothing can be written on a standby. Each is taken in where
//! the stream happens to be, and answered once what follows from it is noted in Kafka.

use std::collections::VecDeque;
use std::future::pending;

use tokio::sync::{mpsc, oneshot};

use super::origin::Record;

/// A signal of the topic.
#[derive(Debug)]
pub struct Direct {
    /// Where it stands.
    pub record: Record,
    /// Its JSON.
    pub content: Vec<u8>,
    /// Who waits until it need not come again.
    pub waiting: oneshot::Sender<()>,
}

/// Where they come in.
#[derive(Debug, Default)]
pub(super) struct Door {
    signals: Option<mpsc::Receiver<Direct>>,
    came: Option<Direct>,
    /// By the number of the last note of each.
    unanswered: VecDeque<(u64, oneshot::Sender<()>)>,
    /// Notes written so far that somebody waits for.
    notes: u64,
}

impl Door {
    pub(super) fn new(signals: mpsc::Receiver<Direct>) -> Self {
        Self {
            signals: Some(signals),
            ..Self::default()
        }
    }

    /// Returns when one is there; never without a door. Safe to cancel.
    pub(super) async fn ready(&mut self) {
        if self.came.is_some() {
            return;
        }
        if let Some(signals) = &mut self.signals {
            self.came = signals.recv().await;
        }
        if self.came.is_none() {
            pending().await
        }
    }

    pub(super) fn next(&mut self) -> Option<Direct> {
        let signals = self.signals.as_mut()?;
        self.came.take().or_else(|| signals.try_recv().ok())
    }

    /// What follows from a signal is noted by the last of so many notes that are to be written.
    pub(super) fn answer_after(&mut self, notes: usize, waiting: oneshot::Sender<()>) {
        let last = self.notes + notes as u64;
        self.unanswered.push_back((last, waiting));
    }

    /// The number of a note that is about to be written; 0 when nobody waits for it.
    pub(super) fn number(&mut self) -> u64 {
        if self
            .unanswered
            .back()
            .is_none_or(|(last, _)| *last <= self.notes)
        {
            return 0;
        }
        self.notes += 1;
        self.notes
    }

    /// Kafka has the notes up to this number.
    pub(super) fn noted(&mut self, number: u64) {
        let done = self.unanswered.partition_point(|(last, _)| *last <= number);
        for (_, waiting) in self.unanswered.drain(..done) {
            let _ = waiting.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_answered_once_its_last_note_is_written() {
        let mut door = Door::default();
        let wait = |door: &mut Door, notes| {
            let (waiting, answer) = oneshot::channel();
            door.answer_after(notes, waiting);
            answer
        };
        assert_eq!(door.number(), 0);
        // Two notes are to be written when the first has come, and a third then.
        let (mut two, mut one) = (wait(&mut door, 2), wait(&mut door, 3));
        assert_eq!([1, 2, 3, 0].map(|_| door.number()), [1, 2, 3, 0]);
        door.noted(1);
        assert!(two.try_recv().is_err());
        door.noted(2);
        assert!(two.try_recv().is_ok() && one.try_recv().is_err());
        door.noted(3);
        assert!(one.try_recv().is_ok());
    }
}
