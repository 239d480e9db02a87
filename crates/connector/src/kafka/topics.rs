//! Topics as the cluster has them, and making those that are missing.
//!
//! Says what is there and does what it is told; which topics there must be, with which settings, and
//! what follows from a difference is `preflight`'s to say. Clusters that do not let themselves be
//! asked (restricted rights, librdkafka's mock cluster) answer [`KafkaError::Denied`] or
//! [`KafkaError::Unsupported`], or leave settings unknown; neither is a reason not to publish.

mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::context::Listener;
use super::error::KafkaError;
use super::properties::{ClientKind, Properties};

pub use name::{Collision, NameError, check_name, collisions};

/// The admin client.
#[derive(Clone)]
pub struct Topics {
    admin: Arc<AdminClient<Listener>>,
    /// Asks for metadata. An admin client of rdkafka never hands on what librdkafka says about its
    /// connections; a producer does, and publishes nothing here.
    asker: Arc<BaseProducer<Listener>>,
    properties: Properties,
    timeout: Duration,
}

/// One topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// What is there.
    pub state: TopicState,
}

/// What there is under a topic's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicState {
    /// Nothing, or nothing that the principal may see.
    Missing,
    /// The principal may not describe it.
    Denied,
    /// A topic.
    Present {
        /// Its number of partitions.
        partitions: usize,
        /// The smallest number of replicas that a partition has.
        replicas: usize,
        /// Its settings.
        settings: TopicSettings,
    },
}

/// The settings of a topic, as far as the cluster tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicSettings {
    /// By name. Settings without a value, or whose value is secret, are left out.
    Known(BTreeMap<String, String>),
    /// The cluster cannot be asked.
    Unsupported,
    /// The principal may not ask.
    Denied,
}

/// One setting of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    /// The value in force, set or default.
    Known(&'a str),
    /// Not told.
    Unknown,
}

impl TopicSettings {
    /// The value in force of one setting, such as `max.message.bytes`.
    #[must_use]
    pub fn get(&self, name: &str) -> Setting<'_> {
        match self {
            Self::Known(settings) => settings
                .get(name)
                .map_or(Setting::Unknown, |value| Setting::Known(value)),
            Self::Unsupported | Self::Denied => Setting::Unknown,
        }
    }

    /// The largest batch (compressed) that the topic takes, in bytes; none when not told.
    #[must_use]
    pub fn max_message_bytes(&self) -> Option<u64> {
        match self.get("max.message.bytes") {
            Setting::Known(value) => value.parse().ok(),
            Setting::Unknown => None,
        }
    }
}

impl TopicDescription {
    #[cfg(test)]
    pub(super) fn present(name: &str, partitions: usize, setting: Option<(&str, &str)>) -> Self {
        let settings = match setting {
            Some((name, value)) => {
                TopicSettings::Known(BTreeMap::from([(name.to_owned(), value.to_owned())]))
            }
            None => TopicSettings::Denied,
        };
        let state = TopicState::Present {
            partitions,
            replicas: 1,
            settings,
        };
        Self {
            name: name.to_owned(),
            state,
        }
    }
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: u32,
    /// Its replication factor; none for the cluster's own default.
    pub replication_factor: Option<u32>,
    /// Its other settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic for progress: one partition, compacted. `settings` add to that.
    #[must_use]
    pub fn progress(
        name: &str,
        replication_factor: Option<u32>,
        mut settings: BTreeMap<String, String>,
    ) -> Self {
        settings.insert("cleanup.policy".to_owned(), "compact".to_owned());
        Self {
            name: name.to_owned(),
            partitions: 1,
            replication_factor,
            settings,
        }
    }
}

/// How the making of one topic ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The topic.
    pub name: String,
    /// Made, there already, or why not.
    pub outcome: Result<Created, KafkaError>,
}

/// A topic that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    New,
    /// Somebody had made it before.
    Existed,
}

/// The cluster, as far as it is of interest before starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The brokers, as host:port, sorted.
    pub brokers: Vec<String>,
}

impl Topics {
    /// Starts an admin client; connects in the background. `timeout` bounds each question.
    ///
    /// # Errors
    /// Properties that do not go together.
    pub fn connect(properties: &Properties, timeout: Duration) -> Result<Self, KafkaError> {
        let defaults = [("allow.auto.create.topics", "false")];
        let mut config = properties.client_config(ClientKind::Admin, &defaults);
        let explain = |error| {
            KafkaError::of_client("creating the admin client", &error, properties.secrets())
        };
        let listener = || Listener::new(properties.secrets().clone());
        let asker = config.create_with_context(listener()).map_err(explain)?;
        // Nobody would ever take its log lines off its queue.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let admin = config.create_with_context(listener()).map_err(explain)?;
        Ok(Self {
            admin: Arc::new(admin),
            asker: Arc::new(asker),
            properties: properties.clone(),
            timeout,
        })
    }

