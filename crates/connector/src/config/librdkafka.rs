//! The names of librdkafka's properties under `kafka` (librdkafka 2.12.1, CONFIGURATION.md).
//!
//! Any producer property passes through. Which values keep the guarantee is for the Kafka room to
//! say ([`crate::kafka::properties`]); here are the names, for suggestions and for the environment.
//! A name that librdkafka does not know is almost always a typing error, or one of the Java
//! client's.

use crate::kafka::{KafkaError, Properties};

/// Whether librdkafka's producer knows this property.
pub fn is_known(property: &str) -> bool {
    PROPERTIES.binary_search(&property).is_ok()
}

/// Whether the value of this property must never be shown.
pub fn is_secret(property: &str) -> bool {
    [
        "password",
        "secret",
        "passphrase",
        "key.pem",
        "oauthbearer.config",
        "sasl.jaas.config",
    ]
    .iter()
    .any(|word| property.contains(word))
}

/// What the Java client, or a consumer, calls something else or does not need here.
pub fn hint(property: &str) -> Option<&'static str> {
    Some(match property {
        "buffer.memory" => "that is the Java client's; set limits.in.flight.bytes",
        "max.request.size" => "that is the Java client's; librdkafka's is message.max.bytes",
        "max.block.ms" => "that is the Java client's; walferry waits for as long as it takes",
        "compression.gzip.level" | "compression.zstd.level" | "compression.lz4.level" => {
            "that is the Java client's; librdkafka's is compression.level"
        }
        "sasl.jaas.config" => {
            "that is the Java client's; librdkafka's are sasl.username and sasl.password"
        }
        "ssl.truststore.location" | "ssl.truststore.certificates" => {
            "that is the Java client's; librdkafka's is ssl.ca.location (PEM)"
        }
        "ssl.truststore.password" | "ssl.truststore.type" | "ssl.keystore.type" => {
            "that is the Java client's; PEM files need none"
        }
        "ssl.keystore.key" => "that is the Java client's; librdkafka's is ssl.key.pem",
        "ssl.keystore.certificate.chain" => {
            "that is the Java client's; librdkafka's is ssl.certificate.pem"
        }
        "key.serializer" | "value.serializer" | "interceptor.classes" | "partitioner.class" => {
            "walferry loads no Java classes"
        }
        "group.id" | "auto.offset.reset" | "enable.auto.commit" | "isolation.level" => {
            "that is a consumer's; walferry produces"
        }
        _ => return None,
    })
}

/// Why this property cannot have this value, if it cannot. A reason never repeats a secret.
pub fn refusal(property: &str, value: &str) -> Option<String> {
    let broker = (property != SERVERS).then_some((SERVERS, "localhost:9092"));
    let problems = Properties::parse(broker.into_iter().chain([(property, value)])).err()?;
    let reason = match problems.into_iter().next()? {
        KafkaError::Property { reason, .. } => reason,
        other => other.to_string(),
    };
    let repeats = is_secret(property) && reason.contains(value);
    Some(if repeats {
        "does not take this value".to_owned()
    } else {
        reason
    })
}

pub(super) const SERVERS: &str = "bootstrap.servers";

/// The producer's properties that can be written in a file, sorted.
#[rustfmt::skip]
pub const PROPERTIES: &[&str] = &[
    "acks", "api.version.fallback.ms", "api.version.request",
    "api.version.request.timeout.ms", "batch.num.messages", "batch.size", "bootstrap.servers",
    "broker.address.family", "broker.address.ttl", "broker.version.fallback", "client.dns.lookup",
    "client.id", "client.rack", "compression.codec", "compression.level", "compression.type",
    "connections.max.idle.ms", "debug", "delivery.report.only.error", "delivery.timeout.ms",
    "enable.gapless.guarantee", "enable.idempotence", "enable.metrics.push",
    "enable.sasl.oauthbearer.unsecure.jwt", "enable.ssl.certificate.verification",
    "https.ca.location", "https.ca.pem", "linger.ms", "log.connection.close", "log.thread.name",
    "log_level", "max.in.flight", "max.in.flight.requests.per.connection",
    "message.copy.max.bytes", "message.max.bytes", "message.send.max.retries",
    "message.timeout.ms", "metadata.broker.list", "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms", "metadata.recovery.strategy", "partitioner",
    "plugin.library.paths", "produce.offset.report", "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes", "queue.buffering.max.messages", "queue.buffering.max.ms",
    "queuing.strategy", "receive.message.max.bytes", "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms", "reconnect.backoff.ms", "request.required.acks",
    "request.timeout.ms", "retries", "retry.backoff.max.ms", "retry.backoff.ms",
    "sasl.kerberos.keytab", "sasl.kerberos.kinit.cmd", "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal", "sasl.kerberos.service.name", "sasl.mechanism", "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm", "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds", "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds", "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file", "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem", "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type", "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method", "sasl.oauthbearer.scope", "sasl.oauthbearer.token.endpoint.url",
    "sasl.password", "sasl.username", "security.protocol", "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms", "socket.keepalive.enable", "socket.max.fails",
    "socket.nagle.disable", "socket.receive.buffer.bytes", "socket.send.buffer.bytes",
    "socket.timeout.ms", "ssl.ca.certificate.stores", "ssl.ca.location", "ssl.ca.pem",
    "ssl.certificate.location", "ssl.certificate.pem", "ssl.cipher.suites", "ssl.crl.location",
    "ssl.curves.list", "ssl.endpoint.identification.algorithm", "ssl.engine.id",
    "ssl.engine.location", "ssl.key.location", "ssl.key.password", "ssl.key.pem",
    "ssl.keystore.location", "ssl.keystore.password", "ssl.providers", "ssl.sigalgs.list",
    "statistics.interval.ms", "sticky.partitioning.linger.ms", "topic.blacklist",
    "topic.metadata.propagation.max.ms", "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms", "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse", "transaction.timeout.ms", "transactional.id",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_librdkafka_knows_each() {
        assert!(PROPERTIES.is_sorted());
        for name in PROPERTIES {
            let reason = refusal(name, "\u{1}").unwrap_or_default();
            assert!(
                !reason.contains("No such configuration property"),
                "{name}: {reason}"
            );
        }
        let reason = refusal("no.such", "1").unwrap_or_default();
        assert!(
            reason.contains("No such configuration property"),
            "{reason}"
        );
    }

    #[test]
    fn values_are_judged_one_by_one() {
        assert_eq!(refusal("linger.ms", "5"), None);
        assert_eq!(refusal("bootstrap.servers", "a:1,b:2"), None);
        for (name, value) in [
            ("compression.type", "lz5"),
            ("linger.ms", "soon"),
            ("acks", "1"),
        ] {
            assert!(
                refusal(name, value).is_some_and(|reason| !reason.is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn secret_properties_are_known_as_such() {
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "ssl.key.password",
            "ssl.keystore.password",
        ] {
            assert!(is_known(name) && is_secret(name), "{name}");
        }
        for name in [
            "sasl.username",
            "ssl.ca.pem",
            "ssl.key.location",
            "client.id",
        ] {
            assert!(is_known(name) && !is_secret(name), "{name}");
        }
    }
}
