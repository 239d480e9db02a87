//! Chunks of a table and the stream around them, interleaved at random: writers run beside each other,
//! commits are seen late, answers come late, and the run is killed at any moment. In the end the topic,
//! read from its beginning, is the table; and no row that was read comes behind something newer, or in front
//! of something that it has already, nor without a large value that updates leave alone. No two records ever share an id. On a standby there is no watermark
//! but what it has replayed.

mod courses;
mod reading;
mod server;
#[path = "../table/mod.rs"]
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use envelope::{Operation, Options, RelationDetails};
use pgoutput::{KeepaliveLsn, Lsn, ServerMessage};
use proptest::prelude::*;
use relay::{
    ChunkOutcome, KeptChanges, Limits, Output, Progress, Relay, Reread, Settings, SnapshotState,
    Ticket, Timing,
};

use reading::{Reading, Stage};
use server::{KEYS, Kind, Rows, Server, TABLE, TIME, Values, messages};
use table::{now, number};

/// Keys in a chunk, and chunks under way at once.
pub(crate) const CHUNK: u64 = 2;
const UNDER_WAY: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin {
        key: u64,
        kind: u64,
    },
    Commit {
        which: usize,
    },
    Show {
        which: usize,
    },
    Stream,
    Keepalive,
    /// The reader does the next thing for the newest, or the oldest, of its chunks.
    Read {
        oldest: bool,
        /// On a standby: rows are read on another, so many commits behind.
        lag: usize,
    },
    Row,
    /// The reader gives one of its chunks up, to read it later.
    Abandon {
        which: usize,
    },
    Acknowledge,
    Stored,
    Answer,
    /// kill -9; of what was under way, Kafka has taken this much.
    Kill {
        taken: usize,
        stored: bool,
    },
}

fn lag() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0_usize), 1 => 1..4_usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..KEYS, any::<u64>()).prop_map(|(key, kind)| Step::Begin { key, kind }),
        8 => any::<usize>().prop_map(|which| Step::Commit { which }),
        6 => any::<usize>().prop_map(|which| Step::Show { which }),
        24 => Just(Step::Stream),
        3 => Just(Step::Keepalive),
        12 => (any::<bool>(), lag()).prop_map(|(oldest, lag)| Step::Read { oldest, lag }),
        6 => Just(Step::Row),
        1 => any::<usize>().prop_map(|which| Step::Abandon { which }),
        12 => Just(Step::Acknowledge),
        3 => Just(Step::Stored),
        6 => Just(Step::Answer),
        1 => (0..4_usize, any::<bool>()).prop_map(|(taken, stored)| Step::Kill { taken, stored }),
    ]
}

#[derive(Clone, Debug)]
struct Written {
    ticket: Ticket,
    operation: Operation,
    key: Option<u64>,
    after: Option<Values>,
    /// What it tells is of this turn of the server's.
    turn: u64,
    /// LSN and ordinal of its id.
    id: (u64, u64),
}

/// What is kept of changes: often so little that windows give way.
fn kept() -> impl Strategy<Value = KeptChanges> {
    let (changes, bytes) = (0..6_usize, 0..600_usize);
    prop_oneof![
        Just(KeptChanges::default()),
        changes.prop_map(|changes| KeptChanges {
            changes,
            ..KeptChanges::default()
        }),
        bytes.prop_map(|bytes| KeptChanges {
            bytes,
            ..KeptChanges::default()
        }),
    ]
}

/// What a record says: operation, key, values.
type Told = (Operation, Option<u64>, Option<Values>);

/// One run, from a start to its kill.
struct Run {
    relay: Relay,
    messages: VecDeque<Vec<u8>>,
    sent: usize,
    asked: bool,
    storing: Option<Progress>,
    chunks: Vec<Reading>,
    /// First keys of chunks that are to be read.
    queue: VecDeque<u64>,
}

struct World {
    server: Server,
    topic: Vec<Written>,
    acknowledged: usize,
    durable: Option<Progress>,
    /// Chunks that Kafka has.
    done: Vec<u64>,
    windows: u64,
    run: Run,
    seconds: u64,
    again: usize,
    /// Because more was changed than is kept.
    overflown: usize,
    kept: KeptChanges,
    /// All that was ever handed out, by id.
    ids: BTreeMap<(u64, u64), Told>,
}

