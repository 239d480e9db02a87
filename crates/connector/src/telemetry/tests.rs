//! A run's numbers come out as they went in.

use pgoutput::{Lsn, PgTimestamp};

use super::*;

fn reading() -> Reading {
    use envelope::Operation::{Create, Delete, Tombstone};
    Reading {
        received_lsn: Lsn::new(0x1_0000_4000),
        published_lsn: Lsn::new(0x1_0000_3000),
        acknowledged_lsn: Lsn::new(0x1_0000_2000),
        confirmed_lsn: Lsn::new(0x1_0000_1000),
        oldest_pending: Some(PgTimestamp::from_unix_micros(1_000_000)),
        in_flight_records: 12,
        in_flight_bytes: 3400,
        limit_records: 30_000,
        limit_bytes: 16 << 20,
        received_bytes: 100,
        published_bytes: 200,
        transactions: 3,
        records: 5,
        kafka_error: None,
        tables: vec![
            TableCounts {
                table: "public.users".into(),
                counts: [(Create, 2)].into_iter().collect(),
            },
            TableCounts {
                table: "public.we\"ird\n".into(),
                counts: [(Delete, 3), (Tombstone, 3)].into_iter().collect(),
            },
        ],
    }
}

fn slot() -> SlotHealth {
    SlotHealth {
        name: "walferry_shop".into(),
        wal_status: WalStatus::Reserved,
        retained_bytes: 16 << 20,
        safe_wal_bytes: Some(-5),
    }
}

#[test]
fn metrics_show_every_number() {
    let telemetry = Telemetry::new("shop");
    telemetry.enter(Stage::Streaming, None);
    telemetry.report(reading());
    telemetry.count_retry(Peer::Postgres);
    telemetry.slot(Some(slot()), Lsn::new(0x1_0000_5000), Lsn::ZERO);
    telemetry.producer(
        r#"{"msg_cnt":7,"brokers":{"b/1":{"nodeid":1,"nodename":"b:9092","state":"UP",
        "rtt":{"avg":2500}}}}"#,
    );
    let text = exposition(&telemetry);
    for line in [
        "walferry_stage{stage=\"streaming\"} 1.0",
        "walferry_stage{stage=\"draining\"} 0.0",
        "walferry_server_lsn_bytes 4294987776",
        "walferry_confirmed_lsn_bytes 4294971392",
        "walferry_lag_bytes 16384",
        "walferry_in_flight_records 12",
        "walferry_in_flight_bytes_max 16777216",
        "walferry_records_total 5",
        "walferry_retries_total{peer=\"postgres\"} 1",
        "walferry_retries_total{peer=\"kafka\"} 0",
        "walferry_events_total{table=\"public.users\",operation=\"create\"} 2",
        "walferry_events_total{table=\"public.we\\\"ird\\n\",operation=\"delete\"} 3",
        "walferry_slot_safe_wal_bytes{slot=\"walferry_shop\"} -5.0",
        "walferry_slot_wal_status{slot=\"walferry_shop\",status=\"reserved\"} 1.0",
        "walferry_slot_wal_status{slot=\"walferry_shop\",status=\"lost\"} 0.0",
        "walferry_producer_queue_records 7",
        "walferry_broker_up{broker=\"b:9092\"} 1.0",
        "walferry_broker_round_trip_seconds{broker=\"b:9092\"} 0.0025",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    // Each name is described once, or Prometheus refuses the page.
    let mut described: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    described.sort_unstable();
    let before = described.len();
    described.dedup();
    assert_eq!(before, described.len());
}

#[test]
fn a_new_run_adds_to_the_old_one() {
    let telemetry = Telemetry::new("shop");
    telemetry.report(reading());
    telemetry.begin_run();
    let view = telemetry.view();
    assert_eq!(view.totals.records, 5);
    assert_eq!(view.positions.confirmed, Lsn::new(0x1_0000_1000));
    assert_eq!(view.in_flight.records, 0);
    assert_eq!(view.lag_seconds, 0.0);
    telemetry.report(reading());
    let view = telemetry.view();
    assert_eq!((view.totals.records, view.totals.transactions), (10, 6));
    let users = view
        .tables
        .iter()
        .find(|table| table.table == "public.users")
        .unwrap();
    assert_eq!(users.total, 4);
    assert_eq!(view.tables[0].total, 12, "the busiest first");
}

