//! Where a request that came by the topic of signals was asked for: its record, by which it is known again.

use std::collections::BTreeMap;
use std::fmt;

use pgoutput::Lsn;

use super::request::{Noted, Request};

/// A record of the topic of signals. Its text has two slashes, and that of a position in the stream one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of this topic,
    pub topic: String,
    /// in this partition,
    pub partition: i32,
    /// at this offset.
    pub offset: i64,
}

impl Record {
    /// Reads its text.
    #[must_use]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, offset) = text.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        Some(Self {
            topic: topic.to_owned(),
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Requests that are over, and whose signals will not come again once the stream goes on at this position.
/// The last of a topic may: that it was taken is committed after its note, and before the next is read.
pub fn over(noted: &Noted, passed: Lsn) -> impl Iterator<Item = &Request> {
    let place = |request: &Request| {
        let record = request.record()?;
        Some(((record.topic, record.partition), record.offset))
    };
    let mut last = BTreeMap::new();
    for (of, offset) in noted.values().filter_map(place) {
        let known = last.entry(of).or_insert(offset);
        *known = offset.max(*known);
    }
    noted.values().filter(move |&request| {
        let is_last = place(request).is_some_and(|(of, offset)| last.get(&of) == Some(&offset));
        request.is_over_at(passed) && !is_last
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incremental::State;
    use crate::signal::Wanted;

    #[test]
    fn a_record_is_no_position() {
        let text = "shop.signals-1/0/57";
        let record = Record::parse(text).unwrap();
        assert_eq!((record.offset, record.to_string()), (57, text.to_owned()));
        assert!(text.parse::<Lsn>().is_err());
        assert_eq!(Record::parse("16/B3748"), None);
    }

    #[test]
    fn the_last_of_a_topic_is_not_forgotten() {
        let request = |id: &str, at: &str, state| {
            let request = Request::new(id.to_owned(), at.to_owned(), Wanted::default());
            (id.to_owned(), Request { state, ..request })
        };
        let mut noted = Noted::from([
            request("a", "signals/0/9", State::Done),
            request("b", "signals/0/10", State::Failed),
            request("c", "others/0/3", State::Stopped),
            request("d", "0/10", State::Done),
            request("e", "0/20", State::Done),
            // As one from the topic was noted once.
            request("f", "0/0", State::Done),
        ]);
        let ids = |noted: &Noted| -> Vec<String> {
            let over = over(noted, Lsn::new(0x20));
            over.map(|it| it.id.clone()).collect()
        };
        assert_eq!(ids(&noted), ["a", "d", "f"]);
        noted.extend([request("g", "signals/0/11", State::Running)]);
        assert_eq!(ids(&noted), ["a", "b", "d", "f"]);
    }
}
