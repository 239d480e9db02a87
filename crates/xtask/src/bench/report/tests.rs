//! The tables as people see them.

use expect_test::expect;

use super::*;

fn drain(events_per_second: f64, cpu: f64, mib: f64, first: Option<f64>) -> Drain {
    Drain {
        events_per_second,
        events_per_second_from_start: events_per_second * 0.9,
        cpu_micros_per_event: cpu,
        cpu_micros_per_event_from_start: cpu + 1.0,
        bytes_per_second: first.map(|_| events_per_second * 700.0),
        rss_peak_mib: mib,
        first_event_millis: first,
    }
}

fn small(drain: Drain) -> BTreeMap<Load, Vec<Drain>> {
    BTreeMap::from([(Load::Users, vec![drain])])
}

fn both(drain: Drain) -> BTreeMap<Load, Vec<Drain>> {
    BTreeMap::from([(Load::Users, vec![drain]), (Load::Mixed, vec![drain])])
}

fn latency(p50: f64) -> Latency {
    Latency {
        p50_millis: p50,
        p95_millis: p50 * 2.0,
        p99_millis: p50 * 6.0,
        max_millis: p50 * 10.0,
        cpu_share: 0.045,
        transactions_per_second: 999.7,
        rss_peak_mib: 31.4,
    }
}

fn report(results: Vec<Outcome>) -> Report {
    Report {
        date: "2026-01-02T03:04:05Z".to_owned(),
        machine: Machine {
            cores: 2,
            kernel: "6.1".to_owned(),
        },
        versions: Vec::new(),
        events: 1_000_000,
        rows_per_transaction: 1_000,
        runs: 1,
        results,
    }
}

#[test]
fn medians_are_each_figures_own() {
    let three = vec![
        drain(100.0, 9.0, 10.0, Some(5.0)),
        drain(300.0, 1.0, 30.0, Some(1.0)),
        drain(200.0, 5.0, 20.0, Some(9.0)),
    ];
    let [recvlogical, ..] = Competitor::ALL;
    let outcome = Outcome::new(
        recvlogical,
        BTreeMap::from([(Load::Users, three)]),
        Vec::new(),
    );
    assert_eq!(
        outcome.of(Load::Users),
        Some(drain(200.0, 5.0, 20.0, Some(5.0))).map(|d| Drain {
            events_per_second_from_start: 180.0,
            cpu_micros_per_event_from_start: 6.0,
            ..d
        })
    );
    assert_eq!(outcome.latency, None);
    assert_eq!(median(&[1.0, 4.0], |x| *x), 2.5);
}

