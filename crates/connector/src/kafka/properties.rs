//! The librdkafka properties a user may pass under `kafka:`, checked once, and the secrets in them.
//!
//! Every property of librdkafka passes through under its own name, except those that would break the
//! guarantee: these are refused by name with the reason. Names are brought to one spelling, since
//! librdkafka takes the last of two aliases and nobody could say which that is.

use std::sync::Arc;

use super::error::KafkaError;
use crate::secret::{REDACTED, Secret};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Checked properties. `Debug` shows names, never values.
#[derive(Clone)]
pub struct Properties {
    pairs: Vec<(String, Secret)>,
    secrets: Secrets,
}

impl Properties {
    /// Checks the pairs and keeps them.
    ///
    /// # Errors
    /// Every property that librdkafka does not know, cannot read, or that would break the guarantee,
    /// all at once.
    pub fn parse<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, Vec<KafkaError>>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut kept: Vec<(String, Secret)> = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.into(), Secret::new(value));
            let canonical = canonical_name(&name).to_owned();
            if let Some(reason) = refusal(&canonical, value.expose()) {
                problems.push(KafkaError::Property {
                    name,
                    reason: reason.to_owned(),
                });
            } else if kept.iter().any(|(other, _)| *other == canonical) {
                let reason = "is given twice (perhaps once by an alias)".to_owned();
                problems.push(KafkaError::Property { name, reason });
            } else if let Err(problem) = accepted_by_librdkafka(&canonical, value.expose()) {
                problems.push(problem);
            } else {
                kept.push((canonical, value));
            }
        }
        if !kept.iter().any(|(name, _)| name == "bootstrap.servers") && problems.is_empty() {
            problems.push(KafkaError::Property {
                name: "bootstrap.servers".into(),
                reason: "is missing; name at least one broker as host:port".into(),
            });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let secret = kept.iter().filter(|(name, _)| is_secret(name));
        let secrets = Secrets::of(secret.map(|(_, value)| value.clone()));
        Ok(Self {
            pairs: kept,
            secrets,
        })
    }

    /// The value of a property that the user gave, by any of its names.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = canonical_name(name);
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.expose())
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// A configuration for `client`, with `defaults` under the user's own values.
    pub(super) fn client_config(
        &self,
        client: ClientKind,
        defaults: &[(&str, &str)],
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", "walferry");
        // A half-open connection to a broker must be found without waiting for a request to time out.
        config.set("socket.keepalive.enable", "true");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.pairs {
            let fits = match client {
                ClientKind::Producer => !CONSUMER_ONLY.contains(&name.as_str()),
                ClientKind::Consumer => !PRODUCER_ONLY.contains(&name.as_str()),
                ClientKind::Admin => {
                    !CONSUMER_ONLY.contains(&name.as_str())
                        && !PRODUCER_ONLY.contains(&name.as_str())
                }
            };
            if fits {
                config.set(name.as_str(), value.expose());
            }
        }
        config
    }
}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.pairs.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Which client a configuration is for: librdkafka warns of properties of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientKind {
    Producer,
    Consumer,
    Admin,
}

/// Values that must never be seen. `Debug` says how many.
#[derive(Clone, Default)]
pub(super) struct Secrets(Arc<[Secret]>);

impl Secrets {
    pub(super) fn of(values: impl IntoIterator<Item = Secret>) -> Self {
        let mut values: Vec<_> = values
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect();
        // The longest first: a secret that contains another must go whole.
        values.sort_by_key(|value| std::cmp::Reverse(value.expose().len()));
        Self(values.into())
    }

    /// The text with every secret replaced.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter() {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), REDACTED);
            }
        }
        text
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

fn canonical_name(name: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, canonical)| canonical)
}

fn is_secret(name: &str) -> bool {
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Why a property would break the guarantee, if it would.
fn refusal(name: &str, value: &str) -> Option<&'static str> {
    let value = value.trim();
    let is = |wanted: &[&str]| wanted.iter().any(|word| word.eq_ignore_ascii_case(value));
    match name {
        "enable.idempotence" if !is(&["true"]) => {
            Some("must stay true: without it a retry repeats and reorders records")
        }
        "acks" if !is(&["all", "-1"]) => {
            Some("must stay all: a record is confirmed to Postgres once Kafka has it safe")
        }
        "message.timeout.ms" if !is(&["0"]) => {
            Some("must stay 0 (never): a record that times out leaves a hole behind it")
        }
        "partitioner" if is(&["random"]) => {
            Some("must keep a key on one partition; use murmur2_random (as Java clients do)")
        }
        "queuing.strategy" if !is(&["fifo"]) => Some("must stay fifo: records keep their order"),
        "delivery.report.only.error" if !is(&["false"]) => {
            Some("must stay false: the acknowledgements are what moves the slot")
        }
        "enable.gapless.guarantee" if !is(&["true"]) => {
            Some("must stay true: nothing may pass a record that was refused")
        }
        "retries" | "max.in.flight.requests.per.connection" => {
            Some("is set by the idempotent producer; remove it")
        }
        "queue.buffering.max.messages" | "queue.buffering.max.kbytes" => {
            Some("follows from the connector's in-flight limits; remove it")
        }
        "transactional.id" | "transaction.timeout.ms" => {
            Some("is set by the delivery mode; remove it and see `delivery`")
        }
        "statistics.interval.ms" => Some("is set by walferry for its metrics; remove it"),
        "group.id"
        | "enable.auto.commit"
        | "auto.offset.reset"
        | "isolation.level"
        | "enable.partition.eof" => Some("is of no use here: walferry reads only its own progress"),
        "log.queue" | "test.mock.num.brokers" | "plugin.library.paths" => {
            Some("is not supported by walferry; remove it")
        }
        _ => None,
    }
}

