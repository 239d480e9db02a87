//! The loop's end of it: signals become requests, one of which is read; what the reader sends goes into
//! the relay, and what Kafka has is noted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, SystemTime};

use envelope::Options;
use pgoutput::Lsn;
use relay::Relay;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::asked::NOT_PAUSED;
use super::blocking::Blocking;
use super::chunks::ToLoop;
use super::door::Door;
use super::names;
use super::origin::Record;
use super::reader::{Item, Reader, Sent};
use super::reading::{self, Reading};
use super::request::{Asked, Noted, Request, State};
use super::telling::Telling;
use super::under_way::PANICKED;
use crate::config::{Config, TableFilter};
use crate::copy;
use crate::kafka::{KafkaError, Producer, ProgressWriter, RequestKey};
use crate::postgres::Conninfo;
use crate::signal::{Action, Kind, Signal, Stopped};
use crate::signal_topic::SignalTopic;

/// What reading needs to know.
pub struct ReadSettings {
    /// The server.
    pub conninfo: Conninfo,
    /// The slot, for the watermarks' names.
    pub slot: String,
    /// Tables of this publication,
    pub publication: String,
    /// as far as they are wanted.
    pub tables: TableFilter,
    /// How events are written.
    pub options: Options,
    /// Tables that are read by statements, which chunks know nothing of.
    pub selects: BTreeMap<String, String>,
    /// The most rows of a chunk.
    pub chunk_rows: usize,
    /// Over how many sessions chunks are read.
    pub sessions: usize,
    /// How long a lock may be waited for.
    pub lock_timeout: Duration,
    /// `schema.table` of the signals.
    pub signal_table: Option<String>,
    /// Unlike that of any other run: no watermark of another is taken for one of this.
    pub nonce: String,
}

impl ReadSettings {
    /// Those of a run.
    #[must_use]
    pub fn of(config: &Config, conninfo: &Conninfo) -> Self {
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            conninfo: conninfo.clone(),
            slot: config.postgres.slot.clone(),
            publication: config.postgres.publication.clone(),
            tables: config.tables.clone(),
            options: config.envelope.clone(),
            selects: config.copy.selects.clone(),
            chunk_rows: config.chunk_rows,
            sessions: config.copy.readers.unwrap_or_else(suitable_sessions),
            lock_timeout: config.copy.lock_timeout,
            signal_table: config.signals.table_name(),
            nonce: format!("{:x}.{:x}", since_epoch.as_nanos(), std::process::id()),
        }
    }

    pub(super) fn is_signal_table(&self, name: &str) -> bool {
        self.signal_table.as_deref() == Some(name)
    }
}

/// As many as there are cores: one loop takes in what they read.
fn suitable_sessions() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(SESSIONS_MAX))
}

/// Beside a stream that is not to suffer.
const SESSIONS_MAX: usize = 4;

/// The requests of a connection.
pub struct Incremental {
    settings: Arc<ReadSettings>,
    windows: Arc<AtomicU64>,
    /// The first is read.
    pub(super) requests: VecDeque<Request>,
    reading: Option<Reading>,
    pub(super) blocking: Blocking,
    /// Ended, and still noted.
    pub(super) ended: BTreeSet<(String, String)>,
    /// Obeyed while the stream stood; it comes to these signals yet.
    pub(super) stopped_ahead: Vec<Stopped>,
    /// Signals that were not understood.
    ignored: u64,
    /// Notes to be written.
    pub(super) notes: Vec<Request>,
    /// When the first of them, if it is a blocking one, was last noted.
    pub(super) noted_at: Instant,
    door: Door,
    _topic: Option<SignalTopic>,
}

/// What earlier runs have left.
#[derive(Debug, Default)]
pub struct Left {
    /// The requests.
    pub requests: Noted,
    /// How far the copies of blocking ones have come.
    pub parts: BTreeMap<RequestKey, copy::Noted>,
}

impl Incremental {
    /// Of a run: goes on with what is noted, and listens.
    #[must_use]
    pub fn of(
        config: &Config,
        conninfo: &Conninfo,
        copied: (copy::Wanted, copy::Site),
        left: Left,
    ) -> Self {
        let (sender, signals) = mpsc::channel(1);
        Self {
            _topic: SignalTopic::begin(config, conninfo, sender),
            door: Door::new(signals),
            ..Self::new(ReadSettings::of(config, conninfo), copied, left)
        }
    }

