//! The records that changes became: one arena of bytes and spans into it, cleared and used again,
//! so that a row costs no allocation. Knows nothing of rows or JSON; `change` and `event` fill it.

use std::ops::Range;

/// Above this the arena gives memory back when it is cleared, so that one huge row does not keep
/// its room for ever.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `c`: a row was inserted, or came under a new key.
    Create,
    /// `u`: a row was changed.
    Update,
    /// `d`: a row was deleted, or left its old key.
    Delete,
    /// `r`: a row was there when the snapshot was taken.
    Read,
    /// `t`: a table was emptied.
    Truncate,
    /// `m`: `pg_logical_emit_message`.
    Message,
    /// The record without value that follows a delete.
    Tombstone,
    /// A transaction's begin or end.
    Transaction,
    /// A change that could not be written, in the dead-letter topic.
    DeadLetter,
    /// A change of an outbox table that is no event: counted, never a record.
    Ignored,
}

impl Operation {
    /// Every operation, for tables of counters.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Read,
        Self::Truncate,
        Self::Message,
        Self::Tombstone,
        Self::Transaction,
        Self::DeadLetter,
        Self::Ignored,
    ];

    /// The name for metrics and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Truncate => "truncate",
            Self::Message => "message",
            Self::Tombstone => "tombstone",
            Self::Transaction => "transaction",
            Self::DeadLetter => "dead_letter",
            Self::Ignored => "ignored",
        }
    }

    /// The letter in the envelope's `op`; tombstones and boundaries have none.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("c"),
            Self::Update => Some("u"),
            Self::Delete => Some("d"),
            Self::Read => Some("r"),
            Self::Truncate => Some("t"),
            Self::Message => Some("m"),
            Self::Tombstone | Self::Transaction | Self::DeadLetter | Self::Ignored => None,
        }
    }
}

/// One record for Kafka, borrowed from [`Records`].
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The topic it goes to.
    pub topic: &'a str,
    /// Whether the change itself names the topic, so that it may not exist yet.
    pub routed: bool,
    /// The partition, where fields choose it; else the key does.
    pub partition: Option<u32>,
    /// Its time, milliseconds since 1970, where that is not the time of sending.
    pub timestamp: Option<i64>,
    /// The key; none for a table without one.
    pub key: Option<&'a [u8]>,
    /// The value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Value of the header [`Records::ID_HEADER`]: `epoch:LSN:ordinal`, the same on every replay.
    pub id: &'a [u8],
    /// Headers besides the id; seldom any.
    pub headers: Headers<'a>,
    /// What it tells of.
    pub operation: Operation,
    /// Oid of the table; 0 for a logical message.
    pub relation: u32,
}

impl Record<'_> {
    /// Bytes that the record holds in a producer's queue: key, value, and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum();
        let key = self.key.map_or(0, <[u8]>::len);
        key + self.value.map_or(0, <[u8]>::len) + Records::ID_HEADER.len() + self.id.len() + headers
    }
}

/// Headers of one record besides its id.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    spans: &'a [HeaderSpan],
    names: &'a str,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Name and value of each; a header may be null.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let (names, bytes) = (self.names, self.bytes);
        self.spans.iter().map(move |span| {
            let value = span.value.as_ref().map(|value| part(bytes, value));
            (names.get(span.name.clone()).unwrap_or_default(), value)
        })
    }

    /// True for nearly every record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Records in the order in which they must reach Kafka.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// Of topics and headers.
    names: String,
    spans: Vec<RecordSpan>,
    headers: Vec<HeaderSpan>,
}

#[derive(Debug, Clone)]
struct RecordSpan {
    topic: Range<usize>,
    routed: bool,
    partition: Option<u32>,
    timestamp: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    id: Range<usize>,
    headers: Range<usize>,
    operation: Operation,
    relation: u32,
}

