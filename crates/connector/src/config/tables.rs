//! Which tables are captured: `tables.include` and `tables.exclude`.
//!
//! A pattern is `schema.table` with `*` (any text) and `?` (one character) on either side, or a
//! `/regular expression/` that must match the whole of `schema.table`. A part in double quotes is
//! taken literally, with its dots and stars: `"odd.schema".*`. Beside its name an included table may
//! have the part of it that is to be published: `where` and `columns`.

use envelope::TablePattern;

/// The tables a configuration asks for. System schemas never match.
#[derive(Clone, Debug, Default)]
pub struct TableFilter {
    include: Vec<TablePattern>,
    exclude: Vec<TablePattern>,
    parts: Vec<(TablePattern, TablePart)>,
    outbox: Vec<TablePattern>,
}

/// Which part of a table leaves the database, where not the whole of it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePart {
    /// An SQL expression that holds for the published rows.
    pub row_filter: Option<String>,
    /// The published columns.
    pub columns: Option<Vec<String>>,
}

impl TableFilter {
    /// Included by one of the first and by none of the second.
    pub fn new(include: Vec<TablePattern>, exclude: Vec<TablePattern>) -> Self {
        Self {
            include,
            exclude,
            parts: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Of the tables that a pattern matches, only this part; the first pattern that does holds.
    #[must_use]
    pub fn with_parts(self, parts: Vec<(TablePattern, TablePart)>) -> Self {
        Self { parts, ..self }
    }

    /// And these, whose rows are events of an outbox; nothing excludes them.
    #[must_use]
    pub fn with_outbox(self, outbox: Vec<TablePattern>) -> Self {
        Self { outbox, ..self }
    }

    /// The part of this table that is to be published, if not all of it.
    pub fn part(&self, schema: &str, table: &str) -> Option<&TablePart> {
        let mut parts = self.parts.iter();
        parts
            .find(|(pattern, _)| pattern.matches(schema, table))
            .map(|(_, part)| part)
    }

    /// Whether changes of this table are captured.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[TablePattern]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.matches(schema, table))
        };
        let wanted = any(&self.include) && !any(&self.exclude);
        !is_system_schema(schema) && (wanted || any(&self.outbox))
    }

    /// The patterns of `tables.include` and `outbox.table`, in their order.
    pub fn patterns(&self) -> impl Iterator<Item = &TablePattern> {
        self.include.iter().chain(&self.outbox)
    }
}

/// Schemas of the server itself, which logical decoding does not publish.
fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "information_schema") || schema.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> TableFilter {
        let parse = |list: &[&str]| {
            list.iter()
                .map(|text| TablePattern::parse(text).unwrap())
                .collect()
        };
        TableFilter::new(parse(include), parse(exclude))
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, schema, table, expected) in [
            ("public.users", "public", "users", true),
            ("public.users", "public", "users_old", false),
            ("public.*", "public", "a.b", true),
            ("public.*", "publicity", "users", false),
            ("*.user?", "crm", "users", true),
            ("*.user?", "crm", "user", false),
            ("*.*", "pg_catalog", "pg_class", false),
            ("*.*", "information_schema", "tables", false),
            ("public.u+s", "public", "uus", false),
            ("\"odd.schema\".*", "odd.schema", "t", true),
            ("\"odd.schema\".*", "odd", "schema.t", false),
            ("public.\"a*\"", "public", "a*", true),
            ("public.\"a*\"", "public", "ab", false),
            ("public.\"say \"\"hi\"\"\"", "public", "say \"hi\"", true),
            ("/public\\.(users|orders)/", "public", "orders", true),
            ("/public\\.(users|orders)/", "public", "orders2", false),
            ("/public\\.a|public\\.b/", "xpublic", "b", false),
            ("Public.*", "public", "users", false),
            ("public.*", "public", "line\nbreak", true),
        ] {
            let found = filter(&[pattern], &[]).matches(schema, table);
            assert_eq!(found, expected, "{pattern} on {schema}.{table}");
        }
    }

    #[test]
    fn exclude_wins() {
        let filter = filter(&["public.*"], &["public.secret_*", "/public\\.tmp\\d+/"]);
        assert!(filter.matches("public", "users"));
        assert!(!filter.matches("public", "secret_keys"));
        assert!(!filter.matches("public", "tmp7"));
        assert!(!TableFilter::default().matches("public", "users"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, reason) in [
            ("users", "write schema.table, such as public.*"),
            ("", "schema.table"),
            (".users", "schema.table"),
            ("public.", "schema.table"),
            ("\"public.users", "closing quote"),
            ("public.\"users\"x", "closing quote"),
            ("public.us\"ers", "quote in the middle"),
            ("/public", "lacks the `/`"),
            ("/(/", "not a regular expression: unclosed group"),
            ("/a{1000}{1000}{1000}/", "not a regular expression"),
            ("/a)|(b/", "not a regular expression"),
        ] {
            let error = TablePattern::parse(pattern).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}
