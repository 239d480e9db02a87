//! Signals from a Kafka topic (Debezium's channel `kafka`): each is written into the WAL as a message, and so
//! stands in the stream like any other. On a standby, which takes no message, the loop is given it.
//!
//! The topic has one partition; a record's key is `topics.prefix`, its value the signal without an id. What
//! was taken is committed under a group of the slot's; what was written before the first start is not read.

use std::sync::Arc;
use std::time::Duration;

use relay::SIGNAL_PREFIX;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::{ToSql, Type};
use tracing::{info, warn};

use crate::config::Config;
use crate::credentials;
use crate::incremental::{Direct, Record};
use crate::kafka::SignalReader;
use crate::kafka::signals::{PARTITION, SignalRecord, Start};
use crate::postgres::sql::{self, SqlClient};
use crate::postgres::{Conninfo, slots};

/// The task that reads; it ends with this handle.
#[derive(Debug)]
pub struct SignalTopic(JoinHandle<()>);

impl Drop for SignalTopic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SignalTopic {
    /// Begins to read, if there is such a topic.
    #[must_use]
    pub fn begin(
        config: &Config,
        conninfo: &Conninfo,
        direct: mpsc::Sender<Direct>,
    ) -> Option<Self> {
        let topic = config.signals.topic.clone()?;
        let (config, conninfo) = (config.clone(), conninfo.clone());
        Some(Self(tokio::spawn(async move {
            loop {
                if let Err(problem) = forward(&config, &topic, &conninfo, &direct).await {
                    warn!(topic, problem, "signals are read again in a moment");
                }
                sleep(PAUSE).await;
            }
        })))
    }
}

/// Reads and writes until something fails.
async fn forward(
    config: &Config,
    topic: &str,
    conninfo: &Conninfo,
    direct: &mpsc::Sender<Direct>,
) -> Result<(), String> {
    let properties = credentials::properties(config).await.map_err(|it| it.0)?;
    let group = format!("walferry-signal-{}", config.postgres.slot);
    let named = topic.to_owned();
    let opened = spawn_blocking(move || SignalReader::open(&properties, &named, &group, TIMEOUT));
    let reader = opened.await.map_err(|error| error.to_string())?;
    let reader = Arc::new(reader.map_err(|error| error.to_string())?);
    tell_of_unread(topic, &reader);
    info!(topic, "listening to signals");
    let mut at = reader.start().offset();
    let mut committed = Instant::now();
    loop {
        let waiting = Arc::clone(&reader);
        let next = spawn_blocking(move || waiting.next(POLL)).await;
        let next = next.map_err(|error| error.to_string())?;
        match next.map_err(|error| error.to_string())? {
            Some(record) => {
                match record.key.as_deref() == Some(config.topics.prefix.as_bytes()) {
                    true => pass_on(topic, &record, conninfo, direct).await?,
                    false => pass_over(topic, &record),
                }
                at = record.offset + 1;
            }
            None if committed.elapsed() < COMMIT_AGAIN => continue,
            None => {}
        }
        let waiting = Arc::clone(&reader);
        let done = spawn_blocking(move || waiting.commit(at)).await;
        let done = done.map_err(|error| error.to_string())?;
        done.map_err(|error| error.to_string())?;
        committed = Instant::now();
    }
}

/// What is in the topic, and is never looked at.
fn tell_of_unread(topic: &str, reader: &SignalReader) {
    if let Start::End { before, .. } = reader.start()
        && before > 0
    {
        warn!(
            topic,
            before,
            "SIGNALS_NOT_READ: Kafka knows of no offset of walferry's group, so signals that are there already are \
             not taken: this is the first start, or the last was longer ago than offsets.retention.minutes; \
             send again what is still wanted"
        );
    }
    let partitions = reader.partitions();
    if partitions > 1 {
        warn!(
            topic,
            partitions,
            "SIGNALS_NOT_READ: signals in other partitions than {PARTITION} are not taken: make a topic of one \
             partition, or send to that one"
        );
    }
}

/// It may be meant for us all the same: its sender shall find out why nothing comes of it.
fn pass_over(topic: &str, record: &SignalRecord) {
    let (offset, has_key) = (record.offset, record.key.is_some());
    info!(
        topic,
        offset,
        has_key,
        "a record is passed over: a signal for this walferry has topics.prefix as its key, and this has another or none"
    );
}

/// Writes a signal into the WAL, as it is: what is wrong with it is told where it is read. Where it cannot
/// be written, waits until what follows from it is noted.
async fn pass_on(
    topic: &str,
    record: &SignalRecord,
    conninfo: &Conninfo,
    direct: &mpsc::Sender<Direct>,
) -> Result<(), String> {
    const EMIT: &str = "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)::text";
    let mut signal: Value = serde_json::from_slice(&record.value).unwrap_or(Value::Null);
    match signal.as_object_mut() {
        Some(signal) => {
            let id = signal.entry("id").or_insert(Value::Null);
            if !id.is_string() {
                *id = json!(format!("kafka-{}", record.offset));
            }
        }
        None => signal = Value::Null,
    }
    let content = signal.to_string();
    let sql = SqlClient::connect(conninfo).await;
    let sql = sql.map_err(|error| error.to_string())?;
    let is_standby = slots::is_standby(&sql).await;
    if is_standby.map_err(|error| error.to_string())? {
        let (waiting, answer) = oneshot::channel();
        let content = content.into_bytes();
        let record = Record {
            topic: topic.to_owned(),
            partition: PARTITION,
            offset: record.offset,
        };
        let sent = direct
            .send(Direct {
                record,
                content,
                waiting,
            })
            .await;
        sent.map_err(|_| ENDED.to_owned())?;
        return answer.await.map_err(|_| ENDED.to_owned());
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&SIGNAL_PREFIX, Type::TEXT), (&content, Type::TEXT)];
    let emitted = sql::ask("write the signal", sql.query_typed(EMIT, &parameters)).await;
    emitted.map(drop).map_err(|error| error.to_string())
}

const ENDED: &str = "the connection ended";
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one look for a record takes; the task ends no later.
const POLL: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(2);
/// Kafka forgets an offset after a week, or what `offsets.retention.minutes` says.
const COMMIT_AGAIN: Duration = Duration::from_secs(600);
