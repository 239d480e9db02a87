//! The ledger: the one place that knows which WAL position may be confirmed.
//!
//! A record that leaves for Kafka holds a [`Ticket`]; a transaction is done when its commit was
//! received and all its tickets are settled. Done transactions leave at the front only, so that
//! what is acknowledged is always a prefix of the stream. What is acknowledged becomes durable in
//! the progress topic, and only what is durable there becomes [`Confirmed`].
//!
//! ```text
//!   begin  issue issue  commit          settle settle             stored
//!     |      |     |      |               |      |                  |
//!     v      v     v      v               v      v                  v
//!   [ transactions, oldest first ] --> acknowledged --> mark --> confirmed
//! ```
//!
//! What this room does not do: decide *when* to store or to report (`schedule.rs`), read bytes,
//! or know the time.

use std::collections::VecDeque;

use pgoutput::{CommitLsn, EndLsn, KeepaliveLsn, Lsn};

/// The number of a record in flight: dense, in the order of publication, never used twice in one
/// run. It travels through the producer as its opaque number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    /// The bare number, to be carried through the producer.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The ticket that carries this number, as it comes back from the producer.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// A WAL position that the slot may move to: everything before it is durable in Kafka, and the
/// position itself is durable in the progress topic.
///
/// Only the ledger can make one, and only one of these can become a status update, so that no
/// other code can speak to the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confirmed(Lsn);

impl Confirmed {
    /// The position, as it stands in the flush field of a status update.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        self.0
    }
}

/// How much of a transaction that is still being published is acknowledged already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The transaction, by where its commit record starts.
    pub commit_lsn: CommitLsn,
    /// How many of its records, from the first on, are durable in Kafka.
    pub records_done: u64,
}

/// A point in the stream before which everything is durable in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Every transaction whose commit record starts before this position is done.
    pub end: Lsn,
    /// The part of the next transaction that is done as well.
    pub split: Option<Split>,
}

impl Mark {
    /// A mark between two transactions.
    #[must_use]
    pub fn at(end: Lsn) -> Self {
        Self { end, split: None }
    }
}

/// Where in the stream a record in flight belongs; see [`Ledger::locate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The transaction, by where its commit record starts.
    pub commit_lsn: CommitLsn,
    /// The record's number in its transaction.
    pub ordinal: u64,
    /// The relation the record speaks of, as given to [`Ledger::issue`].
    pub relation: u32,
}

/// The bookkeeping of one slot; see the module's head.
#[derive(Debug)]
pub struct Ledger {
    /// Oldest first. Only the last may be without an end.
    transactions: VecDeque<Transaction>,
    /// The records from `first_in_flight` on, settled ones between unsettled ones included.
    in_flight: VecDeque<InFlight>,
    first_in_flight: u64,
    unsettled_records: usize,
    unsettled_bytes: usize,
    /// The furthest position the server has told of: a commit's end or a keepalive.
    received: Lsn,
    acknowledged: Lsn,
    /// What an earlier run had done of the transaction that it left in the middle. It counts
    /// until that transaction has come again: storing a mark without it meanwhile would make a
    /// crash in between repeat the whole transaction.
    resumed: Option<Split>,
    /// What is on its way to the progress topic.
    storing: Option<Mark>,
    stored: Option<Mark>,
    confirmed: Confirmed,
    /// What the slot may not pass, whatever is durable.
    hold: Option<Lsn>,
}

#[derive(Debug)]
struct Transaction {
    commit_lsn: CommitLsn,
    end_lsn: Option<EndLsn>,
    commit_time: i64,
    first_ticket: u64,
    first_ordinal: u64,
    issued: u64,
    /// A part of it counts for nothing: if it is interrupted it comes again from its first record.
    whole: bool,
}

#[derive(Debug)]
struct InFlight {
    bytes: u32,
    relation: u32,
    settled: bool,
}

impl Ledger {
    /// A ledger that goes on at `start`. `durable` says whether that very mark stands in the
    /// progress topic; if not, it has to be stored before anything can be confirmed.
    #[must_use]
    pub fn new(start: Mark, durable: bool) -> Self {
        Self {
            transactions: VecDeque::new(),
            in_flight: VecDeque::new(),
            first_in_flight: 0,
            unsettled_records: 0,
            unsettled_bytes: 0,
            received: start.end,
            acknowledged: start.end,
            resumed: start.split,
            storing: None,
            stored: durable.then_some(start),
            confirmed: Confirmed(if durable { start.end } else { Lsn::ZERO }),
            hold: None,
        }
    }

