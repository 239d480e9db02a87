//! The Kafka edge against a real Kafka, whose address stands in `WALFERRY_TEST_KAFKA`; without it
//! each test says that it is skipped. Shows what a mock cluster cannot: topics and their settings,
//! what the broker refuses by size, partitions equal to a Java client's.

mod kafka_support;

use std::collections::BTreeMap;
use std::time::Duration;

use connector::halt::Halt;
use connector::kafka::progress;
use connector::kafka::topics::{Created, NewTopic, Setting, TopicDescription, TopicState};
use connector::kafka::{Batch, Class, KafkaError, Pace, Producer, ProgressError, Settings, Topics};
use kafka_support::*;
use pgoutput::{CommitLsn, Lsn};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use relay::{Progress, SnapshotState, Split};

/// The cluster's address, or the test's end.
macro_rules! bootstrap_or_skip {
    () => {
        match std::env::var("WALFERRY_TEST_KAFKA") {
            Ok(bootstrap) => bootstrap,
            Err(_) => {
                eprintln!("skipped: WALFERRY_TEST_KAFKA names no Kafka");
                return;
            }
        }
    };
}

/// A name that no other run has used.
fn fresh(name: &str) -> String {
    let nanos = std::time::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970")
        .as_nanos();
    format!("kafka_live.{name}.{nanos}")
}

fn new_topic(name: &str, partitions: u32, settings: &[(&str, &str)]) -> NewTopic {
    let setting = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    NewTopic {
        name: name.to_owned(),
        partitions,
        replication_factor: None,
        settings: settings.iter().map(setting).collect(),
    }
}

async fn topics_with(bootstrap: &str, new: &[NewTopic]) -> Topics {
    let topics = Topics::connect(&properties(bootstrap, &[]), PATIENCE).unwrap();
    for creation in topics.create(new).await.unwrap() {
        assert_eq!(creation.outcome, Ok(Created::New), "{}", creation.name);
    }
    topics
}

async fn describe(topics: &Topics, name: &str) -> TopicDescription {
    topics.describe(&[name.to_owned()]).await.unwrap().remove(0)
}

fn setting(topic: &TopicDescription, name: &str) -> Option<String> {
    let TopicState::Present { settings, .. } = &topic.state else {
        panic!("{topic:?}")
    };
    match settings.get(name) {
        Setting::Known(value) => Some(value.to_owned()),
        Setting::Unknown => None,
    }
}

