//! The Kafka edge against librdkafka's mock cluster, in this process: acknowledgements, order,
//! outages, refusals, closing, and the progress topic.

mod kafka_support;

use std::collections::BTreeMap;
use std::time::Duration;

use connector::halt::Halt;
use connector::kafka::progress;
use connector::kafka::topics::{NewTopic, Setting, TopicState};
use connector::kafka::{
    AutoCreation, Batch, Class, KafkaError, Pace, Producer, ProgressError, Topics,
};
use kafka_support::*;
use pgoutput::Lsn;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Code};
use relay::{Progress, SnapshotState};

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock(topics: &[(&str, i32)]) -> (Mock, String) {
    let mock = MockCluster::new(1).expect("mock cluster");
    for (topic, partitions) in topics {
        mock.create_topic(topic, *partitions, 1).expect("topic");
    }
    let bootstrap = mock.bootstrap_servers();
    (mock, bootstrap)
}

fn publish(producer: &Producer, tickets: std::ops::Range<u64>) {
    for ticket in tickets {
        let key = format!("key-{}", ticket % 17);
        let (value, id) = (ticket.to_string(), format!("1:0/10:{ticket}"));
        let record = record(
            "t",
            Some(key.as_bytes()),
            Some(value.as_bytes()),
            id.as_bytes(),
        );
        producer.publish(ticket, &record).expect("enqueued");
    }
}

