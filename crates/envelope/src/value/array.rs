//! Arrays, from Postgres' text form (manual: "Array Input and Output Syntax"). Lower bounds have no
//! place in JSON and are dropped; inner dimensions become nested arrays.

use md5::{Digest, Md5};

use super::string::quoted;
use super::{ValueEncoder, ValueError};
use crate::options::{BinaryHandling, Options};

/// Postgres' own limit (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;

pub(super) fn array(
    text: &[u8],
    element: &ValueEncoder,
    delimiter: u8,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<(), ValueError> {
    // `[0:2]={1,2,3}` when a lower bound is not 1.
    let mut rest = match text.first() {
        Some(b'[') => {
            let equals = text
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or(ValueError::Malformed)?;
            text.get(equals + 1..).unwrap_or_default()
        }
        _ => text,
    };
    let mut depth = 0usize;
    // True where an element, an inner array, or (right after an opening brace) its end may stand.
    let mut expects_value = true;
    let mut opened = false;
    loop {
        let (&byte, tail) = rest.split_first().ok_or(ValueError::Malformed)?;
        match byte {
            b'{' if expects_value && depth < DIMENSIONS_MAX => {
                out.push(b'[');
                depth += 1;
                opened = true;
                rest = tail;
                continue;
            }
            b'}' if depth > 0 && (opened || !expects_value) => {
                out.push(b']');
                depth -= 1;
                expects_value = false;
                rest = tail;
                if depth == 0 {
                    break;
                }
            }
            _ if byte == delimiter && depth > 0 && !expects_value => {
                out.push(b',');
                expects_value = true;
                rest = tail;
            }
            b'{' | b'}' => return Err(ValueError::Malformed),
            _ if byte == delimiter => return Err(ValueError::Malformed),
            _ if depth > 0 && expects_value => {
                rest = if byte == b'"' {
                    quoted_element(tail, element, out, scratch)?
                } else {
                    bare_element(rest, element, delimiter, out, scratch)?
                };
                expects_value = false;
            }
            _ => return Err(ValueError::Malformed),
        }
        opened = false;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(ValueError::Malformed)
    }
}

/// Writes an element without quotes, and gives what follows.
fn bare_element<'a>(
    text: &'a [u8],
    element: &ValueEncoder,
    delimiter: u8,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<&'a [u8], ValueError> {
    let end = memchr::memchr2(delimiter, b'}', text).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    if value == b"NULL" {
        out.extend_from_slice(b"null");
    } else {
        element.encode(value, out, scratch)?;
    }
    Ok(rest)
}

/// Writes an element whose opening quote is passed, and gives what follows the closing one.
fn quoted_element<'a>(
    text: &'a [u8],
    element: &ValueEncoder,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<&'a [u8], ValueError> {
    let mut value = std::mem::take(scratch);
    value.clear();
    let mut rest = text;
    loop {
        let special = memchr::memchr2(b'"', b'\\', rest).ok_or(ValueError::Malformed)?;
        let (run, tail) = rest.split_at(special);
        value.extend_from_slice(run);
        match tail {
            [b'\\', escaped, tail @ ..] => {
                value.push(*escaped);
                rest = tail;
            }
            [b'"', tail @ ..] => {
                rest = tail;
                break;
            }
            _ => return Err(ValueError::Malformed),
        }
    }
    // Elements of arrays are never arrays themselves but through a domain, so this seldom allocates.
    let written = element.encode(&value, out, &mut Vec::new());
    *scratch = value;
    written.map(|()| rest)
}

/// What stands for an unavailable array: one element where an element has a placeholder; for
/// int4, int8 and date Debezium's own, the bytes of the mark as numbers.
pub(super) fn placeholder(
    mark: &[u8],
    element: &ValueEncoder,
    element_type: u32,
    options: &Options,
    out: &mut Vec<u8>,
) -> Option<()> {
    const INT8: u32 = 20;
    const INT4: u32 = 23;
    const DATE: u32 = 1082;
    const UUID: u32 = 2950;
    let element = match element {
        ValueEncoder::Lossy { inner, .. } => inner,
        element => element,
    };
    match (element_type, element) {
        (INT4 | INT8, _) | (DATE, ValueEncoder::Date(super::DateForm::Days)) => {
            for (index, byte) in mark.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                // Java's bytes have a sign.
                let byte = byte.cast_signed();
                out.extend_from_slice(itoa::Buffer::new().format(byte).as_bytes());
            }
        }
        (UUID, _) => {
            out.push(b'[');
            quoted(&name_uuid(mark), out).ok()?;
        }
        (_, ValueEncoder::Array { .. }) => return None,
        (_, ValueEncoder::Bytea(BinaryHandling::Bytes)) => {
            out.push(b'[');
            super::quoted_base64(mark, out);
        }
        _ => {
            out.push(b'[');
            out.extend_from_slice(&element.placeholder(options)?);
        }
    }
    out.push(b']');
    Some(())
}

/// Java's `UUID.nameUUIDFromBytes`, a version 3 UUID without a name space.
fn name_uuid(name: &[u8]) -> Vec<u8> {
    let hash = Md5::digest(name);
    let mut text = Vec::with_capacity(36);
    for (index, byte) in hash.iter().enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x30,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        text.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str, element: &ValueEncoder) -> Result<String, ValueError> {
        let mut out = Vec::new();
        array(text.as_bytes(), element, b',', &mut out, &mut Vec::new())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn elements_nulls_and_dimensions() {
        for (text, expected) in [
            ("{}", "[]"),
            ("{1,NULL,-3}", "[1,null,-3]"),
            ("[0:2]={1,2,3}", "[1,2,3]"),
            ("{{1,2},{3,NULL}}", "[[1,2],[3,null]]"),
            ("[1:1][-2:-1]={{1,2}}", "[[1,2]]"),
        ] {
            assert_eq!(json(text, &ValueEncoder::Integer).unwrap(), expected);
        }
        assert_eq!(
            json(r#"{a,NULL,"NULL","b c","q\"x\\y",""}"#, &ValueEncoder::Text).unwrap(),
            r#"["a",null,"NULL","b c","q\"x\\y",""]"#
        );
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "}",
            "{1",
            "{1,}",
            "{,1}",
            "{1,,2}",
            "{1}}",
            "{1}x",
            "{{1}",
            "{\"1",
            "{\"1\\",
            "{1 2",
            "[1:2]",
            "{{{{{{{1}}}}}}}",
            "{1{2}}",
            "{1}{2}",
            ",",
            "{\"1\"2}",
        ] {
            assert_eq!(
                json(text, &ValueEncoder::Integer),
                Err(ValueError::Malformed),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_placeholder_of_uuids_is_javas() {
        assert_eq!(
            name_uuid(b"__debezium_unavailable_value"),
            b"b68a35a7-17ad-35b3-af2a-ae46edb4545a"
        );
    }

    proptest! {
        #[test]
        fn any_texts_come_back(texts in proptest::collection::vec(proptest::option::of(".*"), 0..6)) {
            let elements: Vec<String> = texts.iter().map(|text| match text {
                Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                None => "NULL".to_owned(),
            }).collect();
            let array = json(&format!("{{{}}}", elements.join(",")), &ValueEncoder::Text).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<Option<String>>>(&array).unwrap(), texts);
        }
    }
}
