//! A span's context as `java.util.Properties` writes it (its manual, method `load`): lines of
//! `name=value`, with escapes and continued lines.

use std::iter::Peekable;
use std::str::Chars;

use super::assembly::Assembly;
use crate::error::EncodeErrorKind;
use crate::table::json_string;

impl Assembly {
    /// Adds a header for each property.
    pub(super) fn properties(&mut self, text: &str) -> Result<(), EncodeErrorKind> {
        let mut rest = text.chars().peekable();
        while let Some((name, value)) = next(&mut rest) {
            let mut json = Vec::new();
            json_string(&value, &mut json);
            self.header(name, json)?;
        }
        Ok(())
    }
}

type Rest<'a> = Peekable<Chars<'a>>;

/// The next name and value, past blank lines and comments.
fn next(rest: &mut Rest<'_>) -> Option<(String, String)> {
    loop {
        while rest.next_if(|c| is_blank(*c) || is_end(*c)).is_some() {}
        match rest.peek()? {
            '#' | '!' => while rest.next_if(|c| !is_end(*c)).is_some() {},
            _ => break,
        }
    }
    let name = text(rest, |c| is_blank(c) || matches!(c, '=' | ':'));
    while rest.next_if(|c| is_blank(*c)).is_some() {}
    if rest.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while rest.next_if(|c| is_blank(*c)).is_some() {}
    }
    Some((name, text(rest, |_| false)))
}

/// What stands before the end of the line, or before a character that is not escaped and ends it.
fn text(rest: &mut Rest<'_>, ends: impl Fn(char) -> bool) -> String {
    // Java's escapes are of UTF-16's units: two make one character beyond the basic plane.
    let mut units: Vec<u16> = Vec::new();
    while let Some(c) = rest.next_if(|c| !is_end(*c) && !ends(*c)) {
        match c {
            '\\' => escaped(rest, &mut units),
            c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    String::from_utf16_lossy(&units)
}

/// What stands for an escape, the backslash being read.
fn escaped(rest: &mut Rest<'_>, units: &mut Vec<u16>) {
    let c = match rest.next() {
        None => return,
        Some('t') => '\t',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('f') => '\u{c}',
        Some('u') => {
            let mut ahead = rest.clone();
            let digits: String = ahead.by_ref().take(4).collect();
            let is_hex = digits.len() == 4 && digits.bytes().all(|it| it.is_ascii_hexdigit());
            match u16::from_str_radix(&digits, 16) {
                Ok(unit) if is_hex => {
                    *rest = ahead;
                    units.push(unit);
                    return;
                }
                _ => 'u',
            }
        }
        // The line goes on in the next, without its blanks.
        Some(end) if is_end(end) => {
            if end == '\r' {
                rest.next_if_eq(&'\n');
            }
            while rest.next_if(|c| is_blank(*c)).is_some() {}
            return;
        }
        Some(c) => c,
    };
    units.extend(c.encode_utf16(&mut [0; 2]).iter());
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let mut rest = text.chars().peekable();
        std::iter::from_fn(|| next(&mut rest)).collect()
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let cases: [(&str, &[(&str, &str)]); 8] = [
            (
                "#Thu Jan 01 00:00:00 UTC 1970\ntraceparent=00-ab-cd-01\n\n  tracestate : a\\=b,c\\:d\n",
                &[("traceparent", "00-ab-cd-01"), ("tracestate", "a=b,c:d")],
            ),
            (
                "! a remark\r\nname value with blanks",
                &[("name", "value with blanks")],
            ),
            ("a\\ b\\:c=d", &[("a b:c", "d")]),
            (
                "long=one \\\n   two\\\r\n three",
                &[("long", "one twothree")],
            ),
            ("t=a\\tb\\nc\\\\d\\z", &[("t", "a\tb\nc\\dz")]),
            ("u=\\u00e4\\uD83D\\uDE00é", &[("u", "ä\u{1f600}é")]),
            ("u=\\u00g1\\", &[("u", "u00g1")]),
            ("alone\nnone=", &[("alone", ""), ("none", "")]),
        ];
        for (text, expected) in cases {
            let told = read(text);
            let told: Vec<_> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(told, expected, "{text:?}");
        }
    }
}