    /// Goes on with new clients, which begin with `bootstrap.servers`: a client that was told of no
    /// broker at all may never ask anybody again (`brokerless.rs`).
    ///
    /// # Errors
    /// As [`Topics::connect`].
    pub fn reconnect(&mut self) -> Result<(), KafkaError> {
        let former = std::mem::replace(self, Self::connect(&self.properties, self.timeout)?);
        former.close();
        Ok(())
    }

    /// Ends the clients where nobody waits for it: it may take as long as a question under way.
    pub fn close(self) {
        tokio::task::spawn_blocking(move || drop(self));
    }

    /// Asks who is there.
    ///
    /// # Errors
    /// Nobody answered ([`KafkaError::Unreachable`], with the connection's own reason), or the
    /// credentials were not accepted.
    pub async fn cluster(&self) -> Result<Cluster, KafkaError> {
        self.metadata("reaching the cluster", |metadata| {
            let broker = |broker: &rdkafka::metadata::MetadataBroker| {
                format!("{}:{}", broker.host(), broker.port())
            };
            let mut brokers: Vec<_> = metadata.brokers().iter().map(broker).collect();
            brokers.sort_unstable();
            Cluster { brokers }
        })
        .await
    }

    /// Describes the named topics, in the order of `names`. Makes none of them.
    ///
    /// # Errors
    /// Nobody answered. What may not be asked of a single topic is part of its description.
    pub async fn describe(&self, names: &[String]) -> Result<Vec<TopicDescription>, KafkaError> {
        let wanted = names.to_vec();
        // All topics are asked for, since a question for one name can make the broker create it.
        let mut topics = self
            .metadata("describing topics", move |metadata| {
                let by_name: BTreeMap<&str, &MetadataTopic> = metadata
                    .topics()
                    .iter()
                    .map(|topic| (topic.name(), topic))
                    .collect();
                wanted
                    .iter()
                    .map(|name| TopicDescription {
                        name: name.clone(),
                        state: by_name
                            .get(name.as_str())
                            .map_or(TopicState::Missing, state),
                    })
                    .collect::<Vec<_>>()
            })
            .await?;
        let present: Vec<String> = topics
            .iter()
            .filter(|topic| matches!(topic.state, TopicState::Present { .. }))
            .map(|topic| topic.name.clone())
            .collect();
        let mut known = self.settings(&present).await?;
        for topic in &mut topics {
            if let TopicState::Present { settings, .. } = &mut topic.state
                && let Some(found) = known.remove(&topic.name)
            {
                *settings = found;
            }
        }
        Ok(topics)
    }

