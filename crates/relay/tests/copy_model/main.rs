//! The copy and the stream around it, interleaved at random: writers go on, answers come late, and
//! the run is killed at any moment. In the end the topic, read from its beginning, is the table.
//!
//! A second, independent model of the server's side: a table as a list of transactions, a slot that
//! sends those whose commit starts at or behind its confirmed position, snapshots that show those
//! that start before their point.

mod server;
#[path = "../table/mod.rs"]
mod table;

use std::collections::VecDeque;
use std::time::Duration;

use envelope::{Operation, Options, RelationDetails, SnapshotMark};
use pgoutput::{KeepaliveLsn, Lsn, ServerMessage};
use proptest::prelude::*;
use relay::{Limits, Output, Progress, Relay, Settings, SnapshotState, Ticket, Timing};

use server::{KEYS, Rows, Server, TABLE, TIME, columns, messages, relation, row};
use table::{now, number};

const PARTITIONS: usize = 2;

/// What may happen next, where it is possible.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A transaction writes these keys; an odd value takes one away that is there.
    Write {
        key: u64,
        rows: u64,
        value: u64,
    },
    /// The server's next message arrives.
    Stream,
    Keepalive,
    /// The reader of the copy gives its next item.
    Copy,
    /// Kafka acknowledges the oldest record of a partition.
    Acknowledge {
        partition: usize,
    },
    /// The progress record is durable.
    Stored,
    /// The catalog answers.
    Answer,
    /// kill -9; of what was under way, Kafka has taken this much of each partition.
    Kill {
        taken: usize,
        stored: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..KEYS, 1..3_u64, any::<u64>())
            .prop_map(|(key, rows, value)| Step::Write { key, rows, value }),
        12 => Just(Step::Stream),
        3 => Just(Step::Keepalive),
        8 => Just(Step::Copy),
        10 => (0..PARTITIONS).prop_map(|partition| Step::Acknowledge { partition }),
        3 => Just(Step::Stored),
        4 => Just(Step::Answer),
        1 => (0..4_usize, any::<bool>()).prop_map(|(taken, stored)| Step::Kill { taken, stored }),
    ]
}

/// A record as Kafka has it; `ticket` while it is under way.
#[derive(Clone, Debug)]
struct Written {
    ticket: Ticket,
    key: u64,
    after: Option<u64>,
    copied: bool,
}

/// A partition: the records, and how many of them are acknowledged.
#[derive(Default)]
struct Partition {
    records: Vec<Written>,
    acknowledged: usize,
}

impl Partition {
    fn waiting(&self) -> &[Written] {
        &self.records[self.acknowledged..]
    }
}

enum Item {
    Point(u64, bool),
    Table,
    Row(u64, u64),
    Over,
}

/// One run, from a start to its kill.
struct Run {
    relay: Relay,
    /// Messages of the slot that have not arrived.
    messages: VecDeque<Vec<u8>>,
    /// Transactions put into `messages` so far.
    sent: usize,
    asked: bool,
    storing: Option<Progress>,
    /// None when there is no copy in this run, or it is over.
    copy: Option<VecDeque<Item>>,
    /// The copy has not taken its snapshot yet.
    snapshot_of: Option<bool>,
    point: u64,
}

struct World {
    server: Server,
    partitions: Vec<Partition>,
    durable: Option<Progress>,
    run: Run,
    seconds: u64,
}

