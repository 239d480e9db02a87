//! The members of a JSON object, as bytes: enough to tell columns apart without reading their values.

/// Calls `each` with the name (in its quotes) and the value of each member, in order. `None` for what
/// is no object.
pub(super) fn members<'a>(
    object: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]),
) -> Option<()> {
    let mut rest = after(blank(object), b'{')?;
    if let Some(end) = after(blank(rest), b'}') {
        return blank(end).is_empty().then_some(());
    }
    loop {
        let (name, behind) = text(blank(rest))?;
        let (value, behind) = value(blank(after(blank(behind), b':')?))?;
        each(name, value);
        rest = blank(behind);
        match rest.split_first()? {
            (b',', behind) => rest = behind,
            (b'}', behind) => return blank(behind).is_empty().then_some(()),
            _ => return None,
        }
    }
}

/// The value of one member, whose name is given in its quotes.
pub(super) fn member<'a>(object: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    members(object, |name, value| {
        if name == wanted {
            found = Some(value);
        }
    })?;
    found
}

/// A text with its quotes, and what is behind it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = after(bytes, b'"').map(|_| 1)?;
    loop {
        let found = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return Some((bytes.get(..at)?, bytes.get(at..)?));
        }
        at += 1;
    }
}

/// A value, and what is behind it.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.first()? {
        b'"' => text(bytes),
        b'{' | b'[' => nested(bytes),
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r');
            let end = bytes.iter().position(ends).unwrap_or(bytes.len());
            (end > 0).then_some(())?;
            Some((bytes.get(..end)?, bytes.get(end..)?))
        }
    }
}

fn nested(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut at) = (0u32, 0);
    loop {
        match bytes.get(at)? {
            b'"' => {
                let (text, _) = text(bytes.get(at..)?)?;
                at += text.len();
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some((bytes.get(..at)?, bytes.get(at..)?));
        }
    }
}

fn after(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let (first, rest) = bytes.split_first()?;
    (*first == wanted).then_some(rest)
}

fn blank(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn all(object: &str) -> Option<Vec<(String, String)>> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        members(object.as_bytes(), |name, value| {
            all.push((text(name), text(value)));
        })?;
        Some(all)
    }

    #[test]
    fn names_and_values_stay_as_they_are_written() {
        let own = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Some(pairs.iter().map(pair).collect::<Vec<_>>())
        };
        assert_eq!(all("{}"), own(&[]));
        assert_eq!(
            all(r#"{"a":1,"b\"}":"x,\\","c":{"d":["}",[2]]},"e":null}"#),
            own(&[
                ("\"a\"", "1"),
                (r#""b\"}""#, r#""x,\\""#),
                ("\"c\"", r#"{"d":["}",[2]]}"#),
                ("\"e\"", "null"),
            ])
        );
        assert_eq!(member(br#"{"a":{"b":1},"b":2}"#, b"\"b\""), Some(&b"2"[..]));
        for broken in [
            "",
            "null",
            "[1]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{}x",
            "{\"a\":\"b}",
            "{\"a\":[1}",
        ] {
            assert_eq!(all(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn serde_reads_the_same(pairs in proptest::collection::btree_map(".{0,5}", "[\\[\\]{}\",:\\\\a-c0-9é]{0,12}", 0..5)) {
            let nested = |text: &String| serde_json::json!([text, {"in": text}, 1.5, null]);
            let object: serde_json::Map<String, Value> =
                pairs.iter().map(|(name, text)| (name.clone(), nested(text))).collect();
            let written = serde_json::to_string(&object).unwrap();
            let parts = all(&written).unwrap();
            prop_assert_eq!(parts.len(), object.len());
            for (name, value) in parts {
                let name: String = serde_json::from_str(&name).unwrap();
                let value: Value = serde_json::from_str(&value).unwrap();
                prop_assert_eq!(&object[&name], &value);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in "[\\[\\]{}\",:\\\\a 1]{0,30}") {
            all(&bytes);
        }
    }
}