async fn alter(bootstrap: &str, topic: &str, name: &str, value: &str) {
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let alteration = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let altered = admin
        .alter_configs([&alteration], &AdminOptions::new())
        .await
        .unwrap();
    assert!(altered[0].is_ok(), "{altered:?}");
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

#[tokio::test]
async fn topics_are_made_with_their_settings_and_described() {
    let bootstrap = bootstrap_or_skip!();
    let (table, progress) = (fresh("table"), fresh("progress"));
    let settings = [("max.message.bytes", "123456"), ("retention.ms", "3600000")];
    let wanted = [
        new_topic(&table, 3, &settings),
        NewTopic::progress(&progress, Some(1), BTreeMap::new()),
    ];
    let topics = topics_with(&bootstrap, &wanted).await;

    let found = describe(&topics, &table).await;
    assert!(
        matches!(
            found.state,
            TopicState::Present {
                partitions: 3,
                replicas: 1,
                ..
            }
        ),
        "{found:?}"
    );
    assert_eq!(
        setting(&found, "max.message.bytes").as_deref(),
        Some("123456")
    );
    assert_eq!(setting(&found, "retention.ms").as_deref(), Some("3600000"));
    assert_eq!(setting(&found, "cleanup.policy").as_deref(), Some("delete"));
    let found = describe(&topics, &progress).await;
    assert_eq!(progress::suitable(&found), Ok(()));

    // Once more, beside one that cannot be made: each has its own outcome.
    let bad = new_topic(&fresh("bad"), 1, &[("cleanup.policy", "keep")]);
    let again = topics.create(&[wanted[0].clone(), bad]).await.unwrap();
    assert_eq!(again[0].outcome, Ok(Created::Existed));
    assert!(
        matches!(again[1].outcome, Err(KafkaError::TopicRefused { .. })),
        "{again:?}"
    );
    assert_eq!(
        describe(&topics, &again[1].name).await.state,
        TopicState::Missing
    );
    assert_eq!(topics.cluster().await.unwrap().brokers, [bootstrap]);
}

#[tokio::test]
async fn names_that_collide_are_refused_by_kafka_as_foreseen() {
    let bootstrap = bootstrap_or_skip!();
    let dotted = fresh("collision");
    let scored = dotted.replace('.', "_");
    assert_eq!(
        connector::kafka::topics::collisions([dotted.as_str(), scored.as_str()]).len(),
        1
    );
    let topics = topics_with(&bootstrap, &[new_topic(&dotted, 1, &[])]).await;
    let refused = topics.create(&[new_topic(&scored, 1, &[])]).await.unwrap();
    assert!(refused[0].outcome.is_err(), "{refused:?}");
}

#[tokio::test]
async fn progress_is_read_to_the_end_through_segments_and_compaction() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("progress");
    let eager = [("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let new = NewTopic::progress(&topic, Some(1), BTreeMap::from(eager));
    topics_with(&bootstrap, &[new]).await;
    let read = || async {
        let stored = progress::read(&properties(&bootstrap, &[]), &topic, "mine", PATIENCE).await?;
        Ok::<_, ProgressError>(stored.progress)
    };
    assert_eq!(read().await, Ok(None));

    let producer = producer(&bootstrap, &[]);
    let mut progress = Progress {
        system_identifier: 7_412_345_678_901_234_567,
        timeline: 3,
        epoch: 7_412_345_678_901_234_567,
        commit_end_lsn: Lsn::ZERO,
        split: Some(Split {
            commit_lsn: CommitLsn(Lsn::new(77)),
            records_done: 5,
        }),
        snapshot: SnapshotState::Running,
        shape: 0,
        chunk_ordinals: 0,
    };
    let mut value = Vec::new();
    for round in 1..=5 {
        for ticket in 0..400 {
            value.clear();
            progress.commit_end_lsn = Lsn::new(round * 1_000 + ticket);
            progress::encode(&progress, "mine", 0, &mut value);
            producer
                .store_progress(ticket, &topic, b"mine", &value)
                .unwrap();
            producer
                .store_progress(ticket, &topic, b"other", &value)
                .unwrap();
        }
        collect(&producer, |all| all.progress_settled.len() == 800).await;
        assert_eq!(read().await, Ok(Some(progress.clone())), "round {round}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    producer
        .store_progress(9, &topic, b"mine", b"\x00garbage")
        .unwrap();
    collect(&producer, |all| !all.progress_settled.is_empty()).await;
    let error = read().await.unwrap_err();
    assert_eq!(error.class(), Class::Halt(Halt::ProgressUnreadable));
}

#[tokio::test]
async fn a_topic_that_may_forget_progress_is_refused() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("forgetful");
    let topics = topics_with(
        &bootstrap,
        &[new_topic(&topic, 1, &[("cleanup.policy", "delete")])],
    )
    .await;
    let error = progress::suitable(&describe(&topics, &topic).await).unwrap_err();
    assert!(
        matches!(error, ProgressError::NotCompacted { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_record_the_topic_does_not_take_stops_everything_behind_it_until_it_is_mended() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("small");
    let topics = topics_with(
        &bootstrap,
        &[new_topic(&topic, 1, &[("max.message.bytes", "20000")])],
    )
    .await;
    let TopicState::Present {
        settings: found, ..
    } = describe(&topics, &topic).await.state
    else {
        panic!("no topic")
    };
    let settings = Settings {
        topic_bytes_min: found.max_message_bytes(),
        ..settings()
    };
    let start = || Producer::new(&properties(&bootstrap, &[]), &settings, Pace::Soon).unwrap();
    let (small, large) = (noise(1_000), noise(40_000));
    let publish = |producer: &Producer, ticket: u64| {
        let value = if ticket == 100 { &large } else { &small };
        let id = ticket.to_string();
        producer.publish(
            ticket,
            &record(&topic, Some(b"k"), Some(value), id.as_bytes()),
        )
    };

    let producer = start();
    // 100 KB of small records at once: a batch of the default size would be refused whole.
    for ticket in 0..101 {
        publish(&producer, ticket).unwrap();
    }
    let mut behind = 0;
    for ticket in 101..150 {
        behind += u64::from(publish(&producer, ticket).is_ok());
    }
    let came = collect(&producer, |all| !all.refused.is_empty()).await;
    assert_eq!(came.refused[0].ticket, 100, "{:?}", came.refused);
    assert_eq!(
        came.refused[0].error,
        KafkaError::RecordTooLarge { ticket: 100 }
    );
    let mut rest = Batch::default();
    producer.close(Duration::from_secs(1), &mut rest).await;
    let others = came.refused[1..].iter().chain(&rest.refused).count() as u64;
    assert_eq!(others, behind, "what was behind it is not acknowledged");
    let ids = |seen: Vec<Seen>| -> Vec<u64> {
        let id = |it: Seen| {
            String::from_utf8(it.headers[0].1.clone())
                .unwrap()
                .parse()
                .unwrap()
        };
        seen.into_iter().map(id).collect()
    };
    assert_eq!(
        ids(consume(&bootstrap, &topic)),
        (0..100).collect::<Vec<_>>()
    );

    alter(&bootstrap, &topic, "max.message.bytes", "100000").await;
    let producer = start();
    for ticket in 100..150 {
        publish(&producer, ticket).unwrap();
    }
    collect(&producer, |all| all.settled.len() == 50).await;
    assert_eq!(
        ids(consume(&bootstrap, &topic)),
        (0..150).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_limit_counts_compressed_bytes() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("compressed");
    topics_with(
        &bootstrap,
        &[new_topic(&topic, 1, &[("max.message.bytes", "20000")])],
    )
    .await;
    let producer = producer(&bootstrap, &[]);
    let value = vec![b'x'; 500_000];
    producer
        .publish(1, &record(&topic, None, Some(&value), b"1"))
        .unwrap();
    let came = collect(&producer, |all| !all.is_empty()).await;
    assert_eq!(came.settled, [1], "{came:?}");
}

/// A request over the broker's `socket.request.max.bytes` is answered by a closed connection, and
/// would be sent again for ever.
#[tokio::test]
async fn the_largest_record_the_client_lets_through_gets_an_answer() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("huge");
    topics_with(&bootstrap, &[new_topic(&topic, 1, &[])]).await;
    let producer = producer(&bootstrap, &[("compression.type", "none")]);
    let mut value = noise(103_999_000);
    producer
        .publish(1, &record(&topic, None, Some(&value), b"1"))
        .unwrap();
    let came = collect(&producer, |all| !all.is_empty()).await;
    assert_eq!(
        came.refused[0].error,
        KafkaError::RecordTooLarge { ticket: 1 }
    );

    value.extend_from_within(..2_000);
    let producer = kafka_support::producer(&bootstrap, &[]);
    let error = producer
        .publish(2, &record(&topic, None, Some(&value), b"2"))
        .unwrap_err();
    assert_eq!(error, KafkaError::RecordTooLarge { ticket: 2 });
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_a_key() {
    let bootstrap = bootstrap_or_skip!();
    let topic = fresh("compacted");
    topics_with(
        &bootstrap,
        &[new_topic(&topic, 1, &[("cleanup.policy", "compact")])],
    )
    .await;
    let producer = producer(&bootstrap, &[]);
    producer
        .publish(1, &record(&topic, None, Some(b"v"), b"1"))
        .unwrap();
    let came = collect(&producer, |all| !all.is_empty()).await;
    assert_eq!(
        came.refused[0].error.class(),
        Class::Halt(Halt::RecordRefused)
    );
    assert!(
        came.refused[0].error.to_string().contains("key"),
        "{came:?}"
    );
}

/// Hashes of Java's `Utils.murmur2`, from Kafka's own test of it; a partition is the hash without its
/// sign, modulo the number of partitions.
#[tokio::test]
async fn a_key_goes_to_the_partition_a_java_client_would_choose() {
    let bootstrap = bootstrap_or_skip!();
    const PARTITIONS: i32 = 12;
    let topic = fresh("murmur2");
    topics_with(&bootstrap, &[new_topic(&topic, 12, &[])]).await;
    let hashes = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        ("abc", 479_470_107),
    ];
    let producer = producer(&bootstrap, &[]);
    for (ticket, (key, _)) in (0..).zip(hashes) {
        producer
            .publish(ticket, &record(&topic, Some(key.as_bytes()), None, b"1"))
            .unwrap();
    }
    collect(&producer, |all| all.settled.len() == hashes.len()).await;
    for seen in consume(&bootstrap, &topic) {
        let key = String::from_utf8(seen.key.unwrap()).unwrap();
        let (_, hash) = hashes.iter().find(|(known, _)| *known == key).unwrap();
        assert_eq!(seen.partition, (hash & 0x7fff_ffff) % PARTITIONS, "{key}");
    }
}
