//! Names by Debezium's regular expressions: they match the whole of a name, whatever its case. A
//! `*` that repeats nothing an expression would repeat, at the beginning or behind a letter, a
//! digit or `_`, stands for any text: `*.password`, `public.users.card_*`.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// One expression.
#[derive(Clone)]
pub struct Pattern {
    written: String,
    expression: Regex,
}

/// Why a text is no pattern, as the tail of a sentence that begins with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a regular expression.
    #[error("is no regular expression: {0}")]
    Syntax(String),
    /// A key without columns.
    #[error("names no columns; write schema.table:column,column")]
    NoColumns,
}

/// All names, some, or all but some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// Every name.
    #[default]
    All,
    /// Those that one of the patterns matches.
    Only(Vec<Pattern>),
    /// Those that none matches.
    Except(Vec<Pattern>),
}

impl Names {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether the name is one of these.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => any(patterns, name),
            Self::Except(patterns) => !any(patterns, name),
        }
    }
}

/// Whether one of the patterns matches the whole name.
pub(super) fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Pattern {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none, or uses what only Java's have, as looking ahead.
    pub fn parse(written: &str) -> Result<Self, PatternError> {
        let written = written.trim();
        let mut text = String::with_capacity(written.len() + 8);
        let mut before = None;
        for c in written.chars() {
            let repeats = before.is_some_and(|before: char| !is_word(before));
            if c == '*' && !repeats {
                text.push('.');
            }
            text.push(c);
            before = Some(c);
        }
        let expression = RegexBuilder::new(&format!("^(?:{text})$"))
            .case_insensitive(true)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                PatternError::Syntax(text.lines().last().unwrap_or_default().to_owned())
            })?;
        Ok(Self {
            written: written.to_owned(),
            expression,
        })
    }

    /// Whether it matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.expression.is_match(name)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_and_stars_match_whole_names() {
        let cases = [
            ("public.users.password", "public.users.password", true),
            ("public.users.password", "PUBLIC.Users.password", true),
            ("public.users.pass", "public.users.password", false),
            (r"public\.users\.(name|mail)", "public.users.mail", true),
            ("public.users.*", "public.users.mail", true),
            ("(.*)secret", "public.t.my_secret", true),
            ("*.password", "public.users.password", true),
            ("*.password", "public.users.password_hint", false),
            ("public.users.card_*", "public.users.card_number", true),
            ("public.users.card_*", "public.users.car", false),
            ("[a-c]*", "abc", true),
            ("[a-c]*", "abd", false),
        ];
        for (pattern, name, expected) in cases {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
        }
        assert!(Pattern::parse("(").is_err());
    }
}
