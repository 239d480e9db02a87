//! What is seen of a run: logs, metrics, the status line, and what the admin page shows.
//!
//! The driver hands over plain numbers with one call about once a second ([`Telemetry::report`]);
//! nothing here is touched for each row. No row values, keys or secrets come this way: only names
//! of tables and slots, positions and counts.

mod health;
mod logs;
mod metrics;
mod reading;
mod snapshot;
mod statistics;
mod status_line;
#[cfg(test)]
mod tests;
mod view;

use crate::incremental::Asked;
use crate::prepared::PreparedTransaction;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pgoutput::Lsn;

pub use self::health::{Health, Verdict};
pub use self::logs::{LogError, init};
pub use self::metrics::{CONTENT_TYPE, exposition};
pub use self::reading::{Counts, Peer, Reading, SlotHealth, Stage, TableCounts, WalStatus};
pub use self::snapshot::{SnapshotGauge, TableProgress};
pub use self::statistics::ProducerStatistics;
pub use self::status_line::StatusLine;
pub use self::view::View;

/// The one place where a run's numbers come together. Clones share it.
#[derive(Clone)]
pub struct Telemetry(Arc<Mutex<State>>);

struct State {
    name: String,
    started: Instant,
    started_unix: Duration,
    reading: Reading,
    reported: Instant,
    stage: Stage,
    /// Why it is in that stage, where there is a reason to tell.
    reason: Option<String>,
    /// Sums of the runs before this one: a reconnect begins a new run in the same process.
    before: Totals,
    slot: Option<SlotHealth>,
    /// The end of the WAL when the slot was looked at last.
    wal_end: Lsn,
    /// How far the slot was confirmed then: a run that has confirmed nothing does not know.
    slot_confirmed: Lsn,
    /// Tables that are wanted and not published, as of the last look.
    unpublished: usize,
    prepared: Vec<PreparedTransaction>,
    snapshot: SnapshotGauge,
    asked: Asked,
    producer: Option<ProducerStatistics>,
    retries: BTreeMap<Peer, u64>,
    /// Records and bytes published by when, for the rates.
    history: VecDeque<(Instant, u64, u64)>,
}

/// What only grows.
#[derive(Clone, Debug, Default)]
struct Totals {
    received_bytes: u64,
    published_bytes: u64,
    transactions: u64,
    records: u64,
    tables: BTreeMap<Arc<str>, Counts>,
}

impl Totals {
    fn add(&mut self, reading: &Reading) {
        self.received_bytes += reading.received_bytes;
        self.published_bytes += reading.published_bytes;
        self.transactions += reading.transactions;
        self.records += reading.records;
        for table in &reading.tables {
            self.tables
                .entry(Arc::clone(&table.table))
                .or_default()
                .add(table.counts);
        }
    }
}

impl Telemetry {
    /// For the connector of this name; the process counts as started now.
    pub fn new(name: impl Into<String>) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            name: name.into(),
            started: now,
            started_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            reading: Reading::default(),
            reported: now,
            stage: Stage::Starting,
            reason: None,
            before: Totals::default(),
            slot: None,
            wal_end: Lsn::ZERO,
            slot_confirmed: Lsn::ZERO,
            unpublished: 0,
            prepared: Vec::new(),
            snapshot: SnapshotGauge::default(),
            asked: Asked::default(),
            producer: None,
            retries: BTreeMap::new(),
            history: VecDeque::new(),
        })))
    }

    /// Takes the driver's numbers. Call it about once a second while the driver lives, with the
    /// same totals if nothing moved: silence means that the driver hangs.
    pub fn report(&self, reading: Reading) {
        let now = Instant::now();
        let mut state = self.lock();
        state.reading = reading;
        state.reported = now;
        state.remember(now);
    }

    /// Enters a stage, with the reason where there is one to tell.
    pub fn enter(&self, stage: Stage, reason: Option<String>) {
        let mut state = self.lock();
        state.stage = stage;
        state.reason = reason;
        state.reported = Instant::now();
    }

    /// A new run begins in this process: its totals start from 0 and are added to the old ones.
    pub fn begin_run(&self) {
        let mut state = self.lock();
        let reading = std::mem::take(&mut state.reading);
        state.before.add(&reading);
        // Positions stay as they were until the new run knows better.
        state.reading = Reading {
            received_lsn: reading.received_lsn,
            published_lsn: reading.published_lsn,
            acknowledged_lsn: reading.acknowledged_lsn,
            confirmed_lsn: reading.confirmed_lsn,
            limit_records: reading.limit_records,
            limit_bytes: reading.limit_bytes,
            ..Reading::default()
        };
    }

    /// A connection was lost, or could not be made, and is tried again.
    pub fn count_retry(&self, peer: Peer) {
        *self.lock().retries.entry(peer).or_default() += 1;
    }

    /// What the server says about the slot, if it knows it; how far its WAL is flushed, and how far
    /// the slot is confirmed.
    pub fn slot(&self, health: Option<SlotHealth>, wal_end: Lsn, confirmed: Lsn) {
        let mut state = self.lock();
        state.slot = health;
        state.wal_end = wal_end;
        state.slot_confirmed = confirmed;
    }

    /// What the run is doing.
    fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// Where the readers of existing rows count.
    pub fn snapshot(&self) -> SnapshotGauge {
        self.lock().snapshot.clone()
    }

    /// The rows that are published beside the stream.
    pub fn asked(&self, asked: Asked) {
        self.lock().asked = asked;
    }

    /// The transactions that are prepared and not ended.
    pub fn prepared(&self, transactions: Vec<PreparedTransaction>) {
        self.lock().prepared = transactions;
    }

    /// How many tables are wanted and not published.
    pub fn unpublished(&self, tables: usize) {
        self.lock().unpublished = tables;
    }

    /// librdkafka's statistics, as it emits them; what cannot be read is passed over.
    pub fn producer(&self, json: &str) {
        if let Some(statistics) = ProducerStatistics::parse(json) {
            self.lock().producer = Some(statistics);
        }
    }

    /// Whether the process is alive and the stream runs.
    pub fn health(&self) -> Health {
        let state = self.lock();
        health::judge(
            state.stage,
            state.reason.as_deref(),
            state.reported.elapsed(),
        )
    }

    /// Everything that is shown, as of now.
    pub fn view(&self) -> View {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        View::of(&self.lock(), now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain numbers behind, which are still the best there are.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn totals(&self) -> Totals {
        let mut totals = self.before.clone();
        totals.add(&self.reading);
        totals
    }

    fn remember(&mut self, now: Instant) {
        let records = self.before.records + self.reading.records;
        let bytes = self.before.published_bytes + self.reading.published_bytes;
        self.history.push_back((now, records, bytes));
        while self.history.len() > 2
            && self
                .history
                .front()
                .is_some_and(|(then, ..)| now - *then > RATE_SPAN)
        {
            self.history.pop_front();
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry")
            .field("name", &self.lock().name)
            .finish_non_exhaustive()
    }
}

/// Rates are means over this long: short enough to follow, long enough to be read.
const RATE_SPAN: Duration = Duration::from_secs(10);
