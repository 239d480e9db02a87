use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};

use super::super::report::{Dress, Report};
use super::super::tables::{IdentityKind, Kind, Relation};
use super::*;

fn table(name: &str, keyed: bool, large_values: bool) -> Captured {
    Captured {
        relation: Relation {
            oid: 1,
            schema: "public".to_owned(),
            name: name.to_owned(),
            kind: Kind::Table,
            unlogged: false,
            identity: IdentityKind::Default,
            ancestors: Vec::new(),
            has_children: false,
            owned: true,
            may_select: true,
            may_use_schema: true,
        },
        topic: Some(format!("shop.public.{name}")),
        keyed,
        large_values,
    }
}

fn present(
    name: &str,
    partitions: usize,
    replicas: usize,
    settings: &[(&str, &str)],
) -> TopicDescription {
    let settings = settings
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    TopicDescription {
        name: name.to_owned(),
        state: TopicState::Present {
            partitions,
            replicas,
            settings: TopicSettings::Known(settings.collect()),
        },
    }
}

fn state(name: &str, state: TopicState) -> TopicDescription {
    TopicDescription {
        name: name.to_owned(),
        state,
    }
}

struct Case {
    create: Create,
    partitions_needed: u32,
    brokers: usize,
    replication_factor: Option<u32>,
    tables: Vec<Captured>,
    begun: BTreeSet<String>,
    topics: Vec<TopicDescription>,
}