impl Run {
    /// Goes on from what is durable; the first run's slot was made with a snapshot.
    fn start(durable: Option<&Progress>, first: bool, seconds: u64) -> Self {
        let start = durable.cloned().unwrap_or(Progress {
            system_identifier: 7,
            timeline: 1,
            epoch: 7,
            commit_end_lsn: Lsn::ZERO,
            split: None,
            snapshot: SnapshotState::Running,
            shape: 0,
            chunk_ordinals: 0,
        });
        let copies = start.snapshot == SnapshotState::Running;
        let settings = Settings {
            envelope: Options::new("srv", "db"),
            start_is_durable: start.commit_end_lsn != Lsn::ZERO,
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
        Self {
            relay: Relay::new(settings, now(seconds)),
            messages: VecDeque::new(),
            sent: 0,
            asked: false,
            storing: None,
            copy: copies.then(VecDeque::new),
            snapshot_of: copies.then_some(first),
            point: 0,
        }
    }

    /// What the snapshot shows, as the reader sends it.
    fn take_snapshot(&mut self, server: &Server, first: bool) {
        // The first one is the slot's own.
        let point = if first { server.slot } else { server.head };
        self.point = point;
        let rows = server.rows_at(point);
        let items = self.copy.get_or_insert_default();
        items.push_back(Item::Point(point, first));
        if !rows.is_empty() {
            items.push_back(Item::Table);
        }
        items.extend(rows.into_iter().map(|(key, value)| Item::Row(key, value)));
        items.push_back(Item::Over);
    }
}

impl World {
    /// A table with rows, and a slot that begins behind them.
    fn new(rows: &[u64]) -> Self {
        let mut server = Server {
            transactions: Vec::new(),
            head: 1000,
            slot: 0,
            rows: Rows::new(),
        };
        for key in rows {
            server.write(*key, 1, 2 * key);
        }
        server.slot = server.head;
        let mut world = Self {
            server,
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            durable: None,
            run: Run::start(None, true, 0),
            seconds: 0,
        };
        world.settle_down();
        world
    }