impl Run {
    fn start(durable: Option<&Progress>, slot: u64, done: &[u64], seconds: u64) -> Self {
        let start = durable.cloned().unwrap_or(Progress {
            system_identifier: 7,
            timeline: 1,
            epoch: 7,
            commit_end_lsn: Lsn::new(slot),
            split: None,
            snapshot: SnapshotState::None,
            shape: 0,
            chunk_ordinals: 0,
        });
        let mut envelope = Options::new("srv", "db");
        envelope.skipped_operations.truncate = false;
        let settings = Settings {
            envelope,
            start_is_durable: durable.is_some(),
            start,
            two_phase_slot: None,
            known_commit: None,
            limits: Limits {
                in_flight_records: 4,
                in_flight_bytes: 1 << 20,
                surely_taken_bytes: usize::MAX,
            },
            timing: Timing::for_server(Duration::from_secs(60), None),
            captures: Box::new(|_, _| true),
        };
        let chunks = (0..KEYS).step_by(usize::try_from(CHUNK).unwrap());
        Self {
            relay: Relay::new(settings, now(seconds)),
            messages: VecDeque::new(),
            sent: 0,
            asked: false,
            storing: None,
            chunks: Vec::new(),
            queue: chunks.filter(|first| !done.contains(first)).collect(),
        }
    }
}

/// The large value, if it is told.
fn large(json: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(json).unwrap();
    let (_, rest) = text.rsplit_once("\"large\":\"").unwrap();
    let (value, _) = rest.split_once('"').unwrap();
    (value != Options::UNAVAILABLE_VALUE).then(|| value.parse().unwrap())
}

impl World {
    /// A table with rows, and a slot that begins behind them.
    fn new(kind: Kind, rows: &[u64], first_xid: u64) -> Self {
        let mut server = Server::new(kind, first_xid);
        for key in rows {
            server.begin(*key, 5);
            server.commit(0);
            while server.show(0) {}
        }
        server.slot = server.head;
        server.replayed = server.head;
        let mut world = Self {
            run: Run::start(None, server.slot, &[], 0),
            server,
            topic: Vec::new(),
            acknowledged: 0,
            durable: None,
            done: Vec::new(),
            windows: 0,
            seconds: 0,
            again: 0,
            overflown: 0,
            kept: KeptChanges::default(),
            ids: BTreeMap::new(),
        };
        world.settle_down();
        world
    }

    fn keep(&mut self, kept: KeptChanges) {
        self.kept = kept;
        self.run.relay.keep_changes(kept);
    }

    /// Whether the step was possible.
    fn step(&mut self, step: Step) -> bool {
        let done = match step {
            Step::Begin { key, kind } => self.server.begin(key, kind),
            Step::Commit { which } => self.server.commit(which),
            Step::Show { which } => self.server.show(which),
            Step::Stream => self.stream(),
            Step::Keepalive => self.keepalive(),
            Step::Read { oldest, lag } => self.read(oldest, lag),
            Step::Row => self.row(),
            Step::Abandon { which } => self.abandon(which),
            Step::Acknowledge => self.acknowledge(),
            Step::Stored => self.stored(),
            Step::Answer => self.answer(),
            Step::Kill { taken, stored } => {
                self.kill(taken, stored);
                true
            }
        };
        self.settle_down();
        done
    }

    fn stream(&mut self) -> bool {
        let run = &mut self.run;
        while run.messages.is_empty() {
            let next = self.server.log.get(run.sent);
            let Some(next) = next.filter(|next| self.server.can_send(next)) else {
                return false;
            };
            run.sent += 1;
            if next.commit_lsn >= self.server.slot {
                run.messages.extend(messages(next));
            }
        }
        if !run.relay.wants_input() {
            return false;
        }
        let body = run.messages.pop_front().unwrap();
        run.relay.handle_payload(now(self.seconds), &body).unwrap();
        true
    }

    fn keepalive(&mut self) -> bool {
        let run = &mut self.run;
        let next = self.server.log.get(run.sent);
        let all_sent = run.messages.is_empty() && !next.is_some_and(|it| self.server.can_send(it));
        if !all_sent || !run.relay.wants_input() {
            return false;
        }
        let mut body = Vec::new();
        let keepalive = ServerMessage::Keepalive {
            wal_end: KeepaliveLsn(Lsn::new(self.server.sent_end())),
            send_time: TIME,
            reply_requested: false,
        };
        keepalive.encode(&mut body);
        run.relay.handle_payload(now(self.seconds), &body).unwrap();
        true
    }

