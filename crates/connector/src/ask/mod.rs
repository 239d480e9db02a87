//! `walferry snapshot`: asks the walferry that runs for the rows of tables, by a message in the WAL, and shows
//! how far it has come, from what it notes in the progress topic.

mod way;

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use self::way::Way;
use crate::config::Config;
use crate::copy;
use crate::credentials::{self, Unreadable};
use crate::exit::Exit;
use crate::incremental::{self, Request, State};
use crate::kafka::{GONE_LOOKS, KafkaError, ProgressError, ProgressReader};
use crate::postgres::PostgresError;
use crate::postgres::sql::{self, SqlClient};
use crate::preflight::quote::qualified;
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
    let (kind, data, waits) = match ask {
        Ask::Execute {
            tables,
            filter,
            surrogate_key,
            kind,
            detach,
        } => {
            is_read(config, &sql).await?;
            for table in &tables {
                checked(config, &sql, table, (kind, surrogate_key.as_deref())).await?;
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
        Ask::Stop(id) => ("stop-snapshot", json!({ "id": id }), false),
        Ask::Pause => ("pause-snapshot", json!({}), false),
        Ask::Resume => ("resume-snapshot", json!({}), false),
    };
    let way = Way::of(config, &sql).await?;
    way.emit(&id, kind, &data).await?;
    say(&format!("asked for {kind} as {id}"));
    match waits {
        true => wait(config, &way, &id, shutdown).await,
        false => Ok(Exit::Done),
    }
}

/// Says when nobody reads the slot now, and refuses where there is none.
async fn is_read(config: &Config, sql: &SqlClient) -> Result<(), AskError> {
    const QUERY: &str =
        "SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1::text::name";
    let slot = &config.postgres.slot;
    let asked = async { sql.query_typed(QUERY, &[(slot, Type::TEXT)]).await };
    let rows = sql::ask("look at the slot", asked).await?;
    let Some(row) = rows.first() else {
        let slot = slot.clone();
        return Err(AskError::NoSlot { slot });
    };
    if !row.try_get(0).unwrap_or(true) {
        say(&format!(
            "nobody reads slot {slot} now: the next `walferry run` takes the request up"
        ));
    }
    Ok(())
}

/// What would be refused later is refused now.
async fn checked(
    config: &Config,
    sql: &SqlClient,
    table: &str,
    how: (Kind, Option<&str>),
) -> Result<(), AskError> {
    const QUERY: &str = "SELECT pg_catalog.to_regclass($1) IS NOT NULL, \
         coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass($1), 'SELECT') \
             OR pg_catalog.has_any_column_privilege(pg_catalog.to_regclass($1), 'SELECT'), false)";
    const DOING: &str = "look at the table";
    let refused = |reason: &str| {
        let (table, reason) = (table.to_owned(), reason.to_owned());
        Err(AskError::Table { table, reason })
    };
    let Some((schema, name)) = table.split_once('.') else {
        return refused("has no schema: write schema.table");
    };
    let quoted = qualified(schema, name);
    let asked = async {
        let rows = sql.query_typed(QUERY, &[(&quoted, Type::TEXT)]).await?;
        let row = rows.first();
        let flag = |place| row.map_or(Ok(false), |row| row.try_get::<_, bool>(place));
        Ok((flag(0)?, flag(1)?))
    };
    let (exists, readable) = sql::ask(DOING, asked).await?;
    let published = copy::published(sql, &config.postgres.publication, &config.tables).await?;
    let published = published.iter().any(|(of, it)| of == schema && it == name);
    match (exists, published, readable) {
        (false, ..) => refused("does not exist"),
        (_, false, _) => refused(
            "is not published: tables.include must match it and the publication have it; of a partitioned \
             table, name the partitions",
        ),
        (.., false) => refused("may not be read by this role: GRANT SELECT"),
        _ => match incremental::objection(config, sql, table, how).await? {
            Some(reason) => refused(&format!("cannot be read: {reason}")),
            None => Ok(()),
        },
    }
}

async fn wait(
    config: &Config,
    way: &Way<'_>,
    id: &str,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Exit, AskError> {
    let properties = credentials::properties(config).await?;
    let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
    let reader = ProgressReader::new(&properties, topic, slot, KAFKA_TIMEOUT);
    let reader = reader.map_err(ProgressError::from)?;
    let bar = bar();
    let (begun, mut stopping, mut told) = (Instant::now(), false, String::new());
    // Of looks since the note was seen.
    let mut missed = None;
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|asked| *asked), if !stopping => {
                stopping = true;
                way.emit(&format!("{id}-stop"), "stop-snapshot", &json!({ "id": id })).await?;
                say("asked to stop it; a second signal leaves it as it is");
            }
            () = sleep(LOOK_EVERY) => {}
        }
        let noted = match reader.read().await {
            Err(
                ProgressError::TopicMissing { .. } | ProgressError::Kafka(KafkaError::UnknownTopic),
            ) => None,
            stored => stored?.requests.remove(id),
        };
        let line = match (noted, missed) {
            (Some(request), _) => {
                missed = Some(0);
                if let Some(exit) = over(&request, &bar)? {
                    return Ok(exit);
                }
                line(&request)
            }
            // Kafka may not know the topic for a moment.
            (None, Some(looks)) if looks < GONE_LOOKS => {
                missed = Some(looks + 1);
                continue;
            }
            (None, Some(_)) => {
                bar.finish_and_clear();
                let (id, topic) = (id.to_owned(), topic.clone());
                return Err(AskError::Gone { id, topic });
            }
            (None, None) if begun.elapsed() > HINT_AFTER => {
                "no walferry has taken it yet; the next one that comes there does".to_owned()
            }
            (None, None) => continue,
        };
        if line != told {
            bar.set_message(line.clone());
            if bar.is_hidden() {
                say(&line);
            }
            told = line;
        }
        bar.tick();
    }
}

/// The exit, once it is over.
fn over(request: &Request, bar: &ProgressBar) -> Result<Option<Exit>, AskError> {
    if request.state == State::Running {
        return Ok(None);
    }
    bar.finish_and_clear();
    let rows = request.rows;
    match request.state {
        State::Failed => Err(AskError::LeftOut(request.problems.join("; "))),
        State::Stopped => {
            say(&format!("stopped after {rows} rows"));
            Ok(Some(Exit::NotReached))
        }
        State::Done | State::Running => {
            say(&format!("done: {rows} rows in {} chunks", request.chunks));
            Ok(Some(Exit::Done))
        }
    }
}

fn line(request: &Request) -> String {
    let table = request.tables.as_ref().and_then(|tables| tables.first());
    let table = table.map_or("waiting", String::as_str);
    let paused = if request.paused { ", paused" } else { "" };
    format!(
        "{table}: {} rows, {} chunks{paused}",
        request.rows, request.chunks
    )
}

fn bar() -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    match ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const HINT_AFTER: Duration = Duration::from_secs(10);
