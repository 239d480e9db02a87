//! What a producer is made with: the guarantee, batches that fit the topics, a queue that holds what may be
//! under way, and how long a record waits for company.

use rdkafka::ClientConfig;

use super::super::properties::{ClientKind, Properties};

/// What the producer must know besides the user's properties.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most records that the relay lets be in flight.
    pub in_flight_records_max: u64,
    /// The most bytes of keys and values that the relay lets be in flight.
    pub in_flight_bytes_max: u64,
    /// The smallest `max.message.bytes` among the topics, where known. A batch never grows beyond
    /// it, so that a refused batch is always one single record that is itself too large.
    pub topic_bytes_min: Option<u64>,
    /// Whether the broker may create a topic that is missing.
    pub auto_creation: AutoCreation,
}

/// Whether a missing topic may be created by the broker, with the broker's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreation {
    /// A missing topic is an error: topics have declared settings.
    Forbidden,
    /// For clusters that cannot create topics on request (librdkafka's mock cluster).
    Allowed,
}

/// What of the topics a producer's settings follow, as far as they were known when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeFor {
    /// The smallest `max.message.bytes` that its batches fit into.
    topic_bytes_min: u64,
    auto_creation: AutoCreation,
}

impl MadeFor {
    pub(super) fn new(properties: &Properties, settings: &Settings) -> Self {
        Self {
            topic_bytes_min: topic_bytes_min(settings, batch_bytes(properties, settings)),
            auto_creation: settings.auto_creation,
        }
    }

    /// Whether missing topics are left to the broker.
    #[must_use]
    pub fn auto_creation(self) -> AutoCreation {
        self.auto_creation
    }

    /// Why it cannot serve topics of this smallest `max.message.bytes`, of which some are left to
    /// the broker to make; none when it can.
    #[must_use]
    pub fn lacks(
        self,
        bytes_min: Option<u64>,
        auto_creation: AutoCreation,
    ) -> Option<&'static str> {
        if bytes_min.is_some_and(|bytes| bytes < self.topic_bytes_min) {
            Some("it takes only smaller batches than the producer makes")
        } else if auto_creation != self.auto_creation {
            Some("the broker is to make it, which the producer does not ask for")
        } else {
            None
        }
    }
}

/// What is more important: that a record leaves soon, or that many leave at little cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A record waits 2 ms for others. Where records come as fast as Kafka takes them, batches are full
    /// anyway; but librdkafka looks without pause from the moment on from which one has waited too long,
    /// though an idempotent producer sends no second batch of a partition before the first is acknowledged.
    Soon,
    /// It waits 25 ms: longer than Kafka takes for a batch.
    InBulk,
}

impl Pace {
    fn linger_millis(self) -> &'static str {
        match self {
            // At 1,000 records/s, 2 ms cost 0.15 ms of median latency against 1 ms, and take a sixth
            // less CPU.
            Self::Soon => "2",
            Self::InBulk => "25",
        }
    }
}

pub(super) fn client_config(
    properties: &Properties,
    settings: &Settings,
    pace: Pace,
) -> ClientConfig {
    let defaults = [
        ("partitioner", "murmur2_random"),
        ("compression.type", "lz4"),
        ("linger.ms", pace.linger_millis()),
        // The topic decides what is too large, and it looks at the compressed size. The client must
        // still stay below the broker's `socket.request.max.bytes` (100 MB), since a broker answers
        // a larger request by closing the connection, and it would be sent again for ever.
        ("message.max.bytes", "104000000"),
        ("topic.metadata.propagation.max.ms", "10000"),
    ];
    let mut config = properties.client_config(ClientKind::Producer, &defaults);
    let number = |name: &str| config.get(name).and_then(|value| value.parse::<u64>().ok());
    let message_max = number("message.max.bytes").unwrap_or(0);
    let batch = batch_bytes(properties, settings);
    // Twice the limits, plus one record that begins just below them.
    let queue_kbytes = (settings.in_flight_bytes_max.saturating_mul(2) + message_max) / 1024 + 1;
    let queue_records = settings.in_flight_records_max.saturating_mul(2) + 1_000;
    for (name, value) in [
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        ("message.timeout.ms", "0".to_owned()),
        // A record behind a refused one must not be published before it.
        ("enable.gapless.guarantee", "true".to_owned()),
        ("batch.size", batch.to_string()),
        (
            "queue.buffering.max.messages",
            queue_records.min(QUEUE_MAX).to_string(),
        ),
        (
            "queue.buffering.max.kbytes",
            queue_kbytes.min(QUEUE_MAX).to_string(),
        ),
        ("statistics.interval.ms", "5000".to_owned()),
    ] {
        config.set(name, value);
    }
    if properties.get("allow.auto.create.topics").is_none() {
        let allowed = settings.auto_creation == AutoCreation::Allowed;
        config.set(
            "allow.auto.create.topics",
            if allowed { "true" } else { "false" },
        );
    }
    config
}

