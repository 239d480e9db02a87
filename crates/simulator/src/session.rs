//! The server's end of a replication connection, and the way between the two ends.

use std::collections::VecDeque;
use std::time::Duration;

use pgoutput::{Lsn, StatusUpdate};

use crate::oracle::Violation;
use crate::plan::Plan;
use crate::random::Random;
use crate::walsender::Walsender;
use crate::world::{Event, Server, World};

/// A replication connection.
#[derive(Debug)]
pub(crate) struct Session {
    number: u64,
    walsender: Walsender,
    /// CopyData bodies that reached walferry's socket and wait to be read.
    pub(crate) received: VecDeque<Vec<u8>>,
    /// Bodies on the way there.
    on_the_way: usize,
    /// When the last of them arrives: the wire keeps order.
    last_arrival: Duration,
    last_status: Duration,
    heard: Duration,
    send_planned: bool,
    pub(crate) black_hole: bool,
}

impl World {
    pub(crate) fn stop_server(&mut self) {
        if self.server != Server::Up {
            return;
        }
        self.server = Server::Stopping;
        if let Some(run) = &mut self.run {
            run.server_leaves(self.now);
        }
        match &self.session {
            None => self.server_is_down(),
            Some(session) => {
                let session = session.number;
                self.after(Duration::ZERO, Event::Insist { session });
                self.after(STOP_LIMIT, Event::MustBeOver { session });
            }
        }
    }

    /// A server that shuts down asks again and again, once all is sent, until all is confirmed.
    pub(crate) fn insist(&mut self, number: u64) -> Result<(), Violation> {
        let Some(session) = of(&mut self.session, number) else {
            return Ok(());
        };
        let done = session.walsender.is_done(&self.wal);
        if done && self.slot.confirmed >= self.wal.end() && session.received.is_empty() {
            self.summary.stops += 1;
            self.server_is_down();
            return self.turn();
        }
        if done && session.on_the_way < 100 {
            self.send_keepalive(true);
        }
        self.after(Duration::from_millis(2), Event::Insist { session: number });
        Ok(())
    }

    pub(crate) fn must_be_over(&mut self, number: u64) -> Result<(), Violation> {
        let holds_up = self
            .session
            .as_ref()
            .is_some_and(|session| session.number == number && !session.black_hole);
        if holds_up {
            return Err(Violation(
                "walferry holds up a server that stops".to_owned(),
            ));
        }
        if self.server == Server::Stopping {
            // Of a black hole the server knows no more than we; wal_sender_timeout ends it.
            self.server_is_down();
        }
        Ok(())
    }

    /// The server is down; it comes back.
    pub(crate) fn server_is_down(&mut self) {
        self.note(|| "the server is down".to_owned());
        if self.random.percent(50) {
            self.slot.save();
        }
        self.server = Server::Down;
        self.lose_session();
        let pause = self.random.millis(50..1500);
        self.after(pause, Event::ServerUp);
    }

    pub(crate) fn open_session(&mut self, asked: Lsn) {
        self.sessions += 1;
        let number = self.sessions;
        self.session = Some(Session {
            number,
            walsender: Walsender::start(&self.wal, &self.slot, asked),
            received: VecDeque::new(),
            on_the_way: 0,
            last_arrival: self.now,
            last_status: self.now,
            heard: self.now,
            send_planned: true,
            black_hole: false,
        });
        self.after(Duration::ZERO, Event::Keepalive { session: number });
        self.after(Duration::ZERO, Event::Send { session: number });
    }

    /// Lets the walsender look at the log again.
    pub(crate) fn nudge(&mut self) {
        if let Some(session) = self
            .session
            .as_mut()
            .filter(|session| !session.send_planned)
        {
            session.send_planned = true;
            let session = session.number;
            self.after(Duration::ZERO, Event::Send { session });
        }
    }

    /// The walsender fills the socket.
    pub(crate) fn send(&mut self, number: u64) {
        let Some(session) = of(&mut self.session, number) else {
            return;
        };
        session.send_planned = false;
        let mut arrivals = Vec::new();
        while session.on_the_way + session.received.len() < self.plan.socket {
            let Some(body) = session.walsender.next_body(&self.wal) else {
                break;
            };
            arrivals.push(session.arrival(self.now, &mut self.random, &self.plan, body));
        }
        for (when, event) in arrivals {
            self.at(when, event);
        }
    }

    /// Every second or so the server tells its position; at the same time it sees whether it has
    /// heard of us lately.
    pub(crate) fn keepalive(&mut self, number: u64) -> Result<(), Violation> {
        let Some(session) = of(&mut self.session, number) else {
            return Ok(());
        };
        if !session.black_hole && self.now > session.heard + STATUS_LIMIT {
            let silence = self.now - session.heard;
            return Err(Violation(format!(
                "the server has heard nothing for {silence:?}"
            )));
        }
        // The socket is full: a keepalive would wait behind the rows.
        if session.on_the_way + session.received.len() < self.plan.socket {
            let ask = self.random.percent(20);
            self.send_keepalive(ask);
        }
        let pause = self.random.millis(20..1500);
        self.after(pause, Event::Keepalive { session: number });
        Ok(())
    }

    pub(crate) fn send_keepalive(&mut self, ask: bool) {
        let Some(session) = &mut self.session else {
            return;
        };
        let (position, body) = session
            .walsender
            .keepalive(&self.wal, &mut self.random, ask);
        self.oracle.keepalive(position);
        let (when, event) = session.arrival(self.now, &mut self.random, &self.plan, body);
        self.at(when, event);
    }

    pub(crate) fn body_arrives(&mut self, number: u64, body: Vec<u8>) -> Result<(), Violation> {
        match of(&mut self.session, number) {
            Some(session) if !session.black_hole => {
                session.on_the_way -= 1;
                session.received.push_back(body);
            }
            _ => return Ok(()),
        }
        if let Some(run) = &mut self.run {
            run.hears(self.now);
        }
        self.turn()
    }

    /// walferry tells the server its position.
    pub(crate) fn send_status(&mut self, body: Vec<u8>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let due = self.now + self.random.micros(self.plan.wire.clone());
        session.last_status = session.last_status.max(due);
        let (when, session) = (session.last_status, session.number);
        self.at(when, Event::Status { session, body });
    }

    pub(crate) fn status_arrives(&mut self, number: u64, body: &[u8]) -> Result<(), Violation> {
        let Some(session) = of(&mut self.session, number) else {
            return Ok(());
        };
        if session.black_hole {
            return Ok(());
        }
        session.heard = self.now;
        let update = StatusUpdate::decode(body)
            .map_err(|error| Violation(format!("the server cannot read us: {error}")))?;
        self.summary.status_updates += 1;
        self.slot.confirm(update.flushed);
        if update.reply_requested {
            self.send_keepalive(false);
        }
        Ok(())
    }
}

impl Session {
    fn arrival(
        &mut self,
        now: Duration,
        random: &mut Random,
        plan: &Plan,
        body: Vec<u8>,
    ) -> (Duration, Event) {
        let due = now + random.micros(plan.wire.clone());
        self.last_arrival = self.last_arrival.max(due);
        self.on_the_way += 1;
        (
            self.last_arrival,
            Event::Arrive {
                session: self.number,
                body,
            },
        )
    }
}

/// The session, if it is still this one.
fn of(session: &mut Option<Session>, number: u64) -> Option<&mut Session> {
    session.as_mut().filter(|session| session.number == number)
}

/// `pg_ctl stop -m fast` may take this long with us attached.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// The server must hear of us at least so often; it would hang up after `wal_sender_timeout`.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
