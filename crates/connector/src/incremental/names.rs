//! What requests are called here: by the ids of their signals, which their senders may use again.

/// The name of a request with this id, whose signal stands at this place; by its id alone, unless another
/// under way has that. None for one that is known by either name: its signal came a second time.
pub(super) fn name<'a>(
    id: &str,
    at: &str,
    running: impl Iterator<Item = (&'a String, &'a String)> + Clone,
    ended: impl Iterator<Item = (&'a String, &'a String)>,
) -> Option<String> {
    let renamed = format!("{id}@{at}");
    let is_it =
        |(known, asked): (&String, &String)| asked == at && (known == id || *known == renamed);
    if running.clone().chain(ended).any(is_it) {
        return None;
    }
    let is_taken = running.into_iter().any(|(known, _)| known == id);
    Some(if is_taken { renamed } else { id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_a_second_time_is_known_by_either_name() {
        let known = |id: &str, at: &str| (id.to_owned(), at.to_owned());
        let call = |at: &str, running: &[(String, String)], ended: &[(String, String)]| {
            let running = running.iter().map(|(id, at)| (id, at));
            let ended = ended.iter().map(|(id, at)| (id, at));
            name("a", at, running, ended)
        };
        let first = [known("a", "0/10")];
        let second = [known("a@0/20", "0/20")];
        let both = [first.clone(), second.clone()].concat();
        assert_eq!(call("0/10", &[], &[]).as_deref(), Some("a"));
        assert_eq!(call("0/20", &first, &[]).as_deref(), Some("a@0/20"));
        assert_eq!(call("0/20", &[], &first).as_deref(), Some("a"));
        for (running, ended) in [(&both[..], &[][..]), (&[], &both), (&first, &second)] {
            assert_eq!(call("0/10", running, ended), None);
            assert_eq!(call("0/20", running, ended), None);
        }
        assert_eq!(call("0/30", &first, &second).as_deref(), Some("a@0/30"));
        // So it is with the records of a topic.
        let nightly = [known("a", "signals/0/7")];
        assert_eq!(call("signals/0/7", &[], &nightly), None);
        assert_eq!(call("signals/0/8", &[], &nightly).as_deref(), Some("a"));
        let renamed = call("signals/0/8", &nightly, &[]);
        assert_eq!(renamed.as_deref(), Some("a@signals/0/8"));
    }
}
