//! What is shown of a run at one moment: the page's JSON, the metrics and the status line are made
//! from it.

use crate::incremental::Asked;
use crate::prepared::PreparedTransaction;
use std::collections::BTreeMap;
use std::time::Duration;

use pgoutput::Lsn;
use serde::{Serialize, Serializer};

use super::reading::{Counts, SlotHealth};
use super::snapshot::SnapshotView;
use super::statistics::ProducerStatistics;
use super::{Stage, State};

/// Everything that is shown. Its JSON is what the page reads at `/status`.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// The connector's name.
    pub name: String,
    /// walferry's version.
    pub version: &'static str,
    /// What the run is doing.
    #[serde(serialize_with = "as_word")]
    pub stage: Stage,
    /// Why, where there is a reason to tell.
    pub reason: Option<String>,
    /// When the process started, in seconds since 1970.
    pub started_unix_seconds: f64,
    /// How long it has run.
    pub uptime_seconds: u64,
    /// The ladder of positions.
    pub positions: Positions,
    /// From the end of the server's WAL back to what is confirmed.
    pub lag_bytes: u64,
    /// Age of the oldest change that is not confirmed; 0 when there is none.
    pub lag_seconds: f64,
    /// Mean over the last ten seconds.
    pub records_per_second: f64,
    /// Mean over the last ten seconds.
    pub bytes_per_second: f64,
    /// What Kafka has not acknowledged.
    pub in_flight: InFlight,
    /// Since the process started.
    pub totals: TotalsView,
    /// Connections lost or refused, by peer.
    pub retries: BTreeMap<&'static str, u64>,
    /// The slot, once it was asked about.
    pub slot: Option<SlotHealth>,
    /// Tables that the configuration wants and the publication leaves out.
    pub unpublished_tables: usize,
    /// The rows that are published beside the stream.
    #[serde(flatten)]
    pub asked: Asked,
    /// Transactions that are prepared and not ended, the oldest first.
    pub prepared_transactions: Vec<PreparedTransaction>,
    /// How far the publication of existing rows has come, if this process reads any.
    pub snapshot: Option<SnapshotView>,
    /// The producer, once it has spoken.
    pub producer: Option<ProducerStatistics>,
    /// Events by table, the busiest first.
    pub tables: Vec<TableView>,
}

/// The ladder of positions, the furthest first.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Positions {
    /// The end of the server's WAL when it was asked last, or what was received if that is further.
    #[serde(serialize_with = "as_text")]
    pub server: Lsn,
    /// Read.
    #[serde(serialize_with = "as_text")]
    pub received: Lsn,
    /// Handed to Kafka.
    #[serde(serialize_with = "as_text")]
    pub published: Lsn,
    /// Acknowledged by Kafka.
    #[serde(serialize_with = "as_text")]
    pub acknowledged: Lsn,
    /// Told to Postgres.
    #[serde(serialize_with = "as_text")]
    pub confirmed: Lsn,
}

/// What Kafka has not acknowledged, and the most there may be.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InFlight {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most records.
    pub limit_records: u64,
    /// The most bytes.
    pub limit_bytes: u64,
}

/// Since the process started.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TotalsView {
    /// Records handed to Kafka.
    pub records: u64,
    /// Transactions seen to their commit.
    pub transactions: u64,
    /// Bytes read from Postgres.
    pub received_bytes: u64,
    /// Bytes handed to Kafka.
    pub published_bytes: u64,
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct TableView {
    /// `schema.table`.
    pub table: String,
    /// All operations together.
    pub total: u64,
    /// By operation, without those that did not happen.
    #[serde(serialize_with = "as_map")]
    pub counts: Counts,
}

impl View {
    pub(super) fn of(state: &State, now_unix: Duration) -> Self {
        let reading = &state.reading;
        let server = state.wal_end.max(reading.received_lsn);
        let confirmed = state.slot_confirmed.max(reading.confirmed_lsn);
        let totals = state.totals();
        let (records_per_second, bytes_per_second) = rates(state);
        let mut tables: Vec<TableView> = totals
            .tables
            .iter()
            .map(|(table, counts)| TableView {
                table: table.to_string(),
                total: counts.total(),
                counts: *counts,
            })
            .collect();
        tables.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.table.cmp(&b.table)));
        Self {
            name: state.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            stage: state.stage,
            reason: state.reason.clone().or_else(|| kafka_is_away(state)),
            started_unix_seconds: state.started_unix.as_secs_f64(),
            uptime_seconds: state.started.elapsed().as_secs(),
            positions: Positions {
                server,
                received: reading.received_lsn,
                published: reading.published_lsn,
                acknowledged: reading.acknowledged_lsn,
                confirmed,
            },
            lag_bytes: lag_bytes(server, confirmed),
            lag_seconds: lag_seconds(state, now_unix),
            records_per_second,
            bytes_per_second,
            in_flight: InFlight {
                records: reading.in_flight_records,
                bytes: reading.in_flight_bytes,
                limit_records: reading.limit_records,
                limit_bytes: reading.limit_bytes,
            },
            totals: TotalsView {
                records: totals.records,
                transactions: totals.transactions,
                received_bytes: totals.received_bytes,
                published_bytes: totals.published_bytes,
            },
            retries: state
                .retries
                .iter()
                .map(|(peer, n)| (peer.as_str(), *n))
                .collect(),
            slot: state.slot.clone(),
            unpublished_tables: state.unpublished,
            asked: state.asked.clone(),
            prepared_transactions: state.prepared.clone(),
            snapshot: state.snapshot.view(),
            producer: state.producer.clone(),
            tables,
        }
    }
}

/// Kafka's absence ends no connection to Postgres, so it is no stage: records wait for it.
fn kafka_is_away(state: &State) -> Option<String> {
    let brokers = &state.producer.as_ref()?.brokers;
    let any_up = brokers.values().any(|broker| broker.state == "UP");
    if any_up || brokers.is_empty() || state.reading.in_flight_records == 0 {
        return None;
    }
    let said = state.reading.kafka_error.as_deref().unwrap_or("no error");
    Some(format!("no broker of Kafka is connected: {said}"))
}

/// None while nothing is known to be confirmed: the distance to the beginning of all WAL says nothing.
fn lag_bytes(server: Lsn, confirmed: Lsn) -> u64 {
    if confirmed == Lsn::ZERO {
        0
    } else {
        server.bytes_since(confirmed)
    }
}

/// The server's clock made the commit's time: a clock ahead of ours must not give less than none.
fn lag_seconds(state: &State, now_unix: Duration) -> f64 {
    let Some(commit_time) = state.reading.oldest_pending else {
        return 0.0;
    };
    let now = i64::try_from(now_unix.as_micros()).unwrap_or(i64::MAX);
    let micros = now.saturating_sub(commit_time.unix_micros()).max(0);
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // Rates are for reading, not for reckoning.
fn rates(state: &State) -> (f64, f64) {
    let (Some((first, records, bytes)), Some((last, records_now, bytes_now))) =
        (state.history.front(), state.history.back())
    else {
        return (0.0, 0.0);
    };
    let seconds = (*last - *first).as_secs_f64();
    if seconds <= 0.0 {
        return (0.0, 0.0);
    }
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    (rate(*records_now, *records), rate(*bytes_now, *bytes))
}

fn as_word<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.as_str())
}

fn as_text<S: Serializer>(lsn: &Lsn, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lsn)
}

fn as_map<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    let some = counts.iter().filter(|(_, count)| *count > 0);
    serializer.collect_map(some.map(|(operation, count)| (operation.as_str(), count)))
}
