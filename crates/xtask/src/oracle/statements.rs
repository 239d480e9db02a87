//! Cuts a script into statements, as psql does: at semicolons outside of quotes and comments.

/// The statements, without their semicolons.
pub(super) fn split(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let rest = &sql[at..];
        at += match bytes[at] {
            b'\'' | b'"' => quoted(rest, escapes(sql, at)),
            b'$' => dollar_quoted(rest),
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b';' => {
                statements.push(sql[start..at].trim());
                start = at + 1;
                1
            }
            _ => 1,
        };
        while !sql.is_char_boundary(at) {
            at += 1;
        }
    }
    statements.push(sql[start..].trim());
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// Whether the quote at `at` opens an `E'…'` string.
fn escapes(sql: &str, at: usize) -> bool {
    let before = &sql.as_bytes()[..at];
    let mut last = before.iter().rev();
    let is_e = last.next().is_some_and(|byte| b"eE".contains(byte));
    is_e && !last.next().is_some_and(u8::is_ascii_alphanumeric)
}

/// The length of what begins with a quote.
fn quoted(text: &str, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 1,
            byte if byte == bytes[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The length of what begins with a dollar sign: `$tag$…$tag$`, or the sign alone.
fn dollar_quoted(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else {
        return 1;
    };
    let tag = &text[..end + 2];
    let is_tag = tag[1..=end]
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match text[tag.len()..].find(tag) {
        Some(close) if is_tag => close + 2 * tag.len(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_cut_nothing() {
        let sql =
            "select 'a;''b' ; select E'\\';' as \"x;y\"; -- no; \n/* no; */ do $x$ a; b; $x$;é";
        let expected = [
            "select 'a;''b'",
            "select E'\\';' as \"x;y\"",
            "-- no; \n/* no; */ do $x$ a; b; $x$",
            "é",
        ];
        assert_eq!(split(sql), expected);
    }
}
