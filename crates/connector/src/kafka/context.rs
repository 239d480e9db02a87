//! What librdkafka tells besides delivery reports: log lines, connection errors, statistics.
//!
//! All of it is redacted before it reaches a log or an error.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::error::KafkaError;
use super::properties::Secrets;

/// The listener of one client.
#[derive(Debug, Default)]
pub(super) struct Listener {
    secrets: Secrets,
    last: Mutex<Option<(Code, String)>>,
    statistics: Mutex<Option<Arc<str>>>,
}

impl Listener {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The last thing said about a connection: librdkafka answers a request that never reached a
    /// broker with a bare "transport failure", and tells the reason only here.
    pub(super) fn last_error(&self) -> Option<(Code, String)> {
        lock(&self.last).clone()
    }

    /// The error for `what`, with the connection's own reason where that is the better one.
    pub(super) fn explain(&self, what: &'static str, error: &ClientError) -> KafkaError {
        let plain = KafkaError::of_client(what, error, &self.secrets);
        match (&plain, self.last_error()) {
            (KafkaError::Unreachable { .. }, Some((code, reason))) => {
                KafkaError::of_request(what, connection_code(code), reason)
            }
            _ => plain,
        }
    }

    /// The newest statistics, librdkafka's JSON as it came.
    pub(super) fn statistics(&self) -> Option<Arc<str>> {
        lock(&self.statistics).clone()
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let line = self.secrets.redact(line);
        let level = match level {
            // Said at every start, about properties that walferry sets itself (gapless guarantee).
            RDKafkaLogLevel::Warning if line.contains("is experimental") => RDKafkaLogLevel::Debug,
            level => level,
        };
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{line}");
            }
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        *lock(&self.statistics) = Some(String::from_utf8_lossy(statistics).into());
    }

    fn error(&self, error: ClientError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let mut last = lock(&self.last);
        // "All brokers down" follows the error that says why; the why is worth keeping.
        if !(code == Code::AllBrokersDown && last.is_some()) {
            *last = Some((code, self.secrets.redact(reason)));
        }
    }
}

impl ConsumerContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    /// Only [`super::topics`] makes a producer with this context, and it publishes nothing.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// A fault of TLS is one of reaching the broker; only SASL's refusal is about credentials.
fn connection_code(code: Code) -> Code {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => code,
        _ => Code::BrokerTransportFailure,
    }
}

/// A poisoned mutex is taken as it is: what it guards is replaced whole, never half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::secret::Secret;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_lines_reach_tracing_without_secrets() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let listener = Listener::new(Secrets::of([Secret::new("canary-7f3a")]));
        tracing::subscriber::with_default(subscriber, || {
            for level in [
                RDKafkaLogLevel::Error,
                RDKafkaLogLevel::Info,
                RDKafkaLogLevel::Debug,
            ] {
                listener.log(level, "SASL", "authenticating with canary-7f3a now");
            }
        });
        let text = String::from_utf8(lock(&sink.0).clone()).unwrap();
        assert_eq!(
            text.matches("authenticating with *** now").count(),
            3,
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn the_reason_outlives_all_brokers_down() {
        let listener = Listener::new(Secrets::of([Secret::new("canary-7f3a")]));
        listener.error(
            ClientError::Global(Code::Authentication),
            "SASL: canary-7f3a is wrong",
        );
        listener.error(
            ClientError::Global(Code::AllBrokersDown),
            "1/1 brokers are down",
        );
        let error = listener.explain(
            "reading metadata",
            &ClientError::MetadataFetch(Code::BrokerTransportFailure),
        );
        assert_eq!(
            error,
            KafkaError::Authentication {
                reason: "SASL: *** is wrong".into()
            }
        );
    }
}
