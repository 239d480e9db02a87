//! JSON strings, escaped as Jackson's byte generator does: short forms, `\u00XX` in upper case for
//! other control characters, and characters beyond the basic plane as a pair of surrogates.

use super::ValueError;

/// Appends `text` as a JSON string.
#[inline]
pub(crate) fn quoted(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    out.reserve(text.len() + WORD + 2);
    out.push(b'"');
    escaped(text, out)?;
    out.push(b'"');
    Ok(())
}

/// Appends the inside of a JSON string.
pub(crate) fn escaped(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let rest = escape_ascii(text, out);
    if !rest.is_empty() {
        escape_str(
            std::str::from_utf8(rest).map_err(|_| ValueError::NotUtf8)?,
            out,
        );
    }
    Ok(())
}

/// Appends the inside of a JSON string that is within JSON that is within a JSON string. The inner
/// one leaves characters beyond the basic plane as they are.
pub(crate) fn escaped_twice(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut rest = text;
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    while let Some(at) = rest.iter().position(special) {
        let (run, tail) = rest.split_at(at);
        escaped(run, out)?;
        let Some((byte, tail)) = tail.split_first() else {
            break;
        };
        // The inner escape's backslash is escaped; what follows it is a letter, or again one of two.
        out.push(b'\\');
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        escape_byte(*byte, out);
        rest = tail;
    }
    escaped(rest, out)
}

/// Appends the text of a JSON value: a string's own, less quotes and escapes; of others their JSON.
pub(crate) fn unquoted(json: &[u8], out: &mut Vec<u8>) {
    let inner = json
        .strip_prefix(b"\"")
        .and_then(|json| json.strip_suffix(b"\""));
    let Some(mut rest) = inner else {
        out.extend_from_slice(json);
        return;
    };
    let mut high = 0;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run);
        rest = unescape(tail, &mut high, out);
    }
    out.extend_from_slice(rest);
}

/// Appends what the escape before `tail` stands for, and gives what is behind it. Half a pair of
/// surrogates is kept in `high` until the other half comes.
fn unescape<'a>(tail: &'a [u8], high: &mut u32, out: &mut Vec<u8>) -> &'a [u8] {
    let Some((&[_, letter], rest)) = tail.split_first_chunk() else {
        return &[];
    };
    let plain = match letter {
        b'b' => 0x08,
        b't' => 0x09,
        b'n' => 0x0a,
        b'f' => 0x0c,
        b'r' => 0x0d,
        b'u' => {
            let (digits, rest) = rest.split_at_checked(4).unwrap_or((rest, &[]));
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            let unit = u32::from_str_radix(digits, 16).unwrap_or_default();
            if (0xd800..0xdc00).contains(&unit) {
                *high = unit;
                return rest;
            }
            let code = match (0xdc00..0xe000).contains(&unit) {
                true => 0x1_0000 + ((*high & 0x3ff) << 10) + (unit & 0x3ff),
                false => unit,
            };
            let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return rest;
        }
        other => other,
    };
    out.push(plain);
    rest
}

/// Bytes looked at together.
const WORD: usize = 8;

/// Writes up to the first byte that is not ASCII, or a little before it, and gives what is left.
///
/// Whole words are copied and cut back at a byte that needs an escape: that is cheaper than to copy
/// runs of any length, since JSON in a column is full of quotes.
fn escape_ascii<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    while let Some((word, rest)) = text.split_first_chunk::<WORD>() {
        let (plain, ascii) = plain_prefix(u64::from_le_bytes(*word));
        if !ascii {
            return text;
        }
        out.extend_from_slice(word);
        if plain == WORD {
            text = rest;
            continue;
        }
        out.truncate(out.len() - (WORD - plain));
        let Some((&[byte], rest)) = text.get(plain..).and_then(|rest| rest.split_first_chunk())
        else {
            return text;
        };
        escape_byte(byte, out);
        text = rest;
    }
    while let Some((&byte, rest)) = text.split_first() {
        match byte {
            0x80.. => return text,
            b'"' | b'\\' | ..b' ' => escape_byte(byte, out),
            _ => out.push(byte),
        }
        text = rest;
    }
    text
}

fn escape_str(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    let special = |c: char| c < ' ' || c == '"' || c == '\\' || c > '\u{ffff}';
    while let Some(at) = rest.find(special) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run.as_bytes());
        let mut chars = tail.chars();
        let Some(c) = chars.next() else { return };
        if let Ok(byte) = u8::try_from(c) {
            escape_byte(byte, out);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                let digits = [hex(high >> 4), hex(high), hex(low >> 4), hex(low)];
                out.extend_from_slice(b"\\u");
                out.extend_from_slice(&digits);
            }
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

#[inline]
fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The upper-case digit of the low four bits.
const fn hex(bits: u8) -> u8 {
    let digit = bits & 0xf;
    if digit < 10 {
        b'0' + digit
    } else {
        b'A' + digit - 10
    }
}

/// How many of the word's bytes, from its lowest, need no escape, and whether all are ASCII.
#[inline]
fn plain_prefix(word: u64) -> (usize, bool) {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    // A byte's top bit is set where the byte is below a space, a quote, or a backslash. A borrow may
    // set bits above the first such byte wrongly, so only the lowest counts.
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let found = (control
        | (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash))
        & TOPS;
    ((found.trailing_zeros() / 8) as usize, word & TOPS == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        quoted(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_jacksons() {
        assert_eq!(
            json("a\"b\\c/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}"),
            "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001F\u{7f}\""
        );
        assert_eq!(json("é漢😀\u{2028}"), "\"é漢\\uD83D\\uDE00\u{2028}\"");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_json(text in "\\PC*|.*|[\"\\\\\u{0}-\u{1f}😀é]*") {
            let mut out = Vec::new();
            unquoted(json(&text).as_bytes(), &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(
            quoted(b"caf\xe9", &mut Vec::new()),
            Err(ValueError::NotUtf8)
        );
        assert_eq!(
            quoted(b"\xed\xa0\x80", &mut Vec::new()),
            Err(ValueError::NotUtf8)
        );
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*") {
            prop_assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text);
        }

        #[test]
        fn any_ascii_comes_back(bytes in proptest::collection::vec(0u8..128, 0..40)) {
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text);
        }
    }
}
