//! Notices a client that has let go of all its brokers and will never ask anybody again.
//!
//! librdkafka forgets brokers that an answer to its question for metadata does not name. An answer
//! can name none at all: while the controllers count all brokers as gone, as they do for a moment
//! after a pause of the whole cluster. Then it forgets them all, and whether it begins again with
//! `bootstrap.servers` depends on which of its threads comes first
//! (<https://github.com/confluentinc/librdkafka/issues/5301>). If it does not, records wait for ever,
//! without an error. Its statistics tell: no broker is left, not even one of the configuration.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

/// Looks at a client's statistics, one after the other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    in_a_row: AtomicU32,
}

impl Watch {
    /// Takes note of the newest statistics (librdkafka's JSON).
    pub(super) fn look(&self, statistics: &[u8]) {
        let Ok(Statistics { brokers }) = serde_json::from_slice(statistics) else {
            return;
        };
        let is_real = |broker: &Broker| matches!(&*broker.source, "configured" | "learned");
        if brokers.values().any(is_real) {
            self.in_a_row.store(0, Ordering::Relaxed);
        } else {
            self.in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it has no broker any more, and had time enough to find one.
    pub(super) fn is_brokerless(&self) -> bool {
        self.in_a_row.load(Ordering::Relaxed) >= IN_A_ROW
    }
}

/// Once may be the moment between the last broker and the first.
const IN_A_ROW: u32 = 2;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    #[serde(default)]
    source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(sources: &[&str]) -> Vec<u8> {
        let brokers = sources.iter().enumerate().map(|(number, source)| {
            let broker = serde_json::json!({ "source": source, "state": "DOWN" });
            (format!("kafka:9092/{number}"), broker)
        });
        let brokers: serde_json::Map<_, _> = brokers.collect();
        let all = serde_json::json!({ "name": "walferry#producer-1", "brokers": brokers });
        serde_json::to_vec(&all).unwrap()
    }

    #[test]
    fn brokers_that_are_down_are_brokers() {
        let watch = Watch::default();
        for sources in [&["configured"][..], &["learned"], &["internal", "learned"]] {
            watch.look(&statistics(sources));
            watch.look(&statistics(sources));
            assert!(!watch.is_brokerless(), "{sources:?}");
        }
    }

    #[test]
    fn a_client_without_brokers_is_noticed_the_second_time() {
        let watch = Watch::default();
        let none = statistics(&["internal", "logical"]);
        watch.look(&none);
        assert!(!watch.is_brokerless(), "it may be about to begin again");
        watch.look(&statistics(&["configured"]));
        watch.look(&none);
        assert!(!watch.is_brokerless(), "it did begin again");
        watch.look(b"no JSON");
        watch.look(&none);
        assert!(watch.is_brokerless());
    }
}
