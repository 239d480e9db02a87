//! Kafka: can it be reached, are the topics there, and do their settings keep what they are given?
//!
//! What the cluster does not tell (restricted rights, an embedded broker) is said once and taken as
//! good. The right to write is not tried out: there is no way to ask that writes nothing.

use std::collections::BTreeSet;

use super::Captured;
use super::finding::{Finding, Remedy, Subject};
use super::wanted::Create;
use crate::config::{self, Config};
use crate::kafka::topics::{
    Cluster, NewTopic, Setting, TopicDescription, TopicSettings, TopicState,
};
use crate::kafka::{Class, KafkaError, ProgressError, Topics, progress};

/// The topics that a configuration wants.
pub struct WantedTopics<'a> {
    /// Where the cluster is, for the commands that are printed.
    pub bootstrap_servers: &'a str,
    /// The tables, and the topics of their events.
    pub tables: &'a [Captured],
    /// How a missing topic of this name would be made.
    pub declared: &'a (dyn Fn(&str) -> NewTopic + Sync),
    /// Those that stored progress tells of: missing, they were deleted.
    pub begun: &'a BTreeSet<String>,
    /// How the progress topic would be made.
    pub progress: NewTopic,
    /// Whether missing topics may be made.
    pub create: Create,
    /// The partitions that `topics.partition` chooses among; 0 without.
    pub partitions_needed: u32,
}

/// What the check of Kafka found.
#[derive(Debug, Default)]
pub struct KafkaExamination {
    /// Everything there is to say, unsorted.
    pub findings: Vec<Finding>,
    /// The topics that a start would make.
    pub create: Vec<NewTopic>,
}

/// Checks Kafka for what `config` wants; `tables` come from the check of Postgres, and `begun` from
/// the progress topic.
pub async fn topics_of_config(
    config: &Config,
    tables: &[Captured],
    begun: &BTreeSet<String>,
    topics: &Topics,
) -> KafkaExamination {
    let wanted = &config.topics;
    let replication_factor = wanted.replication_factor.map(i32::unsigned_abs);
    let routing = config.envelope.partitions.as_ref();
    let declared = |name: &str| declared(config, name);
    let wanted = WantedTopics {
        bootstrap_servers: config.kafka.bootstrap_servers(),
        tables,
        declared: &declared,
        begun,
        progress: NewTopic::progress(&wanted.progress, replication_factor, Default::default()),
        create: match wanted.create {
            config::Create::Auto => Create::Auto,
            config::Create::Never => Create::Never,
        },
        partitions_needed: routing.map_or(0, |routing| routing.partitions),
    };
    examine(topics, &wanted).await
}

/// How a missing topic of this name would be made.
pub(crate) fn declared(config: &Config, name: &str) -> NewTopic {
    let wanted = &config.topics;
    NewTopic {
        name: name.to_owned(),
        partitions: wanted.partitions.unsigned_abs(),
        replication_factor: wanted.replication_factor.map(i32::unsigned_abs),
        settings: wanted.settings.iter().cloned().collect(),
    }
}

/// Asks the cluster, and judges what it says.
pub async fn examine(topics: &Topics, wanted: &WantedTopics<'_>) -> KafkaExamination {
    let answer = async {
        let cluster = topics.cluster().await?;
        let mut names: Vec<String> = wanted
            .tables
            .iter()
            .filter_map(|table| table.topic.clone())
            .collect();
        names.sort();
        names.dedup();
        names.push(wanted.progress.name.clone());
        Ok((cluster, topics.describe(&names).await?))
    };
    match answer.await {
        Ok((cluster, topics)) => judge(wanted, &cluster, &topics),
        Err(error) => KafkaExamination {
            findings: vec![unreachable(wanted, &error)],
            create: Vec::new(),
        },
    }
}

fn unreachable(wanted: &WantedTopics<'_>, error: &KafkaError) -> Finding {
    use crate::halt::Halt;
    let (code, remedy) = match error.class() {
        Class::Halt(Halt::Authentication) => (
            "KAFKA_AUTHENTICATION",
            "correct the sasl.* or ssl.* settings under kafka",
        ),
        Class::Halt(Halt::Authorization) => (
            "KAFKA_DENIED",
            "grant the principal Describe on the cluster and the topics",
        ),
        _ => (
            "KAFKA_UNREACHABLE",
            "see that kafka.bootstrap.servers are right and answer from here",
        ),
    };
    let subject = Subject::Kafka(wanted.bootstrap_servers.to_owned());
    Finding::error(code, subject, format!("{error}.")).text(remedy)
}

