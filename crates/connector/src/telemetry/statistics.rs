//! The few useful numbers of librdkafka's statistics (librdkafka, STATISTICS.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the producer says about itself. Counters are of this producer, from its start.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ProducerStatistics {
    /// Messages in its queues.
    #[serde(rename(deserialize = "msg_cnt"))]
    pub queue_messages: u64,
    /// Their bytes.
    #[serde(rename(deserialize = "msg_size"))]
    pub queue_bytes: u64,
    /// Messages sent.
    #[serde(rename(deserialize = "txmsgs"))]
    pub sent_messages: u64,
    /// Bytes of messages sent, before compression.
    #[serde(rename(deserialize = "txmsg_bytes"))]
    pub sent_message_bytes: u64,
    /// Bytes sent over the network.
    #[serde(rename(deserialize = "tx_bytes"))]
    pub sent_bytes: u64,
    /// By broker; without those it only knows by name.
    pub brokers: BTreeMap<String, Broker>,
}

/// One broker.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Broker {
    /// `host:port`.
    pub nodename: String,
    /// `UP`, `DOWN`, `CONNECT`, ….
    pub state: String,
    /// -1 for those learnt only from the configuration.
    #[serde(skip_serializing)]
    pub nodeid: i64,
    /// Requests that failed.
    #[serde(rename(deserialize = "txerrs"))]
    pub errors: u64,
    /// Requests sent again.
    #[serde(rename(deserialize = "txretries"))]
    pub retries: u64,
    /// Requests that timed out.
    #[serde(rename(deserialize = "req_timeouts"))]
    pub timeouts: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Time from request to answer, in microseconds.
    pub rtt: RoundTrip,
}

/// A rolling window of round trips, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RoundTrip {
    /// Mean.
    pub avg: u64,
    /// 99 % are shorter.
    pub p99: u64,
}

impl ProducerStatistics {
    /// Reads librdkafka's JSON; `None` if it is none.
    pub fn parse(json: &str) -> Option<Self> {
        let mut statistics: Self = serde_json::from_str(json).ok()?;
        statistics.brokers.retain(|_, broker| broker.nodeid >= 0);
        Some(statistics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_useful_numbers_are_read_and_the_rest_passed_over() {
        let json = r#"{"name":"rdkafka#producer-1","msg_cnt":7,"msg_size":900,"txmsgs":41,
            "txmsg_bytes":5000,"tx_bytes":3000,"brokers":{
              "GroupCoordinator":{"nodeid":-1,"nodename":"","state":"INIT"},
              "localhost:9092/1":{"nodeid":1,"nodename":"localhost:9092","state":"UP",
                "txerrs":1,"txretries":2,"req_timeouts":3,"disconnects":4,
                "rtt":{"min":100,"avg":250,"p99":900}}},"topics":{"t":{"partitions":{}}}}"#;
        let statistics = ProducerStatistics::parse(json).unwrap();
        assert_eq!(
            (statistics.queue_messages, statistics.sent_messages),
            (7, 41)
        );
        assert_eq!(statistics.brokers.len(), 1);
        let broker = &statistics.brokers["localhost:9092/1"];
        assert_eq!(
            (broker.retries, broker.rtt.avg, broker.rtt.p99),
            (2, 250, 900)
        );
        assert_eq!(
            ProducerStatistics::parse("{}"),
            Some(ProducerStatistics::default())
        );
        assert_eq!(ProducerStatistics::parse("[7"), None);
    }
}
