//! Stands for the connector: runs the relay by its contract, and ends and restarts it as the
//! driver and the supervisor do.

use std::time::Duration;

use envelope::{LogicalMessages, Options, RelationDetails};
use pgoutput::Lsn;
use relay::{
    Closing, Describe, Mark, Now, Output, Progress, Relay, Settings, SnapshotState, Ticket, Timing,
};

use crate::broker::Produced;
use crate::oracle::Violation;
use crate::plan::Farewell;
use crate::wal::Slot;
use crate::workload::{EPOCH, SERVER_NAME, TABLES};
use crate::world::{Event, Server, World};

/// One relay and what it has under way.
pub(crate) struct Run {
    number: u64,
    relay: Relay,
    started: Duration,
    in_flight: usize,
    /// No input comes any more; it ends when all is acknowledged.
    draining: bool,
    woken_at: Option<Duration>,
    out: Vec<u8>,
}

impl Run {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn server_leaves(&mut self, now: Duration) {
        let now = self.time(now);
        self.relay.handle_server_leaving(now);
    }

    pub(crate) fn hears(&mut self, now: Duration) {
        let now = self.time(now);
        self.relay.handle_sign_of_life(now);
    }

    /// The wall clock stands still, so that a repeat can be compared byte by byte.
    fn time(&self, now: Duration) -> Now {
        Now {
            since_start: now - self.started,
            unix_nanos: 1_800_000_000_000_000_000,
        }
    }
}

impl World {
    pub(crate) fn is_running(&self, number: u64) -> bool {
        self.run.as_ref().is_some_and(|run| run.number == number)
    }

    /// Start sequence: read progress, compare it with the slot, stream.
    pub(crate) fn start_run(&mut self) -> Result<(), Violation> {
        if self.run.is_some() || self.over {
            return Ok(());
        }
        if self.server != Server::Up || self.now < self.broker.away_until() {
            let pause = self.random.millis(20..200);
            self.after(pause, Event::Start);
            return Ok(());
        }
        let (start, start_is_durable) = match self.broker.progress() {
            Some(progress) => (progress.clone(), true),
            None => (adopted(&self.slot), false),
        };
        if start_is_durable && self.slot.confirmed > start.commit_end_lsn {
            let (slot, stored) = (self.slot.confirmed, start.commit_end_lsn);
            return Err(Violation(format!(
                "the slot is at {slot}, stored is {stored}"
            )));
        }
        let asked = if self.plan.asks_for_its_position {
            start.commit_end_lsn
        } else {
            Lsn::ZERO
        };
        self.summary.runs += 1;
        let number = self.summary.runs;
        self.note(|| {
            format!(
                "run {number} from {:?}, durable: {start_is_durable}",
                start.mark()
            )
        });
        let mut options = Options::new(SERVER_NAME, "sim");
        if self.plan.habits.messages {
            options.logical_messages = LogicalMessages::Publish;
        }
        let settings = Settings {
            envelope: options,
            start,
            start_is_durable,
            two_phase_slot: None,
            known_commit: None,
            limits: self.plan.limits,
            timing: Timing::for_server(Duration::from_secs(60), None),
            captures: Box::new(is_captured),
        };
        let started = self.now;
        let now = Now {
            since_start: Duration::ZERO,
            unix_nanos: 1_800_000_000_000_000_000,
        };
        self.run = Some(Run {
            number,
            relay: Relay::new(settings, now),
            started,
            in_flight: 0,
            draining: false,
            woken_at: None,
            out: Vec::new(),
        });
        self.open_session(asked);
        self.turn()
    }

    /// Hands in what there is, and does what the relay wants.
    pub(crate) fn turn(&mut self) -> Result<(), Violation> {
        self.take_payloads()?;
        self.drain_outputs()
    }

