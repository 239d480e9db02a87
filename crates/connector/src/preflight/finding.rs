//! One complaint of the check, and what mends it.
//!
//! A finding is made from plain rows by a pure judgement (`server.rs`, `slot.rs`, …) and is only
//! data: rendering is `report.rs`. Its code is stable, so that scripts and the operations manual
//! can name it.

use std::fmt;

use serde::Serialize;

/// How much a finding matters. The order is the order of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing needs to be done.
    Info,
    /// walferry would run, but something will hurt one day.
    Warning,
    /// walferry would not run, would lose changes, or would break the application's own statements.
    Error,
}

impl Severity {
    /// The word that is printed: `error`, `warning` or `info`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Subject {
    /// The Postgres server as a whole, by its version.
    Server(String),
    /// A server setting (GUC), by name.
    Setting(String),
    /// A database.
    Database(String),
    /// The role walferry logs in as.
    Role(String),
    /// A replication slot.
    Slot(String),
    /// A publication.
    Publication(String),
    /// A table, as `schema.table`.
    Table(String),
    /// Several tables: a count in words, such as `14 tables`.
    Tables(String),
    /// A pattern of the configuration's `tables.include`.
    Pattern(String),
    /// The Kafka cluster, by its bootstrap servers.
    Kafka(String),
    /// A Kafka topic.
    Topic(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Server(name) => ("server", name),
            Self::Setting(name) => ("setting", name),
            Self::Database(name) => ("database", name),
            Self::Role(name) => ("role", name),
            Self::Slot(name) => ("slot", name),
            Self::Publication(name) => ("publication", name),
            Self::Table(name) => ("table", name),
            Self::Tables(name) => return f.write_str(name),
            Self::Pattern(name) => ("pattern", name),
            Self::Kafka(name) => ("kafka", name),
            Self::Topic(name) => ("topic", name),
        };
        write!(f, "{kind} {name}")
    }
}

/// One step that mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "text", rename_all = "snake_case")]
pub enum Remedy {
    /// SQL that runs as it stands: one query, sent alone.
    Sql(String),
    /// A line of walferry's configuration.
    Setting(String),
    /// Anything else a person has to do.
    Text(String),
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Its stable name, such as `WAL_LEVEL`.
    pub code: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong, in a sentence or two. Never holds row values or secrets.
    pub problem: String,
    /// The recommended way out: all steps, in order.
    pub remedy: Vec<Remedy>,
    /// Other ways out, each complete by itself.
    pub otherwise: Vec<Remedy>,
}

impl Finding {
    /// A finding that keeps walferry from running.
    #[must_use]
    pub fn error(code: &'static str, subject: Subject, problem: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, subject, problem)
    }

    /// A finding that will hurt one day.
    #[must_use]
    pub fn warning(code: &'static str, subject: Subject, problem: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, subject, problem)
    }

    /// A finding that is only good to know.
    #[must_use]
    pub fn info(code: &'static str, subject: Subject, problem: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, subject, problem)
    }

    /// A finding of any severity.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: &'static str,
        subject: Subject,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            subject,
            problem: problem.into(),
            remedy: Vec::new(),
            otherwise: Vec::new(),
        }
    }

    /// Adds SQL as the next step of the recommended way.
    #[must_use]
    pub fn sql(mut self, sql: impl Into<String>) -> Self {
        self.remedy.push(Remedy::Sql(sql.into()));
        self
    }

    /// Adds a configuration line as the next step.
    #[must_use]
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.remedy.push(Remedy::Setting(setting.into()));
        self
    }

    /// Adds words as the next step.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.remedy.push(Remedy::Text(text.into()));
        self
    }

    /// The recommended way out in one line, for a log.
    #[must_use]
    pub fn fix(&self) -> String {
        let steps = self.remedy.iter().map(|step| match step {
            Remedy::Sql(text) | Remedy::Text(text) => text.clone(),
            Remedy::Setting(text) => format!("{text} (walferry.yaml)"),
        });
        steps.collect::<Vec<_>>().join(" then: ")
    }

    /// Adds another way out.
    #[must_use]
    pub fn or(mut self, way: Remedy) -> Self {
        self.otherwise.push(way);
        self
    }
}