fn judged(case: &Case) -> KafkaExamination {
    let declared = |name: &str| NewTopic {
        name: name.to_owned(),
        partitions: 3,
        replication_factor: case.replication_factor,
        settings: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    let wanted = WantedTopics {
        bootstrap_servers: "k:9092",
        tables: &case.tables,
        declared: &declared,
        begun: &case.begun,
        progress: NewTopic::progress("progress", case.replication_factor, BTreeMap::new()),
        create: case.create,
        partitions_needed: case.partitions_needed,
    };
    let brokers = (0..case.brokers).map(|n| format!("k{n}:9092")).collect();
    judge(&wanted, &Cluster { brokers }, &case.topics)
}

fn check(case: &Case, expected: Expect) {
    let text = Report::new(judged(case).findings).text(Dress::Plain);
    expected.assert_eq(&text);
}

fn progress() -> TopicDescription {
    present("progress", 1, 1, &[("cleanup.policy", "compact")])
}

#[test]
fn a_good_cluster_has_nothing_to_say() {
    let case = Case {
        create: Create::Auto,
        partitions_needed: 0,
        brokers: 1,
        replication_factor: Some(1),
        tables: vec![table("users", true, false)],
        begun: BTreeSet::new(),
        topics: vec![
            present("shop.public.users", 3, 1, &[("retention.ms", "-1")]),
            progress(),
        ],
    };
    check(
        &case,
        expect![[r#"
        0 errors, 0 warnings, 0 info: ready to run
    "#]],
    );
    assert!(judged(&case).create.is_empty());
}

#[test]
fn missing_topics_are_made_or_named() {
    let mut case = Case {
        create: Create::Auto,
        partitions_needed: 0,
        brokers: 3,
        replication_factor: Some(1),
        tables: vec![table("users", true, false)],
        begun: BTreeSet::new(),
        topics: vec![
            state("shop.public.users", TopicState::Missing),
            state("progress", TopicState::Missing),
        ],
    };
    assert_eq!(judged(&case).create.len(), 2);
    check(
        &case,
        expect![[r#"
            warning REPLICATION_FACTOR  setting topics.replication.factor
                    It is 1: when the one broker of a partition dies, its events are gone.
                    fix:  topics: { replication.factor: 3 } (walferry.yaml)

            info    TOPIC_MISSING  kafka k:9092
                    At start, topics will be created: shop.public.users, progress.

            0 errors, 1 warning, 1 info: walferry would start
        "#]],
    );
    case.create = Create::Never;
    case.replication_factor = Some(5);
    assert!(judged(&case).create.is_empty());
    check(
        &case,
        expect![[r#"
            error   REPLICATION_FACTOR  setting topics.replication.factor
                    It is 5, and the cluster has 3 brokers.
                    fix:  topics: { replication.factor: 3 } (walferry.yaml)

            error   TOPIC_MISSING  topic progress
                    The topic does not exist.
                    fix:  kafka-topics.sh --bootstrap-server k:9092 --create --topic progress --partitions 1 --replication-factor 5 --config 'cleanup.policy=compact'
                    or:   topics: { create: auto } (walferry.yaml)

            error   TOPIC_MISSING  topic shop.public.users
                    The topic does not exist.
                    fix:  kafka-topics.sh --bootstrap-server k:9092 --create --topic shop.public.users --partitions 3 --replication-factor 5 --config 'retention.ms=-1'
                    or:   topics: { create: auto } (walferry.yaml)

            3 errors, 0 warnings, 0 info: walferry would not start
        "#]],
    );
}

#[test]
fn settings_that_lose_events() {
    let case = Case {
        create: Create::Auto,
        partitions_needed: 0,
        brokers: 2,
        replication_factor: Some(2),
        tables: vec![
            table("users", true, true),
            table("log", false, false),
            table("secret", true, false),
        ],
        begun: BTreeSet::new(),
        topics: vec![
            present(
                "shop.public.log",
                1,
                2,
                &[("cleanup.policy", "delete, compact"), ("retention.ms", "5")],
            ),
            state("shop.public.secret", TopicState::Denied),
            present(
                "shop.public.users",
                3,
                1,
                &[
                    ("min.insync.replicas", "2"),
                    ("max.message.bytes", "1000"),
                    ("unclean.leader.election.enable", "true"),
                ],
            ),
            present("progress", 1, 2, &[("cleanup.policy", "delete")]),
        ],
    };
    check(
        &case,
        expect![[r#"
            error   PROGRESS_TOPIC  topic progress
                    the progress topic "progress" has cleanup.policy=delete and must have compact.
                    fix:  kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name progress --add-config 'cleanup.policy=compact'

            error   TOPIC_COMPACTED  topic shop.public.log
                    It is compacted, which refuses records without a key, and table public.log has none.
                    fix:  give the table a primary key
                    or:   kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name shop.public.log --add-config 'cleanup.policy=delete'

            error   TOPIC_DENIED  topic shop.public.secret
                    The principal may not describe it.
                    fix:  grant Describe, Write and (for the progress topic) Read

            error   TOPIC_INSYNC  topic shop.public.users
                    min.insync.replicas is 2 and it has 1 replicas: no record is ever acknowledged.
                    fix:  kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name shop.public.users --add-config 'min.insync.replicas=1'

            warning MAX_MESSAGE_BYTES  topic shop.public.users
                    max.message.bytes is 1000 (compressed): a row beyond it stops walferry (RECORD_TOO_LARGE) and loses nothing.
                    fix:  raise max.message.bytes to what the largest rows need

            warning TOPIC_REPLICAS  topic shop.public.users
                    It has one replica: when that broker dies, its events are gone.
                    fix:  add replicas with kafka-reassign-partitions.sh

            warning TOPIC_SETTINGS  topic shop.public.log
                    It differs from the configuration: retention.ms=5.
                    fix:  kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name shop.public.log --add-config 'retention.ms=-1'

            warning TOPIC_UNCLEAN  topic shop.public.users
                    unclean.leader.election.enable: acknowledged events can be lost.
                    fix:  kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name shop.public.users --add-config 'unclean.leader.election.enable=false'

            info    TOPIC_PARTITIONS  topic shop.public.log
                    It has 1 partitions, a new one would have 3; it is used as it is.

            4 errors, 4 warnings, 1 info: walferry would not start
        "#]],
    );
}

#[test]
fn what_is_not_told_is_taken_as_good() {
    let untold = TopicState::Present {
        partitions: 3,
        replicas: 1,
        settings: TopicSettings::Denied,
    };
    let case = Case {
        create: Create::Auto,
        partitions_needed: 0,
        brokers: 1,
        replication_factor: None,
        tables: vec![table("users", false, true)],
        begun: BTreeSet::new(),
        topics: vec![state("shop.public.users", untold), progress()],
    };
    check(
        &case,
        expect![[r#"
            info    TOPIC_SETTINGS_UNTOLD  kafka k:9092
                    Kafka does not tell the settings of shop.public.users: they are taken as good.

            0 errors, 0 warnings, 1 info: ready to run
        "#]],
    );
}

#[test]
fn a_topic_that_was_deleted_is_not_made_again() {
    let case = Case {
        create: Create::Auto,
        partitions_needed: 0,
        brokers: 1,
        replication_factor: Some(1),
        tables: vec![table("users", true, false), table("orders", true, false)],
        begun: BTreeSet::from(["shop.public.users".to_owned()]),
        topics: vec![
            state("shop.public.users", TopicState::Missing),
            state("shop.public.orders", TopicState::Missing),
            progress(),
        ],
    };
    let create = judged(&case).create;
    let names: Vec<_> = create.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["shop.public.orders"]);
    check(
        &case,
        expect![[r#"
            error   TOPIC_GONE  topic shop.public.users
                    It was published to and does not exist any more (or may not be seen any more: Describe). What it held is not published again, so it is not made again by itself.
                    fix:  kafka-topics.sh --bootstrap-server k:9092 --create --topic shop.public.users --partitions 3 --replication-factor 1 --config 'retention.ms=-1'
                    or:   to publish the rows that are there: another postgres.slot, with snapshot.mode: initial

            info    TOPIC_MISSING  kafka k:9092
                    At start, topics will be created: shop.public.orders.

            1 error, 0 warnings, 1 info: walferry would not start
        "#]],
    );
}

#[tokio::test]
async fn a_cluster_that_answers_and_one_that_does_not() {
    let mock = rdkafka::mocking::MockCluster::new(1).expect("an embedded cluster");
    let tables = [table("users", true, false)];
    let declared = |name: &str| NewTopic::progress(name, None, BTreeMap::new());
    for (servers, code) in [
        (mock.bootstrap_servers(), "TOPIC_MISSING"),
        ("127.0.0.1:1".to_owned(), "KAFKA_UNREACHABLE"),
    ] {
        let wanted = WantedTopics {
            bootstrap_servers: &servers,
            tables: &tables,
            declared: &declared,
            begun: &BTreeSet::new(),
            progress: declared("progress"),
            create: Create::Auto,
            partitions_needed: 0,
        };
        let properties = crate::kafka::Properties::parse([("bootstrap.servers", &servers)]);
        let patience = std::time::Duration::from_secs(2);
        let topics = Topics::connect(&properties.expect("good"), patience).expect("a client");
        let found = examine(&topics, &wanted).await;
        let codes: Vec<_> = found.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [code]);
    }
}

#[test]
fn partitions_that_fields_choose_among_must_be_there() {
    let case = Case {
        create: Create::Auto,
        partitions_needed: 4,
        brokers: 1,
        replication_factor: Some(1),
        tables: vec![table("users", true, false)],
        begun: BTreeSet::new(),
        topics: vec![
            present("shop.public.users", 2, 1, &[("retention.ms", "-1")]),
            progress(),
        ],
    };
    check(
        &case,
        expect![[r#"
        error   TOPIC_FEW_PARTITIONS  setting topics.partitions
                Topics would be made with 3 partitions, but partition.topic.num chooses among 4.
                fix:  topics: { partitions: 4 } (walferry.yaml)

        error   TOPIC_FEW_PARTITIONS  topic shop.public.users
                It has 2 partitions, but partition.topic.num chooses among 4.
                fix:  kafka-topics.sh --bootstrap-server k:9092 --alter --topic shop.public.users --partitions 4

        info    TOPIC_PARTITIONS  topic shop.public.users
                It has 2 partitions, a new one would have 3; it is used as it is.

        2 errors, 0 warnings, 1 info: walferry would not start
    "#]],
    );
}
