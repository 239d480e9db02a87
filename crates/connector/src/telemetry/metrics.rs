//! `/metrics`: the OpenMetrics text of a [`View`], which Prometheus reads.
//!
//! Names are stable. Positions are given as numbers (bytes from the start of the WAL), so that a
//! difference of two is a distance.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::statistics::{Broker, ProducerStatistics};
use super::{Stage, Telemetry, View, WalStatus};

/// The content type of [`exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of all metrics, as of now.
pub fn exposition(telemetry: &Telemetry) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(telemetry.clone())));
    let mut text = String::new();
    // A `String` takes any text, so there is no error to tell.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Page(Telemetry);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.0.view();
        let mut writer = Writer(encoder);
        process(&mut writer, &view)?;
        positions(&mut writer, &view)?;
        throughput(&mut writer, &view)?;
        events(&mut writer, &view)?;
        snapshot(&mut writer, &view)?;
        slot(&mut writer, &view)?;
        producer(&mut writer, &view)
    }
}

/// Writes metrics whose values are known at the moment of writing.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.describe(name, help, MetricType::Gauge)?)
    }

    fn position(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.describe(name, help, MetricType::Gauge)?)
    }

    /// The name without `_total`, which the format adds.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.describe(name, help, MetricType::Counter)?)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self.describe(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.describe(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn describe<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

/// The copy of existing rows, while this process knows of one.
fn snapshot(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let Some(snapshot) = &view.snapshot else {
        return Ok(());
    };
    writer.position(
        "walferry_snapshot_tables",
        "Tables whose existing rows this run reads.",
        snapshot.tables as u64,
    )?;
    writer.position(
        "walferry_snapshot_tables_read",
        "Those of them that are read.",
        snapshot.tables_read as u64,
    )?;
    writer.position(
        "walferry_snapshot_rows",
        "Existing rows read by this run.",
        snapshot.rows,
    )?;
    writer.counter(
        "walferry_snapshot_pauses",
        "How often their reading has paused for the stream, at the limit of WAL.",
        snapshot.pauses,
    )?;
    if let Some(seconds) = snapshot.seconds_left {
        let help = "At this pace, until all existing rows are read.";
        writer.gauge("walferry_snapshot_seconds_left", help, seconds)?;
    }
    Ok(())
}

fn process(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let build = [(
        [("version", view.version), ("name", view.name.as_str())],
        1.0,
    )];
    writer.gauges("walferry_build_info", "Version and connector name.", build)?;
    let stages = Stage::ALL.map(|stage| {
        let now = if stage == view.stage { 1.0 } else { 0.0 };
        ([("stage", stage.as_str())], now)
    });
    writer.gauges("walferry_stage", "1 for what the run is doing.", stages)?;
    writer.gauge(
        "process_start_time_seconds",
        "When the process started, since 1970.",
        view.started_unix_seconds,
    )?;
    if let Some(process) = Process::read() {
        let memory = process.resident_bytes;
        writer.position(
            "process_resident_memory_bytes",
            "Memory in use (Linux only).",
            memory,
        )?;
    }
    Ok(())
}

fn positions(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let at = &view.positions;
    for (name, help, lsn) in [
        (
            "walferry_server_lsn_bytes",
            "How far the server's WAL is flushed, as of the last look at the slot.",
            at.server,
        ),
        (
            "walferry_received_lsn_bytes",
            "How far the stream was received.",
            at.received,
        ),
        (
            "walferry_published_lsn_bytes",
            "Commit of the last transaction handed to Kafka.",
            at.published,
        ),
        (
            "walferry_acknowledged_lsn_bytes",
            "How far Kafka has acknowledged everything.",
            at.acknowledged,
        ),
        (
            "walferry_confirmed_lsn_bytes",
            "How far the slot is confirmed: Postgres may forget what is before.",
            at.confirmed,
        ),
    ] {
        writer.position(name, help, lsn.as_u64())?;
    }
    writer.position(
        "walferry_lag_bytes",
        "WAL from the confirmed position to the server's end.",
        view.lag_bytes,
    )?;
    writer.gauge(
        "walferry_lag_seconds",
        "Age of the oldest change that is not confirmed; 0 when there is none.",
        view.lag_seconds,
    )
}

fn throughput(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let in_flight = &view.in_flight;
    for (name, help, value) in [
        (
            "walferry_in_flight_records",
            "Records that Kafka has not acknowledged.",
            in_flight.records,
        ),
        (
            "walferry_in_flight_bytes",
            "Bytes that Kafka has not acknowledged.",
            in_flight.bytes,
        ),
        (
            "walferry_in_flight_records_max",
            "The most records in flight; reading pauses there.",
            in_flight.limit_records,
        ),
        (
            "walferry_in_flight_bytes_max",
            "The most bytes in flight; reading pauses there.",
            in_flight.limit_bytes,
        ),
    ] {
        writer.position(name, help, value)?;
    }
    let totals = &view.totals;
    for (name, help, value) in [
        (
            "walferry_records",
            "Records handed to Kafka, repeats included.",
            totals.records,
        ),
        (
            "walferry_transactions",
            "Transactions seen to their commit.",
            totals.transactions,
        ),
        (
            "walferry_received_bytes",
            "Bytes read from Postgres.",
            totals.received_bytes,
        ),
        (
            "walferry_published_bytes",
            "Bytes handed to Kafka.",
            totals.published_bytes,
        ),
    ] {
        writer.counter(name, help, value)?;
    }
    Ok(())
}

