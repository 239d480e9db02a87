//! All findings of one check, as text for a person or JSON for a machine.
//!
//! Says nothing about where the text goes: the caller knows whether it writes to a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{Finding, Remedy, Severity};
use super::quote::shown;
use crate::exit::Exit;
use crate::halt::Halt;

/// How the text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dress {
    /// No escape sequences: pipes, files, `NO_COLOR`.
    Plain,
    /// ANSI colours, for a terminal.
    Colour,
}

/// The findings of one check, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

/// The JSON form. Fields are added, never renamed; `format` says when that promise breaks.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    worst: Option<Severity>,
    counts: Counts,
    findings: &'a [Finding],
}

#[derive(Serialize)]
struct Counts {
    error: usize,
    warning: usize,
    info: usize,
}

/// More findings of one code than this are counted and left to `--json`: ten thousand tables
/// without a key are one problem to a reader.
const SHOWN_PER_CODE_MAX: usize = 20;

impl Report {
    /// Sorts the findings: worst first, then by code, then by subject.
    #[must_use]
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| {
            (b.severity, a.code, &a.subject).cmp(&(a.severity, b.code, &b.subject))
        });
        Self { findings }
    }

    /// The findings, worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The worst severity, or `None` when there is nothing to say.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.severity)
    }

    /// How many findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// How `walferry check` ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.worst() {
            Some(Severity::Error) => Exit::CheckErrors,
            Some(Severity::Warning) => Exit::CheckWarnings,
            Some(Severity::Info) | None => Exit::Done,
        }
    }

    /// How `walferry run` ends instead of starting: the halt of the first error that has one, or
    /// what the check itself would end with. `None` when it may run.
    #[must_use]
    pub fn refusal(&self) -> Option<Exit> {
        let mut errors = self
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .peekable();
        errors.peek()?;
        Some(
            errors
                .find_map(halt)
                .map_or(Exit::CheckErrors, Exit::Halted),
        )
    }

    /// The report as text, ending with a line of counts.
    #[must_use]
    pub fn text(&self, dress: Dress) -> String {
        let mut out = String::new();
        for group in self
            .findings
            .chunk_by(|a, b| (a.severity, a.code) == (b.severity, b.code))
        {
            for finding in group.iter().take(SHOWN_PER_CODE_MAX) {
                write_finding(&mut out, finding, dress);
            }
            if let [first, ..] = group
                && group.len() > SHOWN_PER_CODE_MAX
            {
                let more = group.len() - SHOWN_PER_CODE_MAX;
                let _ = writeln!(
                    out,
                    "… and {more} more of {}: --json lists all\n",
                    first.code
                );
            }
        }
        out.push_str(&self.summary(dress));
        out.push('\n');
        out
    }

    /// The last line: how many of each, and what that means.
    #[must_use]
    pub fn summary(&self, dress: Dress) -> String {
        let counted = |severity: Severity| {
            let count = self.count(severity);
            let plural = if count == 1 || severity == Severity::Info {
                ""
            } else {
                "s"
            };
            paint(
                &format!("{count} {}{plural}", severity.word()),
                severity,
                count > 0,
                dress,
            )
        };
        let verdict = match self.worst() {
            Some(Severity::Error) => "walferry would not start",
            Some(Severity::Warning) => "walferry would start",
            Some(Severity::Info) | None => "ready to run",
        };
        format!(
            "{}, {}, {}: {verdict}",
            counted(Severity::Error),
            counted(Severity::Warning),
            counted(Severity::Info)
        )
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn json(&self) -> String {
        let document = Document {
            format: 1,
            worst: self.worst(),
            counts: Counts {
                error: self.count(Severity::Error),
                warning: self.count(Severity::Warning),
                info: self.count(Severity::Info),
            },
            findings: &self.findings,
        };
        // Strings and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

/// The halt that says the same as an error of the check.
fn halt(finding: &Finding) -> Option<Halt> {
    Some(match finding.code {
        "SLOT_LOST" => Halt::SlotLost,
        "SLOT_RECREATED" => Halt::SlotRecreated,
        "SLOT_ACTIVE" => Halt::SlotInUse,
        code if code.starts_with("SLOT_") => Halt::SlotUnusable,
        "PUBLICATION_MISSING" => Halt::PublicationMissing,
        "PK_MISSING" | "IDENTITY_NOTHING" | "IDENTITY_INDEX_GONE" => Halt::IdentityMissing,
        "ROLE_REPLICATION" | "ROLE_CREATE" | "TABLE_OWNER" | "TABLE_SELECT" | "SCHEMA_USAGE" => {
            Halt::Authorization
        }
        "SERVER_VERSION" | "WAL_LEVEL" | "SLOTS_FULL" | "SENDERS_FULL" | "IN_RECOVERY" => {
            Halt::ServerUnsuitable
        }
        "KAFKA_AUTHENTICATION" => Halt::Authentication,
        "KAFKA_DENIED" | "TOPIC_DENIED" => Halt::Authorization,
        "PROGRESS_TOPIC" | "PROGRESS_UNREADABLE" => Halt::ProgressUnreadable,
        "PROGRESS_NEWER" => Halt::ProgressNewer,
        "REPLICATION_FACTOR" => Halt::TopicUnusable,
        code if code.starts_with("TOPIC_") => Halt::TopicUnusable,
        _ => return None,
    })
}

fn write_finding(out: &mut String, finding: &Finding, dress: Dress) {
    let word = paint(
        &format!("{:7}", finding.severity.word()),
        finding.severity,
        true,
        dress,
    );
    let code = bold(finding.code, dress);
    let subject = shown(&finding.subject.to_string());
    let _ = writeln!(out, "{word} {code}  {subject}");
    let _ = writeln!(out, "        {}", shown(&finding.problem));
    for (step, remedy) in finding.remedy.iter().enumerate() {
        write_remedy(out, if step == 0 { "fix" } else { "then" }, remedy, dress);
    }
    for remedy in &finding.otherwise {
        write_remedy(out, "or", remedy, dress);
    }
    out.push('\n');
}

fn write_remedy(out: &mut String, lead: &str, remedy: &Remedy, dress: Dress) {
    let text = match remedy {
        Remedy::Sql(sql) => bold(&shown(sql), dress),
        Remedy::Setting(line) => format!("{} (walferry.yaml)", bold(&shown(line), dress)),
        Remedy::Text(text) => shown(text),
    };
    let _ = writeln!(out, "        {:5} {text}", format!("{lead}:"));
}

fn paint(text: &str, severity: Severity, lit: bool, dress: Dress) -> String {
    let colour = match severity {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Info => 36,
    };
    match (dress, lit) {
        (Dress::Colour, true) => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
        _ => text.to_owned(),
    }
}

fn bold(text: &str, dress: Dress) -> String {
    match dress {
        Dress::Colour => format!("\u{1b}[1m{text}\u{1b}[0m"),
        Dress::Plain => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::finding::Subject;
    use super::*;

    fn sample() -> Report {
        let table = |name: &str| Subject::Table(name.to_owned());
        Report::new(vec![
            Finding::info("IDENTITY_FULL", table("public.b"), "Whole old rows."),
            Finding::error("PK_MISSING", table("public.evil\u{1b}[2J"), "No key.")
                .sql("ALTER TABLE x REPLICA IDENTITY FULL;")
                .or(Remedy::Text("add a primary key".to_owned())),
            Finding::warning("SERVER_MINOR", Subject::Server("15.3".to_owned()), "Old.")
                .text("install 15.14 or later"),
            Finding::error(
                "NO_TABLES",
                Subject::Pattern("publik.*".to_owned()),
                "Nothing.",
            )
            .setting("tables.include: [ \"public.*\" ]")
            .text("start again"),
        ])
    }

    #[test]
    fn text_is_worst_first_and_safe_for_a_terminal() {
        expect![[r#"
            error   NO_TABLES  pattern publik.*
                    Nothing.
                    fix:  tables.include: [ "public.*" ] (walferry.yaml)
                    then: start again

            error   PK_MISSING  table public.evil\u{1b}[2J
                    No key.
                    fix:  ALTER TABLE x REPLICA IDENTITY FULL;
                    or:   add a primary key

            warning SERVER_MINOR  server 15.3
                    Old.
                    fix:  install 15.14 or later

            info    IDENTITY_FULL  table public.b
                    Whole old rows.

            2 errors, 1 warning, 1 info: walferry would not start
        "#]]
        .assert_eq(&sample().text(Dress::Plain));
    }

    #[test]
    fn colour_adds_only_escape_sequences() {
        let coloured = sample().text(Dress::Colour);
        assert!(coloured.starts_with("\u{1b}[31merror  \u{1b}[0m \u{1b}[1mNO_TABLES"));
        let mut plain = coloured;
        for code in [
            "\u{1b}[0m",
            "\u{1b}[1m",
            "\u{1b}[31m",
            "\u{1b}[33m",
            "\u{1b}[36m",
        ] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, sample().text(Dress::Plain));
    }

    #[test]
    fn json_is_stable() {
        let one = Report::new(
            sample()
                .findings()
                .iter()
                .skip(1)
                .take(1)
                .cloned()
                .collect(),
        );
        expect![[r#"
            {
              "format": 1,
              "worst": "error",
              "counts": {
                "error": 1,
                "warning": 0,
                "info": 0
              },
              "findings": [
                {
                  "severity": "error",
                  "code": "PK_MISSING",
                  "subject": {
                    "kind": "table",
                    "name": "public.evil\u001b[2J"
                  },
                  "problem": "No key.",
                  "remedy": [
                    {
                      "kind": "sql",
                      "text": "ALTER TABLE x REPLICA IDENTITY FULL;"
                    }
                  ],
                  "otherwise": [
                    {
                      "kind": "text",
                      "text": "add a primary key"
                    }
                  ]
                }
              ]
            }"#]]
        .assert_eq(&one.json());
    }

    #[test]
    fn many_of_one_code_are_folded() {
        let many = (0..25)
            .map(|n| Finding::error("PK_MISSING", Subject::Table(format!("t{n:02}")), "No key."))
            .collect();
        let text = Report::new(many).text(Dress::Plain);
        assert!(
            text.contains("table t19") && !text.contains("table t20"),
            "{text}"
        );
        assert!(
            text.contains("… and 5 more of PK_MISSING: --json lists all"),
            "{text}"
        );
        assert!(text.ends_with("25 errors, 0 warnings, 0 info: walferry would not start\n"));
    }

    #[test]
    fn the_worst_finding_decides_the_exit() {
        let of = |severity, code| {
            Report::new(vec![Finding::new(
                severity,
                code,
                Subject::Slot("s".to_owned()),
                "x",
            )])
        };
        assert_eq!(sample().exit(), Exit::CheckErrors);
        assert_eq!(
            sample().refusal(),
            Some(Exit::Halted(Halt::IdentityMissing))
        );
        assert_eq!(
            of(Severity::Warning, "SLOT_UNRESERVED").exit(),
            Exit::CheckWarnings
        );
        assert_eq!(of(Severity::Warning, "SLOT_UNRESERVED").refusal(), None);
        assert_eq!(of(Severity::Info, "SLOT_BEHIND").exit(), Exit::Done);
        for (code, exit) in [
            ("SLOT_LOST", Exit::Halted(Halt::SlotLost)),
            ("SLOT_PLUGIN", Exit::Halted(Halt::SlotUnusable)),
            ("NO_TABLES", Exit::CheckErrors),
        ] {
            assert_eq!(of(Severity::Error, code).refusal(), Some(exit));
        }
    }

    #[test]
    fn an_empty_report_is_ready() {
        let report = Report::new(Vec::new());
        assert_eq!(report.worst(), None);
        assert_eq!((report.exit(), report.refusal()), (Exit::Done, None));
        assert_eq!(
            report.text(Dress::Plain),
            "0 errors, 0 warnings, 0 info: ready to run\n"
        );
    }
}