    /// A transaction begins. `first_ordinal` is the number its first record gets: more than zero
    /// only when the beginning of the transaction was published by an earlier run.
    /// `commit_time` is in microseconds of the Unix epoch.
    pub fn begin(&mut self, commit_lsn: CommitLsn, commit_time: i64, first_ordinal: u64) {
        self.push(commit_lsn, commit_time, first_ordinal, false);
    }

    /// A transaction begins of which a part is worth nothing: [`Mark::split`] never tells of it.
    pub fn begin_whole(&mut self, commit_lsn: CommitLsn, commit_time: i64) {
        self.push(commit_lsn, commit_time, 0, true);
    }

    /// As [`Ledger::begin_whole`], of records that are numbered from `first_ordinal` on.
    pub fn begin_numbered(&mut self, commit_lsn: CommitLsn, commit_time: i64, first_ordinal: u64) {
        self.push(commit_lsn, commit_time, first_ordinal, true);
    }

    /// A record of the open transaction leaves for Kafka. `None` when no transaction is open.
    pub fn issue(&mut self, bytes: usize, relation: u32) -> Option<Ticket> {
        let ticket = Ticket(self.next_ticket());
        let open = self
            .transactions
            .back_mut()
            .filter(|last| last.end_lsn.is_none())?;
        open.issued += 1;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.in_flight.push_back(InFlight {
            bytes,
            relation,
            settled: false,
        });
        self.unsettled_records += 1;
        self.unsettled_bytes += bytes as usize;
        Some(ticket)
    }

    /// No record before this one is in flight.
    #[must_use]
    pub fn oldest_ticket(&self) -> Ticket {
        Ticket(self.first_in_flight)
    }

    /// The open transaction is complete.
    pub fn commit(&mut self, end_lsn: EndLsn) {
        if let Some(open) = self.transactions.back_mut() {
            open.end_lsn = Some(end_lsn);
        }
        self.received = self.received.max(end_lsn.0);
        self.advance();
    }

    /// Kafka has acknowledged a record. Records may be settled in any order; settling one twice,
    /// or one that was never issued, changes nothing and returns false.
    pub fn settle(&mut self, ticket: Ticket) -> bool {
        let Some(record) = self.slot_mut(ticket).filter(|record| !record.settled) else {
            return false;
        };
        record.settled = true;
        let bytes = record.bytes as usize;
        self.unsettled_records -= 1;
        self.unsettled_bytes -= bytes;
        if ticket.0 == self.first_in_flight {
            self.advance();
        }
        true
    }

    /// The server has decoded up to `wal_end`: with nothing pending before it, that position is
    /// as good as acknowledged. Keepalives may go back after a reconnection; those say nothing.
    pub fn keepalive(&mut self, wal_end: KeepaliveLsn) {
        self.received = self.received.max(wal_end.0);
        self.advance();
    }

