//! The loop's handle of the reader: what it sends, and whether it is still there.

use std::collections::BTreeSet;
use std::future::pending;

use relay::ChunkOutcome;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::reader::Sent;

/// The reader at work; it ends with this handle.
pub(super) struct Reading {
    pub(super) items: mpsc::Receiver<Sent>,
    pub(super) came: Option<Sent>,
    /// Nothing will come any more.
    pub(super) is_over: bool,
    pub(super) outcomes: mpsc::UnboundedSender<(u64, ChunkOutcome)>,
    pub(super) paused: watch::Sender<bool>,
    pub(super) open: BTreeSet<u64>,
    pub(super) task: AbortHandle,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reading {
    pub(super) fn next(&mut self) -> Option<Sent> {
        self.came.take().or_else(|| self.items.try_recv().ok())
    }

    /// Whether it has ended without a word: the last word of a reader ends this handle.
    pub(super) fn is_dead(&self) -> bool {
        self.is_over
    }
}

/// Waits for the reader's next item, or its end; for ever without one. Safe to cancel.
pub(super) async fn came(reading: Option<&mut Reading>) {
    match reading {
        Some(reading) if reading.came.is_some() => {}
        Some(reading) if !reading.is_over => {
            reading.came = reading.items.recv().await;
            reading.is_over = reading.came.is_none();
        }
        _ => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_dies_is_noticed() {
        let (sender, items) = mpsc::channel::<Sent>(1);
        let (outcomes, _) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let _held = sender;
            panic!("on purpose");
        });
        let mut reading = Reading {
            items,
            came: None,
            is_over: false,
            outcomes,
            paused: watch::channel(false).0,
            open: BTreeSet::new(),
            task: task.abort_handle(),
        };
        assert!(!reading.is_dead());
        came(Some(&mut reading)).await;
        assert!(reading.is_dead() && reading.next().is_none());
    }
}
