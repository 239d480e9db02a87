//! Do two tables share a topic? Is each topic's name one that Kafka takes?

use std::collections::BTreeMap;

use super::finding::{Finding, Subject};
use super::tables::{Relation, list};
use super::wanted::Wanted;
use crate::kafka::topics::{Collision, check_name, collisions};

/// Judges the topics of the captured tables by their names alone.
#[must_use]
pub fn judge(wanted: &Wanted<'_>, captured: &[&Relation]) -> Vec<Finding> {
    let mut by_topic: BTreeMap<String, Vec<&Relation>> = BTreeMap::new();
    for &table in captured {
        if wanted.envelope.is_outbox(&table.schema, &table.name) {
            continue;
        }
        let topic = wanted.envelope.topic(&table.schema, &table.name);
        by_topic.entry(topic).or_default().push(table);
    }
    let mut findings: Vec<Finding> = by_topic
        .iter()
        .filter(|(_, tables)| tables.len() > 1 && !tables.iter().all(|table| routed(wanted, table)))
        .map(|(topic, tables)| {
            Finding::error(
                "TOPIC_SHARED",
                Subject::Topic(topic.clone()),
                format!(
                    "Several tables would write to it, and overwrite each other's rows: {}.",
                    list(tables)
                ),
            )
            .text("exclude all but one, rename a table, or route them together on purpose")
        })
        .collect();
    findings.extend(by_topic.keys().filter_map(|topic| illegal(topic)));
    let topics = by_topic.keys().map(String::as_str);
    findings.extend(collisions(topics).iter().filter_map(collision));
    findings
}

/// Several tables may share a topic that a rule sends them to.
fn routed(wanted: &Wanted<'_>, table: &Relation) -> bool {
    let own = wanted.envelope.own_topic(&table.schema, &table.name);
    let route = wanted.envelope.route.as_ref();
    route.is_some_and(|route| route.topic(&own).is_some())
}

fn illegal(topic: &str) -> Option<Finding> {
    let error = check_name(topic).err()?;
    let subject = Subject::Topic(topic.to_owned());
    let finding = Finding::error("TOPIC_NAME", subject, format!("{error}."));
    Some(finding.setting("topics: { prefix: … }"))
}

/// Kafka refuses a topic that differs from another only by '.' for '_': their metrics would be one.
fn collision(topics: &Collision) -> Option<Finding> {
    let first = topics.names.first()?;
    let problem = format!(
        "Kafka does not keep these apart: {}.",
        topics.names.join(", ")
    );
    Some(
        Finding::error("TOPIC_COLLISION", Subject::Topic(first.clone()), problem)
            .text("rename a table or schema, or exclude one"),
    )
}
