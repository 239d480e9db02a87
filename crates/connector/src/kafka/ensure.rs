//! Sees to it that topics exist before the first record goes to them.
//!
//! A topic that the broker makes by itself has the broker's settings, not the declared ones; so
//! missing topics are made on request, all at once, or named where that is not allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::error::KafkaError;
use super::producer::AutoCreation;
use super::progress::{ProgressError, suitable};
use super::topics::{NewTopic, TopicDescription, TopicState, Topics};

/// The missing ones, and the others.
type Looked = (Vec<TopicDescription>, Vec<TopicDescription>);

/// How topics are made.
#[derive(Debug, Clone)]
pub struct Making {
    /// Whether missing ones are made at all.
    pub allowed: bool,
    /// Partitions of data topics.
    pub partitions: u32,
    /// Replicas; none for the cluster's own default.
    pub replication_factor: Option<u32>,
    /// Other settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// The topics known to exist.
#[derive(Debug, Clone)]
pub struct Ensured {
    topics: Topics,
    making: Making,
    known: BTreeSet<String>,
    /// Those that are not made again.
    begun: BTreeSet<String>,
    /// The smallest `max.message.bytes` seen.
    bytes_min: Option<u64>,
    auto_creation: AutoCreation,
}

impl Ensured {
    /// Knows no topic yet.
    #[must_use]
    pub fn new(topics: Topics, making: Making) -> Self {
        Self {
            topics,
            making,
            known: BTreeSet::new(),
            begun: BTreeSet::new(),
            bytes_min: None,
            auto_creation: AutoCreation::Forbidden,
        }
    }

    /// Makes none of these from now on: stored progress tells of records in them.
    pub fn never_again(&mut self, begun: BTreeSet<String>) {
        self.begun = begun;
    }

    /// For questions about topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Asks by new clients from now on; see [`Topics::reconnect`].
    ///
    /// # Errors
    /// As [`Topics::connect`].
    pub fn reconnect(&mut self) -> Result<(), KafkaError> {
        self.topics.reconnect()
    }

    /// Lets go of it without waiting for its clients to end.
    pub fn close(self) {
        self.topics.close();
    }

    /// The smallest `max.message.bytes` among the topics, where it was told.
    #[must_use]
    pub fn bytes_min(&self) -> Option<u64> {
        self.bytes_min
    }

    /// Whether missing topics are left to the broker, since it makes none on request.
    #[must_use]
    pub fn auto_creation(&self) -> AutoCreation {
        self.auto_creation
    }

    /// Whether a topic is known to exist.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Sees to it that data topics exist.
    ///
    /// # Errors
    /// Those that are missing and may not be made, by name; or Kafka did not answer.
    pub async fn data(&mut self, names: &[String]) -> Result<(), KafkaError> {
        let making = self.making.clone();
        self.ensure(names, |name| NewTopic {
            name: name.to_owned(),
            partitions: making.partitions,
            replication_factor: making.replication_factor,
            settings: making.settings.clone(),
        })
        .await
        .map(drop)
    }

    /// As [`Ensured::data`], but of those that stored progress tells of none is missed: their tables
    /// may be gone as well.
    ///
    /// # Errors
    /// As [`Ensured::data`].
    pub async fn data_again(&mut self, names: &[String]) -> Result<(), KafkaError> {
        let (begun, others): (Vec<_>, Vec<_>) = names
            .iter()
            .cloned()
            .partition(|name| self.begun.contains(name));
        self.data(&others).await?;
        if begun.is_empty() {
            return Ok(());
        }
        let (_, there) = self.look(&begun).await?;
        self.known.extend(there.into_iter().map(|topic| topic.name));
        Ok(())
    }

    /// Sees to it that the progress topic exists, and can hold progress.
    ///
    /// # Errors
    /// As [`Ensured::data`]; or it has several partitions, or may delete what it must keep.
    pub async fn progress(&mut self, name: &str) -> Result<(), ProgressError> {
        let replication_factor = self.making.replication_factor;
        let new = |name: &str| {
            // Small segments let compaction keep up, so that a start reads little.
            let settings = BTreeMap::from([
                ("segment.bytes".to_owned(), "1048576".to_owned()),
                ("min.cleanable.dirty.ratio".to_owned(), "0.1".to_owned()),
            ]);
            NewTopic::progress(name, replication_factor, settings)
        };
        for topic in self.ensure(&[name.to_owned()], new).await? {
            // A cluster that makes no topics on request makes it at the first record.
            if topic.state != TopicState::Missing || self.auto_creation == AutoCreation::Forbidden {
                suitable(&topic)?;
            }
        }
        Ok(())
    }

