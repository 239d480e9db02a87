//! What goes into the relay and comes out of it, besides bytes and records.

use std::fmt;
use std::time::Duration;

use envelope::Options;
use pgoutput::Lsn;

use crate::catalog::Counts;
use crate::feedback::Feedback;
use crate::limits::Limits;
use crate::prepared::KnownCommit;
use crate::progress::Progress;
#[cfg(doc)]
use crate::relay::Relay;
use crate::schedule::Timing;

/// The time, handed in.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic, since the start of the run. Never goes back.
    pub since_start: Duration,
    /// The wall clock, nanoseconds of the Unix epoch. Goes into events, decides nothing.
    pub unix_nanos: i64,
}

/// Whether the table with this schema and name is wanted.
pub type Captures = Box<dyn Fn(&str, &str) -> bool + Send>;

/// What a run stands on.
pub struct Settings {
    /// How events are written.
    pub envelope: Options,
    /// Where the stream goes on, and what every later progress record repeats of it.
    pub start: Progress,
    /// Whether `start` stands in the progress topic already.
    pub start_is_durable: bool,
    /// Where the slot stands, if `two_phase` is on for it.
    pub two_phase_slot: Option<Lsn>,
    /// The commit that the last run ended for ([`Closing::Prepared`]).
    pub known_commit: Option<KnownCommit>,
    /// The caps on what is under way.
    pub limits: Limits,
    /// The server's and the user's time-outs.
    pub timing: Timing,
    /// Whether the configuration wants the table with this schema and name.
    pub captures: Captures,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// What is to be done outside.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask the catalog about a relation, and give the answer to [`Relay::handle_description`].
    Describe(Describe),
    /// See to it that a topic exists, and say so by [`Relay::handle_topic`]: a record waits for it.
    EnsureTopic(String),
    /// Write this to the progress topic, and call [`Relay::handle_stored`] when it is durable there.
    StoreProgress(Progress),
    /// Send this to the slot.
    Feedback(Feedback),
    /// Close the connection.
    Close(Closing),
    /// Nothing until this time (since the start of the run), or until something happens.
    WaitUntil(Duration),
}

/// A question to the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Describe {
    /// The relation's oid.
    pub relation: u32,
    /// The oids of its columns' types.
    pub types: Vec<u32>,
    /// The topic its records will go to, which must exist before the answer is given; none for an
    /// outbox table, whose rows name their topics.
    pub topic: Option<String>,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The position that the run was to reach is confirmed.
    Reached,
    /// Everything received is confirmed, after [`Relay::drain`].
    Drained,
    /// The server sends nothing any more, though asked.
    Silent,
    /// The server shuts down and waits for us in vain.
    ServerStopping,
    /// A large prepared transaction was committed: another run reads it again, and is to be told of
    /// [`Relay::known_commit`].
    Prepared,
}

/// The ladder of positions, for those who watch.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// The furthest the server has told of.
    pub received: Lsn,
    /// Where the commit record of the transaction published last starts.
    pub published: Lsn,
    /// Everything before is durable in Kafka.
    pub acknowledged: Lsn,
    /// Durable in the progress topic, and so what the slot is told.
    pub confirmed: Lsn,
    /// Records and bytes that wait for their acknowledgement.
    pub in_flight: (usize, usize),
    /// When the oldest transaction not yet acknowledged was committed, µs of the Unix epoch.
    pub oldest_commit_time: Option<i64>,
    /// What this run has done in all.
    pub totals: Totals,
}

/// What only grows. Counted from the start of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Transactions received to their commit.
    pub transactions: u64,
    /// Those of them that an earlier run had published.
    pub replayed_transactions: u64,
    /// Records handed out for Kafka.
    pub records: u64,
    /// Their bytes: keys, values and headers.
    pub record_bytes: u64,
    /// Bytes of the server's messages.
    pub received_bytes: u64,
}

/// What was published of one table in this run.
#[derive(Clone, Copy, Debug)]
pub struct TableCounts<'a> {
    /// `schema.table`.
    pub table: &'a str,
    /// Events by operation.
    pub counts: Counts,
}
