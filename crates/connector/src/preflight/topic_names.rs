//! Do two tables share a topic? Is each topic's name one that Kafka takes?

use std::collections::BTreeMap;

use super::finding::{Finding, Subject};
use super::tables::{Relation, list};
use super::wanted::Wanted;

/// A Kafka topic's name has at most this many characters (`Topic.MAX_NAME_LENGTH`).
const NAME_LENGTH_MAX: usize = 249;

/// Judges the topics of the captured tables by their names alone.
#[must_use]
pub fn judge(wanted: &Wanted<'_>, captured: &[&Relation]) -> Vec<Finding> {
    let mut by_topic: BTreeMap<String, Vec<&Relation>> = BTreeMap::new();
    for &table in captured {
        by_topic
            .entry((wanted.topic)(table))
            .or_default()
            .push(table);
    }
    let mut findings: Vec<Finding> = by_topic
        .iter()
        .filter(|(_, tables)| tables.len() > 1)
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
    findings.extend(metric_twins(&by_topic));
    findings
}

fn illegal(topic: &str) -> Option<Finding> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if topic.len() > NAME_LENGTH_MAX {
        format!(
            "The name has {} characters, Kafka takes {NAME_LENGTH_MAX}.",
            topic.len()
        )
    } else if topic.is_empty() || topic == "." || topic == ".." || !topic.chars().all(legal) {
        "Kafka's topic names are made of letters, digits, '.', '_' and '-'.".to_owned()
    } else {
        return None;
    };
    Some(
        Finding::error("TOPIC_NAME", Subject::Topic(topic.to_owned()), problem)
            .setting("topics: { prefix: … }"),
    )
}

/// Kafka refuses a topic that differs from another only by '.' for '_': their metrics would
/// collide.
fn metric_twins(by_topic: &BTreeMap<String, Vec<&Relation>>) -> Vec<Finding> {
    let mut by_metric: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for topic in by_topic.keys() {
        by_metric
            .entry(topic.replace('.', "_"))
            .or_default()
            .push(topic);
    }
    by_metric
        .into_values()
        .filter_map(|topics| match topics[..] {
            [first, _, ..] => Some(
                Finding::error(
                    "TOPIC_COLLISION",
                    Subject::Topic(first.to_owned()),
                    format!("Kafka does not keep these apart: {}.", topics.join(", ")),
                )
                .text("rename a table or schema, or route them to other topics"),
            ),
            _ => None,
        })
        .collect()
}
