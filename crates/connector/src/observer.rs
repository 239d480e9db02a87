//! Who is told how things stand: the log and the telemetry.
//!
//! The loop hands over the relay and the producer now and then; nothing here is done per row.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use envelope::{InvalidOperation, Operation};
use pgoutput::{Lsn, PgTimestamp};
use relay::{Limits, Relay};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::copy::Paused;
use crate::end::Lost;
use crate::incremental::Asked;
use crate::kafka::Producer;
use crate::preflight::finding::Severity;
use crate::preflight::report::Report;
use crate::prepared::PreparedTransaction;
use crate::telemetry::{Peer, Reading, SlotHealth, SnapshotGauge, Stage, TableCounts, Telemetry};

/// A handle on everything that watches.
#[derive(Clone)]
pub struct Observer {
    telemetry: Telemetry,
    limits: Limits,
    /// How a change of an outbox table that is no event is told of, and how many there were.
    invalid_operation: InvalidOperation,
    ignored: Arc<AtomicU64>,
    is_terminal: bool,
    /// How often it was told how things stand.
    observed: Arc<AtomicU64>,
}

impl Observer {
    /// Tells this telemetry.
    #[must_use]
    pub fn new(telemetry: Telemetry, limits: Limits, config: &Config) -> Self {
        let outbox = config.envelope.outbox.as_ref();
        Self {
            telemetry,
            limits,
            invalid_operation: outbox.map(|it| it.invalid_operation).unwrap_or_default(),
            ignored: Arc::default(),
            is_terminal: std::io::stderr().is_terminal(),
            observed: Arc::default(),
        }
    }

    /// A connection is being made.
    pub fn starting(&self) {
        self.telemetry.enter(Stage::Checking, None);
    }

    /// A connection streams.
    pub fn streaming(&self) {
        self.telemetry.begin_run();
        self.telemetry.enter(Stage::Streaming, None);
    }

