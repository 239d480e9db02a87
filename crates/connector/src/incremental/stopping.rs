//! What a signal that stops something finds among the requests.

use pgoutput::Lsn;
use relay::Relay;
use tracing::{info, warn};

use super::hand_in::Incremental;
use super::request::{Request, State};
use crate::signal::Stopped;

/// What it finds in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// It was stopped by another signal before.
    Known,
    Stopped,
}

/// Stops a request, or some of its tables.
fn stop(request: &mut Request, stopped: &Stopped) -> Found {
    let is_meant = match stopped {
        Stopped::All => true,
        Stopped::Request(id) => request.id == *id,
        Stopped::Collections(patterns) => request.may_have(patterns),
    };
    if !is_meant {
        return Found::Nothing;
    }
    if let Stopped::Collections(patterns) = stopped {
        let before = request.clone();
        request.take_out(patterns);
        if *request == before {
            return Found::Known;
        }
    }
    let left = request.tables.as_ref().unwrap_or(&request.collections);
    if left.is_empty() || !matches!(stopped, Stopped::Collections(_)) {
        request.state = State::Stopped;
    }
    Found::Stopped
}

impl Incremental {
    /// A stop stands in the stream, or came by the topic.
    pub(super) fn hear_stop(
        &mut self,
        relay: &mut Relay,
        signal: &str,
        stopped: &Stopped,
        at: Lsn,
    ) {
        let is_known = self.stopped_ahead.iter().position(|it| it == stopped);
        if let Some(place) = is_known {
            self.stopped_ahead.remove(place);
        }
        if !self.stop_some(relay, stopped, at) && is_known.is_none() {
            warn!(signal, ?stopped, "{STOPPED_NOTHING}");
        }
    }

    /// A stop that the stream, which stands, may come to yet. One that finds nothing is told there.
    pub(super) fn stop_ahead(&mut self, relay: &mut Relay, stopped: Stopped, at: Lsn) {
        let found = self.stop_some(relay, &stopped, at);
        if found && relay.positions().received < at {
            self.stopped_ahead.push(stopped);
        }
    }

    /// Whether anything is stopped, by this or before.
    fn stop_some(&mut self, relay: &mut Relay, stopped: &Stopped, at: Lsn) -> bool {
        let (mut found_any, mut first_changed) = (false, false);
        for (place, request) in self.requests.iter_mut().enumerate() {
            if !request.is_asked_by(at) {
                continue;
            }
            if let Stopped::Collections(patterns) = stopped
                && self.blocking.is_of(request)
            {
                self.blocking.unwanted.add(patterns);
            }
            let found = stop(request, stopped);
            found_any |= found != Found::Nothing;
            if found != Found::Stopped {
                continue;
            }
            match (request.state, &request.tables) {
                (State::Running, None) => info!(
                    request = request.id,
                    ?stopped,
                    "tables that match are left out once the request's turn comes"
                ),
                _ => info!(
                    request = request.id,
                    "the snapshot beside the stream is stopped, all of it or some tables"
                ),
            }
            self.notes.push(request.clone());
            first_changed |= place == 0;
        }
        if first_changed {
            self.end_reading(relay);
            self.end_blocking_if_stopped();
        }
        let (running, ended): (Vec<_>, Vec<_>) = self
            .requests
            .drain(..)
            .partition(|request| request.state == State::Running);
        self.requests = running.into();
        self.ended
            .extend(ended.into_iter().map(|it| (it.id, it.at)));
        found_any
    }
}

/// What is said of a stop that has no effect.
pub(super) const STOPPED_NOTHING: &str = "STOPPED_NOTHING: stop-snapshot finds nothing to stop: no request that is under way or waits has such \
     a table or id (any more); walferry status shows them";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Wanted;

    #[test]
    fn a_stop_that_finds_nothing_is_told_from_one_that_is_repeated() {
        let wanted = Wanted {
            collections: vec!["public\\.(nn|hot)".to_owned()],
            ..Wanted::default()
        };
        let mut request = Request::new("a".to_owned(), String::new(), wanted);
        let tables = |name: &str| Stopped::Collections(vec![name.to_owned()]);
        assert_eq!(stop(&mut request, &tables("public.nn")), Found::Stopped);
        assert_eq!(stop(&mut request, &tables("public.nn")), Found::Known);
        request.set_tables(vec!["public.hot".to_owned()]);
        assert_eq!(stop(&mut request, &tables("public.nn")), Found::Nothing);
        assert_eq!(
            stop(&mut request, &Stopped::Request("b".to_owned())),
            Found::Nothing
        );
        assert_eq!(request.state, State::Running);
        assert_eq!(stop(&mut request, &tables("public.hot")), Found::Stopped);
        assert_eq!(request.state, State::Stopped);
    }
}