/// Judges what the cluster said.
#[must_use]
pub fn judge(
    wanted: &WantedTopics<'_>,
    cluster: &Cluster,
    topics: &[TopicDescription],
) -> KafkaExamination {
    let mut found = KafkaExamination::default();
    let mut untold = Vec::new();
    for topic in topics {
        let is_progress = topic.name == wanted.progress.name;
        let declared = if is_progress {
            wanted.progress.clone()
        } else {
            (wanted.declared)(&topic.name)
        };
        match &topic.state {
            TopicState::Missing if wanted.begun.contains(&topic.name) => {
                found.findings.push(gone(wanted, &declared));
            }
            TopicState::Missing => found.create.push(declared),
            TopicState::Denied => found.findings.push(denied(&topic.name)),
            TopicState::Present {
                partitions,
                replicas,
                settings,
            } => {
                let judged = Judged {
                    wanted,
                    topic,
                    declared: &declared,
                    settings,
                };
                found.findings.extend(judged.durability(*replicas, cluster));
                if is_progress {
                    found.findings.extend(judged.progress());
                } else {
                    found.findings.extend(judged.data(*partitions));
                    found.findings.extend(judged.too_few(*partitions));
                }
                if !matches!(settings, TopicSettings::Known(_)) {
                    untold.push(topic.name.as_str());
                }
            }
        }
    }
    found.findings.extend(too_few_of_new(wanted));
    found
        .findings
        .extend(missing(wanted, cluster, &found.create));
    found.findings.extend(limits(wanted, topics));
    if !untold.is_empty() {
        let problem = format!(
            "Kafka does not tell the settings of {}: they are taken as good.",
            some(&untold)
        );
        let subject = Subject::Kafka(wanted.bootstrap_servers.to_owned());
        found
            .findings
            .push(Finding::info("TOPIC_SETTINGS_UNTOLD", subject, problem));
    }
    if wanted.create == Create::Never {
        found.create.clear();
    }
    found
}

fn denied(name: &str) -> Finding {
    let problem = "The principal may not describe it.";
    Finding::error("TOPIC_DENIED", Subject::Topic(name.to_owned()), problem)
        .text("grant Describe, Write and (for the progress topic) Read")
}

fn gone(wanted: &WantedTopics<'_>, topic: &NewTopic) -> Finding {
    let problem = "It was published to and does not exist any more (or may not be seen any more: \
                   Describe). What it held is not published again, so it is not made again by itself.";
    let subject = Subject::Topic(topic.name.clone());
    Finding::error("TOPIC_GONE", subject, problem)
        .text(create_command(wanted.bootstrap_servers, topic))
        .or(Remedy::Text(
            "to publish the rows that are there: another postgres.slot, with snapshot.mode: initial"
                .to_owned(),
        ))
}

/// Why a table is not published whose topic is not there, where walferry may make none.
pub(crate) fn missing_of(bootstrap_servers: &str, topic: &NewTopic) -> Finding {
    let subject = Subject::Topic(topic.name.clone());
    let problem = format!("The topic of its events, {}, does not exist.", topic.name);
    Finding::error(TOPIC_MISSING, subject, problem).text(create_command(bootstrap_servers, topic))
}

pub(crate) const TOPIC_MISSING: &str = "TOPIC_MISSING";

