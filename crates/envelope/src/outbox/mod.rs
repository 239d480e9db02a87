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
mod row;

use std::collections::HashMap;

pub(crate) use assembly::Router;
pub use options::{
    AdditionalField, InvalidOperation, JsonNulls, Outbox, OutboxFields, OutboxForm, Placement,
};
pub(crate) use row::Shape;

use crate::error::EncodeErrorKind;

/// Topics by the value that routes.
#[derive(Debug, Default)]
struct Topics(HashMap<String, String>);

impl Topics {
    /// The topic of a value.
    fn of(&mut self, outbox: &Outbox, route: &str) -> Result<&str, EncodeErrorKind> {
        if !self.0.contains_key(route) {
            let topic = outbox.topic.apply(route);
            let topic = topic.unwrap_or_else(|| route.to_owned());
            if !is_legal(&topic) {
                return Err(EncodeErrorKind::OutboxTopic);
            }
            if self.0.len() >= KEPT_TOPICS {
                self.0.clear();
            }
            self.0.insert(route.to_owned(), topic);
        }
        Ok(self.0.get(route).map_or("", String::as_str))
    }
}

/// What Kafka takes as a topic's name.
fn is_legal(topic: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(legal) && topic != "." && topic != ".."
}

/// More topics than this are worked out again now and then.
const KEPT_TOPICS: usize = 10_000;