    fn read(&mut self, oldest: bool, lag: usize) -> bool {
        let run = &mut self.run;
        if run.chunks.len() < UNDER_WAY
            && let Some(first) = run.queue.pop_front()
        {
            self.windows += 1;
            run.relay.open_window(self.windows, TABLE);
            run.chunks.push(Reading::new(self.windows, first));
            return true;
        }
        let ready = |it: &&mut Reading| !matches!(it.stage, Stage::Awaited);
        let mut ready: Vec<_> = run.chunks.iter_mut().filter(ready).collect();
        let place = if oldest { 0 } else { ready.len().max(1) - 1 };
        let Some(reading) = ready.get_mut(place) else {
            return false;
        };
        reading.go_on(&mut self.server, &mut run.relay, lag)
    }

    fn row(&mut self) -> bool {
        let wanted = self.run.relay.wants_chunk();
        if wanted {
            let now = now(self.seconds);
            self.run.relay.handle_chunk_row(now).unwrap();
        }
        wanted
    }

    fn abandon(&mut self, which: usize) -> bool {
        let run = &mut self.run;
        if run.chunks.is_empty() {
            return false;
        }
        let reading = run.chunks.remove(which % run.chunks.len());
        run.relay.close_window(reading.window);
        run.queue.push_back(reading.first);
        true
    }

    fn acknowledge(&mut self) -> bool {
        let Some(oldest) = self.topic.get(self.acknowledged) else {
            return false;
        };
        self.run.relay.handle_delivery(oldest.ticket);
        self.acknowledged += 1;
        true
    }

    fn stored(&mut self) -> bool {
        let Some(progress) = self.run.storing.take() else {
            return false;
        };
        self.durable = Some(progress);
        self.run.relay.handle_stored();
        true
    }

    fn answer(&mut self) -> bool {
        let asked = std::mem::take(&mut self.run.asked);
        if asked {
            let details = RelationDetails::default();
            self.run.relay.handle_description(&details).unwrap();
        }
        asked
    }

    /// The next reader waits until those are seen that are committed by now.
    fn kill(&mut self, taken: usize, stored: bool) {
        self.topic.truncate(self.acknowledged + taken);
        self.acknowledged = self.topic.len();
        if let Some(progress) = self.run.storing.take().filter(|_| stored) {
            self.durable = Some(progress);
        }
        while self.server.kind == Kind::Primary && self.server.show(0) {}
        let (durable, slot) = (self.durable.as_ref(), self.server.slot);
        self.run = Run::start(durable, slot, &self.done, self.seconds);
        self.keep(self.kept);
    }

    fn settle_down(&mut self) {
        self.seconds += 1;
        self.take_records();
        let (kept, most) = (self.run.relay.kept_changes(), self.kept);
        assert!(
            kept.changes <= most.changes && kept.bytes <= most.bytes,
            "{kept:?} is kept, of {most:?}"
        );
        while let Some((window, outcome)) = self.run.relay.chunk_outcome() {
            let of = |it: &Reading| it.window == window;
            // None, if it was given up while its rows left.
            let Some(place) = self.run.chunks.iter().position(of) else {
                continue;
            };
            let reading = self.run.chunks.remove(place);
            match outcome {
                ChunkOutcome::Done { .. } => self.done.push(reading.first),
                ChunkOutcome::Refused(error) => panic!("{error}"),
                ChunkOutcome::Again(why) => {
                    self.again += 1;
                    self.overflown += usize::from(why == Reread::TooMuchChanged);
                    self.run.queue.push_back(reading.first);
                }
            }
        }
        let (run, now) = (&mut self.run, now(self.seconds));
        run.relay.handle_sign_of_life(now);
        loop {
            match run.relay.poll(now) {
                Output::Describe(_) => run.asked = true,
                Output::StoreProgress(progress) => run.storing = Some(progress),
                Output::Feedback(feedback) => {
                    let confirmed = feedback.confirmed().lsn();
                    self.server.slot = self.server.slot.max(confirmed.as_u64());
                }
                Output::Close(closing) => panic!("{closing:?}"),
                Output::EnsureTopic(topic) => run.relay.handle_topic(topic),
                Output::WaitUntil(_) => return,
            }
        }
    }

