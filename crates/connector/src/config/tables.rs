//! Which tables are captured: `tables.include` and `tables.exclude`.
//!
//! A pattern is `schema.table` with `*` (any text) and `?` (one character) on either side, or a
//! `/regular expression/` that must match the whole of `schema.table`. A part in double quotes is
//! taken literally, with its dots and stars: `"odd.schema".*`. Beside its name an included table may
//! have the part of it that is to be published: `where` and `columns`.

use std::fmt;

use regex::Regex;

/// The tables a configuration asks for. System schemas never match.
#[derive(Clone, Debug, Default)]
pub struct TableFilter {
    include: Vec<TablePattern>,
    exclude: Vec<TablePattern>,
    parts: Vec<(TablePattern, TablePart)>,
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
        }
    }

    /// Of the tables that a pattern matches, only this part; the first pattern that does holds.
    #[must_use]
    pub fn with_parts(self, parts: Vec<(TablePattern, TablePart)>) -> Self {
        Self { parts, ..self }
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
        !is_system_schema(schema)
            && self
                .include
                .iter()
                .any(|pattern| pattern.matches(schema, table))
            && !self
                .exclude
                .iter()
                .any(|pattern| pattern.matches(schema, table))
    }

    /// The patterns of `tables.include`, in their order.
    pub fn include(&self) -> &[TablePattern] {
        &self.include
    }
}

/// Schemas of the server itself, which logical decoding does not publish.
fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "information_schema") || schema.starts_with("pg_")
}

/// One pattern.
#[derive(Clone)]
pub struct TablePattern {
    written: String,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Glob { schema: Regex, table: Regex },
    Whole(Regex),
}

impl TablePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it, as the tail of a sentence that begins with the pattern.
    pub fn parse(written: &str) -> Result<Self, String> {
        let written = written.trim();
        let form = match written.strip_prefix('/') {
            Some(rest) => {
                let expression = rest
                    .strip_suffix('/')
                    .ok_or("begins like a /regular expression/ but lacks the `/` at its end")?;
                Form::Whole(anchored(expression)?)
            }
            None => {
                let (schema, table) = split(written)?;
                Form::Glob {
                    schema: glob(&schema)?,
                    table: glob(&table)?,
                }
            }
        };
        Ok(Self {
            written: written.to_owned(),
            form,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it matches this table.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        match &self.form {
            Form::Glob {
                schema: s,
                table: t,
            } => s.is_match(schema) && t.is_match(table),
            Form::Whole(expression) => expression.is_match(&format!("{schema}.{table}")),
        }
    }
}

impl fmt::Debug for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

/// A part of a glob: text to match literally, or to read `*` and `?` in.
enum Piece {
    Literal(String),
    Glob(String),
}

/// Splits `schema.table` at its first dot outside of quotes.
fn split(written: &str) -> Result<(Piece, Piece), String> {
    let (schema, rest) = piece(written)?;
    let Some(rest) = rest.strip_prefix('.') else {
        return Err(match schema {
            Piece::Glob(text) if rest.is_empty() && !text.is_empty() => {
                "names no schema; write schema.table, such as public.*".to_owned()
            }
            _ => "is not a pattern of the form schema.table".to_owned(),
        });
    };
    let table = match rest.starts_with('"') {
        true => {
            let (table, after) = piece(rest)?;
            if !after.is_empty() {
                return Err("goes on after the closing quote".to_owned());
            }
            table
        }
        false => Piece::Glob(rest.to_owned()),
    };
    for part in [&schema, &table] {
        if matches!(part, Piece::Literal(text) | Piece::Glob(text) if text.is_empty()) {
            return Err("is not a pattern of the form schema.table".to_owned());
        }
        if matches!(part, Piece::Glob(text) if text.contains('"')) {
            return Err(
                "has a quote in the middle; quote a whole part: \"schema\".\"table\"".into(),
            );
        }
    }
    Ok((schema, table))
}

/// The first part of a pattern, and what follows it.
fn piece(text: &str) -> Result<(Piece, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return Ok((Piece::Glob(text[..end].to_owned()), &text[end..]));
    };
    let mut literal = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            literal.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            literal.push('"');
        } else {
            return Ok((Piece::Literal(literal), &quoted[at + 1..]));
        }
    }
    Err("lacks a closing quote".to_owned())
}

fn glob(piece: &Piece) -> Result<Regex, String> {
    let expression = match piece {
        Piece::Literal(text) => regex::escape(text),
        Piece::Glob(text) => text
            .chars()
            .map(|c| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                other => regex::escape(&other.to_string()),
            })
            .collect(),
    };
    anchored(&expression)
}

/// Matches the whole text; `.` also matches a line break, which a name may hold.
fn anchored(expression: &str) -> Result<Regex, String> {
    // First by itself: `a)|(b` is none, and would escape from the group below.
    Regex::new(expression)
        .and_then(|_| Regex::new(&format!("^(?s:{expression})$")))
        .map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!(
                "is not a regular expression: {}",
                last.trim_start_matches("error: ")
            )
        })
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
