//! The relay itself: rows forward, tickets and positions back.

use std::time::Duration;

use envelope::{EncodeError, Encoder, Options, Record, Records, RelationDetails, Table};
use pgoutput::{
    Begin, Commit, CommitLsn, DecodeError, EndLsn, KeepaliveLsn, Lsn, Message, PgTimestamp,
    Relation, ServerMessage,
};

use crate::catalog::{Captured, Catalog};
use crate::copy::Copying;
use crate::error::RelayError;
use crate::feedback::Feedback;
use crate::incremental::Incremental;
use crate::interface::{Closing, Describe, Now, Output, Positions, Settings, TableCounts, Totals};
use crate::ledger::{Confirmed, Ledger, Located, Mark, Ticket};
use crate::prepared::Prepares;
use crate::progress::Progress;
use crate::routed::RoutedTopics;
use crate::schedule::{Report, Schedule};
use crate::transaction::{self, Replay, Transaction};

/// The state machine.
///
/// Its contract: after any `handle_*`, take records from [`Relay::next_record`] until `None`,
/// then call [`Relay::poll`] until it says [`Output::WaitUntil`]; only then handle the next thing.
/// While [`Relay::wants_input`] is false, hand in no payload, but go on with everything else.
/// `now` never goes back.
#[derive(Debug)]
pub struct Relay {
    pub(crate) encoder: Encoder,
    pub(crate) options: Options,
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger,
    pub(crate) catalog: Catalog,
    schedule: Schedule,
    pub(crate) transaction: Option<Transaction>,
    /// The records of the message handled last; those before `taken` have left.
    pub(crate) records: Records,
    pub(crate) taken: usize,
    /// A record so large that it may be refused: nothing leaves behind it until it is settled.
    doubtful: Option<Ticket>,
    /// The end of the transaction of one message that is complete when its records have left.
    ends_with_records: Option<EndLsn>,
    undescribed: Option<Undescribed>,
    pub(crate) routed: RoutedTopics,
    pub(crate) prepares: Prepares,
    reported: Confirmed,
    rows_since_store: bool,
    until: Option<Lsn>,
    draining: bool,
    is_withheld: bool,
    server_leaving: Option<Duration>,
    pub(crate) copy: Copying,
    pub(crate) incremental: Incremental,
    published: Lsn,
    totals: Totals,
}

/// A relation whose details are being asked for.
#[derive(Debug)]
struct Undescribed {
    message: Vec<u8>,
    question: Option<Describe>,
}

impl Relay {
    /// A relay at the beginning of a connection.
    #[must_use]
    pub fn new(mut settings: Settings, now: Now) -> Self {
        let mut ledger = Ledger::new(settings.start.mark(), settings.start_is_durable);
        let known = settings.known_commit.take();
        let start = settings.start.commit_end_lsn;
        let prepares = Prepares::new(settings.two_phase_slot, start, known);
        ledger.hold(prepares.hold());
        Self {
            encoder: Encoder::new(settings.envelope.clone()),
            options: settings.envelope.clone(),
            reported: ledger.confirmed(),
            ledger,
            catalog: Catalog::default(),
            schedule: Schedule::new(settings.timing, now.since_start),
            transaction: None,
            records: Records::default(),
            taken: 0,
            doubtful: None,
            ends_with_records: None,
            undescribed: None,
            routed: RoutedTopics::default(),
            prepares,
            rows_since_store: false,
            until: None,
            draining: false,
            is_withheld: false,
            server_leaving: None,
            copy: Copying::new(settings.start.snapshot),
            incremental: Incremental::new(settings.start.chunk_ordinals),
            published: settings.start.commit_end_lsn,
            totals: Totals::default(),
            settings,
        }
    }

    /// Ends the run once everything before `position` is confirmed.
    pub fn stop_at(&mut self, position: Lsn) {
        self.until = Some(position);
        self.schedule.hurried = true;
    }

    /// Ends the run once everything received in whole is confirmed. No input is wanted any more.
    pub fn drain(&mut self) {
        self.draining = true;
        self.schedule.hurried = true;
    }

