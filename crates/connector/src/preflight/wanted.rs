//! What the configuration asks for, in the words of the check.
//!
//! The rooms of the configuration stay unknown here: patterns arrive as functions. What a
//! configuration wants is said in `of_config.rs`.

use std::time::Duration;

/// What walferry is configured to do, as far as the check is concerned.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The replication slot's name.
    pub slot: &'a str,
    /// The publication's name.
    pub publication: &'a str,
    /// `application_name` of walferry's sessions.
    pub application_name: &'a str,
    /// Whether missing things may be created.
    pub create: Create,
    /// Is this `(schema, table)` to be captured?
    pub captures: &'a (dyn Fn(&str, &str) -> bool + Sync),
    /// Which part of this `(schema, table)` is to be published; `None` for all of it.
    pub part: &'a (dyn Fn(&str, &str) -> Option<Part> + Sync),
    /// The include patterns one by one, to find those that match nothing.
    pub patterns: &'a [Pattern<'a>],
    /// The operations whose events are wanted.
    pub actions: &'a [Action],
    /// Under which name changes of partitions arrive, when walferry creates the publication. One
    /// that exists decides for itself.
    pub partitions: Partitions,
    /// Whether existing rows are to be read, which needs SELECT.
    pub snapshot: Snapshot,
    /// Are rows of this `(schema, table)` read then, if it is captured?
    pub copied: &'a (dyn Fn(&str, &str) -> bool + Sync),
    /// What else is said of tables that are read then, to find what speaks of none.
    pub copy_filters: &'a [CopyFilter<'a>],
    /// Whether the progress topic holds a position for this slot.
    pub progress: StoredProgress,
    /// From which age on a prepared transaction counts as forgotten.
    pub prepared_age: Duration,
    /// How events are written, which decides topics and what is carried as text.
    pub envelope: &'a envelope::Options,
}

impl Wanted<'_> {
    /// The same of a standby.
    #[must_use]
    pub fn on_standby(&self) -> Self {
        Self {
            create: self.create.on_standby(),
            ..*self
        }
    }
}

/// The part of a table that is to be published (CREATE PUBLICATION, `WHERE` and the column list).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The rows: an SQL expression.
    pub row_filter: Option<String>,
    /// The columns.
    pub columns: Option<Vec<String>>,
}

/// May walferry create what is missing (`create: auto | never`)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Publication, slot and topics are created, and the publication extended.
    Auto,
    /// The slot and topics alone: the server is a standby, where nothing is written. What the publication
    /// lacks is the primary's to mend.
    OnStandby,
    /// Whatever is missing is an error.
    Never,
}

impl Create {
    /// What of it a standby can do.
    #[must_use]
    pub fn on_standby(self) -> Self {
        match self {
            Self::Auto | Self::OnStandby => Self::OnStandby,
            Self::Never => Self::Never,
        }
    }
}

/// One include pattern.
#[derive(Clone, Copy)]
pub struct Pattern<'a> {
    /// As the user wrote it.
    pub text: &'a str,
    /// A plain `schema.table`, or something that may match many.
    pub reach: Reach,
    /// Does it match `(schema, table)`?
    pub matches: &'a (dyn Fn(&str, &str) -> bool + Sync),
}

/// An entry of a setting that says which tables are read, or by which statement.
#[derive(Clone, Copy)]
pub struct CopyFilter<'a> {
    /// The setting.
    pub setting: &'static str,
    /// The entry, as the user wrote it.
    pub text: &'a str,
    /// Does it mean this `schema.table`?
    pub matches: &'a (dyn Fn(&str) -> bool + Sync),
}

/// How much a pattern can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One table: to miss it is a mistake.
    One,
    /// A glob or an expression: to match nothing today is only suspicious.
    Many,
}

/// An operation that a publication can publish (CREATE PUBLICATION, parameter `publish`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// `insert`
    Insert,
    /// `update`
    Update,
    /// `delete`
    Delete,
    /// `truncate`
    Truncate,
}

impl Action {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 4] = [Self::Insert, Self::Update, Self::Delete, Self::Truncate];

    /// The word in the `publish` parameter.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        }
    }

    /// Whether its events of captured tables are not wanted.
    #[must_use]
    pub fn is_skipped(self, skipped: envelope::SkippedOperations) -> bool {
        match self {
            Self::Insert => skipped.create,
            Self::Update => skipped.update,
            Self::Delete => skipped.delete,
            Self::Truncate => skipped.truncate,
        }
    }

    /// UPDATE and DELETE need to name the old row, so they fail on tables without replica identity.
    #[must_use]
    pub fn needs_identity(self) -> bool {
        matches!(self, Self::Update | Self::Delete)
    }
}

/// Under which name changes of a partitioned table arrive (`publish_via_partition_root`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// Under the partitioned table's.
    Root,
    /// Under each leaf partition's own.
    Leaf,
}

/// Whether existing rows are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// Yes, at the first start.
    Initial,
    /// No: changes only.
    NoData,
}

/// What is known of the position stored in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredProgress {
    /// There is one: the slot must never be made anew.
    Present,
    /// There is none: this is a first start.
    Absent,
    /// Kafka could not be asked.
    Unknown,
}
