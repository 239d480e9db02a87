//! What `walferry verify` prints, as text for a person or JSON for a machine, and its exit code.

use std::fmt::Write as _;

use serde::Serialize;

use super::checker::Counts;
use super::finding::Finding;
use crate::exit::Exit;
use crate::preflight::finding::Severity;
use crate::preflight::quote::shown;
use crate::preflight::report::Dress;

/// Everything.
#[derive(Debug, Default)]
pub struct Report {
    pub(super) topics: Vec<TopicReport>,
    pub(super) tables: Vec<TableReport>,
    pub(super) findings: Vec<Finding>,
    pub(super) transactions: u64,
    pub(super) transactions_not_judged: u64,
    pub(super) epoch: Option<u64>,
    pub(super) progress: Option<String>,
    pub(super) stopped: Stopped,
}

/// Whether a signal came first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stopped {
    /// All was done.
    #[default]
    No,
    /// It did.
    Yes,
}

/// What there was in one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How one table compares with its topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// `schema.table`.
    pub table: String,
    /// Its topic.
    pub topic: String,
    /// Every transaction whose commit record starts before it was looked at.
    pub point: String,
    /// One in so many keys was compared.
    pub sample: u64,
    /// How often topic and table were read.
    pub passes: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows of them that are the same in the topic.
    pub equal: u64,
    /// Rows of the table that the topic does not have.
    pub missing: u64,
    /// Keys of the topic that the table does not have.
    pub extra: u64,
    /// Rows that are others in the topic.
    pub different: u64,
    /// Rows of which columns could not be compared: the topic does not have their values.
    pub partial: u64,
    /// Rows or records that could not be read.
    pub unreadable: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    worst: Option<Severity>,
    stopped: bool,
    epoch: Option<String>,
    progress: Option<&'a str>,
    transactions: u64,
    transactions_not_judged: u64,
    topics: &'a [TopicReport],
    tables: &'a [TableReport],
    findings: &'a [Finding],
}

impl Report {
    /// What was found, worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(super) fn sort(&mut self) {
        let key = |it: &Finding| (it.topic.clone(), it.table.clone(), it.partition, it.offset);
        self.findings.sort_by(|a, b| {
            (b.severity, a.code)
                .cmp(&(a.severity, b.code))
                .then_with(|| key(a).cmp(&key(b)))
        });
    }

    /// The worst there is.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|it| it.severity).max()
    }

    /// How `walferry verify` ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match (self.worst(), self.stopped) {
            (Some(Severity::Error), _) => Exit::CheckErrors,
            (_, Stopped::Yes) => Exit::NotReached,
            (Some(Severity::Warning), Stopped::No) => Exit::CheckWarnings,
            (Some(Severity::Info) | None, Stopped::No) => Exit::Done,
        }
    }

    /// One JSON document. Fields are added, never renamed; `format` says when that promise breaks.
    #[must_use]
    pub fn json(&self) -> String {
        let document = Document {
            format: 1,
            worst: self.worst(),
            stopped: self.stopped == Stopped::Yes,
            // As text, so that no reader rounds it.
            epoch: self.epoch.map(|it| it.to_string()),
            progress: self.progress.as_deref(),
            transactions: self.transactions,
            transactions_not_judged: self.transactions_not_judged,
            topics: &self.topics,
            tables: &self.tables,
            findings: &self.findings,
        };
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }

    /// For a person, ending with a line that says it all.
    #[must_use]
    pub fn text(&self, dress: Dress) -> String {
        let mut out = String::new();
        for report in &self.topics {
            write_topic(&mut out, report);
        }
        for report in &self.tables {
            write_table(&mut out, report);
        }
        if !out.is_empty() {
            out.push('\n');
        }
        // Repeats are counted above.
        for finding in self.findings.iter().filter(|it| it.code != "DUPLICATE") {
            write_finding(&mut out, finding, dress);
        }
        let _ = writeln!(out, "{}", self.summary(dress));
        out
    }

    fn summary(&self, dress: Dress) -> String {
        let sum = |of: fn(&Counts) -> u64| self.topics.iter().map(|it| of(&it.counts)).sum::<u64>();
        let (records, repeats) = (sum(|it| it.records), sum(|it| it.duplicates));
        let verdict = match (self.worst(), self.stopped) {
            (Some(Severity::Error), _) => paint("not as promised", Severity::Error, dress),
            (_, Stopped::Yes) => "stopped before the end".to_owned(),
            (Some(Severity::Warning), _) => paint("not all was judged", Severity::Warning, dress),
            _ => "as promised".to_owned(),
        };
        if self.topics.is_empty() && !self.tables.is_empty() {
            let sum = |of: fn(&TableReport) -> u64| self.tables.iter().map(of).sum::<u64>();
            let (rows, equal) = (sum(|it| it.rows), sum(|it| it.equal));
            return format!("{rows} rows compared, {equal} equal: {verdict}");
        }
        let judged = format!("{} transactions searched for gaps", self.transactions);
        let transactions = match self.transactions_not_judged {
            0 => judged,
            others => format!("{judged}, {others} not"),
        };
        format!("{records} records, {repeats} repeats, {transactions}: {verdict}")
    }
}

