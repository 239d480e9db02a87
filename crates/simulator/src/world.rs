//! A seed becomes a world: a database that works, a Kafka, walferry's relay between them, and
//! things that go wrong. Time is virtual, so that half a minute takes milliseconds, and everything
//! follows from the seed.
//!
//! This file is the agenda, the faults and Kafka's part. `session.rs` is the server's end of the
//! connection; `porch.rs` stands for the connector and runs the relay.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use pgoutput::Lsn;
use relay::Ticket;

use crate::broker::{Arrival, Broker, Lane};
use crate::oracle::{Oracle, Violation};
use crate::plan::{Fault, Plan, QUIET_AT};
use crate::porch::Run;
use crate::random::Random;
use crate::session::Session;
use crate::wal::{Slot, Wal};
use crate::workload::Workload;

/// What a world went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Starts of walferry or of its connection.
    pub runs: u64,
    /// Records that had to be published.
    pub records: u64,
    /// Records that came again.
    pub repeats: u64,
    /// Positions stored inside of a transaction.
    pub splits: u64,
    /// Records refused by Kafka.
    pub refusals: u64,
    /// Connections given up because of silence.
    pub silences: u64,
    /// Servers that stopped and were let go or satisfied.
    pub stops: u64,
    /// Status updates that the server got.
    pub status_updates: u64,
}

impl Summary {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Summary) -> Summary {
        Summary {
            runs: self.runs + other.runs,
            records: self.records + other.records,
            repeats: self.repeats + other.repeats,
            splits: self.splits + other.splits,
            refusals: self.refusals + other.refusals,
            silences: self.silences + other.silences,
            stops: self.stops + other.stops,
            status_updates: self.status_updates + other.status_updates,
        }
    }
}

/// A promise was broken.
#[derive(Debug)]
pub struct Failure {
    /// In this world.
    pub seed: u64,
    /// At this time.
    pub at: Duration,
    /// Which.
    pub violation: Violation,
    /// What happened before, the last at the end.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(
            f,
            "seed {} at {:?}: {}",
            self.seed, self.at, self.violation.0
        )
    }
}

/// Lives through the world of a seed.
///
/// # Errors
/// The first promise that is broken.
pub fn live(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed);
    let result = world.live();
    let World { now: at, trace, .. } = world;
    result.map_err(|violation| {
        Box::new(Failure {
            seed,
            at,
            violation,
            trace: trace.into(),
        })
    })
}

/// All there is.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) now: Duration,
    agenda: BTreeMap<(Duration, u64), Event>,
    planned: u64,
    workload: Workload,
    pub(crate) wal: Wal,
    pub(crate) slot: Slot,
    pub(crate) server: Server,
    pub(crate) session: Option<Session>,
    pub(crate) sessions: u64,
    pub(crate) broker: Broker,
    pub(crate) run: Option<Run>,
    pub(crate) oracle: Oracle,
    pub(crate) summary: Summary,
    /// Past its faults.
    pub(crate) quiet: bool,
    /// How many records were not acknowledged when last looked at.
    missing_before: usize,
    /// walferry is not started any more.
    pub(crate) over: bool,
    trace: VecDeque<String>,
}

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Up,
    /// It waits for walferry, and will be down then.
    Stopping,
    Down,
}

