//! The topic reader, on which every comparison stands, reads all partitions to their ends: also
//! records that came later, and partitions that were added.

use std::time::Duration;

use e2e::support::topic::{TopicReader, answer, create_topic};
use e2e::support::{kafka, unique};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn produce(topic: &str, partition: i32, values: std::ops::Range<u32>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap_servers())
        .create()
        .expect("a producer");
    for value in values {
        let id = format!("1:0/{value:X}:0");
        let headers = OwnedHeaders::new().insert(Header {
            key: "walferry.id",
            value: Some(&id),
        });
        let value = format!("{{\"after\":{value}}}");
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key("{}")
            .payload(&value);
        producer
            .send(record.headers(headers))
            .expect("room in the queue");
    }
    producer
        .flush(Duration::from_secs(30))
        .expect("all acknowledged");
}

#[test]
fn reads_all_partitions_to_the_end_again_and_again() {
    let topic = unique("reader");
    let mut reader = TopicReader::new(&kafka().bootstrap_servers(), &topic);
    assert_eq!(
        reader.read_to_end(),
        [],
        "a topic that is not there is empty"
    );

    create_topic(&kafka().bootstrap_servers(), &topic, 2, &[]);
    produce(&topic, 0, 0..500);
    produce(&topic, 1, 500..700);
    assert_eq!(
        reader.wait_for_count(700, Duration::from_secs(20)).len(),
        700
    );

    produce(&topic, 1, 700..701);
    let events = reader.read_to_end();
    assert_eq!(events.len(), 701);
    assert_eq!(events[700].json()["after"], 700);
    assert_eq!(events[700].id().lsn, 700);

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap_servers())
        .create()
        .expect("an admin client");
    let third = NewPartitions::new(&topic, 3);
    answer(admin.create_partitions([&third], &AdminOptions::new()));
    produce(&topic, 2, 701..702);
    let events = reader.wait_for_count(702, Duration::from_secs(20));
    assert_eq!((events.len(), events[701].partition), (702, 2));
}
