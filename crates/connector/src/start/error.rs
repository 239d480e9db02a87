//! Why no connection came about, each part with its own class.

use crate::halt::Halted;
use crate::kafka::{self, KafkaError, ProgressError};
use crate::ownership::OwnError;
use crate::postgres::PostgresError;
use crate::preflight::report::Report;
use crate::telemetry::Peer;

/// Why no connection came about.
#[derive(Debug)]
pub enum StartError {
    /// A person must decide something first.
    Halted(Halted),
    /// The configuration cannot work, whatever the servers say.
    Configuration(String),
    /// A secret that could be read before cannot be read now; whose it is.
    Unreadable(Peer, String),
    /// The check found errors; they are printed already.
    Refused(Report),
    /// Postgres, with its own class.
    Postgres(PostgresError),
    /// Kafka, with its own class.
    Kafka(KafkaError),
    /// The progress topic, with its own class.
    Progress(ProgressError),
}

impl StartError {
    /// What worked once may be under replacement: certificates and keys are files, too.
    pub(super) fn forgiven(self) -> Self {
        match self {
            Self::Postgres(error @ PostgresError::CertificateFile { .. }) => {
                Self::Unreadable(Peer::Postgres, error.to_string())
            }
            Self::Kafka(error) if error.class() == kafka::Class::Configuration => {
                Self::Unreadable(Peer::Kafka, error.to_string())
            }
            error => error,
        }
    }
}

impl From<OwnError> for StartError {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::Halted(halted) => Self::Halted(halted),
            OwnError::Postgres(error) => Self::Postgres(error),
        }
    }
}

impl From<PostgresError> for StartError {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(error)
    }
}

impl From<KafkaError> for StartError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

impl From<ProgressError> for StartError {
    fn from(error: ProgressError) -> Self {
        Self::Progress(error)
    }
}
