//! Topics that changes themselves name (an outbox): the first record of each waits until it is there.

use std::collections::HashSet;

/// The topics known to be there, and the one that is waited for.
#[derive(Debug, Default)]
pub(crate) struct RoutedTopics {
    known: HashSet<String>,
    awaited: Option<Awaited>,
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
}
