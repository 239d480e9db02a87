//! What can go wrong at the Kafka edge, and whether trying again can help.
//!
//! A broker that cannot be reached is not in this list while publishing: messages wait for it. No
//! variant carries a key, a value, or a secret; texts of librdkafka are redacted before they get here.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::properties::Secrets;
use crate::halt::Halt;

/// An error of Kafka or of librdkafka, in terms of what the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// A property under `kafka:` is unknown, has a bad value, or would break the guarantee.
    #[error("kafka property `{name}`: {reason}")]
    Property {
        /// The property's name as librdkafka spells it.
        name: String,
        /// Why it is not accepted, and what to do.
        reason: String,
    },
    /// librdkafka could not make a client of these properties.
    #[error("the Kafka client could not be created: {reason}; correct the settings under `kafka`")]
    Client {
        /// librdkafka's reason, redacted.
        reason: String,
    },
    /// The record does not fit what the topic, the broker, or the client accepts.
    #[error(
        "record of ticket {ticket} is larger than Kafka accepts: raise `max.message.bytes` of the \
         topic (and `message.max.bytes` under `kafka` for records over 100 MB), then start again"
    )]
    RecordTooLarge {
        /// The ticket under which the record was published.
        ticket: u64,
    },
    /// The credentials were not accepted.
    #[error("Kafka does not accept the credentials: {reason}")]
    Authentication {
        /// What the broker or librdkafka said, redacted.
        reason: String,
    },
    /// The principal lacks a right.
    #[error("Kafka denies {what}: grant the right to the connector's principal")]
    Denied {
        /// The operation or resource that is denied.
        what: String,
    },
    /// The broker does not know this kind of request (or the client library does not).
    #[error("the Kafka cluster does not support {what}")]
    Unsupported {
        /// The operation that is not supported.
        what: &'static str,
    },
    /// The topic is not there, and may not be created by the broker.
    #[error("a topic is missing on the Kafka cluster: create it, or allow walferry to")]
    UnknownTopic,
    /// Topics are missing, and walferry may not create them.
    #[error("missing topics: {names}; create them, or set topics.create: auto")]
    TopicsMissing {
        /// Their names.
        names: String,
    },
    /// Topics that were published to are gone, with what they held.
    #[error(
        "topics that were published to do not exist any more, or may not be seen any more (Describe): \
         {names}; what they held is not published again"
    )]
    TopicsGone {
        /// Their names.
        names: String,
    },
    /// The topic's own rules refuse the record.
    #[error("the topic refuses the record ({code:?}): {hint}")]
    RecordRefused {
        /// Kafka's error code.
        code: Code,
        /// What is usually the reason.
        hint: &'static str,
    },
    /// The record was dropped from the producer's queue before Kafka acknowledged it.
    #[error("the producer was closed before Kafka acknowledged the record")]
    Purged,
    /// The producer's queue is full: the in-flight limits and the queue's do not fit together.
    #[error("the producer's queue is full although the in-flight limits should prevent it")]
    QueueFull,
    /// Another producer with the same `transactional.id` has taken over.
    #[error("another instance has taken over the transactional.id")]
    Fenced,
    /// The idempotent producer has stopped for good; a new one must be built and the slot replayed.
    #[error("the producer has stopped ({code:?}): {reason}")]
    Fatal {
        /// The code behind the fatal error.
        code: Code,
        /// librdkafka's text, redacted.
        reason: String,
    },
    /// No broker answered in time.
    #[error("{what}: no answer from Kafka: {reason}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// The last thing librdkafka said about its connections, redacted.
        reason: String,
    },
    /// Kafka will not make a topic as it is asked to.
    #[error(
        "{what} was refused ({code:?}): {reason}; correct the settings under topics, or make the \
             topic by hand"
    )]
    TopicRefused {
        /// What was asked.
        what: &'static str,
        /// Kafka's error code.
        code: Code,
        /// Kafka's words, redacted.
        reason: String,
    },
    /// Any other answer of Kafka's.
    #[error("{what} failed ({code:?}): {reason}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// Kafka's error code.
        code: Code,
        /// Kafka's or librdkafka's words, redacted.
        reason: String,
    },
}

/// Whether a new attempt from the stored position can end differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Build everything anew and replay.
    Retry,
    /// Somebody must change something first; this is its name.
    Halt(Halt),
    /// The configuration is wrong, and nothing was touched.
    Configuration,
}