fn missing(wanted: &WantedTopics<'_>, cluster: &Cluster, missing: &[NewTopic]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if wanted.create == Create::Never {
        findings.extend(missing.iter().map(|topic| {
            let subject = Subject::Topic(topic.name.clone());
            Finding::error(TOPIC_MISSING, subject, "The topic does not exist.")
                .text(create_command(wanted.bootstrap_servers, topic))
                .or(Remedy::Setting("topics: { create: auto }".to_owned()))
        }));
    } else if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|topic| topic.name.as_str()).collect();
        let subject = Subject::Kafka(wanted.bootstrap_servers.to_owned());
        let problem = format!("At start, topics will be created: {}.", some(&names));
        findings.push(Finding::info(TOPIC_MISSING, subject, problem));
    }
    let brokers = cluster.brokers.len();
    let copies = missing
        .iter()
        .filter_map(|topic| topic.replication_factor)
        .max()
        .unwrap_or(0);
    if copies as usize > brokers {
        let subject = Subject::Setting("topics.replication.factor".to_owned());
        let problem = format!("It is {copies}, and the cluster has {brokers} brokers.");
        findings.push(
            Finding::error("REPLICATION_FACTOR", subject, problem)
                .setting(format!("topics: {{ replication.factor: {brokers} }}")),
        );
    } else if copies == 1 && brokers > 1 {
        let subject = Subject::Setting("topics.replication.factor".to_owned());
        let problem = "It is 1: when the one broker of a partition dies, its events are gone.";
        findings.push(
            Finding::warning("REPLICATION_FACTOR", subject, problem).setting(format!(
                "topics: {{ replication.factor: {} }}",
                brokers.min(3)
            )),
        );
    }
    findings
}

/// Topics that are still to be made, now or for tables to come, would lack partitions in use.
fn too_few_of_new(wanted: &WantedTopics<'_>) -> Option<Finding> {
    let (needed, declared) = (wanted.partitions_needed, (wanted.declared)("").partitions);
    if wanted.create == Create::Never || declared >= needed {
        return None;
    }
    let subject = Subject::Setting("topics.partitions".to_owned());
    let problem = format!(
        "Topics would be made with {declared} partitions, but partition.topic.num chooses among {needed}."
    );
    let finding = Finding::error("TOPIC_FEW_PARTITIONS", subject, problem);
    Some(finding.setting(format!("topics: {{ partitions: {needed} }}")))
}

/// One topic that exists, beside how it would have been made.
struct Judged<'a> {
    wanted: &'a WantedTopics<'a>,
    topic: &'a TopicDescription,
    declared: &'a NewTopic,
    settings: &'a TopicSettings,
}

impl Judged<'_> {
    fn subject(&self) -> Subject {
        Subject::Topic(self.topic.name.clone())
    }

    /// Does an acknowledgement mean that the record stays?
    fn durability(&self, replicas: usize, cluster: &Cluster) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Setting::Known(text) = self.settings.get("min.insync.replicas")
            && text.parse::<usize>().is_ok_and(|needed| needed > replicas)
        {
            let problem = format!(
                "min.insync.replicas is {text} and it has {replicas} replicas: no record is ever \
                 acknowledged."
            );
            findings.push(
                Finding::error("TOPIC_INSYNC", self.subject(), problem)
                    .text(self.config_command(&format!("min.insync.replicas={replicas}"))),
            );
        }
        if replicas == 1 && cluster.brokers.len() > 1 {
            let problem = "It has one replica: when that broker dies, its events are gone.";
            findings.push(
                Finding::warning("TOPIC_REPLICAS", self.subject(), problem)
                    .text("add replicas with kafka-reassign-partitions.sh"),
            );
        }
        if self.settings.get("unclean.leader.election.enable") == Setting::Known("true") {
            let problem = "unclean.leader.election.enable: acknowledged events can be lost.";
            findings.push(
                Finding::warning("TOPIC_UNCLEAN", self.subject(), problem)
                    .text(self.config_command("unclean.leader.election.enable=false")),
            );
        }
        findings
    }

    fn progress(&self) -> Option<Finding> {
        let error = progress::suitable(self.topic).err()?;
        let finding = Finding::error("PROGRESS_TOPIC", self.subject(), format!("{error}."));
        Some(match error {
            ProgressError::NotCompacted { .. } => {
                finding.text(self.config_command("cleanup.policy=compact"))
            }
            _ => finding.setting("topics: { progress: … }"),
        })
    }

    fn too_few(&self, partitions: usize) -> Option<Finding> {
        let needed = self.wanted.partitions_needed;
        if partitions >= needed as usize {
            return None;
        }
        let problem = format!(
            "It has {partitions} partitions, but partition.topic.num chooses among {needed}."
        );
        let finding = Finding::error("TOPIC_FEW_PARTITIONS", self.subject(), problem);
        Some(finding.text(format!(
            "kafka-topics.sh --bootstrap-server {} --alter --topic {} --partitions {needed}",
            self.wanted.bootstrap_servers, self.topic.name
        )))
    }

    fn data(&self, partitions: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        if partitions != self.declared.partitions as usize {
            let problem = format!(
                "It has {partitions} partitions, a new one would have {}; it is used as it is.",
                self.declared.partitions
            );
            findings.push(Finding::info("TOPIC_PARTITIONS", self.subject(), problem));
        }
        let differing: Vec<(&str, &str, &str)> = self
            .declared
            .settings
            .iter()
            .filter_map(|(name, declared)| match self.settings.get(name) {
                Setting::Known(found) if found != declared => {
                    Some((name.as_str(), declared.as_str(), found))
                }
                _ => None,
            })
            .collect();
        if !differing.is_empty() {
            let found: Vec<String> = differing
                .iter()
                .map(|(name, _, found)| format!("{name}={found}"))
                .collect();
            let declared: Vec<String> = differing
                .iter()
                .map(|(name, declared, _)| assignment(name, declared))
                .collect();
            let problem = format!("It differs from the configuration: {}.", found.join(", "));
            findings.push(
                Finding::warning("TOPIC_SETTINGS", self.subject(), problem)
                    .text(self.config_command(&declared.join(","))),
            );
        }
        findings.extend(self.keyless_and_compacted());
        findings
    }

    /// A compacted topic refuses records without a key.
    fn keyless_and_compacted(&self) -> Option<Finding> {
        let table = self
            .wanted
            .tables
            .iter()
            .find(|table| table.topic.as_ref() == Some(&self.topic.name) && !table.keyed)?;
        let Setting::Known(policy) = self.settings.get("cleanup.policy") else {
            return None;
        };
        policy
            .split(',')
            .any(|word| word.trim() == "compact")
            .then(|| {
                let problem = format!(
                    "It is compacted, which refuses records without a key, and table {} has none.",
                    table.relation.full_name()
                );
                Finding::error("TOPIC_COMPACTED", self.subject(), problem)
                    .text("give the table a primary key")
                    .or(Remedy::Text(self.config_command("cleanup.policy=delete")))
            })
    }

    fn config_command(&self, settings: &str) -> String {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} \
             --add-config '{settings}'",
            self.wanted.bootstrap_servers, self.topic.name
        )
    }
}

