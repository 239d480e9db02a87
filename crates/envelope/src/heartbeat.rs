//! Heartbeats (Debezium manual, `heartbeat.interval.ms`): a record in a topic of their own that says
//! that the connector is at work, for consumers that wait for such.

use crate::options::Options;
use crate::schema::{self, Wrapping};
use crate::table::json_string;
use crate::value::write_integer;

/// How heartbeats are written.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    topic: String,
    key: Vec<u8>,
    value_wrapping: Wrapping,
}

impl Heartbeat {
    /// For the given options.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut key = Vec::new();
        let key_wrapping = Wrapping::of(options, schema::heartbeat_key);
        key_wrapping.always_around(&mut key, |out| {
            out.extend_from_slice(b"{\"serverName\":");
            json_string(&options.server_name, out);
            out.push(b'}');
        });
        Self {
            topic: options.heartbeat_topic(),
            key,
            value_wrapping: Wrapping::of(options, schema::heartbeat_value),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The key, always the same.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value at a time, nanoseconds of the Unix epoch.
    #[must_use]
    pub fn value(&self, now_unix_nanos: i64) -> Vec<u8> {
        let mut value = Vec::new();
        self.value_wrapping.always_around(&mut value, |out| {
            out.extend_from_slice(b"{\"ts_ms\":");
            let millis = now_unix_nanos.div_euclid(1_000_000);
            write_integer(millis, out);
            out.push(b'}');
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_debeziums() {
        let heartbeat = Heartbeat::new(&Options::new("srv", "db"));
        assert_eq!(heartbeat.topic(), "__debezium-heartbeat.srv");
        assert_eq!(heartbeat.key(), b"{\"serverName\":\"srv\"}");
        assert_eq!(
            heartbeat.value(1_700_000_000_123_456_789),
            b"{\"ts_ms\":1700000000123}"
        );
    }
}
