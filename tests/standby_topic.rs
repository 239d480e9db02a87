//! Signals of a topic on a standby: an id that is used again asks again, also after restarts; a record that is
//! read twice does not; and requests have their turn in the order of their records.

use std::time::Duration;

use e2e::support::signals::{SLOW, noted};
use e2e::support::topic::{create_topic, record_count, write_record};
use e2e::support::walferry::Config;
use e2e::support::{kafka, wait_for};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::incremental::{end, events, reads, wait_over};
use super::standby::{pair, publish, start};

const LIMIT: Duration = Duration::from_secs(90);

/// As if walferry had died before it could say that the record was taken.
fn forget_commit(config: &Config, topic: &str, offset: i64) {
    let group = format!("walferry-signal-{}", config.slot());
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers())
        .set("group.id", &group)
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset))
        .expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("a commit");
}

#[test]
fn an_id_that_is_used_again_asks_again_and_a_record_that_is_read_twice_does_not() {
    let (primary, standby) = pair(
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 40)",
    );
    let config = Config::new("standby_nightly", &standby, kafka());
    let topic = format!("{}-signal", config.name());
    create_topic(config.bootstrap_servers(), &topic, 1, &[]);
    let config = config.set("envelope.signal.kafka.topic", &topic);
    publish(&primary, &standby, &config, "orders");
    let execute = |id: &str, filter: &str| {
        let conditions = json!([{ "data-collection": "public.orders", "filter": filter }]);
        let data =
            json!({ "data-collections": ["public.orders"], "additional-conditions": conditions });
        let signal = json!({ "id": id, "type": "execute-snapshot", "data": data }).to_string();
        write_record(config.bootstrap_servers(), &topic, config.name(), &signal);
    };
    let read = |count: usize| {
        wait_for("the rows", LIMIT, || {
            (reads(&events(&config, "orders")) == count).then_some(())
        });
    };
    let mut walferry = start(&config, &primary, &standby);
    let listens = "listening to signals";
    wait_for("the reader", LIMIT, || {
        walferry.log().contains(listens).then_some(())
    });
    for night in 1..=2 {
        execute("nightly", "true");
        read(night * 40);
    }
    wait_over(&config, &mut walferry, "nightly");
    walferry.kill9();
    walferry = config.start();
    execute("nightly", "true");
    read(120);
    wait_over(&config, &mut walferry, "nightly");
    // Its note outlives more than one start.
    for _ in 0..2 {
        walferry.kill9();
        walferry = config.start();
    }
    walferry.kill9();
    forget_commit(&config, &topic, 2);
    walferry = config.start();
    wait_for("the record again", LIMIT, || {
        let log = walferry.log();
        log.contains("came a second time").then_some(())
    });
    execute("slow", &format!("{SLOW} AND pg_sleep(20) IS NOT NULL"));
    execute("z", "true");
    execute("a", "true");
    wait_for("the last note", LIMIT, || noted(&config, "a"));
    assert_eq!(record_count(config.bootstrap_servers(), &topic), 6);
    walferry.kill9();
    walferry = config.start();
    let ids = wait_for("the page", LIMIT, || {
        let (_, page) = walferry.get("/status")?;
        let page: Value = serde_json::from_str(&page).ok()?;
        let snapshots = page["snapshots"].as_array()?.iter();
        let ids: Vec<Value> = snapshots.map(|it| it["id"].clone()).collect();
        (ids.len() == 3).then_some(ids)
    });
    assert_eq!(ids, ["slow", "z", "a"]);
    assert_eq!(reads(&events(&config, "orders")), 120);
    end(walferry);
}
