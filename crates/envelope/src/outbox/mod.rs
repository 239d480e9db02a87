//! The transactional outbox (Debezium manual, "Outbox Event Router"): rows of some tables, or
//! messages of some prefixes, become events whose topic, key and value they name themselves.
//!
//! ```text
//! inserted row ──► row.rs ─────┐
//!                              ├─► Assembly ─► Encoder::emit ─► Records
//! message's body ► message.rs ─┘
//! ```

mod assembly;
mod json;
mod message;
mod options;
mod properties;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub(crate) use assembly::Router;
pub use options::{
    AdditionalField, InvalidOperation, JsonNulls, Outbox, OutboxFields, OutboxForm, Placement,
};
pub(crate) use row::Shape;

use crate::error::EncodeErrorKind;
use crate::options::Options;

/// Topics by the value that routes, and those that no event may have.
#[derive(Debug, Default)]
struct Topics {
    found: HashMap<String, String>,
    taken: HashSet<String>,
}

impl Topics {
    /// None found yet; walferry's own are taken.
    fn new(options: &Options, outbox: &Outbox) -> Self {
        let own = [
            options.dead_letter_topic(),
            options.transaction_topic(),
            options.heartbeat_topic(),
            options.message_topic(),
        ];
        let given = outbox.taken_topics.iter().cloned();
        Self {
            found: HashMap::new(),
            taken: own.into_iter().chain(given).collect(),
        }
    }

    /// The topic of a value.
    fn of(&mut self, outbox: &Outbox, route: &str) -> Result<&str, EncodeErrorKind> {
        if !self.found.contains_key(route) {
            let topic = outbox.topic.apply(route);
            let topic = topic.unwrap_or_else(|| route.to_owned());
            if !is_legal(&topic) {
                return Err(EncodeErrorKind::OutboxTopic);
            }
            if self.taken.contains(&topic) {
                return Err(EncodeErrorKind::OutboxTopicTaken);
            }
            if self.found.len() >= KEPT_TOPICS {
                self.found.clear();
            }
            self.found.insert(route.to_owned(), topic);
        }
        Ok(self.found.get(route).map_or("", String::as_str))
    }

    /// No event may have it from now on.
    fn take(&mut self, topic: &str) {
        if self.taken.insert(topic.to_owned()) {
            self.found.retain(|_, found| found != topic);
        }
    }
}

/// What Kafka takes as a topic's name.
fn is_legal(topic: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(legal) && topic != "." && topic != ".."
}

/// Whether an event may have a header of this name: what a consumer knows events by is not the
/// event's to say.
#[must_use]
pub fn may_be_header(name: &str) -> bool {
    name != "id" && !name.starts_with("walferry.")
}

/// More topics than this are worked out again now and then.
const KEPT_TOPICS: usize = 10_000;
