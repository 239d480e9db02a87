//! The Kafka of the demo: librdkafka's mock cluster inside this process, or a real one that was
//! named.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A Kafka that is there answers in a moment.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Where events go.
pub(super) enum Broker {
    /// A cluster of one in this process. It speaks Kafka's protocol over TCP, keeps everything in
    /// memory, and has no admin interface: topics are made up front.
    Embedded(MockCluster<'static, DefaultProducerContext>),
    /// A real one.
    Given(String),
}

impl Broker {
    /// The real one at `address`, if it answers, or the embedded one.
    pub(super) fn start(address: Option<&str>) -> Result<Self> {
        match address {
            Some(address) => {
                let client: BaseConsumer = ClientConfig::new()
                    .set("bootstrap.servers", address)
                    .set("log_level", "0") // the error says it
                    .create()?;
                client.fetch_metadata(None, ANSWER_LIMIT).with_context(|| {
                    format!(
                        "no Kafka answers at {address}: start it, or name another by --kafka \
                             host:port, or leave --kafka out for the embedded broker"
                    )
                })?;
                Ok(Self::Given(address.to_owned()))
            }
            None => Ok(Self::Embedded(
                MockCluster::new(1).context("no embedded broker")?,
            )),
        }
    }

    /// Makes a topic of one partition where walferry cannot do it.
    pub(super) fn make_topic(&self, topic: &str) -> Result<()> {
        match self {
            Self::Embedded(cluster) => Ok(cluster.create_topic(topic, 1, 1)?),
            Self::Given(_) => Ok(()),
        }
    }

    /// `host:port`.
    pub(super) fn bootstrap_servers(&self) -> String {
        match self {
            Self::Embedded(cluster) => cluster.bootstrap_servers(),
            Self::Given(address) => address.clone(),
        }
    }

    /// The value of `topics.create` that fits.
    pub(super) fn create(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "never",
            Self::Given(_) => "auto",
        }
    }
}
