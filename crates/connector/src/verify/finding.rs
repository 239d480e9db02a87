//! What `verify` has to say of one record, topic or table. Never a key, never a value.

use serde::Serialize;

use super::checker::Code;
use super::id::Id;
use crate::preflight::finding::Severity;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Its stable name.
    pub code: &'static str,
    /// The topic it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The record's offset there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The record's `walferry.id`, or the first that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// The last id that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<Id>,
    /// The table it is about, as `schema.table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Where the row lies: `ctid`, in the partition that the name before it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// What it means.
    pub problem: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// About nothing in particular yet.
    #[must_use]
    pub fn new(severity: Severity, code: &'static str, problem: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            topic: None,
            partition: None,
            offset: None,
            id: None,
            last_id: None,
            table: None,
            row: None,
            problem: problem.into(),
            remedy: None,
        }
    }

    /// About a topic.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }

    /// About a record of it.
    #[must_use]
    pub fn record(mut self, partition: i32, offset: i64) -> Self {
        (self.partition, self.offset) = (Some(partition), Some(offset));
        self
    }

    /// About a table.
    #[must_use]
    pub fn table(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }

    /// About a row of it.
    #[must_use]
    pub fn row(mut self, row: String) -> Self {
        self.row = Some(row);
        self
    }

    /// With a way out.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What a finding of the checker means.
pub(super) fn meaning(code: Code) -> &'static str {
    match code {
        Code::Duplicate => "published again, with the id and the bytes it had: harmless",
        Code::DuplicateDiffers => {
            "published again with the id it had and other bytes; only a change of the configuration \
             or of the table's defaults, enums or types between the two explains that"
        }
        Code::Gap => {
            "records of a transaction that is published are missing before this one; id is the first \
             of them, last_id the last"
        }
        Code::Order => "new, and behind a record of its partition that was committed later",
        Code::Elsewhere => {
            "its id was in another partition or topic; only a change of partitions or of the \
             configuration between the two explains that"
        }
        Code::Foreign => "has no walferry.id, or none that walferry writes: somebody else wrote it",
        Code::OtherEpoch => {
            "is of another epoch than the stored progress, behind records of the present one: two \
             connectors write to this topic"
        }
        Code::EarlierEpoch => "is of an earlier life of this connector",
    }
}

/// Codes that are no judgement of a record's place.
pub mod code {
    /// Every one of them.
    pub const ALL: [&str; 13] = [
        GAPS_NOT_JUDGED,
        NO_PROGRESS,
        TOPIC_MISSING,
        TOPICS_NONE,
        KAFKA,
        POSTGRES,
        STOPPED,
        NOT_REACHED,
        NOT_COMPARABLE,
        MISSING,
        EXTRA,
        DIFFERENT,
        UNREADABLE,
    ];
    /// Why holes could not be told from records that need not be there.
    pub const GAPS_NOT_JUDGED: &str = "GAPS_NOT_JUDGED";
    /// Nothing is stored of this slot.
    pub const NO_PROGRESS: &str = "NO_PROGRESS";
    /// A topic that is asked for, or that was published to, is not there.
    pub const TOPIC_MISSING: &str = "TOPIC_MISSING";
    /// There is nothing to be read.
    pub const TOPICS_NONE: &str = "TOPICS_NONE";
    /// Kafka did not answer, or refused.
    pub const KAFKA: &str = "KAFKA";
    /// Postgres did not answer, or refused.
    pub const POSTGRES: &str = "POSTGRES";
    /// A signal came first.
    pub const STOPPED: &str = "STOPPED";
    /// The stored progress did not come to the snapshot's point in time.
    pub const NOT_REACHED: &str = "NOT_REACHED";
    /// The table cannot be compared with its topic.
    pub const NOT_COMPARABLE: &str = "NOT_COMPARABLE";
    /// A row of the table is not in the topic.
    pub const MISSING: &str = "MISSING";
    /// A key of the topic is not in the table.
    pub const EXTRA: &str = "EXTRA";
    /// A row is another in the topic.
    pub const DIFFERENT: &str = "DIFFERENT";
    /// A row, or a record, could not be read.
    pub const UNREADABLE: &str = "UNREADABLE";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_lists_every_code_with_its_severity_and_no_other() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verify.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let listed: BTreeSet<&str> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .collect();
        let own = Code::ALL.map(Code::as_str);
        let all: BTreeSet<&str> = own.into_iter().chain(code::ALL).collect();
        assert_eq!(listed, all);
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.severity().word());
            assert!(page.contains(&row), "{row}");
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
        }
    }
}