fn accepted_by_librdkafka(name: &str, value: &str) -> Result<(), KafkaError> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(error) => {
            let secrets = if is_secret(name) {
                vec![Secret::new(value)]
            } else {
                Vec::new()
            };
            Err(KafkaError::of_client(
                "reading the properties",
                &error,
                &Secrets::of(secrets),
            ))
        }
    }
}

/// Two names for one property: the first is brought to the second. Section "Configuration
/// properties" of librdkafka's CONFIGURATION.md.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanisms", "sasl.mechanism"),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.codec", "compression.type"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
];

/// What makes a property's value a secret.
const SECRET_PARTS: &[&str] = &[
    "password",
    "secret",
    "passphrase",
    ".pem",
    "sasl.oauthbearer.config",
    "token",
];

const PRODUCER_ONLY: &[&str] = &[
    "transactional.id",
    "transaction.timeout.ms",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "linger.ms",
    "retries",
    "queue.buffering.backpressure.threshold",
    "compression.type",
    "compression.level",
    "batch.num.messages",
    "batch.size",
    "delivery.report.only.error",
    "sticky.partitioning.linger.ms",
    "acks",
    "request.timeout.ms",
    "message.timeout.ms",
    "queuing.strategy",
    "partitioner",
];

const CONSUMER_ONLY: &[&str] = &[
    "fetch.min.bytes",
    "fetch.max.bytes",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "check.crcs",
    "client.rack",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let broker = ("bootstrap.servers", "127.0.0.1:9092");
        let pairs = pairs.iter().copied().chain([broker]);
        match Properties::parse(pairs) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_breaks_the_guarantee_is_refused_by_any_name() {
        for (name, value) in [
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("request.required.acks", "0"),
            ("delivery.timeout.ms", "30000"),
            ("message.timeout.ms", "1"),
            ("partitioner", "random"),
            ("max.in.flight", "20"),
            ("transactional.id", "x"),
            ("enable.gapless.guarantee", "false"),
        ] {
            let found = problems(&[(name, value)]);
            assert_eq!(found.len(), 1, "{name}={value}: {found:?}");
            assert!(found[0].contains(name), "{found:?}");
        }
    }

    #[test]
    fn what_is_harmless_passes() {
        assert!(
            problems(&[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("compression.type", "zstd"),
                ("linger.ms", "20"),
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.password", "canary-7f3a"),
                ("client.rack", "a"),
            ])
            .is_empty()
        );
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let found = problems(&[
            ("acks", "1"),
            ("compresion.type", "lz4"),
            ("linger.ms", "soon"),
            ("compression.type", "lz4"),
            ("compression.codec", "zstd"),
        ]);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[1].contains("compresion.type"), "{found:#?}");
        assert!(found[3].contains("twice"), "{found:#?}");
    }

    #[test]
    fn the_broker_list_is_asked_for() {
        let errors = Properties::parse([("compression.type", "lz4")]).unwrap_err();
        assert!(errors[0].to_string().contains("bootstrap.servers"));
    }

    #[test]
    fn secrets_show_nowhere() {
        let properties = Properties::parse([
            ("bootstrap.servers", "127.0.0.1:9092"),
            ("sasl.password", "canary-7f3a"),
            ("ssl.key.pem", "canary-7f3a-longer"),
        ])
        .unwrap();
        let text = format!("{properties:?} {:?}", properties.secrets());
        assert!(!text.contains("canary"), "{text}");
        let line = properties
            .secrets()
            .redact("x canary-7f3a-longer y canary-7f3a z");
        assert_eq!(line, "x *** y *** z");
    }

    #[test]
    fn each_client_gets_its_own_properties() {
        let properties = Properties::parse([
            ("metadata.broker.list", "127.0.0.1:9092"),
            ("linger.ms", "20"),
            ("fetch.min.bytes", "2"),
        ])
        .unwrap();
        let of = |kind| properties.client_config(kind, &[("linger.ms", "1")]);
        assert_eq!(of(ClientKind::Producer).get("linger.ms"), Some("20"));
        assert_eq!(of(ClientKind::Producer).get("fetch.min.bytes"), None);
        assert_eq!(of(ClientKind::Consumer).get("fetch.min.bytes"), Some("2"));
        assert_eq!(
            of(ClientKind::Admin).get("bootstrap.servers"),
            Some("127.0.0.1:9092")
        );
        assert_eq!(properties.get("bootstrap.servers"), Some("127.0.0.1:9092"));
    }
}