#[test]
fn lag_is_the_age_of_the_oldest_pending_change() {
    let telemetry = Telemetry::new("shop");
    telemetry.report(reading());
    assert!(telemetry.view().lag_seconds > 1e9);
    // A server whose clock is ahead of ours.
    let ahead = PgTimestamp::from_unix_micros(i64::MAX / 2);
    telemetry.report(Reading {
        oldest_pending: Some(ahead),
        ..reading()
    });
    assert_eq!(telemetry.view().lag_seconds, 0.0);
}

/// What was received is near what is confirmed while a backlog drains; the server's end is far.
#[test]
fn lag_in_bytes_is_to_the_end_of_the_servers_wal() {
    let telemetry = Telemetry::new("shop");
    telemetry.report(reading());
    assert_eq!(
        telemetry.view().lag_bytes,
        0x3000,
        "received, before the first look"
    );
    telemetry.slot(Some(slot()), Lsn::new(0x9_0000_1000), Lsn::ZERO);
    assert_eq!(telemetry.view().lag_bytes, 0x8_0000_0000);
    telemetry.begin_run();
    assert_eq!(
        telemetry.view().lag_bytes,
        0x8_0000_0000,
        "a new connection knows it still"
    );
    // A look is a few seconds old when the stream has gone on.
    telemetry.slot(None, Lsn::new(0x1_0000_1000), Lsn::ZERO);
    let view = telemetry.view();
    assert_eq!((view.lag_bytes, view.slot), (0x3000, None));
    // A run that has confirmed nothing yet goes by what the slot says.
    telemetry.report(Reading {
        confirmed_lsn: Lsn::ZERO,
        ..reading()
    });
    assert_eq!(telemetry.view().lag_bytes, 0, "nothing is known");
    telemetry.slot(None, Lsn::new(0x1_0000_5000), Lsn::new(0x1_0000_3000));
    assert_eq!(telemetry.view().lag_bytes, 0x2000);
}

/// The stream runs on while Kafka is away: only the reason tells of it.
#[test]
fn a_kafka_that_is_away_is_the_reason_when_there_is_no_other() {
    let telemetry = Telemetry::new("shop");
    telemetry.enter(Stage::Streaming, None);
    telemetry.report(Reading {
        kafka_error: Some("refused".into()),
        ..reading()
    });
    let brokers = |state: &str| {
        telemetry.producer(&format!(
            r#"{{"brokers":{{"b/1":{{"nodeid":1,"nodename":"b:9092","state":"{state}"}}}}}}"#
        ));
        telemetry.view().reason
    };
    assert_eq!(brokers("UP"), None, "an error of long ago");
    let away = "no broker of Kafka is connected: refused";
    assert_eq!(brokers("DOWN").as_deref(), Some(away));
    telemetry.enter(Stage::Retrying, Some("the server is gone".into()));
    assert_eq!(brokers("DOWN").as_deref(), Some("the server is gone"));
}

#[test]
fn the_status_line_says_what_matters() {
    let telemetry = Telemetry::new("shop");
    telemetry.enter(Stage::Retrying, Some("connection\nrefused\u{1b}[2J".into()));
    telemetry.report(Reading {
        oldest_pending: None,
        ..reading()
    });
    telemetry.slot(None, Lsn::new(0x1_0000_5000), Lsn::ZERO);
    assert_eq!(
        status_line::render(&telemetry.view()),
        "retrying · connection refused [2J · 5 records · 0/s · lag 16.0 KiB, 0.0 s · \
         in flight 12 (3.3 KiB) · confirmed 1/1000"
    );
}