impl KafkaError {
    /// Whether to try again or to stop and ask the operator.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Property { .. } | Self::Client { .. } => Class::Configuration,
            Self::RecordTooLarge { .. } => Class::Halt(Halt::RecordTooLarge),
            Self::RecordRefused { .. } => Class::Halt(Halt::RecordRefused),
            Self::Authentication { .. } => Class::Halt(Halt::Authentication),
            Self::Denied { .. } => Class::Halt(Halt::Authorization),
            Self::Unsupported { .. }
            | Self::TopicsMissing { .. }
            | Self::TopicsGone { .. }
            | Self::TopicRefused { .. } => Class::Halt(Halt::TopicUnusable),
            Self::Fenced => Class::Halt(Halt::Fenced),
            Self::UnknownTopic
            | Self::Purged
            | Self::QueueFull
            | Self::Fatal { .. }
            | Self::Unreachable { .. }
            | Self::Failed { .. } => Class::Retry,
        }
    }

    /// Whether it is the record's own fault, whatever becomes of others.
    #[must_use]
    pub fn is_of_record(&self) -> bool {
        matches!(
            self,
            Self::RecordTooLarge { .. } | Self::RecordRefused { .. }
        )
    }

    /// A refused record, by the code of its delivery report.
    #[must_use]
    pub(super) fn of_delivery(ticket: u64, code: Code) -> Self {
        match code {
            Code::MessageSizeTooLarge => Self::RecordTooLarge { ticket },
            Code::TopicAuthorizationFailed => Self::denied("writing to a topic"),
            Code::ClusterAuthorizationFailed => {
                Self::denied("idempotent writing (IdempotentWrite)")
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic => Self::UnknownTopic,
            Code::UnknownPartition => Self::RecordRefused {
                code,
                hint: "it is for a partition that the topic does not have: add partitions to the topic \
                       (kafka-topics --alter), or mend what chooses the partition \
                       (outbox.table.fields.additional.placement, topics.partition)",
            },
            Code::InvalidTimestamp => Self::RecordRefused {
                code,
                hint: "its time, or that of a record of the same batch, is further from now than the \
                       topic takes: raise the topic's \
                       `message.timestamp.after.max.ms` or `message.timestamp.before.max.ms`, or mend \
                       what sets the time (outbox.table.field.event.timestamp)",
            },
            Code::InvalidTopic => Self::RecordRefused {
                code,
                hint: "the topic's name is illegal",
            },
            Code::InvalidRecord => Self::RecordRefused {
                code,
                hint: "a compacted topic takes no record without a key; give the table a key \
                       (`message.key.columns`) or drop `compact` from the topic's cleanup.policy",
            },
            Code::PolicyViolation => Self::RecordRefused {
                code,
                hint: "a policy of the cluster forbids it",
            },
            Code::MessageBatchTooLarge => Self::RecordRefused {
                code,
                hint: "a batch is larger than the topic's segment: lower `batch.size`",
            },
            Code::PurgeQueue | Code::PurgeInflight => Self::Purged,
            Code::QueueFull => Self::QueueFull,
            Code::Fenced | Code::ProducerFenced => Self::Fenced,
            code => Self::Failed {
                what: "publishing a record",
                code,
                reason: code.to_string(),
            },
        }
    }

    /// An answer to `what`, by its code; `reason` is the context's last word and may be empty.
    pub(super) fn of_request(what: &'static str, code: Code, reason: String) -> Self {
        let reason = if reason.is_empty() {
            code.to_string()
        } else {
            reason
        };
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed => {
                Self::Authentication { reason }
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Self::denied(what),
            Code::UnsupportedFeature | Code::UnsupportedVersion => Self::Unsupported { what },
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                Self::UnknownTopic
            }
            Code::InvalidConfig
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::PolicyViolation => Self::TopicRefused { what, code, reason },
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::Resolve => Self::Unreachable { what, reason },
            code => Self::Failed { what, code, reason },
        }
    }

    /// An error of the client library while doing `what`.
    pub(super) fn of_client(what: &'static str, error: &ClientError, secrets: &Secrets) -> Self {
        let code = match error {
            // The property's value is part of librdkafka's error, so it is never printed as it is.
            ClientError::ClientConfig(_, reason, name, _) => {
                return Self::Property {
                    name: name.clone(),
                    reason: secrets.redact(reason),
                };
            }
            ClientError::ClientCreation(reason) => {
                return Self::Client {
                    reason: secrets.redact(reason),
                };
            }
            ClientError::AdminOp(code) => *code,
            other => other.rdkafka_error_code().unwrap_or(Code::Fail),
        };
        Self::of_request(what, code, String::new())
    }

    fn denied(what: &str) -> Self {
        Self::Denied {
            what: what.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn deliveries_are_classified() {
        let class = |code| KafkaError::of_delivery(7, code).class();
        assert_eq!(
            KafkaError::of_delivery(7, Code::MessageSizeTooLarge),
            KafkaError::RecordTooLarge { ticket: 7 }
        );
        for (code, halt) in [
            (Code::MessageSizeTooLarge, Halt::RecordTooLarge),
            (Code::TopicAuthorizationFailed, Halt::Authorization),
            (Code::ClusterAuthorizationFailed, Halt::Authorization),
            (Code::InvalidRecord, Halt::RecordRefused),
            (Code::InvalidTopic, Halt::RecordRefused),
            (Code::PolicyViolation, Halt::RecordRefused),
            (Code::UnknownPartition, Halt::RecordRefused),
            (Code::InvalidTimestamp, Halt::RecordRefused),
            (Code::ProducerFenced, Halt::Fenced),
        ] {
            assert_eq!(class(code), Class::Halt(halt), "{code:?}");
        }
        for retry in [
            Code::UnknownTopicOrPartition,
            Code::PurgeInflight,
            Code::NotEnoughReplicas,
            Code::OutOfOrderSequenceNumber,
            Code::InvalidMessage,
        ] {
            assert_eq!(class(retry), Class::Retry, "{retry:?}");
        }
    }

    #[test]
    fn a_client_error_never_shows_the_value() {
        let secrets = Secrets::of([Secret::new("canary-7f3a")]);
        let error = ClientError::ClientCreation("bad password canary-7f3a".into());
        let text = KafkaError::of_client("x", &error, &secrets).to_string();
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
}
