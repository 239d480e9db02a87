//! Topics that changes themselves name (an outbox): the first record of each waits until it is there,
//! and of a record in flight it is known where it went.

use std::collections::{HashMap, HashSet, VecDeque};

use envelope::{Operation, Record, Table};

#[cfg(doc)]
use crate::interface::Output;
use crate::ledger::{Ledger, Ticket};
use crate::relay::Relay;

impl Relay {
    /// Knows a table from now on; its topic is no event's.
    pub(crate) fn describe(&mut self, relation: u32, table: Table) {
        if !table.is_outbox() {
            self.encoder.take_topic(table.topic());
        }
        self.catalog.describe(relation, table);
    }

    /// The topic of the last [`Output::EnsureTopic`] is there.
    pub fn handle_topic(&mut self, topic: String) {
        self.routed.known(topic);
    }

    /// Keeps events of an outbox out of a captured table's topic, before that table is described.
    pub fn take_topic(&mut self, topic: &str) {
        self.encoder.take_topic(topic);
    }

    /// The topic of a record in flight, where it is not its table's.
    #[must_use]
    pub fn routed_topic(&self, ticket: Ticket) -> Option<&str> {
        self.routed.topic(ticket)
    }
}

/// The topics known to be there, and the one that is waited for.
#[derive(Debug, Default)]
pub(crate) struct RoutedTopics {
    known: HashSet<String>,
    awaited: Option<Awaited>,
    /// Of records in flight, oldest first: which of `names` they went to.
    went: VecDeque<(Ticket, usize)>,
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

#[derive(Debug)]
struct Awaited {
    topic: String,
    asked: bool,
}

impl RoutedTopics {
    /// Whether a record for this topic may leave; else the topic is to be asked for.
    pub(crate) fn may_go(&mut self, topic: &str) -> bool {
        if self.known.contains(topic) {
            return true;
        }
        if self.awaited.as_ref().is_none_or(|it| it.topic != topic) {
            self.awaited = Some(Awaited {
                topic: topic.to_owned(),
                asked: false,
            });
        }
        false
    }

    /// A record leaves under this ticket.
    pub(crate) fn went(&mut self, ticket: Ticket, record: &Record<'_>, ledger: &Ledger) {
        if record.routed || record.operation == Operation::DeadLetter {
            self.note(ticket, record.topic, ledger.oldest_ticket());
        }
    }

    /// None before `oldest` is in flight any more.
    fn note(&mut self, ticket: Ticket, topic: &str, oldest: Ticket) {
        while self.went.front().is_some_and(|(gone, _)| *gone < oldest) {
            self.went.pop_front();
        }
        let number = match self.numbers.get(topic) {
            Some(number) => *number,
            None => {
                self.names.push(topic.to_owned());
                self.numbers.insert(topic.to_owned(), self.names.len() - 1);
                self.names.len() - 1
            }
        };
        self.went.push_back((ticket, number));
    }

    /// The topic that a record in flight went to.
    pub(crate) fn topic(&self, ticket: Ticket) -> Option<&str> {
        let found = self.went.binary_search_by_key(&ticket, |(went, _)| *went);
        let (_, number) = self.went.get(found.ok()?)?;
        self.names.get(*number).map(String::as_str)
    }

    /// The topic to ask for, once.
    pub(crate) fn question(&mut self) -> Option<String> {
        let awaited = self.awaited.as_mut().filter(|it| !it.asked)?;
        awaited.asked = true;
        Some(awaited.topic.clone())
    }

    /// It is there.
    pub(crate) fn known(&mut self, topic: String) {
        self.awaited = self.awaited.take().filter(|it| it.topic != topic);
        self.known.insert(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_asked_for_once_and_then_known() {
        let mut topics = RoutedTopics::default();
        assert_eq!(topics.question(), None);
        assert!(!topics.may_go("a"));
        assert!(!topics.may_go("a"));
        assert_eq!(topics.question().as_deref(), Some("a"));
        assert_eq!(topics.question(), None);
        topics.known("a".to_owned());
        assert!(topics.may_go("a"));
        assert!(!topics.may_go("b"));
        assert_eq!(topics.question().as_deref(), Some("b"));
    }

    #[test]
    fn what_is_in_flight_is_known_by_its_topic_and_the_rest_is_forgotten() {
        let mut topics = RoutedTopics::default();
        let ticket = Ticket::from_u64;
        for (number, topic) in [(3, "a"), (5, "b"), (6, "a")] {
            topics.note(ticket(number), topic, ticket(2));
        }
        let of = |topics: &RoutedTopics, number| topics.topic(ticket(number)).map(str::to_owned);
        assert_eq!(of(&topics, 5).as_deref(), Some("b"));
        assert_eq!(of(&topics, 4), None);
        topics.note(ticket(9), "b", ticket(6));
        assert_eq!(of(&topics, 5), None);
        assert_eq!(of(&topics, 6).as_deref(), Some("a"));
        assert_eq!((topics.went.len(), topics.names.len()), (2, 2));
    }
}
