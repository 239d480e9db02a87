//! How a connection can end.

use std::fmt;

use relay::{Closing, KnownCommit, Relay, RelayError, Ticket};

use crate::copy::{CopyError, Paused};
use crate::kafka::KafkaError;
use crate::postgres::PostgresError;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The position asked for is confirmed.
    Reached,
    /// Everything received is confirmed, as asked by a signal.
    Drained,
    /// The same, but Kafka did not acknowledge everything in time; that part will be repeated.
    DrainTimeout,
    /// The connection to Postgres is no longer.
    Lost(Lost),
    /// The rows that were there before cannot be read.
    Copy(CopyError),
    /// The reading of these rows pauses, so that the stream may go on.
    Paused(Paused),
    /// Kafka refused a record.
    Refused(Refusal),
    /// The producer has stopped for good, or a topic is not to be had.
    Producer(KafkaError),
    /// A topic that was met just now needs another producer.
    ProducerUnfit {
        /// The topic, to be known before the next producer is made.
        topic: String,
        /// Why.
        reason: &'static str,
    },
    /// A large prepared transaction was committed, and is read again.
    Prepared(Option<KnownCommit>),
    /// The stream broke its grammar or holds what cannot be published.
    Stream(RelayError),
}

impl End {
    /// Whether nothing under way is worth waiting for.
    pub(crate) fn is_immediate(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Producer(_))
    }
}

impl From<Closing> for End {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::Prepared => Self::Prepared(None),
            Closing::Reached => Self::Reached,
            Closing::Drained => Self::Drained,
            Closing::Silent => Self::Lost(Lost::Silent),
            Closing::ServerStopping => Self::Lost(Lost::ServerStopping),
        }
    }
}

impl From<PostgresError> for End {
    fn from(error: PostgresError) -> Self {
        Self::Lost(Lost::Error(error))
    }
}

impl From<RelayError> for End {
    fn from(error: RelayError) -> Self {
        Self::Stream(error)
    }
}

/// Why a connection is no longer.
#[derive(Debug)]
pub enum Lost {
    /// An error of the server or of the socket.
    Error(PostgresError),
    /// The peer sent nothing any more, though asked.
    Silent,
    /// The server shuts down; the connection was closed so as not to hold it up.
    ServerStopping,
}

impl Lost {
    /// Whether it was given up for its silence.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Silent => f.write_str("the server sent nothing any more"),
            Self::ServerStopping => f.write_str("the server shuts down, and was let go"),
        }
    }
}

/// A record that Kafka refused, by its place and never by its content.
#[derive(Debug)]
pub struct Refusal {
    /// `schema.table` with the names of its key columns, the record's position, and its topic.
    pub place: String,
    /// Kafka's reason.
    pub error: KafkaError,
}

impl Refusal {
    /// Looks up where a refused record of a change belongs.
    #[must_use]
    pub fn of_record(relay: &Relay, ticket: Ticket, error: KafkaError) -> Self {
        let Some((at, table)) = relay.locate(ticket) else {
            let place = "a record that is in flight no more".to_owned();
            return Self { place, error };
        };
        let (of, topic) = match table {
            Some(table) => {
                let keys: Vec<&str> = table.key_columns().collect();
                let (name, keys) = (table.qualified_name(), keys.join(", "));
                let of = format!("a row of {name}, key columns ({keys}),");
                (of, table.topic().to_owned())
            }
            None => {
                let topics = relay.topics_without_table().join(" or ");
                ("a record of no table,".to_owned(), topics)
            }
        };
        // Events of an outbox name their topics themselves, and a dead letter is not in its table's.
        let topic = relay.routed_topic(ticket).map_or(topic, str::to_owned);
        let (commit_lsn, ordinal) = (at.commit_lsn.0, at.ordinal);
        let place = format!(
            "{of} record {ordinal} of the transaction committed at {commit_lsn}, to topic {topic}"
        );
        Self { place, error }
    }

    /// A progress record.
    #[must_use]
    pub fn of_progress(topic: &str, error: KafkaError) -> Self {
        let place = format!("a progress record, to topic {topic}");
        Self { place, error }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error)
    }
}
