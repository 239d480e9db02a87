//! `hstore`, from its text form `"k"=>"v", "n"=>NULL` (manual: "hstore External Representation"):
//! a map, or a string with JSON in it. The pairs are in the order of Java's HashMap, as Debezium's.

use super::ValueError;
use super::string::{escaped, escaped_twice};
use crate::options::HstoreHandling;

/// Pairs that are put in order without an allocation.
const PAIRS: usize = 64;

pub(super) fn hstore(
    text: &[u8],
    handling: HstoreHandling,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let quotes: &[u8] = match handling {
        HstoreHandling::Json => b"\"",
        HstoreHandling::Map => b"",
    };
    out.extend_from_slice(quotes);
    out.push(b'{');
    let mut few = [Pair::default(); PAIRS];
    let mut many = Vec::new();
    let count = pairs(text, |index, pair| match few.get_mut(index) {
        Some(place) => *place = pair,
        None => many.push(pair),
    })?;
    let pairs = if many.is_empty() {
        few.get_mut(..count).unwrap_or_default()
    } else {
        many.splice(..0, few);
        &mut many
    };
    // The order in which Java's HashMap gives its entries: by bucket, then by arrival.
    let buckets = capacity(count) - 1;
    pairs.sort_unstable_by_key(|pair| (pair.hash & buckets, pair.at));
    for (index, pair) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let rest = text.get(pair.at..).unwrap_or_default();
        let rest = string(rest, handling, out)?;
        let value = rest.strip_prefix(b"=>").ok_or(ValueError::Malformed)?;
        out.push(b':');
        if value.starts_with(b"NULL") {
            out.extend_from_slice(b"null");
        } else {
            string(value, handling, out)?;
        }
    }
    out.push(b'}');
    out.extend_from_slice(quotes);
    Ok(())
}

/// Where a pair begins, and its key's hash as HashMap spreads it.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    at: usize,
    hash: u32,
}

/// Room that a HashMap takes for so many entries.
fn capacity(count: usize) -> u32 {
    let mut capacity = 16u32;
    while count > capacity as usize / 4 * 3 {
        capacity = capacity.saturating_mul(2);
    }
    capacity
}

/// Finds the pairs, and gives how many there are.
fn pairs(text: &[u8], mut found: impl FnMut(usize, Pair)) -> Result<usize, ValueError> {
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        if count > 0 {
            rest = rest.strip_prefix(b", ").ok_or(ValueError::Malformed)?;
        }
        let at = text.len() - rest.len();
        let mut hash = 0u32;
        rest = unescaped(rest, |run| hash = hashed(hash, run))?;
        rest = rest.strip_prefix(b"=>").ok_or(ValueError::Malformed)?;
        rest = match rest.strip_prefix(b"NULL") {
            Some(rest) => rest,
            None => unescaped(rest, |_| {})?,
        };
        let hash = hash ^ hash >> 16;
        found(count, Pair { at, hash });
        count += 1;
    }
    Ok(count)
}

/// `String.hashCode`, continued: over UTF-16 units.
fn hashed(hash: u32, run: &[u8]) -> u32 {
    let text = std::str::from_utf8(run).unwrap_or_default();
    text.encode_utf16().fold(hash, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// What stands for an unavailable value: the mark by its own name.
pub(super) fn placeholder(mark: &[u8], handling: HstoreHandling, out: &mut Vec<u8>) -> Option<()> {
    let mut pair = vec![b'"'];
    for byte in mark {
        if matches!(byte, b'"' | b'\\') {
            pair.push(b'\\');
        }
        pair.push(*byte);
    }
    pair.push(b'"');
    let pair = [&pair[..], b"=>", &pair].concat();
    hstore(&pair, handling, out).ok()
}

/// Writes a key or a value, and gives what is behind it.
fn string<'a>(
    text: &'a [u8],
    handling: HstoreHandling,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], ValueError> {
    let quote: &[u8] = match handling {
        HstoreHandling::Json => b"\\\"",
        HstoreHandling::Map => b"\"",
    };
    let escape = match handling {
        HstoreHandling::Json => escaped_twice,
        HstoreHandling::Map => escaped,
    };
    out.extend_from_slice(quote);
    let mut written = Ok(());
    let rest = unescaped(text, |run| {
        if written.is_ok() {
            written = escape(run, out);
        }
    })?;
    written?;
    out.extend_from_slice(quote);
    Ok(rest)
}

/// Gives the content of a quoted string run by run, and then what is behind it.
fn unescaped<'a>(text: &'a [u8], mut give: impl FnMut(&'a [u8])) -> Result<&'a [u8], ValueError> {
    let mut rest = text.strip_prefix(b"\"").ok_or(ValueError::Malformed)?;
    loop {
        let special = memchr::memchr2(b'"', b'\\', rest).ok_or(ValueError::Malformed)?;
        let (run, tail) = rest.split_at(special);
        give(run);
        match tail {
            [b'\\', tail @ ..] if matches!(tail, [b'"' | b'\\', ..]) => {
                let (byte, tail) = tail.split_at(1);
                give(byte);
                rest = tail;
            }
            [b'"', tail @ ..] => return Ok(tail),
            _ => return Err(ValueError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    type Pairs = BTreeMap<String, Option<String>>;

    fn json(text: &str, handling: HstoreHandling) -> Result<String, ValueError> {
        let mut out = Vec::new();
        hstore(text.as_bytes(), handling, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_map_or_json_in_a_string() {
        let text = r#""k1"=>NULL, "k2"=>"a b", "q\"x"=>"y\\z""#;
        assert_eq!(
            json(text, HstoreHandling::Map).unwrap(),
            r#"{"k1":null,"q\"x":"y\\z","k2":"a b"}"#
        );
        assert_eq!(
            json(text, HstoreHandling::Json).unwrap(),
            r#""{\"k1\":null,\"q\\\"x\":\"y\\\\z\",\"k2\":\"a b\"}""#
        );
        assert_eq!(json("", HstoreHandling::Json).unwrap(), "\"{}\"");
        assert_eq!(json("", HstoreHandling::Map).unwrap(), "{}");
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in [
            "a",
            "\"a",
            "\"a\"",
            "\"a\"=>",
            "\"a\"=>b",
            "\"a\"=>NULL, ",
            "\"a\"=>NULLx",
            "\"a\\x\"=>NULL",
            "\"a\"=>\"b\",\"c\"=>NULL",
        ] {
            assert_eq!(
                json(text, HstoreHandling::Map),
                Err(ValueError::Malformed),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_pairs_come_back(
            pairs in proptest::collection::btree_map(".*|[\"\\\\]*|[a-z]{3}", proptest::option::of(".*|\\PC*"), 0..100),
        ) {
            let quote = |text: &str| {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            };
            let text: Vec<String> = pairs.iter().map(|(key, value)| {
                let value = value.as_deref().map_or("NULL".to_owned(), quote);
                format!("{}=>{value}", quote(key))
            }).collect();
            let text = text.join(", ");
            let map: Pairs = serde_json::from_str(&json(&text, HstoreHandling::Map).unwrap()).unwrap();
            prop_assert_eq!(&map, &pairs);
            let inner: String = serde_json::from_str(&json(&text, HstoreHandling::Json).unwrap()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Pairs>(&inner).unwrap(), &pairs);
        }
    }
}