    fn take_payloads(&mut self) -> Result<(), Violation> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let batch = self.random.within(1..200);
        let mut due = Vec::new();
        for handed_in in 0..=batch {
            while let Some((ticket, record)) = run.relay.next_record() {
                let produced = Produced::new(run.number, ticket, &record);
                due.push(self.broker.produce(self.now, &mut self.random, produced));
                run.in_flight += 1;
            }
            let enough = handed_in == batch || session.black_hole;
            if enough || !run.relay.wants_input() {
                break;
            }
            let Some(body) = session.received.pop_front() else {
                break;
            };
            let now = run.time(self.now);
            run.relay
                .handle_payload(now, &body)
                .map_err(|error| Violation(format!("the relay gave up: {error}")))?;
        }
        let (in_flight, limit) = (run.in_flight, self.plan.limits.in_flight_records);
        // A change of key makes three records, and the cap is looked at before each message.
        if in_flight > limit + 2 {
            return Err(Violation(format!(
                "{in_flight} records are in flight, {limit} allowed"
            )));
        }
        if run.relay.wants_input() && !session.received.is_empty() && !session.black_hole {
            let number = run.number;
            self.after(Duration::from_micros(20), Event::Wake { run: number });
        }
        for (lane, when) in due {
            self.at(when, Event::Record(lane));
        }
        self.nudge();
        Ok(())
    }

    fn drain_outputs(&mut self) -> Result<(), Violation> {
        for _ in 0..OUTPUTS_MAX {
            let Some(run) = &mut self.run else {
                return Ok(());
            };
            let (now, number) = (run.time(self.now), run.number);
            match run.relay.poll(now) {
                Output::Describe(Describe { relation, .. }) => {
                    let pause = self.random.micros(200..20_000);
                    self.after(
                        pause,
                        Event::Described {
                            run: number,
                            relation,
                        },
                    );
                }
                Output::EnsureTopic(topic) => run.relay.handle_topic(topic),
                Output::StoreProgress(progress) => self.store(number, progress)?,
                Output::Feedback(feedback) => {
                    let flushed = feedback.confirmed().lsn();
                    run.out.clear();
                    feedback.encode(&mut run.out);
                    let body = run.out.clone();
                    self.oracle.told(flushed)?;
                    self.send_status(body);
                }
                Output::Close(closing) => return self.closed(closing),
                Output::WaitUntil(until) => {
                    let when = run.started + until;
                    if run.woken_at != Some(when) {
                        run.woken_at = Some(when);
                        self.at(when, Event::Wake { run: number });
                    }
                    return Ok(());
                }
            }
        }
        Err(Violation(format!(
            "the relay wants more than {OUTPUTS_MAX} things at once"
        )))
    }

    fn store(&mut self, number: u64, progress: Progress) -> Result<(), Violation> {
        self.oracle.storing(&progress)?;
        self.summary.splits += u64::from(progress.split.is_some());
        self.broker.store(progress);
        let pause = self.broker.answer_time(&mut self.random);
        self.after(pause, Event::ProgressArrives { run: number });
        Ok(())
    }

    pub(crate) fn wake(&mut self, number: u64) -> Result<(), Violation> {
        if self.is_running(number) {
            self.turn()
        } else {
            Ok(())
        }
    }

    pub(crate) fn acknowledged(
        &mut self,
        number: u64,
        ticket: Ticket,
        id: &str,
    ) -> Result<(), Violation> {
        let Some(run) = self.run.as_mut().filter(|run| run.number == number) else {
            return Ok(());
        };
        self.oracle.acknowledged(id);
        run.relay.handle_delivery(ticket);
        run.in_flight -= 1;
        self.turn()
    }

    pub(crate) fn stored(&mut self, number: u64) -> Result<(), Violation> {
        match &mut self.run {
            Some(run) if run.number == number => {
                run.relay.handle_stored();
                self.turn()
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn described(&mut self, number: u64, relation: u32) -> Result<(), Violation> {
        let Some(run) = self.run.as_mut().filter(|run| run.number == number) else {
            return Ok(());
        };
        let table = TABLES.iter().find(|table| table.oid == relation);
        let key = table.map_or(&[] as &[&str], |table| table.key);
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        let not_null = key.clone();
        let details = RelationDetails {
            primary_key: key,
            not_null,
            ..RelationDetails::default()
        };
        run.relay
            .handle_description(&details)
            .map_err(|error| Violation(format!("the relay gave up: {error}")))?;
        self.turn()
    }

    /// Kafka refused a record: the run is over, and what is refused is mended meanwhile.
    pub(crate) fn refused(&mut self, number: u64) -> Result<(), Violation> {
        if self.is_running(number) {
            self.end_run()
        } else {
            Ok(())
        }
    }

    /// The connection is gone. What is under way to Kafka is waited for, but not for ever.
    pub(crate) fn lose_session(&mut self) {
        self.session = None;
        self.drain_run();
    }

    /// No more input; the end follows when all is acknowledged.
    pub(crate) fn drain_run(&mut self) {
        let Some(run) = self.run.as_mut().filter(|run| !run.draining) else {
            return;
        };
        run.draining = true;
        run.relay.drain();
        let number = run.number;
        self.after(Duration::ZERO, Event::Wake { run: number });
        self.after(DRAIN_LIMIT, Event::GiveUp { run: number });
    }

    pub(crate) fn give_up(&mut self, number: u64) -> Result<(), Violation> {
        if !self.is_running(number) {
            return Ok(());
        }
        if self.now > self.broker.away_until() + DRAIN_LIMIT && self.plan.pace.micros.end < 10_000 {
            return Err(Violation("a relay that drains does not end".to_owned()));
        }
        self.end_run()
    }

    fn closed(&mut self, closing: Closing) -> Result<(), Violation> {
        self.note(|| format!("closed: {closing:?}"));
        match closing {
            Closing::Silent => self.summary.silences += 1,
            Closing::ServerStopping => self.summary.stops += 1,
            Closing::Reached | Closing::Drained | Closing::Prepared => {}
        }
        let stopping = self.server == Server::Stopping;
        self.end_run()?;
        if stopping {
            // It waited for this session only.
            self.server = Server::Down;
            let pause = self.random.millis(50..1500);
            self.after(pause, Event::ServerUp);
        }
        if self.over {
            self.after(Duration::ZERO, Event::End);
        }
        Ok(())
    }

    /// The relay is gone, at once and with all that it knew.
    pub(crate) fn end_run(&mut self) -> Result<(), Violation> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        self.note(|| format!("run {} ends with {} in flight", run.number, run.in_flight));
        self.session = None;
        for produced in self.broker.producer_dies(&mut self.random) {
            self.oracle.appended(&produced)?;
        }
        // Its progress record may be in the log all the same, without anybody knowing.
        if self.random.percent(50) {
            if let Some(progress) = self.broker.progress_arrives() {
                self.oracle.stored(progress)?;
            }
        } else {
            self.broker.progress_is_lost();
        }
        let pause = self.random.millis(1..800);
        self.after(pause, Event::Start);
        Ok(())
    }

    /// The last thing: each ending must come by itself, and soon.
    pub(crate) fn farewell(&mut self) {
        self.over = true;
        let end = self.wal.end();
        match self.plan.farewell {
            Farewell::Terminate => self.drain_run(),
            Farewell::ServerStop => self.stop_server(),
            Farewell::Until => {
                if let Some(run) = &mut self.run {
                    run.relay.stop_at(end);
                    let number = run.number;
                    self.after(Duration::ZERO, Event::Wake { run: number });
                    self.after(DRAIN_LIMIT, Event::GiveUp { run: number });
                }
            }
        }
    }
}

fn adopted(slot: &Slot) -> Progress {
    let Mark {
        end: commit_end_lsn,
        split,
    } = Mark::at(slot.confirmed);
    Progress {
        system_identifier: EPOCH,
        timeline: 1,
        epoch: EPOCH,
        commit_end_lsn,
        split,
        snapshot: SnapshotState::None,
        shape: 0,
        chunk_ordinals: 0,
    }
}

fn is_captured(schema: &str, name: &str) -> bool {
    schema == "public"
        && TABLES
            .iter()
            .any(|table| table.captured && table.name == name)
}

/// As the connector's own: what a lost connection leaves under way is waited for this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// More at once would be a relay that never rests.
const OUTPUTS_MAX: usize = 100;
