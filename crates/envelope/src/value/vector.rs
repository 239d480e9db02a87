//! pgvector's types, from their texts `[1,2.5]` and `{1:0.5,7:2}/12` (Debezium manual, "pgvector
//! types").

use super::ValueError;
use super::number::{float, integer};

/// `vector`, `halfvec`: an array of numbers.
pub(super) fn dense(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let inner = text
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .ok_or(ValueError::Malformed)?;
    out.push(b'[');
    for (index, number) in inner.split(|byte| *byte == b',').enumerate() {
        if index > 0 {
            out.push(b',');
        }
        float(number, out)?;
    }
    out.push(b']');
    Ok(())
}

/// `sparsevec`: the number of dimensions, and the elements that are not zero, as Connect writes a
/// map whose keys are no strings.
pub(super) fn sparse(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let slash = memchr::memrchr(b'/', text).ok_or(ValueError::Malformed)?;
    let (elements, dimensions) = text.split_at(slash);
    let elements = elements
        .strip_prefix(b"{")
        .and_then(|text| text.strip_suffix(b"}"))
        .ok_or(ValueError::Malformed)?;
    out.extend_from_slice(b"{\"dimensions\":");
    integer(dimensions.get(1..).unwrap_or_default(), out)?;
    out.extend_from_slice(b",\"vector\":[");
    let elements = elements.split(|byte| *byte == b',');
    for (index, element) in elements.filter(|element| !element.is_empty()).enumerate() {
        let colon = memchr::memchr(b':', element).ok_or(ValueError::Malformed)?;
        let (place, value) = element.split_at(colon);
        out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        integer(place, out)?;
        out.push(b',');
        float(value.get(1..).unwrap_or_default(), out)?;
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Form = fn(&[u8], &mut Vec<u8>) -> Result<(), ValueError>;

    #[test]
    fn vectors_are_arrays_and_maps() {
        let of = |form: Form, text: &str| {
            let mut out = Vec::new();
            form(text.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(of(dense, "[1,2.5,-3e-07]").unwrap(), "[1.0,2.5,-3.0E-7]");
        assert_eq!(
            of(sparse, "{1:1.5,300:-0.25}/500").unwrap(),
            "{\"dimensions\":500,\"vector\":[[1,1.5],[300,-0.25]]}"
        );
        assert_eq!(
            of(sparse, "{}/3").unwrap(),
            "{\"dimensions\":3,\"vector\":[]}"
        );
        for (form, wrong) in [
            (dense as Form, "[]"),
            (dense, "1,2"),
            (sparse, "{1}/2"),
            (sparse, "{1:2}"),
        ] {
            assert!(of(form, wrong).is_err(), "{wrong}");
        }
    }
}
