//! Connection after connection: what ends one decides whether there is a next, and when.
//!
//! Retry unless proven permanent: whatever may mend by itself is tried again with growing pauses,
//! and only what a person must decide stops the process, as a [`Halted`]. No other file makes that
//! choice, and none looks at the text of a message for it.

use std::time::Duration;

use relay::RelayError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::cli::Until;
use crate::config::{Backoff, Config};
use crate::end::{End, Lost, Refusal};
use crate::exit::Exit;
use crate::halt::{Halt, Halted};
use crate::kafka::{Class as KafkaClass, KafkaError};
use crate::observer::Observer;
use crate::postgres::{Class as PostgresClass, PostgresError};
use crate::preflight::finding::Severity;
use crate::preflight::report::Report;
use crate::start::{Memory, Start, StartError};
use crate::telemetry::Peer;

/// How the process is to end, with the halt to print if it is one.
#[derive(Debug)]
pub enum Outcome {
    /// As the exit says.
    Exit(Exit),
    /// A person must decide something first.
    Halted(Halted),
    /// The configuration cannot work.
    Misconfigured(String),
}

/// Runs until a signal, the position asked for, or a halt.
pub async fn supervise(
    config: &Config,
    until: Option<Until>,
    observer: &Observer,
    shutdown: &mut watch::Receiver<bool>,
) -> Outcome {
    let mut memory = Memory::default();
    let mut pauses = Pauses::new(config.postgres.backoff);
    let mut until = until;
    loop {
        let begun = Instant::now();
        observer.starting();
        let start = Start {
            config,
            observer,
            until: &mut until,
            memory: &mut memory,
        };
        let started = tokio::select! {
            biased;
            _ = shutdown.wait_for(|asked| *asked) => return stopped(until),
            started = start.connection() => started,
        };
        let next = match started {
            Ok(driver) => {
                observer.streaming();
                let (end, confirmed) = Box::pin(driver.run(shutdown)).await;
                memory.ended(&end, confirmed);
                next_after(end, until.is_some())
            }
            Err(error) => next_after_start(error),
        };
        match next {
            Next::Stop(outcome) => return outcome,
            Next::AtOnce => {}
            Next::Again(peer, reason) => {
                let pause = pauses.next(begun.elapsed());
                observer.retrying(peer, &reason, pause);
                tokio::select! {
                    _ = shutdown.wait_for(|asked| *asked) => return stopped(until),
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

/// How a signal ends it between two connections.
fn stopped(until: Option<Until>) -> Outcome {
    Outcome::Exit(match until {
        Some(_) => Exit::NotReached,
        None => Exit::Done,
    })
}

/// What follows the end of a connection.
#[derive(Debug)]
enum Next {
    Stop(Outcome),
    /// As was meant.
    AtOnce,
    /// With who was lost, and the reason for the log.
    Again(Peer, String),
}

impl Next {
    fn halt(halt: Halt, seen: &impl ToString) -> Self {
        Self::Stop(Outcome::Halted(Halted::new(halt, seen.to_string())))
    }
}

/// `until` says whether the run was to reach a position first.
fn next_after(end: End, until: bool) -> Next {
    match end {
        End::Drained if until => Next::Stop(Outcome::Exit(Exit::NotReached)),
        End::Reached | End::Drained => Next::Stop(Outcome::Exit(Exit::Done)),
        End::DrainTimeout => Next::Stop(Outcome::Exit(Exit::DrainTimeout)),
        End::Lost(Lost::Error(error)) => after_lost(&error),
        End::Lost(lost) => Next::Again(Peer::Postgres, lost.to_string()),
        End::Copy(error) => match error.halt() {
            Some(halt) => Next::halt(halt, &error),
            None => Next::Again(Peer::Postgres, error.to_string()),
        },
        End::Paused(_) => Next::AtOnce,
        End::Refused(refusal) => after_refusal(&refusal),
        End::Producer(error) => after_kafka(&error),
        End::ProducerUnfit { topic, reason } => Next::Again(
            Peer::Kafka,
            format!("topic {topic}: {reason}; making another"),
        ),
        End::Prepared(_) => Next::Again(
            Peer::Postgres,
            "a large prepared transaction is committed now, and is read again".to_owned(),
        ),
        End::Stream(error @ RelayError::PreparedGone { .. }) => {
            Next::halt(Halt::PreparedGone, &error)
        }
        End::Stream(RelayError::Encode { commit_lsn, source }) => {
            let seen = format!(
                "{source} (in the transaction committed at {})",
                commit_lsn.0
            );
            Next::halt(Halt::ValueUnrepresentable, &seen)
        }
        End::Stream(error @ RelayError::EncodeCopied(_)) => {
            Next::halt(Halt::ValueUnrepresentable, &error)
        }
        End::Stream(error) => Next::halt(Halt::ProtocolViolation, &error),
    }
}

/// What the server said in the middle of the stream is seldom the whole story (57P01 is also how it
/// says that the slot is lost): unless this is proven permanent, the next start looks at the slot.
fn after_lost(error: &PostgresError) -> Next {
    let halt = match error {
        PostgresError::Wire { .. } => Some(Halt::ProtocolViolation),
        PostgresError::PublicationSkipped(_) => Some(Halt::PublicationMissing),
        error => error.sqlstate().and_then(|state| match state.as_str() {
            "42501" => Some(Halt::Authorization),
            // Up to 17 a publication that is gone ends the stream with undefined_object.
            "42704" => Some(Halt::PublicationMissing),
            // It would fail at the same change again: a row filter, a conversion to UTF-8.
            _ if state.class() == "22" => Some(Halt::StreamRefused),
            _ => None,
        }),
    };
    match halt {
        Some(halt) => Next::halt(halt, error),
        None => Next::Again(Peer::Postgres, error.to_string()),
    }
}

/// What the check has found, as the halt that says the same, if there is one.
fn refused(report: &Report) -> Next {
    match report.refusal() {
        Some(Exit::Halted(halt)) => {
            let errors = report.findings().iter();
            let errors = errors.filter(|finding| finding.severity == Severity::Error);
            let seen = errors.take(ERRORS_SHOWN_MAX);
            let seen: Vec<_> = seen
                .map(|it| format!("{} {}: {}", it.code, it.subject, it.problem))
                .collect();
            Next::halt(halt, &seen.join(" "))
        }
        exit => Next::Stop(Outcome::Exit(exit.unwrap_or(Exit::CheckErrors))),
    }
}

fn next_after_start(error: StartError) -> Next {
    match error {
        StartError::Halted(halted) => Next::Stop(Outcome::Halted(halted)),
        StartError::Postgres(error) => after_postgres(&error),
        StartError::Kafka(error) => after_kafka(&error),
        StartError::Progress(error) => after_kafka_class(error.class(), &error),
        StartError::Refused(report) => refused(&report),
        StartError::Unreadable(peer, problem) => Next::Again(peer, problem),
        StartError::Configuration(problem) => Next::Stop(Outcome::Misconfigured(problem)),
    }
}

fn after_postgres(error: &PostgresError) -> Next {
    if error.class() == PostgresClass::Retry {
        return Next::Again(Peer::Postgres, error.to_string());
    }
    let state = error.sqlstate();
    let state = state.as_ref().map(|state| state.as_str());
    let halt = match state {
        _ if error.is_authentication() => Halt::Authentication,
        Some("42501") => Halt::Authorization,
        Some("42704") => Halt::PublicationMissing,
        Some(_) => Halt::ServerUnsuitable,
        None => match error {
            PostgresError::Tls { .. } | PostgresError::CertificateFile { .. } => {
                Halt::Authentication
            }
            PostgresError::Wire { .. } | PostgresError::Answer { .. } => Halt::ProtocolViolation,
            _ => Halt::ServerUnsuitable,
        },
    };
    Next::halt(halt, error)
}

fn after_kafka(error: &KafkaError) -> Next {
    after_kafka_class(error.class(), error)
}

fn after_kafka_class(class: KafkaClass, error: &impl ToString) -> Next {
    match class {
        KafkaClass::Retry => Next::Again(Peer::Kafka, error.to_string()),
        KafkaClass::Halt(halt) => Next::halt(halt, error),
        KafkaClass::Configuration => Next::Stop(Outcome::Misconfigured(error.to_string())),
    }
}

fn after_refusal(refusal: &Refusal) -> Next {
    after_kafka_class(refusal.error.class(), refusal)
}

/// Growing pauses between connections; a connection that lasted begins them anew.
#[derive(Debug)]
struct Pauses {
    bounds: Backoff,
    next: Duration,
    /// A few bits of the clock spread the retries of many connectors.
    turn: u32,
}

impl Pauses {
    fn new(bounds: Backoff) -> Self {
        Self {
            bounds,
            next: bounds.min,
            turn: std::process::id(),
        }
    }

    fn next(&mut self, lasted: Duration) -> Duration {
        if lasted >= LASTING {
            self.next = self.bounds.min;
        }
        let pause = self.next;
        self.next = (self.next * 2).min(self.bounds.max);
        self.turn = self
            .turn
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        // Up to a quarter less, never more than the bound says.
        pause - pause * ((self.turn >> 24) & 63) / 256
    }
}

/// A connection that lasted this long was a good one.
const LASTING: Duration = Duration::from_secs(10);
/// The findings themselves are in the log.
const ERRORS_SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::finding::{Finding, Subject};

    #[test]
    fn pauses_grow_to_the_bound_and_begin_anew_after_a_good_connection() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut pauses = Pauses::new(Backoff { min, max });
        let mut taken = Vec::new();
        for _ in 0..6 {
            taken.push(pauses.next(Duration::from_millis(5)));
        }
        assert!(taken[0] <= min && taken[0] >= min * 3 / 4, "{taken:?}");
        assert!(taken[5] <= max && taken[5] >= max * 3 / 4, "{taken:?}");
        assert!(pauses.next(LASTING) <= min);
    }

    #[test]
    fn what_the_check_finds_is_the_halt_that_says_the_same() {
        let problem = "It has no replica identity.";
        let subject = Subject::Table("public.heap".to_owned());
        let finding = Finding::error("IDENTITY_NOTHING", subject, problem.to_owned());
        let Next::Stop(Outcome::Halted(halted)) = refused(&Report::new(vec![finding])) else {
            panic!("it is none");
        };
        assert_eq!(halted.halt, Halt::IdentityMissing);
        let said = halted.to_string();
        assert!(
            said.starts_with("IDENTITY_MISSING: ") && said.contains(problem),
            "{said}"
        );
    }

    #[test]
    fn what_a_person_must_decide_stops_and_the_rest_goes_on() {
        let halt = |next| match next {
            Next::Stop(Outcome::Halted(halted)) => Some(halted.halt),
            _ => None,
        };
        assert_eq!(halt(after_kafka(&KafkaError::Fenced)), Some(Halt::Fenced));
        let too_large = KafkaError::RecordTooLarge { ticket: 7 };
        assert_eq!(halt(after_kafka(&too_large)), Some(Halt::RecordTooLarge));
        assert_eq!(halt(after_kafka(&KafkaError::UnknownTopic)), None);
        assert_eq!(halt(next_after(End::Lost(Lost::Silent), false)), None);
        assert_eq!(halt(after_postgres(&PostgresError::StreamEnded)), None);
    }
}
