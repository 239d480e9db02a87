//! The server's side of the truth: a log of what committed, and a slot on it.

use pgoutput::Lsn;

use crate::workload::Expected;

/// The write-ahead log, as far as the slot's plugin speaks of it.
#[derive(Debug)]
pub(crate) struct Wal {
    entries: Vec<Entry>,
    end: Lsn,
}

/// Something that the plugin sends, in the order of the log.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where the deciding record starts: the commit record, or the message's own. It is sent if
    /// this is not below the slot's confirmed position.
    pub(crate) start: Lsn,
    /// Where that record ends.
    pub(crate) end: Lsn,
    /// What it is.
    pub(crate) kind: Kind,
    /// What is sent of it.
    pub(crate) bodies: Vec<Body>,
    /// What is to be published of it.
    pub(crate) expected: Vec<Expected>,
}

/// What an entry of the log is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A transaction.
    Transaction {
        /// Its id.
        xid: u32,
        /// Whether it came here through another server.
        from_elsewhere: bool,
    },
    /// A logical message outside of transactions.
    Message,
}

/// One message of the plugin.
#[derive(Debug)]
pub(crate) struct Body {
    /// The table it speaks of, by index, with the version of its columns.
    pub(crate) of: Option<(usize, u16)>,
    /// The position in its `XLogData` header.
    pub(crate) data_start: Lsn,
    /// The message.
    pub(crate) payload: Vec<u8>,
}

impl Wal {
    /// A log that begins here.
    #[must_use]
    pub(crate) fn new(start: Lsn) -> Wal {
        Wal {
            entries: Vec::new(),
            end: start,
        }
    }

    /// Where the next record starts.
    #[must_use]
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    /// WAL of no concern to the slot.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.end = Lsn::new(self.end.as_u64() + bytes);
    }

    /// Commits; returns the entry's index.
    pub(crate) fn push(&mut self, entry: Entry) -> usize {
        self.end = self.end.max(entry.end);
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// The entry at an index.
    #[must_use]
    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The index of the first entry that a stream from this position sends.
    #[must_use]
    pub(crate) fn first_from(&self, position: Lsn) -> usize {
        self.entries.partition_point(|entry| entry.start < position)
    }
}

/// The replication slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// `confirmed_flush_lsn`.
    pub(crate) confirmed: Lsn,
    /// What of it a crash of the server leaves: it is saved at checkpoints only.
    saved: Lsn,
    /// `restart_lsn`.
    pub(crate) restart: Lsn,
}

impl Slot {
    /// A slot made at this position.
    #[must_use]
    pub(crate) fn new(at: Lsn) -> Slot {
        Slot {
            confirmed: at,
            saved: at,
            restart: at,
        }
    }

    /// A status update came. The server believes any position, and never goes back.
    pub(crate) fn confirm(&mut self, flushed: Lsn) {
        self.confirmed = self.confirmed.max(flushed);
    }

    /// A checkpoint.
    pub(crate) fn save(&mut self) {
        self.restart = self.saved;
        self.saved = self.confirmed;
    }

    /// The server crashed and came back.
    pub(crate) fn rewind(&mut self) {
        self.confirmed = self.saved;
    }
}
