//! The one loop of a connection: bytes, deliveries, deadlines and the wish to stop come in; the
//! relay decides; records, progress and feedback go out.
//!
//! ```text
//!   socket ──> ReplicationStream ──> Relay ──> Producer ──> Kafka
//!                     ^              ^ ^ │          │
//!                     └── Feedback ──┘ │ └─ Batch <─┘
//!                                      └──── answers to Questions (catalog, topics)
//! ```
//!
//! When the relay wants no input the socket is left unread, and all else goes on: feedback depends
//! neither on Kafka's speed nor on a question's answer. When the connection is lost, what is under
//! way to Kafka is waited for, so that little has to be repeated and no straggler can follow its own
//! repetition.

mod asked;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use pgoutput::Lsn;
use relay::{Closing, Output, Relay, Ticket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::Clock;
use crate::copy::{Copy, Handed};
use crate::end::{End, Refusal};
use crate::heartbeat::Heart;
use crate::incremental::Incremental;
use crate::kafka::deliveries::{Batch, Refused, Stream};
use crate::kafka::ensure::Ensured;
use crate::kafka::progress::ProgressWriter;
use crate::kafka::{KafkaError, Producer};
use crate::observer::Observer;
use crate::postgres::{CatalogSession, PostgresError, ReplicationStream};
use crate::questions::{Answered, Questions};
use crate::slot_watch::SlotWatch;

/// Everything one connection needs; made by `start.rs`.
pub struct Parts {
    /// The stream of the slot, owned.
    pub stream: ReplicationStream,
    /// The session for questions to the catalog.
    pub session: Arc<CatalogSession>,
    /// Who looks at the slot from outside for as long as the connection lasts.
    pub slot_watch: SlotWatch,
    /// The producer.
    pub producer: Producer,
    /// The topics known to exist.
    pub topics: Ensured,
    /// The writer of progress records.
    pub progress: ProgressWriter,
    /// The state machine.
    pub relay: Relay,
    /// The clock that the relay was made with.
    pub clock: Clock,
    /// The first copy of the rows that are there, if the relay expects one; others may be asked for.
    pub copy: Option<Copy>,
    /// Rows that are asked for while the stream goes on.
    pub incremental: Incremental,
    /// Who is told.
    pub observer: Observer,
    /// Heartbeats, if they are asked for.
    pub heart: Option<Heart>,
    /// How long to wait for Kafka's acknowledgements once no more input is wanted.
    pub drain_timeout: Duration,
}

/// The loop and its state.
pub struct Driver {
    stream: Option<ReplicationStream>,
    session: Arc<CatalogSession>,
    _slot_watch: SlotWatch,
    questions: Questions,
    producer: Producer,
    progress: ProgressWriter,
    relay: Relay,
    clock: Clock,
    copy: Option<Copy>,
    incremental: Incremental,
    observer: Observer,
    heart: Option<Heart>,
    drain_timeout: Duration,
    batch: Batch,
    out: Vec<u8>,
    observe_at: Instant,
    /// What the loop is ending for, once it is.
    ending: Option<End>,
    give_up_at: Option<Instant>,
    session_is_closed: bool,
    /// Whether it is told that the stream goes on behind a copy that was given up.
    is_streaming_told: bool,
}

/// How a turn of the loop came out.
enum Turn {
    /// There is more to do at once.
    Again,
    /// Nothing to do before this moment, unless something happens.
    WaitUntil(Instant),
    /// The relay is done with this connection.
    Close(Closing),
}

impl Driver {
    /// A loop that has not begun.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let made_for = parts.producer.made_for();
        Self {
            stream: Some(parts.stream),
            questions: Questions::new(Arc::clone(&parts.session), parts.topics, made_for),
            session: parts.session,
            _slot_watch: parts.slot_watch,
            producer: parts.producer,
            progress: parts.progress,
            relay: parts.relay,
            clock: parts.clock,
            copy: parts.copy,
            incremental: parts.incremental,
            observer: parts.observer,
            heart: parts.heart,
            drain_timeout: parts.drain_timeout,
            batch: Batch::default(),
            out: Vec::new(),
            observe_at: Instant::now(),
            ending: None,
            give_up_at: None,
            session_is_closed: false,
            is_streaming_told: false,
        }
    }

    /// Runs until the connection ends, one way or another, and tells the position confirmed then.
    /// `shutdown` turns true when a signal asks to stop.
    pub async fn run(mut self, shutdown: &mut watch::Receiver<bool>) -> (End, Lsn) {
        if self.copy.is_some() {
            self.observer.copying();
        }
        let end = self.turn_until_end(shutdown).await;
        self.observer.observe(&self.relay, &self.producer);
        if let Some(stream) = self.stream.take() {
            let finished = timeout(FINISH_TIMEOUT, stream.finish()).await;
            tracing::debug!(?finished, "ended the replication stream");
        }
        let patience = match end {
            // The next leg begins behind what is noted.
            End::Paused(_) => self.drain_timeout,
            _ => CLOSE_TIMEOUT,
        };
        self.producer.close(patience, &mut self.batch).await;
        (end, self.relay.positions().confirmed)
    }

    async fn turn_until_end(&mut self, shutdown: &mut watch::Receiver<bool>) -> End {
        loop {
            let next = match self.turn().await {
                Ok(Turn::Again) => Ok(()),
                Ok(Turn::WaitUntil(at)) => self.wait(at, shutdown).await,
                Ok(Turn::Close(Closing::Drained)) => {
                    return self.ending.take().unwrap_or(End::Drained);
                }
                Ok(Turn::Close(Closing::Prepared)) => Err(End::Prepared(self.relay.known_commit())),
                Ok(Turn::Close(closing)) => Err(closing.into()),
                Err(end) => Err(end),
            };
            if let Err(end) = next
                && let Some(end) = self.wind_down(end)
            {
                return end;
            }
            if let Some(end) = self.give_up() {
                return end;
            }
            self.observe();
        }
    }

    /// Takes in what is there, and does what the relay wants done.
    async fn turn(&mut self) -> Result<Turn, End> {
        self.look_at_session();
        self.take_deliveries()?;
        self.note_copied()?;
        self.pause_copy()?;
        // What waited for the acknowledgement of a large record.
        publish(&mut self.relay, &self.producer)?;
        self.beat();
        let is_held = self.ends_bulk()?;
        self.relay.withhold(is_held);
        let more = self.take_payloads()? | self.take_copied()?;
        self.take_asked()?;
        // The stream may have come to where a chunk's rows belong before they were read.
        let more = more || self.relay.wants_chunk();
        loop {
            match self.relay.poll(self.clock.now()) {
                Output::Describe(question) => self.questions.describe(question),
                Output::EnsureTopic(topic) => self.questions.topic(&topic),
                Output::StoreProgress(progress) => {
                    let now = self.clock.now();
                    let stored = self
                        .progress
                        .store(&self.producer, &progress, now.unix_nanos);
                    stored.map_err(|error| self.progress_refused(error))?;
                }
                Output::Feedback(feedback) => {
                    if let Some(stream) = &mut self.stream {
                        self.out.clear();
                        feedback.encode(&mut self.out);
                        stream.send(&self.out).await?;
                    }
                }
                Output::Close(closing) => return Ok(Turn::Close(closing)),
                Output::WaitUntil(_) if more => return Ok(Turn::Again),
                Output::WaitUntil(at) => return Ok(Turn::WaitUntil(self.clock.at(at))),
            }
        }
    }

    /// Has records leave soon again behind a copy, once nothing is in flight. Returns whether that is
    /// waited for: no record may follow meanwhile.
    fn ends_bulk(&mut self) -> Result<bool, End> {
        if !self.is_bulk_over() {
            return Ok(false);
        }
        if self.producer.in_flight() > 0 {
            return Ok(true);
        }
        // The last ones may have come back since the tray was looked at, and none may follow a refused one.
        self.take_deliveries()?;
        self.producer.end_bulk();
        tracing::debug!("records leave soon from now on");
        Ok(false)
    }

    fn is_bulk_over(&self) -> bool {
        self.producer.is_in_bulk() && self.copy.is_none() && self.ending.is_none()
    }

    /// Ends this connection where the server keeps too much WAL; the next goes on with the copy.
    fn pause_copy(&mut self) -> Result<(), End> {
        if self.ending.is_some() {
            return Ok(());
        }
        match self.copy.as_mut().and_then(Copy::pause) {
            Some(paused) => {
                self.observer.pausing(&paused);
                Err(End::Paused(paused))
            }
            None => Ok(()),
        }
    }

    /// Hands to the relay what came back from Kafka.
    fn take_deliveries(&mut self) -> Result<(), End> {
        self.producer.drain(&mut self.batch);
        for ticket in &self.batch.settled {
            self.relay.handle_delivery(Ticket::from_u64(*ticket));
        }
        if !self.batch.progress_settled.is_empty() {
            self.relay.handle_stored();
        }
        self.incremental.noted(self.batch.noted);
        if let (true, Some(heart)) = (self.batch.heartbeat, &mut self.heart) {
            heart.settled();
        }
        if let Some(refused) = self.batch.culprit() {
            return Err(self.refused(refused));
        }
        self.batch
            .fault
            .take()
            .map_or(Ok(()), |fault| Err(End::Producer(fault)))
    }

    /// Hands payloads to the relay and its records to the producer, a batch at a time so that
    /// deliveries are looked at in between. Returns whether there may be more at once.
    fn take_payloads(&mut self) -> Result<bool, End> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let now = self.clock.now();
        for _ in 0..PAYLOADS_PER_TURN {
            if self.relay.wants_kept() {
                self.relay.handle_kept(now)?;
                publish(&mut self.relay, &self.producer)?;
                continue;
            }
            if self.relay.wants_chunk() {
                self.relay.handle_chunk_row(now)?;
                publish(&mut self.relay, &self.producer)?;
                continue;
            }
            if !self.relay.wants_input() {
                return Ok(false);
            }
            let Some(payload) = stream.next_payload()? else {
                return Ok(false);
            };
            self.relay.handle_payload(now, payload)?;
            publish(&mut self.relay, &self.producer)?;
        }
        Ok(true)
    }

    /// Hands rows of the copy to the relay, as [`Driver::take_payloads`] does with the stream's.
    fn take_copied(&mut self) -> Result<bool, End> {
        let is_open = self.questions.is_open();
        let copy = self.copy.as_mut();
        let Some(copy) = copy.filter(|copy| !is_open && !copy.is_given_up()) else {
            return Ok(false);
        };
        let now = self.clock.now();
        copy.begin_when_due(&mut self.relay, now);
        for _ in 0..PAYLOADS_PER_TURN {
            if !self.relay.wants_copy() {
                return Ok(false);
            }
            let handed = match copy.hand_in(&mut self.relay, now) {
                Err(End::Copy(error)) => return self.without_copy(error).map(|()| true),
                handed => handed?,
            };
            publish(&mut self.relay, &self.producer)?;
            match handed {
                Handed::Something => {}
                Handed::Nothing => return Ok(false),
                Handed::Table(relation) => {
                    if let Some(topic) = self.relay.topic(relation) {
                        self.questions.topic(topic);
                    }
                    return Ok(!self.questions.is_open());
                }
                Handed::Over { rows } => {
                    self.observer.copied(rows);
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    /// Waits for the next thing to happen, and takes it in if it is of the socket.
    async fn wait(&mut self, at: Instant, shutdown: &mut watch::Receiver<bool>) -> Result<(), End> {
        let at = at.min(self.observe_at).min(self.give_up_at.unwrap_or(at));
        let heart = self.heart.as_ref().filter(|_| self.may_beat());
        let beat_at = heart.and_then(Heart::due);
        let at = at.min(beat_at.unwrap_or(at));
        let stream = self.stream.as_mut().filter(|_| self.relay.wants_input());
        let copy_is_wanted = self.relay.wants_copy() && !self.questions.is_open();
        let copy = self.copy.as_mut().filter(|_| copy_is_wanted);
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|asked| *asked), if self.ending.is_none() => {
                return Err(End::Drained);
            }
            () = self.producer.ready() => {}
            () = ready(copy) => {}
            () = self.incremental.ready() => {}
            answer = self.questions.answered() => {
                self.take_answer(&answer?)?;
            }
            read = read(stream) => {
                read?;
                self.relay.handle_sign_of_life(self.clock.now());
            }
            () = sleep_until(at) => {}
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: &Answered) -> Result<(), End> {
        if let Some(topic) = &answer.topic {
            let begun = self.progress.begin(&self.producer, topic);
            begun.map_err(|error| self.progress_refused(error))?;
            self.relay.handle_topic(topic.clone());
        }
        if let Some(details) = &answer.details {
            self.relay.handle_description(details)?;
        }
        Ok(())
    }

    /// Begins to end: nothing more is read, and what is under way is waited for. Ends that leave
    /// nothing to wait for come back at once.
    fn wind_down(&mut self, end: End) -> Option<End> {
        if end.is_immediate() {
            return Some(end);
        }
        if matches!(end, End::Lost(_)) {
            self.stream = None;
        }
        if let Some(copy) = &mut self.copy {
            copy.stop();
        }
        self.incremental.stop();
        self.questions.forget();
        if self.ending.is_none() {
            let lost = match &end {
                End::Lost(lost) => Some(lost),
                _ => None,
            };
            self.observer.draining(lost);
            self.ending = Some(end);
            self.give_up_at = Some(Instant::now() + self.drain_timeout);
            self.relay.drain();
        }
        None
    }

    fn give_up(&mut self) -> Option<End> {
        self.give_up_at.filter(|at| Instant::now() >= *at)?;
        match self.ending.take() {
            Some(End::Drained) => Some(End::DrainTimeout),
            end => end,
        }
    }

    /// Tells how things stand, now and then.
    fn observe(&mut self) {
        let now = Instant::now();
        if now < self.observe_at {
            return;
        }
        self.observe_at = now + OBSERVE_INTERVAL;
        if self.ending.is_none() {
            // One that is cut off goes on later, and is not over.
            self.observer.asked(self.incremental.asked());
        }
        self.observer.observe(&self.relay, &self.producer);
    }

    /// Nothing new is published while the loop ends, or waits until nothing is in flight.
    fn may_beat(&self) -> bool {
        self.ending.is_none() && !self.is_bulk_over()
    }

    fn beat(&mut self) {
        if self.may_beat()
            && let Some(heart) = &mut self.heart
            && let Err(error) = heart.beat(&self.producer, self.clock.now().unix_nanos)
        {
            tracing::debug!(%error, "a heartbeat was not sent");
        }
    }

    /// Sees whether the server still wants to talk to us at all: a session that it has closed may
    /// mean that it shuts down, one that it opens again means that it does not.
    fn look_at_session(&mut self) {
        let is_closed = self.session.is_closed();
        if is_closed == self.session_is_closed {
            return;
        }
        self.session_is_closed = is_closed;
        if is_closed {
            self.session.miss();
            self.relay.handle_server_leaving(self.clock.now());
        } else {
            self.relay.handle_server_staying();
        }
    }

    fn refused(&self, refused: &Refused) -> End {
        let error = refused.error.clone();
        match refused.stream {
            Stream::Progress | Stream::Note | Stream::Heartbeat => self.progress_refused(error),
            Stream::Record => {
                let ticket = Ticket::from_u64(refused.ticket);
                End::Refused(Refusal::of_record(&self.relay, ticket, error))
            }
        }
    }

    fn progress_refused(&self, error: KafkaError) -> End {
        End::Refused(Refusal::of_progress(self.progress.topic(), error))
    }
}

/// Moves the relay's records into the producer's queue.
fn publish(relay: &mut Relay, producer: &Producer) -> Result<(), End> {
    let mut refused = None;
    while let Some((ticket, record)) = relay.next_record() {
        if let Err(error) = producer.publish(ticket.as_u64(), &record) {
            refused = Some((ticket, error));
            break;
        }
    }
    match refused {
        None => Ok(()),
        Some((ticket, error)) if error.is_of_record() => {
            Err(End::Refused(Refusal::of_record(relay, ticket, error)))
        }
        Some((_, error)) => Err(End::Producer(error)),
    }
}

/// Reads what the socket holds; for ever, when there is none to be read.
async fn read(stream: Option<&mut ReplicationStream>) -> Result<(), PostgresError> {
    match stream {
        Some(stream) => {
            stream.readable().await?;
            stream.fill().map(drop)
        }
        None => pending().await,
    }
}

/// Waits for the copy's next rows; for ever, when none are wanted.
async fn ready(copy: Option<&mut Copy>) {
    match copy {
        Some(copy) => copy.ready().await,
        None => pending().await,
    }
}

/// Deliveries are looked at after so many payloads at the latest: a few milliseconds of work.
const PAYLOADS_PER_TURN: usize = 2048;
/// The producer's queue has room for so many beyond the records.
const NOTES_IN_FLIGHT_MAX: u64 = 1000;
/// How often telemetry is told.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(500);
/// How long the server may take to end the copy in good order.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);
/// What is still in the producer's queue at the end was given up already.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);