    fn take_records(&mut self) {
        while let Some((ticket, record)) = self.run.relay.next_record() {
            let key = record.key.map(|key| number(key, "\"id\":"));
            let is_row = !matches!(record.operation, Operation::Delete | Operation::Truncate);
            let value = record.value.filter(|_| is_row);
            let after = value.map(|value| Values {
                v: number(value, "\"v\":"),
                large: large(value),
            });
            let id = std::str::from_utf8(record.id).unwrap();
            let mut parts = id.split(':').skip(1);
            let commit_lsn: Lsn = parts.next().unwrap().parse().unwrap();
            let id = (commit_lsn.as_u64(), parts.next().unwrap().parse().unwrap());
            let told = (record.operation, key, after);
            let is_new = !self.ids.contains_key(&id);
            assert_eq!(
                *self.ids.entry(id).or_insert(told),
                told,
                "one id, two records"
            );
            let turn = match record.operation {
                Operation::Read => after.unwrap().v,
                _ => self.server.turn_of(commit_lsn.as_u64()),
            };
            let of = |it: &&Written| it.key == key || it.key.is_none();
            let before = || self.topic.iter().filter(of);
            if record.operation == Operation::Read {
                let newest = before().map(|it| it.turn).max();
                assert!(newest.is_none_or(|it| it <= turn), "{key:?} is older");
                let large = after.unwrap().large;
                assert!(large.is_some(), "{key:?} was read in part");
                let newest = before().filter_map(|it| it.after?.large).max();
                assert!(newest <= large, "{key:?} has an older large value");
                let highest = before().map(|it| it.id).max();
                assert!(highest < Some(id), "who keeps the highest id skips it");
            } else if is_new {
                let reads = before().filter(|it| it.operation == Operation::Read);
                let newest = reads.map(|it| it.turn).max();
                assert!(
                    newest.is_none_or(|it| it < turn),
                    "{key:?} had that already"
                );
            }
            self.topic.push(Written {
                ticket,
                operation: record.operation,
                key,
                after,
                turn,
                id,
            });
        }
    }

    /// The topic from its beginning.
    fn fold(&self) -> Rows {
        let mut rows = BTreeMap::new();
        for record in &self.topic {
            match (record.key, record.after) {
                (Some(key), Some(values)) => {
                    let values = values.over(rows.get(&key));
                    rows.insert(key, values);
                }
                (Some(key), None) => {
                    rows.remove(&key);
                }
                (None, _) => {
                    assert_eq!(record.operation, Operation::Truncate);
                    rows.clear();
                }
            }
        }
        rows
    }

    /// Lets everything happen that can, until all is read and confirmed.
    fn come_to_rest(&mut self) {
        let steps = [
            Step::Commit { which: 0 },
            Step::Show { which: 0 },
            Step::Answer,
            Step::Stream,
            Step::Row,
            Step::Acknowledge,
            Step::Stored,
            Step::Read {
                oldest: true,
                lag: 0,
            },
        ];
        for _ in 0..100_000 {
            let mut moved = false;
            for step in steps {
                moved |= self.step(step);
            }
            if !moved {
                self.step(Step::Keepalive);
                let all = self.run.queue.is_empty() && self.run.chunks.is_empty();
                if all && self.server.slot == self.server.head {
                    let kept = self.run.relay.kept_changes();
                    assert_eq!((kept.changes, kept.bytes), (0, 0), "nobody needs it");
                    return;
                }
            }
        }
        panic!("it does not come to rest: {:?}", self.run.relay);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_topic_ends_up_as_the_table(
        on_standby in any::<bool>(),
        rows in proptest::collection::vec(0..KEYS, 0..8),
        wraps in any::<bool>(),
        kept in kept(),
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        // Ids whose low half wraps around soon, too.
        let first_xid = if wraps { (1 << 32) - 12 } else { 700 };
        let kind = if on_standby { Kind::Standby } else { Kind::Primary };
        let mut world = World::new(kind, &rows, first_xid);
        world.keep(kept);
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();
        prop_assert_eq!(world.fold(), world.server.rows());
    }
}