    /// Says whether nothing is handed in for a while, by the wish of who does it: it does not listen then.
    pub fn withhold(&mut self, is_withheld: bool) {
        self.is_withheld = is_withheld;
    }

    /// Whether the next payload may be handed in.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let blocked = self.copy.blocks_stream()
            || self.prepares.blocks_stream()
            || self.incremental.blocks_stream();
        self.is_described() && !blocked && self.has_room()
    }

    pub(crate) fn is_described(&self) -> bool {
        self.undescribed.is_none()
    }

    /// Whether somebody waits for the stream to come to a position.
    pub(crate) fn hurry(&mut self, copy_waits: bool) {
        self.schedule.hurried = copy_waits
            || self.until.is_some()
            || self.draining
            || self.incremental.waits_for_position();
    }

    pub(crate) fn has_room(&self) -> bool {
        let (records, bytes) = (
            self.ledger.in_flight_records(),
            self.ledger.in_flight_bytes(),
        );
        !self.draining
            && !self.is_withheld
            && self.doubtful.is_none()
            && self.taken >= self.records.len()
            && self.settings.limits.allow(records, bytes)
            && self.settings.limits.allow_span(self.ledger.span())
    }

    /// The socket gave something, whatever it was: the server lives.
    pub fn handle_sign_of_life(&mut self, now: Now) {
        self.schedule.heard(now.since_start);
    }

    /// The server ended the other connection, the one for questions: it may be shutting down. If
    /// nothing can be read at the moment it cannot be asked, and is let go after a short while.
    pub fn handle_server_leaving(&mut self, now: Now) {
        self.server_leaving = Some(now.since_start);
    }

    /// The server takes that other connection again: it does not shut down.
    pub fn handle_server_staying(&mut self) {
        self.server_leaving = None;
    }

    /// The body of one CopyData message.
    ///
    /// # Errors
    /// When the stream breaks its grammar or holds a value that cannot be published: the run is
    /// over then, and the slot stays where it is.
    pub fn handle_payload(&mut self, now: Now, payload: &[u8]) -> Result<(), RelayError> {
        debug_assert!(self.taken >= self.records.len(), "records were left behind");
        self.totals.received_bytes += payload.len() as u64;
        let message = ServerMessage::decode(payload).map_err(|source| self.malformed(source))?;
        match message {
            ServerMessage::WalData {
                data_start,
                payload,
                ..
            } => {
                self.schedule.rows();
                self.records.clear();
                self.taken = 0;
                self.handle_message(now, data_start, payload)
            }
            ServerMessage::Keepalive {
                wal_end,
                reply_requested,
                ..
            } => {
                let before = self.copy.before_point(wal_end.0);
                self.ledger.keepalive(KeepaliveLsn(before));
                self.stream_came_to(wal_end.0);
                self.prepares.stream_came_to(wal_end.0);
                self.hold_slot();
                self.schedule
                    .keepalive(now.since_start, wal_end, reply_requested);
                Ok(())
            }
        }
    }

    /// The catalog's answer to [`Output::Describe`].
    ///
    /// # Errors
    /// When the description that waited for it is malformed.
    pub fn handle_description(&mut self, details: &RelationDetails) -> Result<(), RelayError> {
        if let Some(undescribed) = self.undescribed.take() {
            let decoded = Message::decode(&undescribed.message);
            if let Message::Relation(relation) = decoded.map_err(|source| self.malformed(source))? {
                let table = Table::new(&relation, details, &self.options);
                self.describe(relation.oid, table);
            }
        }
        Ok(())
    }

    /// Kafka has acknowledged a record.
    pub fn handle_delivery(&mut self, ticket: Ticket) {
        self.doubtful = self.doubtful.filter(|doubtful| *doubtful != ticket);
        self.rows_since_store |= self.ledger.settle(ticket);
    }

    /// The position of the last [`Output::StoreProgress`] is durable in the progress topic.
    pub fn handle_stored(&mut self) {
        let durable = self.ledger.stored();
        self.incremental.ordinals.stored();
        self.prepares.durable(durable);
        self.hold_slot();
    }

    /// The next record to publish, with the ticket that has to come back.
    pub fn next_record(&mut self) -> Option<(Ticket, Record<'_>)> {
        if self.doubtful.is_some() {
            return None;
        }
        let record = self.records.get(self.taken)?;
        if record.routed && !self.routed.may_go(record.topic) {
            return None;
        }
        let size = record.size();
        let ticket = self.ledger.issue(size, record.relation)?;
        self.routed.went(ticket, &record, &self.ledger);
        self.doubtful = (size > self.settings.limits.surely_taken_bytes).then_some(ticket);
        self.totals.records += 1;
        self.totals.record_bytes += size as u64;
        self.catalog.count(record.relation, record.operation);
        self.taken += 1;
        if self.taken == self.records.len()
            && let Some(end) = self.ends_with_records.take()
        {
            self.ledger.commit(end);
        }
        Some((ticket, record))
    }

    /// What is to be done now; see the type's contract.
    pub fn poll(&mut self, now: Now) -> Output {
        let time = now.since_start;
        if !self.wants_input() {
            // Who does not listen cannot say that the peer is silent.
            self.schedule.heard(time);
        }
        if let Some(question) = self.undescribed.as_mut().and_then(|u| u.question.take()) {
            return Output::Describe(question);
        }
        if let Some(topic) = self.routed.question() {
            return Output::EnsureTopic(topic);
        }
        if self.storable()
            && self.schedule.store_due(time, self.rows_since_store)
            && let Some(mark) = self.next_mark()
        {
            self.schedule.storing(time);
            self.rows_since_store = false;
            self.incremental.ordinals.storing();
            return Output::StoreProgress(self.progress(mark));
        }
        let advanced = self.ledger.confirmed() > self.reported;
        let ask = match self.schedule.report(time, advanced) {
            Report::Update { ask } => Some(ask),
            Report::Nothing => (advanced && self.closing(time).is_some()).then_some(false),
        };
        if let Some(ask) = ask {
            return Output::Feedback(self.feedback(now, ask));
        }
        if let Some(closing) = self.closing(time) {
            // Said once: a drain goes on without the connection.
            self.server_leaving = None;
            return Output::Close(closing);
        }
        let storable = self.storable().then_some(self.rows_since_store);
        let next = self.schedule.next(advanced, storable);
        Output::WaitUntil(next.max(time + WAIT_MIN))
    }

    /// The ladder of positions.
    #[must_use]
    pub fn positions(&self) -> Positions {
        Positions {
            received: self.ledger.received(),
            published: self.published,
            acknowledged: self.ledger.acknowledged(),
            confirmed: self.ledger.confirmed().lsn(),
            in_flight: (
                self.ledger.in_flight_records(),
                self.ledger.in_flight_bytes(),
            ),
            oldest_commit_time: self.ledger.oldest_commit_time(),
            totals: self.totals,
        }
    }

    /// What was published of each table described so far.
    pub fn tables(&self) -> impl Iterator<Item = TableCounts<'_>> {
        self.catalog
            .all_captured()
            .map(|Captured { table, counts }| TableCounts {
                table: table.qualified_name(),
                counts: *counts,
            })
    }

    /// The topic of a table that was described, unless its rows name their topics.
    #[must_use]
    pub fn topic(&self, relation: u32) -> Option<&str> {
        let table = self.catalog.table(relation)?;
        (!table.is_outbox()).then(|| table.topic())
    }

    /// The topics of records that belong to no table.
    #[must_use]
    pub fn topics_without_table(&self) -> Vec<String> {
        self.options.topics_without_table()
    }

    /// Where a record in flight belongs, and its table if it is of one.
    #[must_use]
    pub fn locate(&self, ticket: Ticket) -> Option<(Located, Option<&Table>)> {
        let located = self.ledger.locate(ticket)?;
        Some((located, self.catalog.table(located.relation)))
    }

    pub(crate) fn handle_message(
        &mut self,
        now: Now,
        at: Lsn,
        payload: &[u8],
    ) -> Result<(), RelayError> {
        let message = Message::decode(payload).map_err(|source| self.malformed(source))?;
        if self.transaction.is_none() && self.hold_back(&message, at, payload) {
            return Ok(());
        }
        if self.handle_prepared(now, at, &message, payload)? {
            return Ok(());
        }
        match &message {
            Message::Begin(begin) => self.handle_begin(now, at, begin),
            Message::Commit(commit) => self.handle_commit(now, at, commit),
            Message::Relation(relation) => {
                self.handle_relation(relation, payload);
                Ok(())
            }
            Message::Type(_) => Ok(()),
            Message::Origin(origin) => match &mut self.transaction {
                Some(open) => {
                    open.origin = Some((origin.name.to_owned(), origin.origin_lsn));
                    Ok(())
                }
                None => Err(self.out_of_place(&message)),
            },
            Message::Logical(logical) if !logical.transactional => {
                self.handle_message_outside(now, &message, logical)
            }
            _ => self.handle_change(now, at, &message),
        }
    }

    pub(crate) fn handle_begin(
        &mut self,
        now: Now,
        at: Lsn,
        begin: &Begin,
    ) -> Result<(), RelayError> {
        if self.transaction.is_some() {
            return Err(self.out_of_place(&Message::Begin(*begin)));
        }
        self.prepares.stream_came_to(begin.commit_lsn.0);
        self.hold_slot();
        self.incremental.saw(begin.xid);
        let transaction = Transaction::begin(begin, self.settings.start.mark());
        let commit_time = begin.commit_time.unix_micros();
        self.ledger.begin(
            begin.commit_lsn,
            commit_time,
            transaction.replay.first_ordinal(),
        );
        if transaction.replay != Replay::Whole {
            let context = transaction.context(self.settings.start.epoch, at, now.unix_nanos);
            self.encoder.begin(&context, &mut self.records);
        }
        self.transaction = Some(transaction);
        self.number_records();
        Ok(())
    }

    pub(crate) fn handle_commit(
        &mut self,
        now: Now,
        at: Lsn,
        commit: &Commit,
    ) -> Result<(), RelayError> {
        let Some(open) = &self.transaction else {
            return Err(self.out_of_place(&Message::Commit(*commit)));
        };
        open.ends_with(commit)?;
        let replay = open.replay;
        if replay != Replay::Whole {
            let context = open.context(self.settings.start.epoch, at, now.unix_nanos);
            self.encoder.commit(&context, &mut self.records);
        }
        self.number_records();
        self.transaction = None;
        self.published = self.published.max(commit.commit_lsn.0);
        self.end_with_records(EndLsn(self.copy.before_point(commit.end_lsn.0)));
        self.totals.transactions += 1;
        self.totals.replayed_transactions += u64::from(replay == Replay::Whole);
        Ok(())
    }

    /// The open transaction is complete when the records at hand have left.
    pub(crate) fn end_with_records(&mut self, end: EndLsn) {
        if self.taken >= self.records.len() {
            self.ledger.commit(end);
        } else {
            self.ends_with_records = Some(end);
        }
    }

    fn handle_relation(&mut self, relation: &Relation<'_>, message: &[u8]) {
        self.incremental.described(relation);
        if self.is_signal_table(relation)
            || !(self.settings.captures)(relation.schema, relation.name)
        {
            self.catalog.ignore(relation.oid);
            return;
        }
        let types = relation
            .columns
            .iter()
            .map(|column| column.type_oid)
            .collect();
        let question = Some(Describe {
            relation: relation.oid,
            types,
            topic: (!self.options.is_outbox(relation.schema, relation.name))
                .then(|| self.options.topic(relation.schema, relation.name)),
        });
        self.undescribed = Some(Undescribed {
            message: message.to_vec(),
            question,
        });
    }

    /// Leaves out what an earlier run has published, and counts on.
    pub(crate) fn number_records(&mut self) {
        if let Some(open) = &mut self.transaction {
            let made = self.records.len() as u64;
            let first = open.replay.first_ordinal();
            let done = first.saturating_sub(open.next_ordinal).min(made);
            self.taken = usize::try_from(done).unwrap_or(usize::MAX);
            open.next_ordinal += made;
        }
    }

    fn progress(&self, mark: Mark) -> Progress {
        let snapshot = self.copy.state(mark.end, self.settings.start.snapshot);
        let Mark {
            end: commit_end_lsn,
            split,
        } = mark;
        Progress {
            commit_end_lsn,
            split,
            snapshot,
            chunk_ordinals: self.incremental.ordinals.wanted(),
            ..self.settings.start.clone()
        }
    }

    fn storable(&self) -> bool {
        let news = self.ledger.durable() != Some(self.ledger.mark());
        !self.ledger.is_storing() && (news || self.incremental.ordinals.are_news())
    }

    fn next_mark(&mut self) -> Option<Mark> {
        match self.incremental.ordinals.are_news() {
            true => self.ledger.store_again(),
            false => self.ledger.store(),
        }
    }

    /// Something is to be stored that does not show in the position.
    pub(crate) fn store_soon(&mut self) {
        self.rows_since_store = true;
    }

    /// Whether nothing is open and nothing half done: where a transaction of our own may stand.
    pub(crate) fn is_between_transactions(&self) -> bool {
        self.transaction.is_none()
            && self.ends_with_records.is_none()
            && !self.copy.blocks_stream()
            && !self.prepares.blocks_stream()
    }

    fn closing(&self, time: Duration) -> Option<Closing> {
        let confirmed = self.ledger.durable_end();
        let still = self.ledger.in_flight_records() == 0 && self.ledger.durable().is_some();
        let reached = self.until.is_some_and(|until| confirmed >= until);
        if reached && !self.draining && !self.copy.is_behind(confirmed) {
            Some(Closing::Reached)
        } else if self.draining && still && !self.storable() && !self.ledger.is_storing() {
            Some(Closing::Drained)
        } else if self.prepares.wants_another_run() && !self.draining {
            Some(Closing::Prepared)
        } else if self.schedule.is_silent(time) {
            Some(Closing::Silent)
        } else if self.schedule.is_stopping(time) || self.is_held_up(time) {
            Some(Closing::ServerStopping)
        } else {
            None
        }
    }

    fn is_held_up(&self, time: Duration) -> bool {
        let left = self
            .server_leaving
            .is_some_and(|since| time >= since + LEAVING_TIME);
        left && !self.wants_input()
    }

    fn feedback(&mut self, now: Now, ask: bool) -> Feedback {
        self.schedule.reported(now.since_start);
        self.reported = self.ledger.confirmed();
        let client_time = PgTimestamp::from_unix_micros(now.unix_nanos / 1000);
        Feedback::new(self.ledger.received(), self.reported, client_time, ask)
    }

    fn malformed(&self, source: DecodeError) -> RelayError {
        RelayError::Decode {
            near: self.ledger.received(),
            source,
        }
    }

    pub(crate) fn out_of_place(&self, message: &Message<'_>) -> RelayError {
        let place = match &self.transaction {
            Some(_) => "inside a transaction",
            None => "outside a transaction",
        };
        let near = self.ledger.received();
        RelayError::OutOfPlace {
            message: transaction::name(message),
            place,
            near,
        }
    }
}

pub(crate) fn encode(
    commit_lsn: CommitLsn,
    encoded: Result<(), EncodeError>,
) -> Result<(), RelayError> {
    encoded.map_err(|source| RelayError::Encode { commit_lsn, source })
}

/// How long a server whose other connection ended is held up by a relay that cannot read.
const LEAVING_TIME: Duration = Duration::from_millis(500);
/// A deadline that passed while it was computed is for the next turn.
const WAIT_MIN: Duration = Duration::from_micros(100);