    /// What is acknowledged now, to be written to the progress topic.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let front = self.transactions.front().filter(|front| !front.whole);
        let split = front.and_then(|front| {
            let records = self.first_in_flight.saturating_sub(front.first_ticket);
            let records_done = front.first_ordinal + records;
            (records_done > 0).then_some(Split {
                commit_lsn: front.commit_lsn,
                records_done,
            })
        });
        let resumed = self
            .resumed
            .filter(|split| split.commit_lsn.0 >= self.acknowledged);
        Mark {
            end: self.acknowledged,
            split: split.or(resumed),
        }
    }

    /// Takes the present mark for storing, if it tells more than what is stored, and if none is
    /// on its way: one at a time keeps the progress topic in order.
    pub fn store(&mut self) -> Option<Mark> {
        let mark = self.mark();
        if self.storing.is_some() || self.stored == Some(mark) {
            return None;
        }
        self.storing = Some(mark);
        Some(mark)
    }

    /// Takes the present mark for storing, whether or not it tells more: something beside it does.
    pub fn store_again(&mut self) -> Option<Mark> {
        if self.storing.is_some() {
            return None;
        }
        self.storing = Some(self.mark());
        self.storing
    }

    /// The mark last taken by [`Ledger::store`] is durable in the progress topic.
    pub fn stored(&mut self) -> Lsn {
        if let Some(mark) = self.storing.take() {
            self.confirmed = self.confirmed.max(Confirmed(mark.end));
            self.stored = Some(mark);
        }
        self.durable_end()
    }

    /// Keeps the slot from passing a position, for what it holds is needed again; none lets it go.
    pub fn hold(&mut self, position: Option<Lsn>) {
        self.hold = position;
    }

    /// Everything before this position is in Kafka, and the position in the progress topic.
    #[must_use]
    pub fn durable_end(&self) -> Lsn {
        self.confirmed.0
    }

    /// What the slot may be told.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        let hold = self.hold.map(Confirmed);
        self.confirmed.min(hold.unwrap_or(self.confirmed))
    }

    /// The furthest position the server has told of.
    #[must_use]
    pub fn received(&self) -> Lsn {
        self.received
    }

    /// Everything before this position is durable in Kafka.
    #[must_use]
    pub fn acknowledged(&self) -> Lsn {
        self.acknowledged
    }

    /// The mark that stands in the progress topic.
    #[must_use]
    pub fn durable(&self) -> Option<Mark> {
        self.stored
    }

    /// Whether a mark is on its way to the progress topic.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        self.storing.is_some()
    }

    /// Whether every transaction received so far is complete and acknowledged.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.transactions.is_empty()
    }

    /// When the oldest transaction that is not done was committed, in microseconds of the Unix
    /// epoch.
    #[must_use]
    pub fn oldest_commit_time(&self) -> Option<i64> {
        self.transactions.front().map(|front| front.commit_time)
    }

    /// How many records wait for their acknowledgement.
    #[must_use]
    pub fn in_flight_records(&self) -> usize {
        self.unsettled_records
    }

    /// How many entries are kept, settled ones behind an unsettled one included.
    #[must_use]
    pub fn span(&self) -> usize {
        self.in_flight.len().max(self.transactions.len())
    }

    /// How many bytes of keys and values wait for their acknowledgement.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.unsettled_bytes
    }

    /// Whether every ticket with a number below this one is settled.
    pub(crate) fn is_settled_before(&self, ticket: u64) -> bool {
        self.first_in_flight >= ticket
    }

    /// Where a record in flight belongs, for the error that names it.
    #[must_use]
    pub fn locate(&self, ticket: Ticket) -> Option<Located> {
        let index = usize::try_from(ticket.0.checked_sub(self.first_in_flight)?).ok()?;
        let record = self.in_flight.get(index)?;
        let of = self
            .transactions
            .iter()
            .rev()
            .find(|each| each.first_ticket <= ticket.0)?;
        Some(Located {
            commit_lsn: of.commit_lsn,
            ordinal: of.first_ordinal + (ticket.0 - of.first_ticket),
            relation: record.relation,
        })
    }

    fn push(&mut self, commit_lsn: CommitLsn, commit_time: i64, first_ordinal: u64, whole: bool) {
        debug_assert!(self.open().is_none(), "a transaction is open already");
        self.transactions.push_back(Transaction {
            commit_lsn,
            end_lsn: None,
            commit_time,
            first_ticket: self.next_ticket(),
            first_ordinal,
            issued: 0,
            whole,
        });
    }

    fn open(&self) -> Option<&Transaction> {
        self.transactions
            .back()
            .filter(|last| last.end_lsn.is_none())
    }

    /// The number that the next record gets.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.first_in_flight + self.in_flight.len() as u64
    }

    fn slot_mut(&mut self, ticket: Ticket) -> Option<&mut InFlight> {
        let index = usize::try_from(ticket.0.checked_sub(self.first_in_flight)?).ok()?;
        self.in_flight.get_mut(index)
    }

    /// Lets go of what is settled at the front, then of the transactions that are done by it.
    fn advance(&mut self) {
        while self.in_flight.front().is_some_and(|record| record.settled) {
            self.in_flight.pop_front();
            self.first_in_flight += 1;
        }
        while let Some(end_lsn) = self
            .transactions
            .front()
            .and_then(|t| t.done(self.first_in_flight))
        {
            self.transactions.pop_front();
            self.acknowledged = self.acknowledged.max(end_lsn.0);
        }
        if self.transactions.is_empty() {
            self.acknowledged = self.acknowledged.max(self.received);
        }
        debug_assert!(
            self.confirmed.0 <= self.acknowledged,
            "confirmed what Kafka has not"
        );
        debug_assert!(
            self.acknowledged <= self.received,
            "acknowledged what was not received"
        );
    }
}

impl Transaction {
    /// The end of a transaction that needs nothing more.
    fn done(&self, first_in_flight: u64) -> Option<EndLsn> {
        self.end_lsn
            .filter(|_| self.first_ticket + self.issued <= first_in_flight)
    }
}