    async fn settings(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, TopicSettings>, KafkaError> {
        let mut known = BTreeMap::new();
        if names.is_empty() {
            return Ok(known);
        }
        let options = self.options().broker_id(self.broker().await?);
        for names in names.chunks(DESCRIBED_AT_ONCE) {
            let resources: Vec<_> = names
                .iter()
                .map(|name| ResourceSpecifier::Topic(name))
                .collect();
            let answer = self.admin.describe_configs(&resources, &options).await;
            match answer.map_err(|error| self.explain("describing topics", &error)) {
                Ok(resources) => {
                    for resource in resources {
                        let Ok(resource) = resource else { continue };
                        let OwnedResourceSpecifier::Topic(name) = &resource.specifier else {
                            continue;
                        };
                        known.insert(name.clone(), settings_of(&resource));
                    }
                }
                Err(KafkaError::Unsupported { .. }) => {
                    known.extend(
                        names
                            .iter()
                            .map(|it| (it.clone(), TopicSettings::Unsupported)),
                    );
                }
                Err(KafkaError::Denied { .. }) => {
                    known.extend(names.iter().map(|it| (it.clone(), TopicSettings::Denied)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    /// Makes the topics, all in one request, and waits until each has leaders.
    ///
    /// # Errors
    /// The request as a whole failed ([`KafkaError::Unsupported`] where the cluster makes no topics
    /// on request). What befell a single topic is its [`Creation::outcome`].
    pub async fn create(&self, topics: &[NewTopic]) -> Result<Vec<Creation>, KafkaError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let options = self.options().broker_id(self.broker().await?);
        let mut creations = self.request(topics, &options).await?;
        let failed = |it: &Creation| {
            matches!(
                it.outcome,
                Err(KafkaError::Failed {
                    code: Code::NotController,
                    ..
                })
            )
        };
        if creations.iter().any(failed) {
            // Brokers before KRaft do not forward; librdkafka knows the controller.
            creations = self.request(topics, &self.options()).await?;
        }
        // Also those that somebody else has just made: such a topic is not known everywhere at once.
        let made = creations.iter().filter(|creation| creation.outcome.is_ok());
        let made: Vec<String> = made.map(|creation| creation.name.clone()).collect();
        self.wait_for_leaders(&made).await?;
        Ok(creations)
    }

    async fn request(
        &self,
        topics: &[NewTopic],
        options: &AdminOptions,
    ) -> Result<Vec<Creation>, KafkaError> {
        // librdkafka crashes at a name that is asked for twice.
        let mut names = BTreeSet::new();
        let once = topics.iter().filter(|topic| names.insert(&topic.name));
        let requests: Vec<_> = once.map(request).collect();
        let answer = self.admin.create_topics(&requests, options).await;
        let results = answer.map_err(|error| self.explain(CREATING, &error))?;
        let creation = |result| match result {
            Ok(name) => Creation {
                name,
                outcome: Ok(Created::New),
            },
            Err((name, Code::TopicAlreadyExists)) => Creation {
                name,
                outcome: Ok(Created::Existed),
            },
            Err((name, code)) => Creation {
                outcome: Err(KafkaError::of_request(CREATING, code, String::new())),
                name,
            },
        };
        Ok(results.into_iter().map(creation).collect())
    }

    /// A broker that answers. Requests are sent to one by number, since librdkafka would else wait
    /// for a controller, which a mock cluster never names.
    async fn broker(&self) -> Result<i32, KafkaError> {
        self.metadata("finding a broker", |metadata| {
            match metadata.orig_broker_id() {
                -1 => metadata
                    .brokers()
                    .first()
                    .map_or(-1, rdkafka::metadata::MetadataBroker::id),
                id => id,
            }
        })
        .await
    }

    /// Waits until every partition of the topics has a leader, so that nothing that is published
    /// right after meets an unknown topic.
    ///
    /// # Errors
    /// The time was over first.
    pub async fn wait_for_leaders(&self, names: &[String]) -> Result<(), KafkaError> {
        const WAITING: &str = "waiting for the leaders of new topics";
        let deadline = Instant::now() + self.timeout;
        let mut missing = names.to_vec();
        while !missing.is_empty() {
            let wanted = missing.clone();
            missing = self
                .metadata(WAITING, move |metadata| {
                    let led = |name: &String| {
                        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                        topic.is_some_and(|topic| {
                            !topic.partitions().is_empty()
                                && topic.partitions().iter().all(|it| it.leader() >= 0)
                        })
                    };
                    wanted.into_iter().filter(|name| !led(name)).collect()
                })
                .await?;
            if missing.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                let reason = format!("{} without a leader: {}", missing.len(), missing.join(", "));
                return Err(KafkaError::Unreachable {
                    what: WAITING,
                    reason,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Fetches the metadata of all topics on a blocking thread and takes from it what is wanted.
    async fn metadata<T: Send + 'static>(
        &self,
        what: &'static str,
        take: impl FnOnce(&rdkafka::metadata::Metadata) -> T + Send + 'static,
    ) -> Result<T, KafkaError> {
        let (asker, timeout) = (Arc::clone(&self.asker), self.timeout);
        let asking = tokio::task::spawn_blocking(move || {
            let answer = asker
                .client()
                .fetch_metadata(None, timeout)
                .map(|it| take(&it));
            // Serves what librdkafka has said meanwhile: on a failure, the reason is among it.
            asker.poll(Duration::from_millis(if answer.is_ok() { 1 } else { 20 }));
            answer
        });
        match asking.await {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(error)) => Err(self.explain(what, &error)),
            Err(_) => {
                let reason = "the asking thread panicked".to_owned();
                Err(KafkaError::Unreachable { what, reason })
            }
        }
    }

    fn explain(&self, what: &'static str, error: &rdkafka::error::KafkaError) -> KafkaError {
        self.asker.client().context().explain(what, error)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn state(topic: &&MetadataTopic) -> TopicState {
    match topic.error().map(Code::from) {
        Some(Code::TopicAuthorizationFailed) => TopicState::Denied,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => TopicState::Missing,
        // A leader that is being elected is no matter here.
        _ => TopicState::Present {
            partitions: topic.partitions().len(),
            replicas: topic
                .partitions()
                .iter()
                .map(|it| it.replicas().len())
                .min()
                .unwrap_or(0),
            settings: TopicSettings::Unsupported,
        },
    }
}

fn settings_of(resource: &ConfigResource) -> TopicSettings {
    if resource.entries.is_empty() {
        // The client does not hand on the error of a single resource; every topic has settings, so
        // none at all means that the principal may not see them.
        return TopicSettings::Denied;
    }
    let told = resource.entries.iter().filter(|entry| !entry.is_sensitive);
    let pairs = told.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)));
    TopicSettings::Known(pairs.collect())
}

fn request(topic: &NewTopic) -> rdkafka::admin::NewTopic<'_> {
    // -1 is Kafka's word for "the cluster's default" (KIP-464).
    let replicas = topic
        .replication_factor
        .map_or(-1, |it| i32::try_from(it).unwrap_or(i32::MAX));
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let replication = TopicReplication::Fixed(replicas);
    let mut request = rdkafka::admin::NewTopic::new(&topic.name, partitions, replication);
    for (name, value) in &topic.settings {
        request = request.set(name, value);
    }
    request
}

const CREATING: &str = "creating topics";

/// Topics in one DescribeConfigs: an answer has some 3 KB for each.
const DESCRIBED_AT_ONCE: usize = 500;
