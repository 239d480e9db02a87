//! The check as a configuration wants it: its patterns and words handed to [`examine`].

use envelope::SkippedOperations;
use tokio_postgres::Client;

use super::copied::{INCLUDE, SELECTS};
use super::wanted::{
    Action, CopyFilter, Create, Part, Partitions, Pattern, Reach, Snapshot, StoredProgress, Wanted,
};
use super::{Examination, examine};
use crate::config::{self, Config, CopySettings};

/// Checks Postgres for what `config` wants, over a session of any kind.
///
/// `progress` says what Kafka is known to hold for the slot; with `Unknown` no slot is planned.
pub async fn of_config(
    config: &Config,
    application_name: &str,
    progress: StoredProgress,
    client: &Client,
) -> Examination {
    let captures = |schema: &str, table: &str| config.tables.matches(schema, table);
    let part = |schema: &str, table: &str| {
        let part = config.tables.part(schema, table)?;
        Some(Part {
            row_filter: part.row_filter.clone(),
            columns: part.columns.clone(),
        })
    };
    let include: Vec<_> = config.tables.patterns().collect();
    let matchers: Vec<_> = include
        .iter()
        .map(|&pattern| move |schema: &str, table: &str| pattern.matches(schema, table))
        .collect();
    let patterns: Vec<Pattern<'_>> = include
        .iter()
        .zip(&matchers)
        .map(|(pattern, matches)| Pattern {
            text: pattern.as_str(),
            reach: reach(pattern.as_str()),
            matches,
        })
        .collect();
    let copied = |schema: &str, table: &str| config.copy.includes(&format!("{schema}.{table}"));
    let entries = entries(&config.copy);
    let filters: Vec<CopyFilter<'_>> = entries
        .iter()
        .map(|(setting, text, matches)| CopyFilter {
            setting,
            text,
            matches,
        })
        .collect();
    let wanted = Wanted {
        slot: &config.postgres.slot,
        prepared_age: config.postgres.prepared_age,
        publication: &config.postgres.publication,
        application_name,
        create: match config.postgres.create {
            config::Create::Auto => Create::Auto,
            config::Create::Never => Create::Never,
        },
        captures: &captures,
        part: &part,
        patterns: &patterns,
        actions: &actions(&config.envelope),
        partitions: match config.publish_via_partition_root {
            true => Partitions::Root,
            false => Partitions::Leaf,
        },
        snapshot: match config.snapshot.copies() {
            true => Snapshot::Initial,
            false => Snapshot::NoData,
        },
        copied: &copied,
        copy_filters: &filters,
        progress,
        envelope: &config.envelope,
    };
    let mut examination = examine(client, &wanted).await;
    // Its rows are no events, and need no topic.
    let signals = config.signals.table.as_ref();
    examination.captured.retain(|table| {
        let relation = &table.relation;
        signals.is_none_or(|(schema, name)| *schema != relation.schema || *name != relation.name)
    });
    examination
}

type Matches<'a> = Box<dyn Fn(&str) -> bool + Send + Sync + 'a>;

/// Each entry that speaks of tables to be copied, with its setting and what it means.
fn entries(copy: &CopySettings) -> Vec<(&'static str, &str, Matches<'_>)> {
    let mut entries: Vec<(&'static str, &str, Matches<'_>)> = Vec::new();
    for expression in copy.include.iter().flatten() {
        let matches = Box::new(|name: &str| expression.is_match(name));
        entries.push((INCLUDE, CopySettings::written(expression), matches));
    }
    for table in copy.selects.keys() {
        entries.push((SELECTS, table, Box::new(move |name: &str| name == table)));
    }
    entries
}

fn reach(pattern: &str) -> Reach {
    if pattern.starts_with('/') || pattern.contains(['*', '?']) {
        Reach::Many
    } else {
        Reach::One
    }
}

/// The operations that must be published for the events that are wanted. What is skipped is skipped of
/// captured tables: rows of an outbox are events all the same, and changes of them are counted.
fn actions(envelope: &envelope::Options) -> Vec<Action> {
    let outbox = envelope.outbox.as_ref();
    let has_outbox = outbox.is_some_and(|outbox| !outbox.tables.is_empty());
    wanted_actions(envelope.skipped_operations, has_outbox)
}

fn wanted_actions(skipped: SkippedOperations, has_outbox: bool) -> Vec<Action> {
    let all = Action::ALL.into_iter();
    all.filter(|action| has_outbox || !action.is_skipped(skipped))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_need_not_be_published() {
        let of = |list: &str| wanted_actions(list.parse().expect("a list"), false);
        assert_eq!(of("none"), Action::ALL);
        assert_eq!(of("t"), [Action::Insert, Action::Update, Action::Delete]);
        assert_eq!(of("u,d,t"), [Action::Insert]);
        // Of an outbox nothing is skipped.
        let skipped = "c,u,d,t".parse().expect("a list");
        assert_eq!(wanted_actions(skipped, true), Action::ALL);
    }

    #[test]
    fn only_a_plain_name_means_one_table() {
        assert_eq!(reach("public.users"), Reach::One);
        for many in ["public.*", "public.user?", "/public.u/", "\"a.b\".*"] {
            assert_eq!(reach(many), Reach::Many, "{many}");
        }
    }
}