#[derive(Debug, Clone)]
struct HeaderSpan {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Records {
    /// Name of the header that every record carries.
    pub const ID_HEADER: &'static str = "walferry.id";

    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all keys, values, and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let span = self.spans.get(index)?;
        Some(Record {
            topic: self.names.get(span.topic.clone()).unwrap_or_default(),
            routed: span.routed,
            partition: span.partition,
            timestamp: span.timestamp,
            key: span.key.as_ref().map(|key| part(&self.bytes, key)),
            value: span.value.as_ref().map(|value| part(&self.bytes, value)),
            id: part(&self.bytes, &span.id),
            headers: Headers {
                spans: self.headers.get(span.headers.clone()).unwrap_or_default(),
                names: &self.names,
                bytes: &self.bytes,
            },
            operation: span.operation,
            relation: span.relation,
        })
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Forgets the records and keeps their room, up to 4 MB of it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        self.spans.clear();
        self.headers.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
    }

    /// Starts a record; its parts are written with [`Draft`] and kept by [`Draft::finish`].
    #[inline]
    pub(crate) fn draft(&mut self, relation: u32, topic: &str) -> Draft<'_> {
        let topic = self.intern(topic);
        let end = self.bytes.len();
        let headers = self.headers.len();
        self.spans.push(RecordSpan {
            topic,
            routed: false,
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            id: end..end,
            headers: headers..headers,
            operation: Operation::Tombstone,
            relation,
        });
        Draft {
            records: self,
            finished: false,
        }
    }

    /// Where the arena ends now, to come back to when a later record of the same change fails.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            names: self.names.len(),
            spans: self.spans.len(),
            headers: self.headers.len(),
        }
    }

    /// Drops everything that was written after the mark.
    pub(crate) fn rewind(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        self.names.truncate(mark.names);
        self.spans.truncate(mark.spans);
        self.headers.truncate(mark.headers);
    }

    /// Runs of records go to one topic: its name is stored once a run.
    fn intern(&mut self, topic: &str) -> Range<usize> {
        if let Some(last) = self.spans.last()
            && self.names.get(last.topic.clone()) == Some(topic)
        {
            return last.topic.clone();
        }
        self.name(topic)
    }

    fn name(&mut self, name: &str) -> Range<usize> {
        let start = self.names.len();
        self.names.push_str(name);
        start..self.names.len()
    }
}

/// See [`Records::mark`].
#[derive(Debug)]
pub(crate) struct Mark {
    bytes: usize,
    names: usize,
    spans: usize,
    headers: usize,
}

/// A record being written: the last of the arena, which is gone again unless it is finished. It is
/// written where it stays, since moving it, just written, would wait for the writes.
#[derive(Debug)]
pub(crate) struct Draft<'r> {
    records: &'r mut Records,
    finished: bool,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.records.spans.pop();
        }
    }
}

impl Draft<'_> {
    /// Sets the partition, if it is not the key's to choose.
    pub(crate) fn partition(&mut self, partition: Option<u32>) {
        self.set(|span| span.partition = partition);
    }

    /// Says that the topic is the change's own choice.
    pub(crate) fn routed(&mut self) {
        self.set(|span| span.routed = true);
    }

    /// Sets the time, if it is not that of sending.
    pub(crate) fn timestamp(&mut self, millis: Option<i64>) {
        self.set(|span| span.timestamp = millis);
    }

    /// Writes the key.
    pub(crate) fn key(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let (key, ()) = written(&mut self.records.bytes, write);
        self.set(|span| span.key = Some(key));
    }

    /// Writes the key, which may fail.
    #[inline]
    pub(crate) fn try_key<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (span, result) = written(&mut self.records.bytes, write);
        self.set(|record| record.key = Some(span));
        result
    }

    /// Writes the value.
    pub(crate) fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let (value, ()) = written(&mut self.records.bytes, write);
        self.set(|span| span.value = Some(value));
    }

    /// Writes the value, which may fail.
    #[inline]
    pub(crate) fn try_value<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (span, result) = written(&mut self.records.bytes, write);
        self.set(|record| record.value = Some(span));
        result
    }

    /// Adds a header.
    pub(crate) fn header(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let (value, ()) = written(&mut self.records.bytes, write);
        self.push_header(name, Some(value));
    }

    /// Adds a header that is null.
    pub(crate) fn null_header(&mut self, name: &str) {
        self.push_header(name, None);
    }

    fn push_header(&mut self, name: &str, value: Option<Range<usize>>) {
        let name = self.records.name(name);
        self.records.headers.push(HeaderSpan { name, value });
        let end = self.records.headers.len();
        self.set(|span| span.headers.end = end);
    }

    /// Writes the id and keeps the record.
    #[inline]
    pub(crate) fn finish(mut self, operation: Operation, id_prefix: &[u8], ordinal: u64) {
        let start = self.records.bytes.len();
        self.records.bytes.extend_from_slice(id_prefix);
        let mut digits = itoa::Buffer::new();
        self.records
            .bytes
            .extend_from_slice(digits.format(ordinal).as_bytes());
        let id = start..self.records.bytes.len();
        self.set(|span| {
            span.id = id;
            span.operation = operation;
        });
        self.finished = true;
    }

    #[inline]
    fn set(&mut self, change: impl FnOnce(&mut RecordSpan)) {
        if let Some(span) = self.records.spans.last_mut() {
            change(span);
        }
    }
}

