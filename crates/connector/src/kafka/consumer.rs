//! What those who read topics have in common: a consumer that is assigned its partitions, and what becomes
//! of its errors.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::context::Listener;
use super::error::KafkaError;
use super::properties::{ClientKind, Properties};

pub(super) type Consumer = BaseConsumer<Listener>;

/// Commits nothing by itself and makes no topics. It joins no group; librdkafka wants a name all the same.
pub(super) fn new(
    properties: &Properties,
    what: &'static str,
    group: &str,
    own: &[(&str, &str)],
) -> Result<Consumer, KafkaError> {
    let mut defaults = vec![
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("allow.auto.create.topics", "false"),
    ];
    defaults.extend(own);
    let listener = Listener::new(properties.secrets().clone());
    properties
        .client_config(ClientKind::Consumer, &defaults)
        .create_with_context(listener)
        .map_err(|error| KafkaError::of_client(what, &error, properties.secrets()))
}

/// The error of a question.
pub(super) fn explain(consumer: &Consumer, what: &'static str, error: &ClientError) -> KafkaError {
    // The reason of a failed request waits on the consumer's queue.
    while consumer.poll(Duration::ZERO).is_some() {}
    consumer.context().explain(what, error)
}

/// What came in place of a record: librdkafka mends its connections by itself, and there is no group
/// to which one needs a right.
pub(super) fn bear(
    consumer: &Consumer,
    what: &'static str,
    error: &ClientError,
) -> Result<(), KafkaError> {
    if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) {
        return Ok(());
    }
    match consumer.context().explain(what, error) {
        KafkaError::Unreachable { .. } => Ok(()),
        error => Err(error),
    }
}

/// The numbers of a topic's partitions; none for a topic that is not there.
pub(super) fn partitions(
    consumer: &Consumer,
    what: &'static str,
    topic: &str,
    timeout: Duration,
) -> Result<Option<Vec<i32>>, KafkaError> {
    let metadata = consumer
        .fetch_metadata(Some(topic), timeout)
        .map_err(|error| explain(consumer, what, &error))?;
    let found = metadata.topics().iter().find(|it| it.name() == topic);
    let refused = found.and_then(|it| it.error()).map(Code::from);
    match (found, refused) {
        (None, _) | (_, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Ok(None),
        // Not to be told is not to be there.
        (_, Some(code)) => Err(KafkaError::of_request(what, code, String::new())),
        (Some(found), None) => Ok(Some(found.partitions().iter().map(|it| it.id()).collect())),
    }
}
