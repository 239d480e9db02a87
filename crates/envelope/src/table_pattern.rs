//! Which tables a rule is about.
//!
//! A pattern is `schema.table` with `*` (any text) and `?` (one character) on either side, or a
//! `/regular expression/` that must match the whole of `schema.table`. A part in double quotes is
//! taken literally, with its dots and stars: `"odd.schema".*`.

use std::fmt;

use regex::Regex;

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
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it matches this table.
    #[must_use]
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

impl PartialEq for TablePattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for TablePattern {}

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