    /// Goes on with what is noted.
    #[must_use]
    pub fn new(settings: ReadSettings, copied: (copy::Wanted, copy::Site), left: Left) -> Self {
        let (mut running, ended): (Vec<_>, Vec<_>) = left
            .requests
            .into_values()
            .partition(|request| request.state == State::Running);
        running.sort_by_key(Request::turn);
        let settings = Arc::new(settings);
        for request in &mut running {
            request.is_earlier = true;
            info!(
                request = request.id,
                rows = request.rows,
                "the snapshot beside the stream goes on"
            );
        }
        Self {
            blocking: Blocking::new(copied, Arc::clone(&settings), left.parts),
            settings,
            windows: Arc::default(),
            requests: running.into(),
            reading: None,
            ended: ended.into_iter().map(|it| (it.id, it.at)).collect(),
            stopped_ahead: Vec::new(),
            ignored: 0,
            notes: Vec::new(),
            noted_at: Instant::now(),
            door: Door::default(),
            _topic: None,
        }
    }

    /// Returns when there is something to take in. Safe to cancel.
    pub async fn ready(&mut self) {
        tokio::select! {
            () = reading::came(self.reading.as_mut()) => {}
            () = self.blocking.ready() => {}
            () = self.door.ready() => {}
        }
    }

    /// Kafka has the notes that are waited for up to this number.
    pub fn noted(&mut self, number: u64) {
        self.door.noted(number);
    }

    /// Ends the reading; what is noted stays. What becomes of a copy under way is still noted.
    pub fn stop(&mut self) {
        self.reading = None;
        let blocking = &self.blocking;
        self.requests.retain(|it| blocking.is_copying(it));
        if self.requests.is_empty() {
            self.blocking.stop();
        }
        self.blocking.hear_no_more();
    }

