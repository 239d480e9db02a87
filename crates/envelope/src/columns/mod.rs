//! Which columns are shown and which are masked, and which make the key: Debezium's `column.*`
//! options and `message.key.columns` (Debezium manual, "PostgreSQL connector properties").
//!
//! Decided once for each description of a table.

mod mask;
mod pattern;

pub(crate) use mask::ColumnMask;
pub use mask::{HashAlgorithm, Mask};
use pattern::any;
pub use pattern::{Names, Pattern, PatternError};

/// What is said about columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnRules {
    /// `column.include.list` or `column.exclude.list`.
    pub shown: Names,
    /// `column.mask.…` and `column.truncate.…`: the first that matches a column holds.
    pub masks: Vec<(Mask, Vec<Pattern>)>,
    /// `column.propagate.source.type`: columns whose schemas tell of their types.
    pub propagated: Vec<Pattern>,
    /// `datatype.propagate.source.type`: the same by `schema.table.TYPE`.
    pub propagated_types: Vec<Pattern>,
    /// `message.key.columns`: the first whose table matches holds.
    pub keys: Vec<KeyRule>,
}

/// The key's columns for some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// `schema.table`.
    pub tables: Pattern,
    /// In the key's order.
    pub columns: Vec<String>,
}

impl KeyRule {
    /// Reads `schema.table:column,column`.
    ///
    /// # Errors
    /// What is wrong with it, as the tail of a sentence that begins with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (tables, columns) = text.rsplit_once(':').ok_or(PatternError::NoColumns)?;
        let columns: Vec<String> = columns
            .split(',')
            .map(|column| column.trim().to_owned())
            .collect();
        if columns.iter().any(String::is_empty) {
            return Err(PatternError::NoColumns);
        }
        Ok(Self {
            tables: Pattern::parse(tables)?,
            columns,
        })
    }
}

impl ColumnRules {
    /// Whether a column is in the rows of events; keys hold their columns whatever this says.
    #[must_use]
    pub fn shows(&self, schema: &str, table: &str, column: &str) -> bool {
        self.shown.is_all() || self.shown.admits(&format!("{schema}.{table}.{column}"))
    }

    /// The mask of a column.
    #[must_use]
    pub fn mask(&self, schema: &str, table: &str, column: &str) -> Option<&Mask> {
        if self.masks.is_empty() {
            return None;
        }
        let name = format!("{schema}.{table}.{column}");
        let masks = &mut self.masks.iter();
        masks
            .find(|(_, patterns)| any(patterns, &name))
            .map(|(mask, _)| mask)
    }

    /// Whether a column's schema tells of its type.
    pub(crate) fn propagates(
        &self,
        (schema, table): (&str, &str),
        column: &str,
        type_name: impl FnOnce() -> String,
    ) -> bool {
        let listed =
            |patterns: &[Pattern], last: &str| any(patterns, &format!("{schema}.{table}.{last}"));
        (!self.propagated.is_empty() && listed(&self.propagated, column))
            || (!self.propagated_types.is_empty() && listed(&self.propagated_types, &type_name()))
    }

    /// The key's columns, if something is said about this table.
    #[must_use]
    pub fn key(&self, schema: &str, table: &str) -> Option<&[String]> {
        if self.keys.is_empty() {
            return None;
        }
        let name = format!("{schema}.{table}");
        let rule = self.keys.iter().find(|rule| rule.tables.matches(&name))?;
        Some(&rule.columns)
    }
}