/// The largest batch of several records: what is asked for, as far as every topic takes it.
fn batch_bytes(properties: &Properties, settings: &Settings) -> u64 {
    let asked = properties.get("batch.size");
    let asked = asked.and_then(|value| value.parse().ok());
    let topic = settings.topic_bytes_min.unwrap_or(DEFAULT_TOPIC_BYTES);
    let room = topic.saturating_sub(BATCH_OVERHEAD_BYTES);
    asked.unwrap_or(BATCH_BYTES).min(room).max(1)
}

/// The smallest topic that such batches fit into; never more than the smallest one known, so that
/// a producer made for a topic always serves it.
fn topic_bytes_min(settings: &Settings, batch: u64) -> u64 {
    let known = settings.topic_bytes_min.unwrap_or(u64::MAX);
    known.min(batch + BATCH_OVERHEAD_BYTES)
}

/// The size up to which a record is in no topic's way, keys, values and headers: above it only the
/// broker knows, which looks at what is left after compression. The topics' smallest
/// `max.message.bytes` where it is known.
#[must_use]
pub fn surely_taken_bytes(topic_bytes_min: Option<u64>) -> u64 {
    let topic = topic_bytes_min.unwrap_or(DEFAULT_TOPIC_BYTES);
    topic.saturating_sub(BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES)
}

/// librdkafka's own default of `batch.size`.
const BATCH_BYTES: u64 = 1_000_000;
/// Kafka's default of `max.message.bytes`.
const DEFAULT_TOPIC_BYTES: u64 = 1_048_588;
/// The batch's header (61 bytes), rounded up.
const BATCH_OVERHEAD_BYTES: u64 = 128;
/// Lengths, offsets and times of one record (at most 5 varints and its header's), rounded up.
const RECORD_OVERHEAD_BYTES: u64 = 128;
/// The largest value librdkafka takes for either queue limit.
const QUEUE_MAX: u64 = 2_147_483_647;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(topic_bytes_min: Option<u64>) -> Settings {
        Settings {
            in_flight_records_max: 50_000,
            in_flight_bytes_max: 16 << 20,
            topic_bytes_min,
            auto_creation: AutoCreation::Forbidden,
        }
    }

    fn config(pairs: &[(&str, &str)], topic_bytes_min: Option<u64>) -> ClientConfig {
        let broker = ("bootstrap.servers", "127.0.0.1:1");
        let properties = Properties::parse(pairs.iter().copied().chain([broker])).unwrap();
        client_config(&properties, &settings(topic_bytes_min), Pace::Soon)
    }

    #[test]
    fn the_guarantee_is_configured() {
        let config = config(&[("compression.type", "zstd"), ("acks", "-1")], None);
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.timeout.ms", "0"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "zstd"),
            ("allow.auto.create.topics", "false"),
            ("queue.buffering.max.messages", "101000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_producer_serves_the_topics_it_was_made_for() {
        let made_for = |known: Option<u64>| {
            let properties = Properties::parse([("bootstrap.servers", "127.0.0.1:1")]).unwrap();
            MadeFor::new(&properties, &settings(known))
        };
        let serves = |made: MadeFor, bytes| made.lacks(bytes, AutoCreation::Forbidden).is_none();
        assert!(serves(made_for(None), None));
        assert!(serves(made_for(None), Some(1_048_588)));
        assert!(!serves(made_for(None), Some(20_000)));
        for bytes in [1, 100, 20_000, 1 << 30] {
            assert!(serves(made_for(Some(bytes)), Some(bytes)), "{bytes}");
        }
        // Its batches are no larger than the producer's own default.
        assert!(serves(made_for(Some(1 << 30)), Some(1_048_588)));
        assert!(!serves(made_for(Some(20_000)), Some(19_999)));
        assert!(made_for(None).lacks(None, AutoCreation::Allowed).is_some());
    }

    #[test]
    fn a_batch_fits_the_smallest_topic() {
        assert_eq!(config(&[], None).get("batch.size"), Some("1000000"));
        assert_eq!(config(&[], Some(50_128)).get("batch.size"), Some("50000"));
        let large = [("batch.size", "4000000")];
        assert_eq!(
            config(&large, Some(8 << 20)).get("batch.size"),
            Some("4000000")
        );
        assert_eq!(
            config(&large, Some(2_000_128)).get("batch.size"),
            Some("2000000")
        );
    }

    #[test]
    fn a_record_waits_as_long_as_the_user_says() {
        let linger = |pairs: &[(&str, &str)], pace| {
            let pairs = pairs.iter().copied();
            let properties =
                Properties::parse(pairs.chain([("bootstrap.servers", "127.0.0.1:1")])).unwrap();
            let config = client_config(&properties, &settings(None), pace);
            config.get("linger.ms").unwrap().to_owned()
        };
        for (pairs, soon, in_bulk) in [
            (&[][..], "2", "25"),
            (&[("linger.ms", "0")], "0", "0"),
            (&[("queue.buffering.max.ms", "7")], "7", "7"),
        ] {
            assert_eq!(linger(pairs, Pace::Soon), soon);
            assert_eq!(linger(pairs, Pace::InBulk), in_bulk);
        }
    }
}
