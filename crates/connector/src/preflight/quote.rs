//! The one place where names become SQL text.
//!
//! Table names are foreign input: whoever may create a table in a captured schema chooses them.
//! What is printed must also run as printed, so a name with control characters is written as
//! `U&"…"`, which a terminal cannot misread (SQL syntax, section 4.1.1 of the Postgres manual).

use std::fmt::Write as _;

use pgwire::command::{quote_identifier, quote_literal};

/// An SQL identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    if name.contains(char::is_control) {
        format!("U&{}", unicode_escapes(name, '"'))
    } else {
        quote_identifier(name)
    }
}

/// `"schema"."name"`.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// An SQL string literal.
#[must_use]
pub fn literal(text: &str) -> String {
    if text.contains(char::is_control) {
        format!("U&{}", unicode_escapes(text, '\''))
    } else {
        quote_literal(text)
    }
}

/// A name as a person should read it: control characters escaped, everything else as it is.
#[must_use]
pub fn shown(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn unicode_escapes(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            out.extend([c, c]);
        } else if c.is_control() {
            let _ = write!(out, "\\{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_sql() {
        for (name, sql, read) in [
            ("users", r#""users""#, "users"),
            (
                "we.ird \"Tbl\" ☃",
                r#""we.ird ""Tbl"" ☃""#,
                "we.ird \"Tbl\" ☃",
            ),
            ("a\nb\\c\"d", r#"U&"a\000ab\\c""d""#, "a\\nb\\c\"d"),
            ("\u{1b}[31m", r#"U&"\001b[31m""#, "\\u{1b}[31m"),
        ] {
            assert_eq!(identifier(name), sql);
            assert_eq!(shown(name), read);
        }
    }

    #[test]
    fn texts_become_literals() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"'a\b'");
        assert_eq!(literal("a\r\n'b"), r"U&'a\000d\000a''b'");
    }
}