fn events(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    writer.position(
        "walferry_tables_unpublished",
        "Tables that are wanted and not in the publication: their changes are not captured.",
        view.unpublished_tables as u64,
    )?;
    writer.position(
        "walferry_incremental_snapshots",
        "Snapshots beside the stream that are under way, wait or are paused.",
        view.asked.snapshots.len() as u64,
    )?;
    writer.position(
        "walferry_signals_ignored",
        "Signals of this connection that were not understood.",
        view.asked.signals_ignored,
    )?;
    let prepared = &view.prepared_transactions;
    writer.position(
        "walferry_prepared_transactions",
        "Transactions that are prepared and neither committed nor rolled back.",
        prepared.len() as u64,
    )?;
    writer.position(
        "walferry_prepared_oldest_seconds",
        "Age of the oldest of them; it holds WAL and vacuum back.",
        prepared.first().map_or(0, |oldest| oldest.age_seconds),
    )?;
    let retries = ["postgres", "kafka"].map(|peer| {
        (
            [("peer", peer)],
            view.retries.get(peer).copied().unwrap_or_default(),
        )
    });
    writer.counters(
        "walferry_retries",
        "Connections that were lost or refused, and tried again.",
        retries,
    )?;
    let events = view.tables.iter().flat_map(|table| {
        let some = table.counts.iter().filter(|(_, count)| *count > 0);
        some.map(|(operation, count)| {
            (
                [
                    ("table", table.table.as_str()),
                    ("operation", operation.as_str()),
                ],
                count,
            )
        })
    });
    writer.counters(
        "walferry_events",
        "Records handed to Kafka, by table and operation.",
        events,
    )
}

fn slot(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let Some(slot) = &view.slot else {
        return Ok(());
    };
    let name = [("slot", slot.name.as_str())];
    writer.gauges(
        "walferry_slot_retained_bytes",
        "WAL that the server keeps for the slot.",
        [(name, as_f64(slot.retained_bytes))],
    )?;
    if let Some(safe) = slot.safe_wal_bytes {
        #[allow(clippy::cast_precision_loss)] // A distance for an alert.
        let safe = safe as f64;
        let help =
            "WAL that may still be written before the slot can be lost; absent without a limit.";
        writer.gauges("walferry_slot_safe_wal_bytes", help, [(name, safe)])?;
    }
    let statuses = WalStatus::ALL.map(|status| {
        let now = if status == slot.wal_status { 1.0 } else { 0.0 };
        (
            [("slot", slot.name.as_str()), ("status", status.as_str())],
            now,
        )
    });
    writer.gauges(
        "walferry_slot_wal_status",
        "1 for what pg_replication_slots.wal_status says.",
        statuses,
    )
}

fn producer(writer: &mut Writer<'_>, view: &View) -> fmt::Result {
    let Some(producer) = &view.producer else {
        return Ok(());
    };
    for (name, help, value) in [
        (
            "walferry_producer_queue_records",
            "Messages in the Kafka client's queue.",
            producer.queue_messages,
        ),
        (
            "walferry_producer_queue_bytes",
            "Their bytes.",
            producer.queue_bytes,
        ),
    ] {
        writer.position(name, help, value)?;
    }
    for (name, help, value) in [
        (
            "walferry_producer_sent_records",
            "Messages sent by the Kafka client, progress included; from 0 with each connection, and once the first copy is over.",
            producer.sent_messages,
        ),
        (
            "walferry_producer_sent_bytes",
            "Bytes sent by the Kafka client, compressed; from 0 with each connection, and once the first copy is over.",
            producer.sent_bytes,
        ),
    ] {
        writer.counter(name, help, value)?;
    }
    brokers(writer, producer)
}

fn brokers(writer: &mut Writer<'_>, producer: &ProducerStatistics) -> fmt::Result {
    let brokers = || producer.brokers.values();
    writer.gauges(
        "walferry_broker_up",
        "1 when the broker is connected.",
        brokers().map(|broker| {
            let up = if broker.state == "UP" { 1.0 } else { 0.0 };
            ([("broker", broker.nodename.as_str())], up)
        }),
    )?;
    writer.gauges(
        "walferry_broker_round_trip_seconds",
        "From request to answer, mean of the last five seconds.",
        brokers().map(|broker| {
            (
                [("broker", broker.nodename.as_str())],
                as_f64(broker.rtt.avg) / 1e6,
            )
        }),
    )?;
    for (name, help, value) in [
        (
            "walferry_broker_request_retries",
            "Requests sent again.",
            (|broker| broker.retries) as fn(&Broker) -> u64,
        ),
        (
            "walferry_broker_request_errors",
            "Requests that failed.",
            |broker| broker.errors,
        ),
        (
            "walferry_broker_disconnects",
            "Connections that ended.",
            |broker| broker.disconnects,
        ),
    ] {
        let values =
            brokers().map(|broker| ([("broker", broker.nodename.as_str())], value(broker)));
        writer.counters(name, help, values)?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Prometheus' values are doubles.
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// What the kernel says about this process; only on Linux.
struct Process {
    resident_bytes: u64,
}

impl Process {
    /// From `/proc/self/status`, whose unit is always kB (proc_pid_status(5)).
    fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self {
            resident_bytes: kilobytes * 1024,
        })
    }
}
