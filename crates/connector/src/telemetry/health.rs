//! Alive, and ready: two questions an orchestrator asks.
//!
//! Ready looks at the stream, not at the process: a process that answers while its stream has been
//! silent for long is not ready.

use std::time::Duration;

use super::Stage;

/// The two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the process works. If not, only a restart helps.
    pub live: Verdict,
    /// Whether changes flow, or would if there were any.
    pub ready: Verdict,
}

/// Yes, or no with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Yes,
    /// No, because.
    No(String),
}

/// Judges by the stage and the time since the driver last spoke.
pub(super) fn judge(stage: Stage, reason: Option<&str>, silent: Duration) -> Health {
    let speaks = matches!(stage, Stage::Snapshot | Stage::Streaming);
    let hangs = |limit: Duration| {
        let seconds = silent.as_secs();
        (speaks && silent > limit).then(|| format!("the stream has not moved for {seconds} s"))
    };
    let live = hangs(DEAD_AFTER).map_or(Verdict::Yes, Verdict::No);
    let ready = match (speaks, hangs(STALLED_AFTER)) {
        (_, Some(why)) => Verdict::No(why),
        (true, None) => Verdict::Yes,
        (false, None) => Verdict::No(match reason {
            Some(reason) => format!("{}: {reason}", stage.as_str()),
            None => stage.as_str().to_owned(),
        }),
    };
    Health { live, ready }
}

/// The driver speaks every second; fifteen of them missed is no hiccup.
const STALLED_AFTER: Duration = Duration::from_secs(15);

/// Longer than any step of the driver may take, dead peers included.
const DEAD_AFTER: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_follows_the_stream() {
        let no = |text: &str| Verdict::No(text.to_owned());
        for (stage, reason, silent, live, ready) in [
            (Stage::Streaming, None, 0, Verdict::Yes, Verdict::Yes),
            (Stage::Snapshot, None, 14, Verdict::Yes, Verdict::Yes),
            (
                Stage::Streaming,
                None,
                20,
                Verdict::Yes,
                no("the stream has not moved for 20 s"),
            ),
            (
                Stage::Streaming,
                None,
                100,
                no("the stream has not moved for 100 s"),
                no("the stream has not moved for 100 s"),
            ),
            (Stage::Starting, None, 0, Verdict::Yes, no("starting")),
            (
                Stage::Retrying,
                Some("refused"),
                200,
                Verdict::Yes,
                no("retrying: refused"),
            ),
            (Stage::Draining, None, 0, Verdict::Yes, no("draining")),
        ] {
            let health = judge(stage, reason, Duration::from_secs(silent));
            assert_eq!(health, Health { live, ready }, "{stage:?} after {silent} s");
        }
    }
}