fn write_topic(out: &mut String, report: &TopicReport) {
    let TopicReport {
        topic,
        partitions,
        counts,
    } = report;
    let _ = write!(
        out,
        "{}: {} records in {partitions} partition{}",
        shown(topic),
        counts.records,
        if *partitions == 1 { "" } else { "s" }
    );
    for (count, what) in [
        (counts.duplicates, "repeats"),
        (counts.not_compared, "of them too long ago to be compared"),
        (counts.under_way, "beyond the stored progress"),
        (counts.earlier_epoch, "of an earlier epoch"),
        (counts.differing, "repeats with other bytes"),
        (counts.gaps, "gaps"),
        (counts.out_of_order, "out of order"),
        (counts.elsewhere, "with an id of another partition"),
        (counts.foreign, "from a foreign writer"),
        (counts.other_epoch, "of another epoch"),
    ] {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    out.push('\n');
}

fn write_table(out: &mut String, report: &TableReport) {
    let sampled = match report.sample {
        0 | 1 => String::new(),
        sample => format!(" (1 in {sample} keys)"),
    };
    let _ = write!(
        out,
        "{} at {}: {} rows compared{sampled}, {} equal",
        shown(&report.table),
        report.point,
        report.rows,
        report.equal
    );
    for (count, what) in [
        (report.missing, "missing in the topic"),
        (report.extra, "in the topic alone"),
        (report.different, "different"),
        (
            report.partial,
            "compared without values that the topic does not have",
        ),
        (report.unreadable, "not readable"),
    ] {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    out.push('\n');
}

fn write_finding(out: &mut String, finding: &Finding, dress: Dress) {
    let word = format!("{:7}", finding.severity.word());
    let _ = write!(
        out,
        "{} {}",
        paint(&word, finding.severity, dress),
        finding.code
    );
    if let Some(table) = &finding.table {
        let _ = write!(out, "  table {}", shown(table));
    }
    if let Some(row) = &finding.row {
        let _ = write!(out, " row {}", shown(row));
    }
    if let Some(topic) = &finding.topic {
        let _ = write!(out, "  {}", shown(topic));
    }
    if let (Some(partition), Some(offset)) = (finding.partition, finding.offset) {
        let _ = write!(out, " [{partition}] at {offset}");
    }
    match (&finding.id, &finding.last_id) {
        (Some(id), Some(last)) => drop(write!(out, "  {id} to {last}")),
        (Some(id), None) => drop(write!(out, "  {id}")),
        (None, _) => {}
    }
    let _ = write!(out, "\n        {}\n", shown(&finding.problem));
    if let Some(remedy) = &finding.remedy {
        let _ = writeln!(out, "        fix:  {}", shown(remedy));
    }
    out.push('\n');
}

fn paint(text: &str, severity: Severity, dress: Dress) -> String {
    let colour = match severity {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Info => 36,
    };
    match dress {
        Dress::Colour => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
        Dress::Plain => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::verify::finding::code;
    use crate::verify::id::Id;

    fn sample() -> Report {
        let mut report = Report {
            topics: vec![TopicReport {
                topic: "shop.public.users".to_owned(),
                partitions: 3,
                counts: Counts {
                    records: 120,
                    duplicates: 7,
                    gaps: 1,
                    ..Counts::default()
                },
            }],
            tables: vec![TableReport {
                table: "public.users".to_owned(),
                topic: "shop.public.users".to_owned(),
                point: "0/16B3748".to_owned(),
                sample: 10,
                passes: 1,
                rows: 9,
                equal: 8,
                different: 1,
                ..TableReport::default()
            }],
            transactions: 40,
            transactions_not_judged: 2,
            epoch: Some(7_412_345_678_901_234_567),
            progress: Some("0/16B3748".to_owned()),
            ..Report::default()
        };
        let gap = Finding {
            id: Id::parse(b"1:0/10:3"),
            last_id: Id::parse(b"1:0/10:4"),
            ..Finding::new(Severity::Error, "GAP", "records are missing").topic("shop.public.users")
        };
        report.findings = vec![
            Finding::new(Severity::Info, "DUPLICATE", "again")
                .topic("shop.public.users")
                .record(0, 5),
            Finding::new(Severity::Error, code::DIFFERENT, "another row")
                .table("public.users")
                .row("users (0,1)".to_owned())
                .topic("shop.public.evil\u{1b}[2J")
                .record(2, 17)
                .remedy("look"),
            gap.record(1, 9),
        ];
        report.sort();
        report
    }

    #[test]
    fn text_is_worst_first_and_safe_for_a_terminal() {
        expect![[r#"
            shop.public.users: 120 records in 3 partitions, 7 repeats, 1 gaps
            public.users at 0/16B3748: 9 rows compared (1 in 10 keys), 8 equal, 1 different

            error   DIFFERENT  table public.users row users (0,1)  shop.public.evil\u{1b}[2J [2] at 17
                    another row
                    fix:  look

            error   GAP  shop.public.users [1] at 9  1:0/10:3 to 1:0/10:4
                    records are missing

            120 records, 7 repeats, 40 transactions searched for gaps, 2 not: not as promised
        "#]]
        .assert_eq(&sample().text(Dress::Plain));
        let coloured = sample().text(Dress::Colour);
        assert!(
            coloured.contains("\u{1b}[31merror  \u{1b}[0m GAP"),
            "{coloured}"
        );
    }

    #[test]
    fn json_has_stable_names() {
        let json: serde_json::Value = serde_json::from_str(&sample().json()).unwrap();
        let names = |value: &serde_json::Value| {
            let names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.join(" ")
        };
        expect!["epoch findings format progress stopped tables topics transactions transactions_not_judged worst"]
            .assert_eq(&names(&json));
        expect!["differing duplicates earlier_epoch elsewhere foreign gaps not_compared other_epoch out_of_order partitions records topic under_way"]
            .assert_eq(&names(&json["topics"][0]));
        expect![
            "different equal extra missing partial passes point rows sample table topic unreadable"
        ]
        .assert_eq(&names(&json["tables"][0]));
        expect!["code id last_id offset partition problem severity topic"]
            .assert_eq(&names(&json["findings"][1]));
        assert_eq!(json["epoch"], "7412345678901234567", "no reader rounds it");
    }

    #[test]
    fn the_worst_decides_the_exit_and_a_signal_only_without_errors() {
        let of = |severity: Option<Severity>, stopped| Report {
            findings: severity
                .map(|it| Finding::new(it, code::STOPPED, ""))
                .into_iter()
                .collect(),
            stopped,
            ..Report::default()
        };
        for (severity, stopped, exit) in [
            (None, Stopped::No, Exit::Done),
            (Some(Severity::Info), Stopped::No, Exit::Done),
            (Some(Severity::Warning), Stopped::No, Exit::CheckWarnings),
            (Some(Severity::Error), Stopped::No, Exit::CheckErrors),
            (Some(Severity::Warning), Stopped::Yes, Exit::NotReached),
            (Some(Severity::Error), Stopped::Yes, Exit::CheckErrors),
        ] {
            assert_eq!(of(severity, stopped).exit(), exit);
        }
    }
}
