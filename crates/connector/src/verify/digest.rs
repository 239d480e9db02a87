//! What must be the same in each repeat of a record: its key and its value, the times of processing
//! aside. Sixty-four bits of it are enough to notice others.

use std::hash::{DefaultHasher, Hasher as _};

use memchr::memmem;

/// Where in the values of a topic the time of processing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// At the envelope's end.
    AtTheEnd,
    /// Behind `op`, as in logical messages.
    BehindOp,
    /// Anywhere: such values cannot be compared.
    Anywhere,
}

/// The digest, never 0; 0 for what cannot be compared.
#[must_use]
pub fn digest(key: Option<&[u8]>, value: Option<&[u8]>, times: Times) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut write = |part: Option<&[u8]>| {
        // A length no part has stands for none.
        hasher.write_usize(part.map_or(usize::MAX, <[u8]>::len));
        hasher.write(part.unwrap_or_default());
    };
    write(key);
    match (times, value) {
        (Times::Anywhere, _) => return 0,
        (Times::AtTheEnd, Some(value)) => write(Some(before_times(value))),
        (Times::BehindOp, Some(value)) => {
            let (before, after) = around_time(value);
            write(Some(before));
            write(Some(after));
        }
        (_, None) => write(None),
    }
    hasher.finish().max(1)
}

/// What the values of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Changes and rows, with a source block.
    Envelopes,
    /// The beginnings and ends of transactions.
    Boundaries,
    /// Flat rows, which do not tell whence they come, or what an application wrote.
    Others,
}

/// Whether its transaction is a chunk's: a row of a snapshot beside the stream, as its source block tells, or
/// the end of a transaction that counts no events, of which nothing can be missing.
#[must_use]
pub fn is_of_chunk(value: Option<&[u8]>, values: Values) -> bool {
    const SOURCE: &[u8] = b",\"source\":{";
    const ROW: &[u8] = b",\"snapshot\":\"incremental\",\"db\":\"";
    const END: &[u8] = b"{\"status\":\"END\",";
    const NO_EVENTS: &[u8] = b",\"event_count\":0,";
    let Some(value) = value else {
        return false;
    };
    let has = |value, part| memmem::find(value, part).is_some();
    match values {
        // Columns may be called like that, too, and stand before it.
        Values::Envelopes => memmem::rfind(value, SOURCE)
            .and_then(|at| value.get(at..))
            .is_some_and(|source| has(source, ROW)),
        Values::Boundaries => has(value, END) && has(value, NO_EVENTS),
        Values::Others => false,
    }
}

/// The envelope ends with `,"ts_ms":…,"ts_us":…,"ts_ns":…}`, and perhaps its schema's brace.
fn before_times(value: &[u8]) -> &[u8] {
    const FIELD: &[u8] = b",\"ts_ms\":";
    let from = value.len().saturating_sub(TIMES_BYTES_MAX);
    let found = value.get(from..).and_then(|end| memmem::rfind(end, FIELD));
    found.and_then(|at| value.get(..from + at)).unwrap_or(value)
}

fn around_time(value: &[u8]) -> (&[u8], &[u8]) {
    const FIELD: &[u8] = b"\"op\":\"m\",\"ts_ms\":";
    let parts = memmem::find(value, FIELD).and_then(|at| {
        let end = at + FIELD.len();
        let rest = value.get(end..)?;
        let digits = rest.iter().take_while(|it| it.is_ascii_digit()).count();
        Some((value.get(..end)?, rest.get(digits..)?))
    });
    parts.unwrap_or((value, &[]))
}

/// Three names and three numbers of at most twenty digits.
const TIMES_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str, times: Times) -> u64 {
        digest(Some(b"k"), Some(value.as_bytes()), times)
    }

    #[test]
    fn times_of_processing_aside_every_byte_counts() {
        let envelope = |name: &str, time: u32| {
            format!(
                r#"{{"after":{{"name":"{name}","ts_ms":1}},"source":{{"ts_ms":5}},"op":"c","ts_ms":{time},"ts_us":{time},"ts_ns":{time}}}"#
            )
        };
        let at_end = |name, time| of(&envelope(name, time), Times::AtTheEnd);
        assert_eq!(at_end("a", 1), at_end("a", 22));
        assert_ne!(at_end("a", 1), at_end("b", 1));
        let message = |content: &str, time: u32| {
            let value = format!(r#"{{"op":"m","ts_ms":{time},"message":"{content}"}}"#);
            of(&value, Times::BehindOp)
        };
        assert_eq!(message("a", 1), message("a", 22));
        assert_ne!(message("a", 1), message("b", 1));
        assert_eq!(of("a", Times::Anywhere), 0);
    }

    #[test]
    fn a_chunks_row_is_told_by_its_source_and_not_by_a_text() {
        let of = |value: &str| is_of_chunk(Some(value.as_bytes()), Values::Envelopes);
        let source = r#""source":{"ts_ms":1,"snapshot":"incremental","db":"shop"}"#;
        assert!(of(&format!(r#"{{"after":{{"a":1}},{source}}}"#)));
        let streamed = source.replace("incremental", "false");
        let text = source.replace('"', "\\\"");
        assert!(!of(&format!(r#"{{"after":{{"a":"{text}"}},{streamed}}}"#)));
        let columns = r#"{"id":1,"snapshot":"incremental","db":"shop"}"#;
        assert!(!of(&format!(r#"{{"after":{columns},{streamed}}}"#)));
        let nested = format!(r#""after":{{"id":1,{source}}}"#);
        assert!(!of(&format!(r#"{{"before":null,{nested},{streamed}}}"#)));
        assert!(of(&format!(r#"{{"before":null,{nested},{source}}}"#)));
        let whole = format!(r#"{{"after":{{"a":1}},{source}}}"#);
        assert!(!is_of_chunk(Some(whole.as_bytes()), Values::Others));
        assert!(!is_of_chunk(None, Values::Envelopes));
    }

    #[test]
    fn an_end_without_events_is_told_in_its_own_topic_alone() {
        let end = |count: u32, values| {
            let end = format!(
                r#"{{"status":"END","id":"7:8","event_count":{count},"data_collections":[],"ts_ms":1}}"#
            );
            is_of_chunk(Some(end.as_bytes()), values)
        };
        assert!(end(0, Values::Boundaries) && !end(10, Values::Boundaries));
        assert!(!end(0, Values::Envelopes) && !end(0, Values::Others));
    }

    #[test]
    fn none_is_not_empty_and_keys_count() {
        let all = [
            digest(None, None, Times::AtTheEnd),
            digest(Some(b""), None, Times::AtTheEnd),
            digest(None, Some(b""), Times::AtTheEnd),
            digest(Some(b"a"), Some(b"b"), Times::AtTheEnd),
            digest(Some(b"ab"), Some(b""), Times::AtTheEnd),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[n + 1..].contains(one), "{n}");
        }
    }
}
