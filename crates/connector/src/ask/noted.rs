//! What is under way, as far as that is noted, said before it is to stop, to pause or to go on.

use std::time::Duration;

use super::{AskError, say};
use crate::config::Config;
use crate::credentials;
use crate::incremental::{Noted, State};
use crate::kafka::progress;

/// Says so where nothing is noted that would hear it. What cannot be read keeps nobody from asking.
pub(super) async fn tell(config: &Config, id: Option<&str>) -> Result<(), AskError> {
    let properties = credentials::properties(config).await?;
    let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
    let noted = match progress::read(&properties, topic, slot, KAFKA_TIMEOUT).await {
        Ok(stored) => stored.requests,
        Err(error) if error.is_of_missing_topic() => Noted::new(),
        Err(error) => {
            say(&format!("what is under way cannot be told: {error}"));
            return Ok(());
        }
    };
    if let Some(words) = words(&noted, id) {
        say(&words);
    }
    Ok(())
}

/// Nothing where something is under way that is meant.
fn words(noted: &Noted, id: Option<&str>) -> Option<String> {
    const UNREAD: &str = "of one that no walferry has come to yet, nothing tells";
    let running = noted.values().filter(|it| it.state == State::Running);
    let running: Vec<&str> = running.map(|it| it.id.as_str()).collect();
    let state = id.and_then(|id| noted.get(id)).map(|request| request.state);
    let over = |how: &str| Some(format!("{} is over already: {how}", id.unwrap_or_default()));
    match (id, state) {
        (_, Some(State::Running)) => None,
        (_, Some(State::Done)) => over("Kafka has all its rows"),
        (_, Some(State::Stopped)) => over("it was stopped"),
        (_, Some(State::Failed)) => over("a table was left out"),
        (Some(id), None) if running.is_empty() => Some(format!(
            "no request {id} is under way, nor any other; {UNREAD}"
        )),
        (Some(id), None) => {
            let others = running.join(", ");
            Some(format!(
                "no request {id} is under way, but {others}; {UNREAD}"
            ))
        }
        (None, None) if running.is_empty() => Some(format!("no request is under way; {UNREAD}")),
        (None, None) => None,
    }
}

const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incremental::Request;
    use crate::signal::Wanted;

    #[test]
    fn what_nobody_would_hear_is_said() {
        let mut noted = Noted::new();
        let said = |noted: &Noted, id| words(noted, id).unwrap_or_default();
        assert!(said(&noted, Some("a")).starts_with("no request a is under way, nor any other;"));
        assert!(said(&noted, None).starts_with("no request is under way; of one"));
        for (id, state) in [("b", State::Running), ("c", State::Stopped)] {
            let mut request = Request::new(id.to_owned(), String::new(), Wanted::default());
            request.state = state;
            noted.insert(id.to_owned(), request);
        }
        assert!(said(&noted, Some("a")).starts_with("no request a is under way, but b;"));
        assert_eq!(said(&noted, Some("b")), "");
        assert_eq!(said(&noted, None), "");
        assert_eq!(said(&noted, Some("c")), "c is over already: it was stopped");
    }
}