    /// How things stand.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            snapshots: self.requests.iter().map(Into::into).collect(),
            signals_ignored: self.ignored,
        }
    }

    /// Takes in signals, items and outcomes; begins nothing while rows are copied. Before [`Relay::poll`]: notes go ahead of the positions.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn turn(
        &mut self,
        relay: &mut Relay,
        progress: &ProgressWriter,
        producer: &Producer,
        is_copying: bool,
    ) -> Result<(), KafkaError> {
        while let Some((at, signalled)) = relay.take_signal() {
            match Signal::of_stream(&signalled) {
                Ok(signal) => self.obey(relay, signal, at, None),
                Err(error) => self.ignore(&error, at),
            }
        }
        self.take_direct(relay);
        while let Some((window, outcome)) = relay.chunk_outcome() {
            if let Some(reading) = &mut self.reading {
                reading.open.remove(&window);
                let _ = reading.outcomes.send((window, outcome));
            }
        }
        while let Some((item, taken)) = self.next_item() {
            self.take(relay, item);
            let _ = taken.send(());
        }
        self.take_died(relay);
        self.take_watched(relay);
        if !is_copying {
            self.begin_next();
        }
        self.write_notes(progress, producer)
    }

    /// Writes what is to be noted.
    ///
    /// # Errors
    /// The producer has stopped.
    pub fn write_notes(
        &mut self,
        progress: &ProgressWriter,
        producer: &Producer,
    ) -> Result<(), KafkaError> {
        for note in self.notes.drain(..) {
            progress.note_request(producer, &note, self.door.number())?;
        }
        Ok(())
    }

    /// Takes in signals that have no place in the stream. One may come a second time after a kill.
    fn take_direct(&mut self, relay: &mut Relay) {
        while let Some(direct) = self.door.next() {
            let here = relay.positions().received;
            let before = self.notes.len();
            match Signal::of_json(&direct.content, None) {
                Ok(signal) => {
                    let at = match signal.action {
                        // Behind those that wait already, also where the stream is behind an earlier run.
                        Action::Execute(_) => {
                            let asked = self.requests.iter().map(Request::position);
                            asked.fold(here, Lsn::max)
                        }
                        _ => Lsn::new(u64::MAX),
                    };
                    self.obey(relay, signal, at, Some(&direct.record));
                }
                Err(error) => self.ignore(&error, here),
            }
            if self.notes.len() > before {
                self.door.answer_after(self.notes.len(), direct.waiting);
            } else {
                let _ = direct.waiting.send(());
            }
        }
    }

    fn ignore(&mut self, error: &crate::signal::SignalError, at: Lsn) {
        self.ignored += 1;
        warn!(%at, %error, "SIGNAL_IGNORED: a signal was not understood");
    }

    fn next_item(&mut self) -> Option<Sent> {
        self.reading.as_mut()?.next()
    }

    fn take(&mut self, relay: &mut Relay, item: Item) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        match item {
            Item::Open { window, relation } => {
                reading.open.insert(window);
                relay.open_window(window, relation);
            }
            Item::Chunk { chunk, table } => {
                relay.handle_chunk(chunk, &table.copied.relation(), &table.details);
            }
            Item::Abandon { window } => {
                reading.open.remove(&window);
                relay.close_window(window);
            }
            Item::Note(request) => self.note_first(*request),
            Item::Over(request) => {
                self.note_first(*request);
                self.end_first(relay);
            }
        }
    }

    /// What the reader says of the first request; whether it is paused is not the reader's to say.
    fn note_first(&mut self, request: Request) {
        if let Some(first) = self.requests.front_mut() {
            let paused = first.paused;
            *first = Request { paused, ..request };
            self.notes.push(first.clone());
        }
    }

    /// The reader has gone without a word: its request ends, and those behind it have their turn.
    fn take_died(&mut self, relay: &mut Relay) {
        if !self.reading.as_ref().is_some_and(Reading::is_dead) {
            return;
        }
        if let Some(first) = self.requests.front_mut() {
            warn!(
                request = first.id,
                reason = PANICKED,
                "SNAPSHOT_TABLE_LEFT_OUT: no further row of the request is published"
            );
            first.add_problem(PANICKED.to_owned());
            first.end();
            self.notes.push(first.clone());
        }
        self.end_first(relay);
    }

    fn end_first(&mut self, relay: &mut Relay) {
        self.end_reading(relay);
        self.pop_first();
    }

    pub(super) fn pop_first(&mut self) {
        if let Some(ended) = self.requests.pop_front() {
            let (rows, state) = (ended.rows, ended.state);
            info!(
                request = ended.id,
                rows,
                ?state,
                "the snapshot beside the stream is over"
            );
            self.ended.insert((ended.id, ended.at));
        }
    }

    pub(super) fn end_reading(&mut self, relay: &mut Relay) {
        if let Some(reading) = self.reading.take() {
            reading
                .open
                .iter()
                .for_each(|window| relay.close_window(*window));
        }
    }

    fn begin_next(&mut self) {
        let (None, Some(first)) = (&self.reading, self.requests.front()) else {
            return;
        };
        if first.kind == Kind::Blocking {
            if !first.paused {
                self.blocking.prepare(first);
            }
            return;
        }
        let (sender, items) = mpsc::channel(1);
        let (outcomes, came_back) = mpsc::unbounded_channel();
        let (paused, watched) = watch::channel(first.paused);
        let reader = Reader {
            settings: Arc::clone(&self.settings),
            windows: Arc::clone(&self.windows),
            request: first.clone(),
            to_loop: ToLoop(sender),
            outcomes: came_back,
            paused: watched,
            noted_at: Instant::now(),
            telling: Telling::new(Instant::now()),
        };
        self.reading = Some(Reading {
            items,
            came: None,
            is_over: false,
            outcomes,
            paused,
            open: BTreeSet::new(),
            task: tokio::spawn(reader.run()).abort_handle(),
        });
    }

    fn obey(&mut self, relay: &mut Relay, signal: Signal, at: Lsn, record: Option<&Record>) {
        let id = signal.id;
        match signal.action {
            Action::Execute(wanted) => {
                let (at, heard) = match record {
                    Some(record) => (record.to_string(), at.to_string()),
                    None => (at.to_string(), String::new()),
                };
                let running = self.requests.iter().map(|it| (&it.id, &it.at));
                let ended = self.ended.iter().map(|(id, at)| (id, at));
                let Some(id) = names::name(&id, &at, running, ended) else {
                    info!(
                        request = id,
                        at, "its signal came a second time, and was taken already"
                    );
                    return;
                };
                info!(request = id, collections = ?wanted.collections, "rows are to be published beside the stream");
                let request = Request {
                    heard,
                    ..Request::new(id, at, wanted)
                };
                self.notes.push(request.clone());
                self.requests.push_back(request);
            }
            Action::Stop(stopped) => self.hear_stop(relay, &id, &stopped, at),
            Action::Pause => self.pause(true, at),
            Action::Resume => self.pause(false, at),
            Action::Log(message) => info!(signal = id, "{message}"),
        }
    }

    fn pause(&mut self, paused: bool, at: Lsn) {
        let asked = |request: &&mut Request| request.is_asked_by(at);
        for request in self.requests.iter_mut().filter(asked) {
            if paused && self.blocking.is_of(request) {
                warn!(request = request.id, "{NOT_PAUSED}");
                continue;
            }
            request.paused = paused;
            self.notes.push(request.clone());
        }
        if let (Some(reading), Some(first)) = (&self.reading, self.requests.front()) {
            reading.paused.send_replace(first.paused);
        }
        let requests = self.requests.len();
        match paused {
            true => info!(requests, "snapshots beside the stream are paused"),
            false => info!(requests, "snapshots beside the stream go on"),
        }
    }
}