    /// Gives back what is there now of those that were not known.
    async fn ensure(
        &mut self,
        names: &[String],
        new: impl Fn(&str) -> NewTopic,
    ) -> Result<Vec<TopicDescription>, KafkaError> {
        let unknown: Vec<String> = names
            .iter()
            .filter(|name| !self.known.contains(*name))
            .cloned()
            .collect();
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let (missing, mut there) = self.look_twice(&unknown).await?;
        if !missing.is_empty() {
            let names: Vec<String> = missing.into_iter().map(|topic| topic.name).collect();
            self.make(&names, new).await?;
            let (still_missing, made) = self.look(&names).await?;
            there.extend(still_missing.into_iter().chain(made));
        }
        self.known.extend(unknown);
        Ok(there)
    }

    /// As [`Self::look`]. A broker that was made part of the cluster just now may not have heard of
    /// a topic yet: one that was there is looked for again before it counts as gone.
    async fn look_twice(&mut self, names: &[String]) -> Result<Looked, KafkaError> {
        for _ in 0..GONE_LOOKS {
            let (missing, there) = self.look(names).await?;
            if !missing.iter().any(|topic| self.begun.contains(&topic.name)) {
                return Ok((missing, there));
            }
            sleep(GONE_PAUSE).await;
        }
        self.look(names).await
    }

    /// Describes topics: the missing ones, and the others.
    async fn look(&mut self, names: &[String]) -> Result<Looked, KafkaError> {
        let described = self.topics.describe(names).await?;
        for topic in &described {
            if let TopicState::Present { settings, .. } = &topic.state {
                let told = settings.max_message_bytes();
                self.bytes_min = self.bytes_min.into_iter().chain(told).min();
            }
        }
        let is_missing = |topic: &TopicDescription| topic.state == TopicState::Missing;
        Ok(described.into_iter().partition(is_missing))
    }

    async fn make(
        &mut self,
        missing: &[String],
        new: impl Fn(&str) -> NewTopic,
    ) -> Result<(), KafkaError> {
        if !self.making.allowed {
            return Err(KafkaError::TopicsMissing {
                names: missing.join(", "),
            });
        }
        let gone: Vec<&str> = missing
            .iter()
            .map(String::as_str)
            .filter(|name| self.begun.contains(*name))
            .collect();
        if !gone.is_empty() {
            return Err(KafkaError::TopicsGone {
                names: gone.join(", "),
            });
        }
        let wanted: Vec<NewTopic> = missing.iter().map(|name| new(name)).collect();
        let creations = match self.topics.create(&wanted).await {
            Err(KafkaError::Unsupported { .. }) => {
                self.auto_creation = AutoCreation::Allowed;
                return Ok(());
            }
            created => created?,
        };
        for creation in creations {
            let name = creation.name;
            creation.outcome.map_err(|error| of_topic(&name, error))?;
            tracing::info!(topic = name, "created the topic");
        }
        Ok(())
    }
}

/// The answer about one topic names it.
fn of_topic(name: &str, error: KafkaError) -> KafkaError {
    match error {
        KafkaError::Denied { what } => KafkaError::Denied {
            what: format!("{what} ({name})"),
        },
        KafkaError::Failed { what, code, reason } => KafkaError::Failed {
            what,
            code,
            reason: format!("{name}: {reason}"),
        },
        KafkaError::TopicRefused { what, code, reason } => KafkaError::TopicRefused {
            what,
            code,
            reason: format!("{name}: {reason}"),
        },
        error => error,
    }
}

/// How often a topic that was there is looked for again. A cluster agrees on its topics within
/// moments, and a broker that has just come back may know of none.
pub const GONE_LOOKS: u32 = 10;
/// The pause between two looks.
pub const GONE_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode as Code;

    use super::*;

    #[test]
    fn a_topic_that_cannot_be_made_is_named() {
        use crate::halt::Halt;
        use crate::kafka::Class;
        for (code, class) in [
            (
                Code::TopicAuthorizationFailed,
                Class::Halt(Halt::Authorization),
            ),
            (Code::InvalidConfig, Class::Halt(Halt::TopicUnusable)),
            (Code::PolicyViolation, Class::Halt(Halt::TopicUnusable)),
            // Brokers may be missing for the moment.
            (Code::InvalidReplicationFactor, Class::Retry),
        ] {
            let error = KafkaError::of_request("creating topics", code, String::new());
            let error = of_topic("shop.public.users", error);
            assert_eq!(error.class(), class, "{error}");
            assert!(error.to_string().contains("shop.public.users"), "{error}");
        }
    }
}