fn written<R>(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> (Range<usize>, R) {
    let start = bytes.len();
    let result = write(bytes);
    (start..bytes.len(), result)
}

/// Spans are made from the arena they point into, so nothing is ever missing.
fn part<'a>(bytes: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    bytes.get(span.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
        move |out| out.extend_from_slice(bytes)
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let mut records = Records::new();
        let mut draft = records.draft(7, "shop.public.users");
        draft.key(text(b"k"));
        draft.value(text(b"v"));
        draft.header("h", text(b"x"));
        draft.null_header("n");
        draft.finish(Operation::Delete, b"1:0/10:", 4);
        let mut draft = records.draft(7, "shop.public.users");
        draft.key(text(b"k"));
        draft.finish(Operation::Tombstone, b"1:0/10:", 5);

        let delete = records.get(0).unwrap();
        assert_eq!(
            (delete.topic, delete.key, delete.value),
            ("shop.public.users", Some(&b"k"[..]), Some(&b"v"[..]))
        );
        assert_eq!((delete.id, delete.relation), (&b"1:0/10:4"[..], 7));
        assert_eq!(
            delete.headers.iter().collect::<Vec<_>>(),
            [("h", Some(&b"x"[..])), ("n", None)]
        );
        assert_eq!(
            delete.size(),
            "kv".len() + "walferry.id".len() + "1:0/10:4".len() + "hxn".len()
        );
        let tombstone = records.get(1).unwrap();
        assert_eq!((tombstone.value, tombstone.id), (None, &b"1:0/10:5"[..]));
        assert!(tombstone.headers.is_empty());
        assert!(records.get(2).is_none());
        assert_eq!(
            records.names, "shop.public.usershn",
            "a topic is stored once a run"
        );
    }

    #[test]
    fn rewinding_leaves_no_trace_of_the_failed_change() {
        let mut records = Records::new();
        records
            .draft(1, "a")
            .finish(Operation::Create, b"1:0/1:", 0);
        let mark = records.mark();
        let bytes = records.bytes();
        let mut draft = records.draft(2, "b");
        draft.header("h", text(b"x"));
        draft.finish(Operation::Create, b"1:0/1:", 1);
        records.rewind(&mark);
        assert_eq!(
            (records.len(), records.bytes(), records.headers.len()),
            (1, bytes, 0)
        );
        assert_eq!(records.names, "a");
    }

    #[test]
    fn clearing_gives_back_what_a_huge_row_took() {
        let mut records = Records::new();
        let mut draft = records.draft(1, "a");
        draft.value(text(&vec![0; 2 * KEPT_BYTES_MAX]));
        draft.finish(Operation::Create, b"", 0);
        records.clear();
        assert!(records.is_empty());
        assert!(records.bytes.capacity() <= KEPT_BYTES_MAX);
    }
}
