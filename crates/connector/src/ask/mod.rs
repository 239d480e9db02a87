//! `walferry snapshot`: asks the walferry that runs for the rows of tables, by a message in the WAL, and shows
//! how far it has come, from what it notes in the progress topic.

mod beforehand;
mod noted;
mod wait;
mod way;

use std::io::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::watch;

use self::wait::Wait;
use self::way::Way;
use crate::config::Config;
use crate::credentials::{self, Unreadable};
use crate::exit::Exit;
use crate::kafka::{KafkaError, ProgressError};
use crate::postgres::PostgresError;
use crate::postgres::sql::SqlClient;
use crate::signal::Kind;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The rows of these tables.
    Execute {
        /// By `schema.table`.
        tables: Vec<String>,
        /// A condition on the rows of each.
        filter: Option<String>,
        /// The columns to order rows by.
        surrogate_key: Option<String>,
        /// Whether the stream stands meanwhile.
        kind: Kind,
        /// Whether to come back at once.
        detach: bool,
    },
    /// To stop all, or the one with this id.
    Stop(Option<String>),
    /// To pause.
    Pause,
    /// To go on.
    Resume,
}

/// Why it cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A secret that cannot be read.
    #[error("{0}")]
    Secret(String),
    /// The server.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Kafka.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The table would be refused.
    #[error("SNAPSHOT_TABLE_LEFT_OUT: table {table} {reason}")]
    Table {
        /// `schema.table`.
        table: String,
        /// What is the matter with it.
        reason: String,
    },
    /// The topic of signals.
    #[error(transparent)]
    Topic(#[from] KafkaError),
    /// The server takes no message.
    #[error(
        "SNAPSHOT_STANDBY: the server is a standby, where no signal can be written: run this on the \
         primary, or set envelope.signal.kafka.topic, and the signal goes there: {statement}"
    )]
    Standby {
        /// What writes it.
        statement: String,
    },
    /// It ended without all rows.
    #[error("SNAPSHOT_TABLE_LEFT_OUT: {0}")]
    LeftOut(String),
    /// Nobody will ever come to the signal.
    #[error(
        "SLOT_MISSING: slot {slot} does not exist, so no walferry would ever come to the request: start \
         `walferry run` first"
    )]
    NoSlot {
        /// Its name.
        slot: String,
    },
    /// What was noted of it is there no more.
    #[error(
        "SNAPSHOT_UNKNOWN: what was noted of {id} in {topic} is gone, so its end is not known: the topic was \
         deleted, or it ended and the next start of walferry took the note back. The log of `walferry run` tells \
         how it ended; if it does not, ask again"
    )]
    Gone {
        /// What was asked for.
        id: String,
        /// The progress topic.
        topic: String,
    },
}

impl AskError {
    /// The exit it leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Secret(_) => Exit::Usage,
            Self::Postgres(_) | Self::Progress(_) | Self::Topic(_) => Exit::Unexpected,
            Self::Gone { .. } => Exit::NotReached,
            Self::Table { .. } | Self::Standby { .. } | Self::LeftOut(_) | Self::NoSlot { .. } => {
                Exit::CheckErrors
            }
        }
    }
}

impl From<Unreadable> for AskError {
    fn from(error: Unreadable) -> Self {
        Self::Secret(error.0)
    }
}

/// Asks, and waits for the end unless told otherwise. A signal asks to stop it.
///
/// # Errors
/// The table or a server is not fit, or it ended without all rows.
pub async fn ask(
    config: &Config,
    ask: Ask,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Exit, AskError> {
    let sql = SqlClient::connect(&credentials::conninfo(config).await?).await?;
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let id = format!("cli-{}", since_epoch.as_millis());
    beforehand::is_read(config, &sql).await?;
    let (kind, data, waits) = match ask {
        Ask::Execute {
            tables,
            filter,
            surrogate_key,
            kind,
            detach,
        } => {
            for table in &tables {
                beforehand::checked(config, &sql, table, (kind, surrogate_key.as_deref())).await?;
            }
            let names: Vec<String> = tables.iter().map(|table| regex::escape(table)).collect();
            let condition = |name: &String| {
                filter
                    .as_ref()
                    .map(|filter| json!({ "data-collection": name, "filter": filter }))
            };
            let conditions: Vec<Value> = names.iter().filter_map(condition).collect();
            let data = json!({
                "type": kind,
                "data-collections": names,
                "additional-conditions": conditions,
                "surrogate-key": surrogate_key,
            });
            ("execute-snapshot", data, !detach)
        }
        Ask::Stop(of) => {
            noted::tell(config, of.as_deref()).await?;
            ("stop-snapshot", json!({ "id": of }), false)
        }
        Ask::Pause => {
            noted::tell(config, None).await?;
            ("pause-snapshot", json!({}), false)
        }
        Ask::Resume => {
            noted::tell(config, None).await?;
            ("resume-snapshot", json!({}), false)
        }
    };
    let way = Way::of(config, &sql).await?;
    way.emit(&id, kind, &data).await?;
    say(&format!("asked for {kind} as {id}"));
    match waits {
        true => {
            Wait::new(config, &sql, &way, &id)
                .await?
                .run(shutdown)
                .await
        }
        false => Ok(Exit::Done),
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