    /// Whether the step was possible.
    fn step(&mut self, step: Step) -> bool {
        let done = match step {
            Step::Write { key, rows, value } => {
                self.server.write(key, rows, value);
                true
            }
            Step::Stream => self.stream(),
            Step::Keepalive => self.keepalive(),
            Step::Copy => self.copy(),
            Step::Acknowledge { partition } => self.acknowledge(partition),
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
            let Some(next) = self.server.transactions.get(run.sent) else {
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

    /// Of the end of the WAL, once everything before it was sent.
    fn keepalive(&mut self) -> bool {
        let run = &mut self.run;
        let all_sent = run.messages.is_empty() && run.sent == self.server.transactions.len();
        if !all_sent || !run.relay.wants_input() {
            return false;
        }
        let mut body = Vec::new();
        let keepalive = ServerMessage::Keepalive {
            wal_end: KeepaliveLsn(Lsn::new(self.server.head)),
            send_time: TIME,
            reply_requested: false,
        };
        keepalive.encode(&mut body);
        run.relay.handle_payload(now(self.seconds), &body).unwrap();
        true
    }

    fn copy(&mut self) -> bool {
        let (run, now) = (&mut self.run, now(self.seconds));
        if run.copy.is_none() {
            return false;
        }
        if run.relay.copy_due().is_some() {
            run.relay.begin_copy(now, Lsn::new(run.point), 7);
        }
        if !run.relay.wants_copy() {
            return false;
        }
        if let Some(first) = run.snapshot_of.take() {
            run.take_snapshot(&self.server, first);
        }
        let item = run.copy.as_mut().and_then(VecDeque::pop_front);
        match item.expect("the copy ends with Over") {
            Item::Point(point, true) => run.relay.begin_copy(now, Lsn::new(point), 7),
            Item::Point(point, false) => run.relay.copy_at(Lsn::new(point)),
            Item::Table => {
                let columns = columns();
                run.relay
                    .handle_copy_table(&relation(&columns), &RelationDetails::default());
            }
            Item::Row(key, value) => run
                .relay
                .handle_copy_row(now, TABLE, row(key, Some(value)).tuple(), SnapshotMark::Row)
                .unwrap(),
            Item::Over => {
                run.copy = None;
                run.relay.end_copy(now).unwrap();
            }
        }
        true
    }

    fn acknowledge(&mut self, partition: usize) -> bool {
        let partition = &mut self.partitions[partition];
        let Some(oldest) = partition.records.get(partition.acknowledged) else {
            return false;
        };
        self.run.relay.handle_delivery(oldest.ticket);
        partition.acknowledged += 1;
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

    fn kill(&mut self, taken: usize, stored: bool) {
        for partition in &mut self.partitions {
            let left = partition.acknowledged + taken;
            partition.records.truncate(left);
            partition.acknowledged = partition.records.len();
        }
        if let Some(progress) = self.run.storing.take().filter(|_| stored) {
            self.durable = Some(progress);
        }
        self.run = Run::start(self.durable.as_ref(), false, self.seconds);
    }

    /// Takes all that the relay wants done.
    fn settle_down(&mut self) {
        self.seconds += 1;
        let (run, now) = (&mut self.run, now(self.seconds));
        while let Some((ticket, record)) = run.relay.next_record() {
            let key = number(record.key.unwrap(), "\"id\":");
            let after = match record.operation {
                Operation::Delete | Operation::Tombstone => None,
                _ => Some(number(record.value.unwrap(), "\"v\":")),
            };
            let partition = usize::try_from(key).unwrap() % PARTITIONS;
            let copied = record.operation == Operation::Read;
            let written = Written {
                ticket,
                key,
                after,
                copied,
            };
            self.partitions[partition].records.push(written);
        }
        run.relay.handle_sign_of_life(now);
        loop {
            match run.relay.poll(now) {
                Output::Describe(_) => run.asked = true,
                Output::StoreProgress(progress) => {
                    if progress.snapshot == SnapshotState::Finished {
                        assert!(run.copy.is_none(), "rows are still to come");
                        let mut waiting = self.partitions.iter().flat_map(Partition::waiting);
                        assert!(waiting.all(|it| !it.copied), "rows are under way");
                    }
                    let before = run.storing.replace(progress);
                    assert!(before.is_none(), "one at a time");
                }
                Output::Feedback(feedback) => {
                    let confirmed = feedback.confirmed().lsn();
                    let durable = self.durable.as_ref().map(|it| it.commit_end_lsn);
                    assert!(confirmed <= durable.unwrap_or_default(), "{confirmed}");
                    self.server.slot = self.server.slot.max(confirmed.as_u64());
                }
                Output::Close(closing) => panic!("{closing:?}"),
                Output::EnsureTopic(topic) => run.relay.handle_topic(topic),
                Output::WaitUntil(_) => return,
            }
        }
    }

    /// The topic from its beginning.
    fn fold(&self) -> Rows {
        let mut rows = Rows::new();
        for record in self.partitions.iter().flat_map(|it| &it.records) {
            match record.after {
                Some(value) => rows.insert(record.key, value),
                None => rows.remove(&record.key),
            };
        }
        rows
    }

    /// Lets everything happen that can, until all is confirmed.
    fn come_to_rest(&mut self) {
        for _ in 0..100_000 {
            let mut moved = false;
            for step in [Step::Answer, Step::Copy, Step::Stream, Step::Stored] {
                moved |= self.step(step);
            }
            for partition in 0..PARTITIONS {
                moved |= self.step(Step::Acknowledge { partition });
            }
            if !moved {
                self.step(Step::Keepalive);
                let durable = self.durable.as_ref();
                let finished = durable.is_some_and(|it| it.snapshot == SnapshotState::Finished);
                if finished && self.server.slot == self.server.head {
                    return;
                }
            }
        }
        panic!("it does not come to rest: {:?}", self.run.relay);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn the_topic_ends_up_as_the_table(
        rows in proptest::collection::vec(0..KEYS, 0..4),
        steps in proptest::collection::vec(step(), 0..160),
    ) {
        let mut world = World::new(&rows);
        for step in steps {
            world.step(step);
        }
        world.come_to_rest();
        let durable = world.durable.clone().unwrap();
        prop_assert_eq!(durable.snapshot, SnapshotState::Finished);
        prop_assert_eq!(world.fold(), world.server.rows.clone());
        // What is stored now is enough: a last run brings nothing new.
        let before: usize = world.partitions.iter().map(|it| it.records.len()).sum();
        world.step(Step::Kill { taken: 0, stored: false });
        world.come_to_rest();
        let after: usize = world.partitions.iter().map(|it| it.records.len()).sum();
        prop_assert_eq!(before, after);
    }
}