/// Every value once, and those of one key in the order of their tickets.
fn assert_whole_and_ordered(bootstrap: &str, count: u64) {
    let mut by_key: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for seen in consume(bootstrap, "t") {
        let value = String::from_utf8(seen.value.unwrap()).unwrap();
        let id = format!("1:0/10:{value}").into_bytes();
        assert_eq!(seen.headers, [("walferry.id".to_owned(), id)]);
        by_key
            .entry(seen.key.unwrap())
            .or_default()
            .push(value.parse().unwrap());
    }
    for (key, values) in &by_key {
        assert!(
            values.is_sorted(),
            "{}: {values:?}",
            String::from_utf8_lossy(key)
        );
    }
    let mut all: Vec<u64> = by_key.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_record_is_acknowledged_once_and_keys_keep_their_order() {
    let (_mock, bootstrap) = mock(&[("t", 3)]);
    let producer = producer(&bootstrap, &[]);
    publish(&producer, 0..5_000);
    let mut came = collect(&producer, |all| all.settled.len() >= 5_000).await;
    came.settled.sort_unstable();
    assert_eq!(came.settled, (0..5_000).collect::<Vec<_>>());
    assert!(came.refused.is_empty() && came.fault.is_none(), "{came:?}");
    assert_eq!(producer.close(PATIENCE, &mut Batch::default()).await, 0);
    assert_whole_and_ordered(&bootstrap, 5_000);
}

#[tokio::test]
async fn tombstones_empty_values_and_keyless_records_stay_apart() {
    let (_mock, bootstrap) = mock(&[("t", 1)]);
    let producer = producer(&bootstrap, &[]);
    let sent = [
        (Some(&b"k"[..]), None),
        (Some(b"k"), Some(&b""[..])),
        (None, Some(b"v")),
    ];
    for (ticket, (key, value)) in (0..).zip(sent) {
        producer
            .publish(ticket, &record("t", key, value, b"1:0/10:0"))
            .unwrap();
    }
    collect(&producer, |all| all.settled.len() == 3).await;
    let seen = consume(&bootstrap, "t");
    let seen: Vec<_> = seen
        .iter()
        .map(|it| (it.key.as_deref(), it.value.as_deref()))
        .collect();
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn an_outage_is_waited_for_and_the_queue_is_bounded() {
    let (mock, bootstrap) = mock(&[("t", 3)]);
    let producer = producer(&bootstrap, &[("reconnect.backoff.max.ms", "200")]);
    publish(&producer, 0..100);
    let before = collect(&producer, |all| all.settled.len() == 100).await;
    assert!(before.refused.is_empty());

    mock.broker_down(-1).unwrap();
    // Twice the in-flight limit and a thousand is what the queue takes.
    publish(&producer, 100..21_100);
    let one = record("t", None, Some(b"x"), b"1:0/10:0");
    assert_eq!(producer.publish(99_999, &one), Err(KafkaError::QueueFull));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut during = Batch::default();
    producer.drain(&mut during);
    assert!(during.is_empty(), "an outage is no error: {during:?}");
    assert_eq!(producer.in_flight(), 21_000);
    assert!(producer.last_connection_error().is_some());

    mock.broker_up(-1).unwrap();
    let after = collect(&producer, |all| all.settled.len() == 21_000).await;
    assert!(
        after.refused.is_empty() && after.fault.is_none(),
        "{after:?}"
    );
    assert_whole_and_ordered(&bootstrap, 21_100);
}

#[tokio::test]
async fn a_refused_record_is_named_and_nothing_passes_it() {
    let (mock, bootstrap) = mock(&[("t", 1)]);
    let producer = producer(&bootstrap, &[]);
    publish(&producer, 0..1);
    collect(&producer, |all| all.settled.len() == 1).await;

    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    publish(&producer, 1..2);
    let came = collect(&producer, |all| !all.refused.is_empty()).await;
    assert_eq!(came.refused[0].ticket, 1);
    assert_eq!(
        came.refused[0].error,
        KafkaError::RecordTooLarge { ticket: 1 }
    );
    assert_eq!(came.fault, None, "the refusal itself is the reason to show");

    let error = producer
        .publish(2, &record("t", None, Some(b"2"), b"1:0/10:2"))
        .unwrap_err();
    assert!(matches!(error, KafkaError::Fatal { .. }), "{error:?}");
    producer.close(Duration::ZERO, &mut Batch::default()).await;
    assert_whole_and_ordered(&bootstrap, 1);
}

#[tokio::test]
async fn refusals_are_classified() {
    for (code, class) in [
        (
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            Class::Halt(Halt::Authorization),
        ),
        (
            Code::RD_KAFKA_RESP_ERR_INVALID_RECORD,
            Class::Halt(Halt::RecordRefused),
        ),
        (
            Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
            Class::Halt(Halt::RecordRefused),
        ),
    ] {
        let (mock, bootstrap) = mock(&[("t", 1)]);
        let producer = producer(&bootstrap, &[]);
        mock.request_errors(RDKafkaApiKey::Produce, &[code]);
        publish(&producer, 7..8);
        let came = collect(&producer, |all| !all.refused.is_empty()).await;
        assert_eq!(came.refused[0].ticket, 7);
        assert_eq!(came.refused[0].error.class(), class, "{code:?}");
    }
}

#[tokio::test]
async fn what_the_broker_may_mend_is_retried_in_order() {
    let (mock, bootstrap) = mock(&[("t", 3)]);
    let producer = producer(&bootstrap, &[]);
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    publish(&producer, 0..2_000);
    let came = collect(&producer, |all| all.settled.len() == 2_000).await;
    assert!(came.refused.is_empty(), "{came:?}");
    assert_whole_and_ordered(&bootstrap, 2_000);
}

#[tokio::test]
async fn a_lacking_right_to_write_idempotently_is_a_fault() {
    let (mock, bootstrap) = mock(&[("t", 1)]);
    mock.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let producer = producer(&bootstrap, &[]);
    let came = collect(&producer, |all| all.fault.is_some()).await;
    let class = came.fault.map(|fault| fault.class());
    assert_eq!(class, Some(Class::Halt(Halt::Authorization)));
}

#[tokio::test]
async fn a_record_over_the_clients_limit_is_refused_at_once() {
    let (_mock, bootstrap) = mock(&[("t", 1)]);
    let producer = producer(&bootstrap, &[("message.max.bytes", "10000")]);
    let large = vec![b'x'; 20_000];
    let error = producer
        .publish(41, &record("t", None, Some(&large), b"1:0/10:41"))
        .unwrap_err();
    assert_eq!(error, KafkaError::RecordTooLarge { ticket: 41 });
    // The ticket is not in flight, so it cannot come back later.
    assert_eq!(producer.in_flight(), 0);
}

#[tokio::test]
async fn a_missing_topic_is_an_error_unless_the_broker_may_create_it() {
    let (_mock, bootstrap) = mock(&[]);
    let fast = [("topic.metadata.propagation.max.ms", "500")];
    let strict = producer(&bootstrap, &fast);
    strict
        .publish(1, &record("new", None, Some(b"x"), b"1:0/10:1"))
        .unwrap();
    let came = collect(&strict, |all| !all.refused.is_empty()).await;
    assert_eq!(came.refused[0].error, KafkaError::UnknownTopic);

    let allowing = kafka_support::settings();
    let allowing = connector::kafka::Settings {
        auto_creation: AutoCreation::Allowed,
        ..allowing
    };
    let lenient = Producer::new(&properties(&bootstrap, &fast), &allowing, Pace::Soon).unwrap();
    lenient
        .publish(1, &record("new", None, Some(b"x"), b"1:0/10:1"))
        .unwrap();
    let came = collect(&lenient, |all| !all.settled.is_empty()).await;
    assert_eq!(came.settled, [1]);
}

#[tokio::test]
async fn closing_purges_what_is_not_acknowledged() {
    let (mock, bootstrap) = mock(&[("t", 1)]);
    let producer = producer(&bootstrap, &[]);
    publish(&producer, 0..1);
    collect(&producer, |all| all.settled.len() == 1).await;
    mock.broker_down(-1).unwrap();
    publish(&producer, 1..11);
    let mut batch = Batch::default();
    assert_eq!(
        producer.close(Duration::from_millis(100), &mut batch).await,
        10
    );
    assert!(batch.settled.is_empty());
    let mut purged: Vec<u64> = batch.refused.iter().map(|it| it.ticket).collect();
    purged.sort_unstable(); // what was in flight comes after what was queued
    assert_eq!(purged, (1..11).collect::<Vec<_>>());
    assert!(
        batch
            .refused
            .iter()
            .all(|it| it.error == KafkaError::Purged),
        "{batch:?}"
    );
}

#[tokio::test]
async fn statistics_are_kept_as_they_come() {
    let (_mock, bootstrap) = mock(&[("t", 1)]);
    let producer = producer(&bootstrap, &[]);
    let statistics = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(statistics) = producer.statistics() {
                break statistics;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let statistics = statistics.await.expect("statistics within seconds");
    let parsed: serde_json::Value = serde_json::from_str(&statistics).unwrap();
    assert_eq!(parsed["client_id"], "walferry");
}

fn progress(commit_end_lsn: u64) -> Progress {
    Progress {
        system_identifier: 7_412_345_678_901_234_567,
        timeline: 1,
        epoch: 7_412_345_678_901_234_567,
        commit_end_lsn: Lsn::new(commit_end_lsn),
        split: None,
        snapshot: SnapshotState::None,
        shape: 0,
        chunk_ordinals: 0,
    }
}

async fn read(bootstrap: &str, topic: &str) -> Result<Option<Progress>, ProgressError> {
    let stored = progress::read(&properties(bootstrap, &[]), topic, "mine", PATIENCE).await?;
    Ok(stored.progress)
}

#[tokio::test]
async fn the_newest_progress_of_the_slot_is_read() {
    let (_mock, bootstrap) = mock(&[("progress", 1)]);
    assert_eq!(
        read(&bootstrap, "progress").await,
        Ok(None),
        "an empty topic"
    );

    let producer = producer(&bootstrap, &[]);
    let mut value = Vec::new();
    for ticket in 0..300 {
        for (slot, lsn) in [("mine", ticket), ("other", ticket + 1_000)] {
            value.clear();
            progress::encode(&progress(lsn), slot, 0, &mut value);
            producer
                .store_progress(2 * ticket, "progress", slot.as_bytes(), &value)
                .unwrap();
        }
    }
    let came = collect(&producer, |all| all.progress_settled.len() == 600).await;
    assert!(came.settled.is_empty(), "progress comes back as progress");
    assert_eq!(read(&bootstrap, "progress").await, Ok(Some(progress(299))));

    producer
        .store_progress(9_999, "progress", b"mine", b"{\"format\":7}")
        .unwrap();
    collect(&producer, |all| !all.progress_settled.is_empty()).await;
    let newer = read(&bootstrap, "progress").await.unwrap_err();
    assert_eq!(newer.class(), Class::Halt(Halt::ProgressNewer));
}

#[tokio::test]
async fn a_topic_that_cannot_hold_progress_is_named() {
    let (_mock, bootstrap) = mock(&[("wide", 4)]);
    assert_eq!(
        read(&bootstrap, "wide").await,
        Err(ProgressError::Partitions {
            topic: "wide".to_owned(),
            partitions: 4
        })
    );
    assert_eq!(
        read(&bootstrap, "absent").await,
        Err(ProgressError::TopicMissing {
            topic: "absent".to_owned()
        })
    );
}

#[tokio::test]
async fn progress_behind_an_outage_is_not_no_progress() {
    let (mock, bootstrap) = mock(&[("progress", 1)]);
    mock.broker_down(-1).unwrap();
    let patience = Duration::from_millis(500);
    let error = progress::read(&properties(&bootstrap, &[]), "progress", "mine", patience).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error:?}");
}

#[tokio::test]
async fn the_mock_cluster_is_described_as_far_as_it_lets() {
    let (_mock, bootstrap) = mock(&[("t", 3)]);
    let topics = Topics::connect(&properties(&bootstrap, &[]), PATIENCE).unwrap();
    assert_eq!(topics.cluster().await.unwrap().brokers.join(","), bootstrap);
    let found = topics
        .describe(&["t".to_owned(), "absent".to_owned()])
        .await
        .unwrap();
    let TopicState::Present {
        partitions,
        settings,
        ..
    } = &found[0].state
    else {
        panic!("{found:?}")
    };
    assert_eq!(
        (*partitions, settings.get("cleanup.policy")),
        (3, Setting::Unknown)
    );
    assert_eq!(found[1].state, TopicState::Missing);
    let new = NewTopic::progress("p", None, BTreeMap::new());
    let error = topics.create(&[new]).await.unwrap_err();
    assert_eq!(
        error,
        KafkaError::Unsupported {
            what: "creating topics"
        }
    );
}

#[tokio::test]
async fn nobody_there_is_said_with_the_connections_reason_and_no_secret() {
    let (_mock, bootstrap) = mock(&[]);
    let secret = ("sasl.password", "canary-7f3a");
    for (broker, more, reason) in [
        ("127.0.0.1:1", &[][..], "Connection refused"),
        (
            &bootstrap,
            &[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "canary-user"),
                secret,
            ],
            "SASL",
        ),
    ] {
        let properties = properties(broker, more);
        let topics = Topics::connect(&properties, Duration::from_secs(1)).unwrap();
        let error = topics.cluster().await.unwrap_err();
        let text = format!("{error} {error:?} {topics:?} {properties:?}");
        assert!(text.contains(reason), "{text}");
        assert!(!text.contains("canary-7f3a"), "{text}");
    }
}

#[tokio::test]
async fn another_pace_keeps_the_order_and_loses_nothing() {
    let (_mock, bootstrap) = mock(&[("t", 3)]);
    let mut producer =
        Producer::new(&properties(&bootstrap, &[]), &settings(), Pace::InBulk).expect("producer");
    assert!(producer.is_in_bulk());
    publish(&producer, 0..1000);
    let came = collect(&producer, |all| all.settled.len() >= 1000).await;
    assert!(came.refused.is_empty() && came.fault.is_none(), "{came:?}");
    // Whoever has taken the last one may go on at once.
    assert_eq!(producer.in_flight(), 0);
    producer.end_bulk();
    assert!(!producer.is_in_bulk());
    publish(&producer, 1000..2000);
    assert_eq!(producer.in_flight(), 1000);
    let mut batch = Batch::default();
    assert_eq!(producer.close(PATIENCE, &mut batch).await, 0);
    assert_eq!(batch.settled.len(), 1000);
    assert_whole_and_ordered(&bootstrap, 2000);
}

#[tokio::test]
async fn where_the_user_says_how_long_a_record_waits_one_client_does() {
    let (_mock, bootstrap) = mock(&[("t", 1)]);
    let properties = properties(&bootstrap, &[("linger.ms", "5")]);
    let producer = Producer::new(&properties, &settings(), Pace::InBulk).expect("producer");
    assert!(!producer.is_in_bulk());
}
