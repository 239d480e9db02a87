//! The sections `kafka` and `topics`.

use std::str::FromStr;

use super::librdkafka::{self, SERVERS};
use super::problem::Origin;
use super::reader::Reader;
use super::secret_source::{SecretError, SecretSource};
use super::settings::Text;
use super::{Create, topic_settings};
use crate::kafka::{KafkaError, Properties};
use crate::secret::Secret;

/// The section `kafka`: librdkafka's own properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// The properties as written, sorted by name. They keep the guarantee; librdkafka knows each
    /// and takes its value.
    pub properties: Vec<Property>,
}

/// One librdkafka property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name, as librdkafka spells it.
    pub name: String,
    /// Its value.
    pub value: PropertyValue,
}

/// A property's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// One that may be shown.
    Plain(String),
    /// One that may not.
    Secret(SecretSource),
}

impl Kafka {
    /// Every property with its value, secrets read anew. Call it for each new client, where
    /// blocking is allowed.
    ///
    /// # Errors
    /// A secret's file or command did not give it.
    pub fn pairs(&self) -> Result<Vec<(String, Secret)>, SecretError> {
        self.properties
            .iter()
            .map(|property| {
                let value = match &property.value {
                    PropertyValue::Plain(text) => Secret::new(text.as_str()),
                    PropertyValue::Secret(source) => source.read()?,
                };
                Ok((property.name.clone(), value))
            })
            .collect()
    }

    /// The brokers to begin with.
    pub fn bootstrap_servers(&self) -> &str {
        let servers = self
            .properties
            .iter()
            .find(|property| matches!(property.name.as_str(), SERVERS | "metadata.broker.list"));
        match servers.map(|property| &property.value) {
            Some(PropertyValue::Plain(text)) => text,
            _ => "",
        }
    }
}

/// The section `topics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// First part of every topic's name.
    pub prefix: String,
    /// Whether missing topics are created.
    pub create: Create,
    /// Partitions of created topics.
    pub partitions: i32,
    /// Replicas of created topics; `None` is the broker's default.
    pub replication_factor: Option<i32>,
    /// The progress topic.
    pub progress: String,
    /// Kafka's settings for created topics, sorted by name.
    pub settings: Vec<(String, String)>,
}

pub(super) fn read_kafka(reader: &mut Reader<'_>) -> Option<Kafka> {
    if !reader.is_set("kafka.bootstrap.servers") && !reader.is_set("kafka.metadata.broker.list") {
        reader.report_missing("kafka.bootstrap.servers");
    }
    let plain = reader.pass_through("kafka", |name| {
        librdkafka::is_known(name) && !librdkafka::is_secret(name)
    });
    let (good, bad): (Vec<_>, Vec<_>) = plain.into_iter().partition(|(name, text)| {
        let path = format!("kafka.{name}");
        reader
            .parse_text(&path, text, |value| check(name, value))
            .is_some()
    });
    if bad.is_empty() {
        report_aliases(reader, &good);
    }
    let mut properties: Vec<Property> = good
        .into_iter()
        .map(|(name, text)| Property {
            name,
            value: PropertyValue::Plain(text.value),
        })
        .collect();
    for name in librdkafka::PROPERTIES
        .iter()
        .filter(|name| librdkafka::is_secret(name))
    {
        let path = format!("kafka.{name}");
        let Some((source, origin)) = reader.secret(&path) else {
            continue;
        };
        if let SecretSource::Inline(secret) = &source
            && let Some(reason) = librdkafka::refusal(name, secret.expose())
        {
            reader.report(origin, &path, reason);
        }
        properties.push(Property {
            name: (*name).to_owned(),
            value: PropertyValue::Secret(source),
        });
    }
    properties.sort_by(|a, b| a.name.cmp(&b.name));
    Some(Kafka { properties })
}

/// librdkafka has two names for some properties, and would take the last it is given. The pairs
/// are good one by one, so what is wrong with them together is that.
fn report_aliases(reader: &mut Reader<'_>, pairs: &[(String, Text)]) {
    let values = pairs
        .iter()
        .map(|(name, text)| (name.as_str(), text.value.as_str()));
    for problem in Properties::parse(values).err().into_iter().flatten() {
        if let KafkaError::Property { name, reason } = problem
            && let Some((_, text)) = pairs.iter().find(|(other, _)| *other == name)
        {
            reader.report(text.origin.clone(), &format!("kafka.{name}"), reason);
        }
    }
}

fn check(name: &str, value: &str) -> Result<(), String> {
    if name == SERVERS {
        for server in value.split(',').map(str::trim) {
            let address = server
                .split_once("://")
                .map_or(server, |(_, address)| address);
            host_and_port(address, 1).map_err(|reason| format!("{reason}; write host:port"))?;
        }
    }
    librdkafka::refusal(name, value).map_or(Ok(()), Err)
}

/// Checks `host:port`, with a numeric IPv6 host in brackets.
pub(super) fn host_and_port(text: &str, port_min: u16) -> Result<(), &'static str> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("has no port");
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(address) if std::net::Ipv6Addr::from_str(address).is_err() => {
            return Err("has no IPv6 address between its brackets");
        }
        None if host.contains(':') => return Err("has an IPv6 address without brackets"),
        None if host.is_empty() || host.contains(char::is_whitespace) => return Err("has no host"),
        _ => {}
    }
    match port.parse::<u16>() {
        Ok(port) if port >= port_min => Ok(()),
        _ => Err("has a port that is none"),
    }
}

pub(super) fn read_topics(
    reader: &mut Reader<'_>,
    name: Option<&str>,
    slot: Option<&str>,
) -> Option<Topics> {
    let prefix = reader.text_or("topics.prefix", name.map(str::to_owned), topic_name);
    let create = reader.word("topics.create");
    let partitions = reader.count("topics.partitions");
    let replication_factor = replication_factor(reader);
    let derived = slot.map(|slot| format!("walferry.progress.{slot}"));
    let progress = reader.text_or("topics.progress", derived, topic_name);
    let settings = reader.pass_through("topics", topic_settings::is_known);
    Some(Topics {
        prefix: prefix?,
        create: create?,
        partitions: partitions?,
        replication_factor: replication_factor?,
        progress: progress?,
        settings: settings
            .into_iter()
            .map(|(name, Text { value, .. })| (name, value))
            .collect(),
    })
}

fn replication_factor(reader: &mut Reader<'_>) -> Option<Option<i32>> {
    match reader.count::<i32>("topics.replication.factor")? {
        -1 => Some(None),
        0 => {
            let reason = "must be 1 or more, or -1 for the broker's default";
            reader.report(Origin::File, "topics.replication.factor", reason);
            None
        }
        replicas => Some(Some(replicas)),
    }
}

/// Kafka's rule for topic names, which a prefix must keep too.
fn topic_name(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "holds {c:?}; a topic's name takes letters, digits, . _ -"
        )),
        None if text.len() > TOPIC_NAME_MAX => {
            Err(format!("is longer than {TOPIC_NAME_MAX} characters"))
        }
        None if matches!(text, "." | "..") => Err("cannot be a topic's name".to_owned()),
        None => Ok(()),
    }
}

/// Kafka's own limit is 249.
const TOPIC_NAME_MAX: usize = 249;