    /// Where the readers of existing rows count.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotGauge {
        self.telemetry.snapshot()
    }

    /// Rows that were there before are to be published first.
    pub fn copying(&self) {
        self.telemetry.enter(Stage::Snapshot, None);
    }

    /// The server keeps too much WAL meanwhile.
    pub fn pausing(&self, paused: &Paused) {
        let Paused {
            kept,
            limit,
            pieces,
            ..
        } = paused;
        warn!(kept, limit, pieces, "{paused}");
        self.telemetry.snapshot().pause();
    }

    /// They are, and changes follow.
    pub fn copied(&self, rows: u64) {
        info!(
            rows,
            "all rows that were there are handed over; changes follow"
        );
        self.telemetry.enter(Stage::Streaming, None);
    }

    /// They are not wanted any more, or cannot be read now, and changes follow.
    pub fn copy_given_up(&self) {
        info!("the stream goes on");
        self.telemetry.enter(Stage::Streaming, None);
    }

    /// Nothing more is read: somebody asked for that, or the connection is lost for this reason.
    pub fn draining(&self, lost: Option<&Lost>) {
        match lost {
            None => info!("draining: waiting for Kafka's acknowledgements"),
            Some(lost) => warn!(
                reason = %lost,
                "draining: waiting for Kafka's acknowledgements before another connection"
            ),
        }
        self.telemetry.enter(Stage::Draining, None);
    }

    /// How things stand now.
    pub fn observe(&self, relay: &Relay, producer: &Producer) {
        self.tell_ignored(relay);
        self.tell_snapshot();
        let positions = relay.positions();
        let tables = relay.tables().map(|of| TableCounts {
            table: Arc::from(of.table),
            counts: of.counts.iter().collect(),
        });
        let (records, bytes) = positions.in_flight;
        self.telemetry.report(Reading {
            received_lsn: positions.received,
            published_lsn: positions.published,
            acknowledged_lsn: positions.acknowledged,
            confirmed_lsn: positions.confirmed,
            oldest_pending: positions
                .oldest_commit_time
                .map(PgTimestamp::from_unix_micros),
            in_flight_records: records as u64,
            in_flight_bytes: bytes as u64,
            limit_records: self.limits.in_flight_records as u64,
            limit_bytes: self.limits.in_flight_bytes as u64,
            received_bytes: positions.totals.received_bytes,
            published_bytes: positions.totals.record_bytes,
            transactions: positions.totals.transactions,
            records: positions.totals.records,
            kafka_error: producer.last_connection_error(),
            tables: tables.collect(),
        });
        if let Some(statistics) = producer.statistics() {
            self.telemetry.producer(&statistics);
        }
    }

    /// How far the reading of existing rows is, now and then: a terminal has bars for it.
    fn tell_snapshot(&self) {
        let observed = self.observed.fetch_add(1, Ordering::Relaxed);
        if !observed.is_multiple_of(SNAPSHOT_TOLD_EVERY) || self.is_terminal {
            return;
        }
        let view = self.telemetry.snapshot().view();
        if let Some(snapshot) = view.filter(|snapshot| !snapshot.over && !snapshot.paused) {
            info!(
                tables = snapshot.tables,
                tables_read = snapshot.tables_read,
                rows = snapshot.rows,
                bytes = snapshot.bytes,
                rows_per_second = snapshot.rows_per_second.round(),
                seconds_left = snapshot.seconds_left.map(f64::round),
                "reading the rows that are there"
            );
        }
    }

    /// Outbox tables whose rows were changed: such changes give no event.
    fn tell_ignored(&self, relay: &Relay) {
        let ignored = |of: &relay::TableCounts<'_>| {
            let mut counts = of.counts.iter();
            let found = counts.find(|(operation, _)| *operation == Operation::Ignored);
            found.map_or(0, |(_, count)| count)
        };
        let tables: Vec<_> = relay.tables().filter(|of| ignored(of) > 0).collect();
        let total = tables.iter().map(ignored).sum();
        if self.ignored.swap(total, Ordering::Relaxed) >= total {
            return;
        }
        for table in &tables {
            let (table, changes) = (table.table, ignored(table));
            let said = "rows of an outbox table were changed after their insert, which gives no event; \
                        insert another row instead (outbox.table.op.invalid.behavior)";
            match self.invalid_operation {
                InvalidOperation::Warn => warn!(table, changes, "{said}"),
                InvalidOperation::Error => error!(table, changes, "{said}"),
                InvalidOperation::Fatal | InvalidOperation::Ignore => {}
            }
        }
    }

    /// What the check at the start found.
    pub fn checked(&self, report: &Report) {
        for finding in report.findings() {
            let (code, subject, problem) = (finding.code, &finding.subject, &finding.problem);
            let fix = finding.fix();
            match finding.severity {
                Severity::Error => error!(code, %subject, problem, fix),
                Severity::Warning => warn!(code, %subject, problem, fix),
                Severity::Info => info!(code, %subject, problem),
            }
        }
    }

    /// A connection ended, or did not come about, and there will be another.
    pub fn retrying(&self, peer: Peer, reason: &str, pause: Duration) {
        warn!(reason, pause_ms = pause.as_millis(), "connecting again");
        self.telemetry.count_retry(peer);
        self.telemetry
            .enter(Stage::Retrying, Some(reason.to_owned()));
    }

    /// What the server says about the slot, if it knows it; how far its WAL is flushed, and how far
    /// the slot is confirmed.
    pub fn slot(&self, health: Option<SlotHealth>, wal_end: Lsn, confirmed: Lsn) {
        self.telemetry.slot(health, wal_end, confirmed);
    }

    /// The rows that are published beside the stream.
    pub fn asked(&self, asked: Asked) {
        self.telemetry.asked(asked);
    }

    /// The transactions that are prepared and not ended.
    pub fn prepared(&self, transactions: Vec<PreparedTransaction>) {
        self.telemetry.prepared(transactions);
    }

    /// How many tables are wanted and not published.
    pub fn unpublished(&self, tables: usize) {
        self.telemetry.unpublished(tables);
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// Of the loop's reports, two a second.
const SNAPSHOT_TOLD_EVERY: u64 = 20;
