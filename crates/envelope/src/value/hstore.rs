//! hstore, from its text `"key"=>"value", "other"=>NULL` (manual: "hstore External
//! Representation"), in the server's order of keys.

use super::ValueError;
use super::string::{escape_controls, quoted};
use crate::options::HstoreHandling;

/// Appends the pairs as a JSON object, or as a string that holds one.
pub(super) fn hstore(
    text: &[u8],
    handling: HstoreHandling,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<(), ValueError> {
    match handling {
        HstoreHandling::Map => object(text, out, |raw, out| {
            unescape(raw, scratch);
            quoted(scratch, out)
        }),
        HstoreHandling::Json => {
            let mut document = std::mem::take(scratch);
            document.clear();
            let written = object(text, &mut document, |raw, out| {
                // hstore escapes quotes and backslashes, and just as JSON does.
                out.push(b'"');
                escape_controls(raw, out);
                out.push(b'"');
                Ok(())
            })
            .and_then(|()| quoted(&document, out));
            *scratch = document;
            written
        }
    }
}

/// What stands for an unavailable value.
pub(super) fn placeholder(mark: &[u8], handling: HstoreHandling, out: &mut Vec<u8>) -> Option<()> {
    let mut object = b"{".to_vec();
    quoted(mark, &mut object).ok()?;
    object.push(b':');
    quoted(mark, &mut object).ok()?;
    object.push(b'}');
    match handling {
        HstoreHandling::Map => out.extend_from_slice(&object),
        HstoreHandling::Json => quoted(&object, out).ok()?,
    }
    Some(())
}

/// Writes the object; `string` writes a key or value, given with hstore's escapes.
fn object(
    text: &[u8],
    out: &mut Vec<u8>,
    mut string: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        if rest.len() < text.len() {
            rest = rest.strip_prefix(b", ").ok_or(ValueError::Malformed)?;
            out.push(b',');
        }
        let (key, tail) = literal(rest)?;
        string(key, out)?;
        out.push(b':');
        let tail = tail.strip_prefix(b"=>").ok_or(ValueError::Malformed)?;
        rest = match tail.strip_prefix(b"NULL") {
            Some(tail) => {
                out.extend_from_slice(b"null");
                tail
            }
            None => {
                let (value, tail) = literal(tail)?;
                string(value, out)?;
                tail
            }
        };
    }
    out.push(b'}');
    Ok(())
}

/// What stands between the quotes, and what follows them.
fn literal(text: &[u8]) -> Result<(&[u8], &[u8]), ValueError> {
    let inner = text.strip_prefix(b"\"").ok_or(ValueError::Malformed)?;
    let mut end = 0;
    loop {
        let rest = inner.get(end..).unwrap_or_default();
        end += memchr::memchr2(b'"', b'\\', rest).ok_or(ValueError::Malformed)?;
        if inner.get(end) == Some(&b'"') {
            break;
        }
        end += 2;
    }
    let (raw, tail) = inner.split_at_checked(end).ok_or(ValueError::Malformed)?;
    Ok((raw, tail.get(1..).unwrap_or_default()))
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        let plain = if byte == b'\\' { bytes.next() } else { None };
        out.push(*plain.unwrap_or(&byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, handling: HstoreHandling) -> Result<String, ValueError> {
        let mut out = Vec::new();
        hstore(text.as_bytes(), handling, &mut out, &mut Vec::new())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn pairs_are_an_object_or_its_text() {
        let text = "\"k\"=>NULL, \"a \\\"b\\\"\"=>\"c\\\\ \n😀=>\"";
        assert_eq!(
            of(text, HstoreHandling::Map).unwrap(),
            "{\"k\":null,\"a \\\"b\\\"\":\"c\\\\ \\n\\uD83D\\uDE00=>\"}"
        );
        let document = of(text, HstoreHandling::Json).unwrap();
        assert_eq!(
            document,
            "\"{\\\"k\\\":null,\\\"a \\\\\\\"b\\\\\\\"\\\":\\\"c\\\\\\\\ \\\\n\\uD83D\\uDE00=>\\\"}\""
        );
        assert_eq!(of("", HstoreHandling::Map).unwrap(), "{}");
        assert_eq!(of("", HstoreHandling::Json).unwrap(), "\"{}\"");
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for wrong in [
            "a",
            "\"a",
            "\"a\"",
            "\"a\"=>",
            "\"a\"=>\"b",
            "\"a\"=>\"b\\",
            "\"a\"=>b",
            "\"a\"=>NULL,\"b\"=>NULL",
            "\"a\"=>NULL, ",
        ] {
            assert!(of(wrong, HstoreHandling::Map).is_err(), "{wrong}");
        }
    }
}