#[test]
fn ratios_compare_with_the_same_socket() {
    let [recv_unix, recv_tcp, debezium, unix, tcp] = Competitor::ALL;
    let report = report(vec![
        Outcome::new(recv_unix, small(drain(264_000.0, 2.3, 8.0, None)), vec![]),
        Outcome::new(recv_tcp, small(drain(120_000.0, 3.5, 8.0, None)), vec![]),
        Outcome::new(
            debezium,
            small(drain(37_000.0, 41.6, 847.0, Some(5_000.0))),
            vec![latency(50.0)],
        ),
        Outcome::new(
            unix,
            both(drain(185_000.0, 2.6, 31.0, Some(120.0))),
            vec![latency(3.0)],
        ),
        Outcome::new(
            tcp,
            small(drain(90_000.0, 4.1, 65.5, Some(301.0))),
            vec![latency(4.5)],
        ),
    ]);
    expect![[r#"
        Drain: 1,000,000 inserts into a table of 8 columns in transactions of 1,000, waiting in each slot; one run

                                       events/s  from start  CPU µs/event  MB/s  peak MiB  first event ms  × Debezium  CPU 1/×  × pg_recvlogical
          pg_recvlogical, unix socket   264,000     237,600          2.30               8                        7.14    18.09              1.00
          pg_recvlogical, TCP           120,000     108,000          3.50               8                        3.24    11.89              1.00
          Debezium, tuned, TCP           37,000      33,300         41.60    26       847           5,000        1.00     1.00              0.31
          walferry, unix socket         185,000     166,500          2.60   130        31             120        5.00    16.00              0.70
          walferry, TCP                  90,000      81,000          4.10    63        66             301        2.43    10.15              0.75

          events/s: from the first record's arrival in the topic to the last one's, by the broker's clock
          from start: the same, from the start of the process; CPU: of the process, while it drains
          MB/s: keys and values, millions of bytes, before the producer's compression
          pg_recvlogical publishes nothing: its figures go from its start to its end

        Drain: 200,000 inserts and updates of a table of 60 columns in transactions of 1,000, waiting in each slot; one run

                                 events/s  from start  CPU µs/event  MB/s  peak MiB  first event ms  × Debezium  CPU 1/×  × pg_recvlogical
          walferry, unix socket   185,000     166,500          2.60   130        31             120

          events/s: from the first record's arrival in the topic to the last one's, by the broker's clock
          from start: the same, from the start of the process; CPU: of the process, while it drains
          MB/s: keys and values, millions of bytes, before the producer's compression
          pg_recvlogical publishes nothing: its figures go from its start to its end

        Latency: from the row's clock_timestamp() to the consumer, commit included; one run

                                 p50 ms  p95 ms  p99 ms  max ms  CPU of a core   tx/s  peak MiB
          Debezium, tuned, TCP     50.0   100.0   300.0   500.0          4.5 %  1,000        31
          walferry, unix socket     3.0     6.0    18.0    30.0          4.5 %  1,000        31
          walferry, TCP             4.5     9.0    27.0    45.0          4.5 %  1,000        31

        Goals

                                                     goal  measured
          walferry, unix socket  drain, × Debezium    ≥ 4      5.00  reached
          walferry, unix socket       CPU µs/event    ≤ 4      2.60  reached
          walferry, unix socket           peak MiB   ≤ 64     31.00  reached
          walferry, unix socket     first event ms  ≤ 300    120.00  reached
          walferry, unix socket     latency p50 ms    ≤ 5      3.00  reached
          walferry, unix socket     latency p99 ms   ≤ 25     18.00  reached
          walferry, TCP          drain, × Debezium  ≥ 2.5      2.43   MISSED
          walferry, TCP               CPU µs/event    ≤ 4      4.10   MISSED
          walferry, TCP                   peak MiB   ≤ 64     65.50   MISSED
          walferry, TCP             first event ms  ≤ 300    301.00   MISSED
          walferry, TCP             latency p50 ms    ≤ 5      4.50  reached
          walferry, TCP             latency p99 ms   ≤ 25     27.00   MISSED
    "#]].assert_eq(&report.text());
}

#[test]
fn what_did_not_run_is_not_shown() {
    let [.., unix, _] = Competitor::ALL;
    let report = report(vec![Outcome::new(
        unix,
        small(drain(1_234_567.0, 2.6, 31.0, Some(120.0))),
        vec![],
    )]);
    expect![[r#"
        Drain: 1,000,000 inserts into a table of 8 columns in transactions of 1,000, waiting in each slot; one run

                                  events/s  from start  CPU µs/event  MB/s  peak MiB  first event ms  × Debezium  CPU 1/×  × pg_recvlogical
          walferry, unix socket  1,234,567   1,111,110          2.60   864        31             120

          events/s: from the first record's arrival in the topic to the last one's, by the broker's clock
          from start: the same, from the start of the process; CPU: of the process, while it drains
          MB/s: keys and values, millions of bytes, before the producer's compression
          pg_recvlogical publishes nothing: its figures go from its start to its end

        Goals

                                                  goal  measured
          walferry, unix socket    CPU µs/event    ≤ 4      2.60  reached
          walferry, unix socket        peak MiB   ≤ 64     31.00  reached
          walferry, unix socket  first event ms  ≤ 300    120.00  reached
    "#]].assert_eq(&report.text());
}