/// The topics' limits against tables whose rows have no bound.
fn limits(wanted: &WantedTopics<'_>, topics: &[TopicDescription]) -> Option<Finding> {
    let unbounded = |topic: &&TopicDescription| {
        wanted
            .tables
            .iter()
            .any(|table| table.large_values && table.topic.as_ref() == Some(&topic.name))
    };
    let (bytes, topic) = topics
        .iter()
        .filter(unbounded)
        .filter_map(|topic| match &topic.state {
            TopicState::Present { settings, .. } => Some((settings.max_message_bytes()?, topic)),
            TopicState::Missing | TopicState::Denied => None,
        })
        .min_by_key(|(bytes, _)| *bytes)?;
    let subject = Subject::Topic(topic.name.clone());
    let problem = format!(
        "max.message.bytes is {bytes} (compressed): a row beyond it stops walferry \
         (RECORD_TOO_LARGE) and loses nothing."
    );
    Some(if bytes < MESSAGE_BYTES_DEFAULT {
        Finding::warning("MAX_MESSAGE_BYTES", subject, problem)
            .text("raise max.message.bytes to what the largest rows need")
    } else {
        Finding::info("MAX_MESSAGE_BYTES", subject, problem)
    })
}

/// Brackets keep a value's own commas together (`kafka-configs.sh --add-config`).
fn assignment(name: &str, value: &str) -> String {
    if value.contains(',') {
        format!("{name}=[{value}]")
    } else {
        format!("{name}={value}")
    }
}

fn create_command(bootstrap_servers: &str, topic: &NewTopic) -> String {
    let mut command = format!(
        "kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic {} --partitions {}",
        topic.name, topic.partitions
    );
    if let Some(copies) = topic.replication_factor {
        command.push_str(&format!(" --replication-factor {copies}"));
    }
    for (name, value) in &topic.settings {
        command.push_str(&format!(" --config '{name}={value}'"));
    }
    command
}

/// The first few names, and how many more.
fn some(names: &[&str]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown = names
        .iter()
        .take(SHOWN_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Kafka's own default for `max.message.bytes`.
const MESSAGE_BYTES_DEFAULT: u64 = 1_048_588;

#[cfg(test)]
mod tests;