/// A point of the agenda. Those that belong to a run or a session that ended are void.
#[derive(Debug)]
pub(crate) enum Event {
    Happen,
    Fault(Fault),
    Start,
    ServerUp,
    Send {
        session: u64,
    },
    Arrive {
        session: u64,
        body: Vec<u8>,
    },
    Status {
        session: u64,
        body: Vec<u8>,
    },
    Keepalive {
        session: u64,
    },
    Insist {
        session: u64,
    },
    MustBeOver {
        session: u64,
    },
    Record(Lane),
    Acknowledged {
        run: u64,
        ticket: Ticket,
        id: String,
    },
    Refused {
        run: u64,
    },
    ProgressArrives {
        run: u64,
    },
    Stored {
        run: u64,
    },
    Described {
        run: u64,
        relation: u32,
    },
    Wake {
        run: u64,
    },
    GiveUp {
        run: u64,
    },
    Quiet,
    Judge,
    End,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let start = Lsn::new(0x1_0000_0000 + random.within(0..1000) * 8);
        World {
            workload: Workload::new(plan.habits.clone()),
            broker: Broker::new(plan.pace.clone()),
            random,
            plan,
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            planned: 0,
            wal: Wal::new(start),
            slot: Slot::new(start),
            server: Server::Up,
            session: None,
            sessions: 0,
            run: None,
            oracle: Oracle::new(start),
            summary: Summary::default(),
            quiet: false,
            missing_before: usize::MAX,
            over: false,
            trace: VecDeque::new(),
        }
    }

    fn live(&mut self) -> Result<Summary, Violation> {
        self.at(Duration::ZERO, Event::Happen);
        self.at(Duration::from_millis(1), Event::Start);
        self.at(QUIET_AT, Event::Quiet);
        for (when, fault) in self.plan.faults.clone() {
            self.at(when, Event::Fault(fault));
        }
        while let Some(((when, _), event)) = self.agenda.pop_first() {
            self.now = when;
            if matches!(event, Event::End) {
                break;
            }
            self.handle(event)?;
        }
        self.summary.records = self.oracle.missing().0 as u64;
        self.summary.repeats = self.oracle.repeats;
        Ok(self.summary)
    }

    pub(crate) fn at(&mut self, when: Duration, event: Event) {
        self.planned += 1;
        self.agenda
            .insert((when.max(self.now), self.planned), event);
    }

    pub(crate) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        let line = format!("{:>12?} {}", self.now, what());
        self.trace.push_back(line);
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Happen => self.happen(),
            Event::Fault(fault) => self.fault(fault)?,
            Event::Start => self.start_run()?,
            Event::ServerUp => self.server = Server::Up,
            Event::Send { session } => self.send(session),
            Event::Arrive { session, body } => return self.body_arrives(session, body),
            Event::Status { session, body } => return self.status_arrives(session, &body),
            Event::Keepalive { session } => return self.keepalive(session),
            Event::Insist { session } => return self.insist(session),
            Event::MustBeOver { session } => return self.must_be_over(session),
            Event::Record(lane) => return self.record_arrives(&lane),
            Event::Acknowledged { run, ticket, id } => {
                return self.acknowledged(run, ticket, &id);
            }
            Event::ProgressArrives { run } => return self.progress_arrives(run),
            Event::Refused { run } => return self.refused(run),
            Event::Stored { run } => return self.stored(run),
            Event::Described { run, relation } => return self.described(run, relation),
            Event::Wake { run } => return self.wake(run),
            Event::GiveUp { run } => return self.give_up(run),
            Event::Quiet => self.fall_quiet(),
            Event::Judge => return self.judge(),
            Event::End => {}
        }
        Ok(())
    }

    fn happen(&mut self) {
        if self.quiet {
            return;
        }
        if self.server == Server::Up {
            if let Some(index) = self.workload.happen(&mut self.random, &mut self.wal)
                && let Some(entry) = self.wal.get(index)
            {
                self.oracle.committed(entry);
            }
            if self.random.percent(3) {
                self.slot.save();
            }
            self.nudge();
        }
        let pause = self.random.micros(self.plan.happenings.clone());
        self.after(pause, Event::Happen);
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Violation> {
        if self.quiet {
            return Ok(());
        }
        self.note(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::Kill => return self.end_run(),
            Fault::Terminate => self.drain_run(),
            Fault::Cut => self.lose_session(),
            Fault::BlackHole => {
                if let Some(session) = &mut self.session {
                    session.black_hole = true;
                }
            }
            Fault::ServerCrash => {
                self.slot.rewind();
                self.server_is_down();
            }
            Fault::ServerStop => self.stop_server(),
            Fault::KafkaAway(pause) => self.broker.go_away(self.now + pause),
            Fault::Refusal => self.broker.refuse_next(),
        }
        Ok(())
    }

    fn fall_quiet(&mut self) {
        self.note(|| "QUIET".to_owned());
        self.quiet = true;
        self.after(SETTLE_TIME, Event::Judge);
    }

    /// The world has been quiet: everything must be there, and confirmed.
    fn judge(&mut self) -> Result<(), Violation> {
        let (records, missing) = self.oracle.missing();
        if missing > 0 && missing < self.missing_before {
            // A Kafka this slow needs its time, and uses it.
            self.missing_before = missing;
            self.after(SETTLE_TIME, Event::Judge);
            return Ok(());
        }
        if missing > 0 {
            return Err(Violation(format!(
                "{missing} of {records} records never came"
            )));
        }
        let (confirmed, end) = (self.slot.confirmed, self.wal.end());
        if confirmed < end {
            return Err(Violation(format!(
                "the slot stands at {confirmed}, the log at {end}"
            )));
        }
        if self.run.is_none() {
            return Err(Violation("walferry does not run".to_owned()));
        }
        let farewell = self.plan.farewell;
        self.note(|| format!("FAREWELL {farewell:?}"));
        self.farewell();
        Ok(())
    }

    fn record_arrives(&mut self, lane: &Lane) -> Result<(), Violation> {
        match self.broker.arrive(self.now, lane) {
            Arrival::Nothing => {}
            Arrival::NotBefore(when) => self.at(when, Event::Record(lane.clone())),
            Arrival::Refused => {
                self.summary.refusals += 1;
                if let Some(run) = &self.run {
                    let run = run.number();
                    let pause = self.broker.answer_time(&mut self.random);
                    self.after(pause, Event::Refused { run });
                }
            }
            Arrival::Appended(produced) => {
                self.oracle.appended(&produced)?;
                let pause = self.broker.answer_time(&mut self.random);
                let (run, ticket, id) = (produced.run, produced.ticket, produced.id);
                self.after(pause, Event::Acknowledged { run, ticket, id });
            }
        }
        Ok(())
    }

    fn progress_arrives(&mut self, number: u64) -> Result<(), Violation> {
        if !self.is_running(number) {
            return Ok(());
        }
        if self.now < self.broker.away_until() {
            self.at(
                self.broker.away_until(),
                Event::ProgressArrives { run: number },
            );
            return Ok(());
        }
        if let Some(progress) = self.broker.progress_arrives() {
            self.oracle.stored(progress)?;
            let pause = self.broker.answer_time(&mut self.random);
            self.after(pause, Event::Stored { run: number });
        }
        Ok(())
    }
}

/// Enough to see what led to a violation.
const TRACE_LINES: usize = 80;
/// After this long in quiet, everything must be published and confirmed: a start, a Kafka that
/// comes back, 25 s until a dead peer is found, and some.
const SETTLE_TIME: Duration = Duration::from_secs(40);
