//! The Kafka edge: the only room that knows librdkafka.
//!
//! Records go in with a ticket, tickets come back. This room does not know what a ticket means, nor
//! when an LSN may be confirmed: it says which tickets Kafka has acknowledged and which it refused.
//!
//! ```text
//!   record + ticket ──▶ Producer ──▶ librdkafka ──▶ Kafka
//!   ticket, settled ◀── Batch ◀── delivery reports ◀──┘
//! ```
//!
//! - [`properties`]: the user's librdkafka properties, checked; those that would break the guarantee
//!   are refused
//! - [`producer`], [`deliveries`]: publishing, and what comes back
//! - [`progress`]: the record that remembers how far Kafka has got, and its reader
//! - [`topic_reader`], [`order`]: whole topics, their partitions merged
//! - [`topics`]: describing and creating topics, and which names are legal
//! - [`error`]: what went wrong, and whether trying again can help

mod brokerless;
mod consumer;
mod context;
pub mod deliveries;
pub mod ensure;
pub mod error;
pub mod order;
pub mod producer;
pub mod progress;
pub mod properties;
pub mod signals;
pub mod topic_reader;
pub mod topics;

pub use deliveries::{Batch, Refused};
pub use ensure::{GONE_LOOKS, GONE_PAUSE};
pub use error::{Class, KafkaError};
pub use producer::{AutoCreation, MadeFor, Pace, Producer, Settings, surely_taken_bytes};
pub use progress::{AskedPart, ProgressError, ProgressReader, ProgressWriter, RequestKey, Stored};
pub use properties::Properties;
pub use signals::{SignalReader, SignalWriter};
pub use topic_reader::{Partition, ReadEnd, ReadRecord, TopicReader};
pub use topics::Topics;
