//! The copy of existing rows and the stream around it: their order, and what is stored when.

use std::time::Duration;

use envelope::{Options, RelationDetails, SnapshotMark};
use pgoutput::{
    Begin, Cell, ColumnsBuf, Commit, CommitLsn, EndLsn, Insert, KeepaliveLsn, Lsn, Message,
    PgTimestamp, Relation, RelationColumn, ReplicaIdentity, ServerMessage, TupleBuf,
};
use relay::{
    Closing, Limits, Now, Output, Progress, Relay, Settings, SnapshotState, Ticket, Timing,
};

const TABLE: u32 = 16_400;
const POINT: Lsn = Lsn::new(1000);
const TIME: PgTimestamp = PgTimestamp(0);

/// A relay with all that it says.
struct Bench {
    relay: Relay,
    seconds: u64,
    published: Vec<(Ticket, String)>,
    stored: Vec<(u64, SnapshotState, bool)>,
    closed: Option<Closing>,
}

impl Bench {
    /// A run that was left with a copy to make.
    fn new(start: u64) -> Self {
        Self::of(start, usize::MAX)
    }

    /// With records of more than so many bytes that may be refused.
    fn of(start: u64, surely_taken_bytes: usize) -> Self {
        Self::with(start, surely_taken_bytes, SnapshotState::Running)
    }

    /// A run that streams, all rows published before.
    fn streaming() -> Self {
        Self::with(0, usize::MAX, Finished)
    }

    fn with(start: u64, surely_taken_bytes: usize, snapshot: SnapshotState) -> Self {
        let settings = Settings {
            envelope: Options::new("srv", "db"),
            start: Progress {
                system_identifier: 7,
                timeline: 1,
                epoch: 7,
                commit_end_lsn: Lsn::new(start),
                split: None,
                snapshot,
                shape: 0,
                chunk_ordinals: 0,
            },
            start_is_durable: false,
            two_phase_slot: None,
            known_commit: None,
            limits: Limits {
                in_flight_records: 3,
                in_flight_bytes: 1 << 20,
                surely_taken_bytes,
            },
            timing: Timing::for_server(Duration::from_secs(60), None),
            captures: Box::new(|_, _| true),
        };
        let mut bench = Self {
            relay: Relay::new(settings, now(0)),
            seconds: 0,
            published: Vec::new(),
            stored: Vec::new(),
            closed: None,
        };
        bench.settle_down();
        bench
    }

    /// Takes all that the relay wants done; what it stores is durable at once. Ten seconds pass,
    /// so that nothing is put off.
    fn settle_down(&mut self) {
        self.seconds += 10;
        let now = now(self.seconds);
        while let Some((ticket, record)) = self.relay.next_record() {
            let id = String::from_utf8_lossy(record.id).into_owned();
            self.published.push((ticket, id));
        }
        self.relay.handle_sign_of_life(now);
        loop {
            match self.relay.poll(now) {
                Output::Describe(_) => self
                    .relay
                    .handle_description(&RelationDetails::default())
                    .unwrap(),
                Output::StoreProgress(progress) => {
                    let (end, split) = (progress.commit_end_lsn.as_u64(), progress.split.is_some());
                    self.stored.push((end, progress.snapshot, split));
                    self.relay.handle_stored();
                }
                Output::Feedback(_) => {}
                Output::Close(closing) => {
                    self.closed = Some(closing);
                    return;
                }
                Output::EnsureTopic(topic) => self.relay.handle_topic(topic),
                Output::WaitUntil(_) => return,
            }
        }
    }

    fn acknowledge_all(&mut self) {
        for (ticket, _) in &self.published {
            self.relay.handle_delivery(*ticket);
        }
        self.settle_down();
    }

    fn rows(&mut self, count: usize) {
        let columns = columns();
        self.relay
            .handle_copy_table(&relation(&columns), &RelationDetails::default());
        for _ in 0..count {
            let mut row = TupleBuf::default();
            row.push(Cell::Text(b"1"));
            let now = now(self.seconds);
            self.relay
                .handle_copy_row(now, TABLE, row.tuple(), SnapshotMark::Row)
                .unwrap();
            self.settle_down();
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        let mut payload = Vec::new();
        message.encode(&mut payload);
        let at = Lsn::ZERO;
        self.body(&ServerMessage::WalData {
            data_start: at,
            wal_end: at,
            send_time: TIME,
            payload: &payload,
        });
    }

    fn keepalive(&mut self, wal_end: u64) {
        self.body(&ServerMessage::Keepalive {
            wal_end: KeepaliveLsn(Lsn::new(wal_end)),
            send_time: TIME,
            reply_requested: false,
        });
    }

    fn body(&mut self, message: &ServerMessage<'_>) {
        assert!(self.relay.wants_input());
        let mut body = Vec::new();
        message.encode(&mut body);
        let now = now(self.seconds);
        self.relay.handle_payload(now, &body).unwrap();
        self.settle_down();
    }

    fn begin(&mut self, at: u64) {
        self.message(&Message::Begin(Begin {
            commit_lsn: CommitLsn(Lsn::new(at)),
            commit_time: TIME,
            xid: 5,
        }));
    }

    /// What follows a Begin: a row and the commit.
    fn insert_and_commit(&mut self, at: u64) {
        let columns = columns();
        self.message(&Message::Relation(relation(&columns)));
        let mut row = TupleBuf::default();
        row.push(Cell::Text(b"2"));
        self.message(&Message::Insert(Insert {
            relation: TABLE,
            new: row.tuple(),
        }));
        self.message(&Message::Commit(Commit {
            commit_lsn: CommitLsn(Lsn::new(at)),
            end_lsn: EndLsn(Lsn::new(at + 8)),
            commit_time: TIME,
        }));
    }

    fn begin_copy(&mut self) {
        self.relay.begin_copy(now(self.seconds), POINT, 7);
        self.settle_down();
    }

    fn end_copy(&mut self) {
        self.relay.end_copy(now(self.seconds)).unwrap();
        self.settle_down();
    }

    fn ids(&self) -> Vec<&str> {
        self.published.iter().map(|(_, id)| id.as_str()).collect()
    }
}

fn now(seconds: u64) -> Now {
    Now {
        since_start: Duration::from_secs(seconds),
        unix_nanos: 1_800_000_000_000_000_000,
    }
}

fn columns() -> ColumnsBuf {
    let id = RelationColumn {
        in_identity: true,
        name: "id",
        type_oid: 23,
        type_modifier: -1,
    };
    [id].into_iter().collect()
}

fn relation(columns: &ColumnsBuf) -> Relation<'_> {
    Relation {
        oid: TABLE,
        schema: "public",
        name: "users",
        replica_identity: ReplicaIdentity::Default,
        columns: columns.columns(),
    }
}

use SnapshotState::{Finished, Running};

#[test]
fn a_piece_is_told_once_its_rows_and_all_before_are_acknowledged() {
    let mut bench = Bench::new(0);
    bench.relay.begin_copy(now(0), POINT, 0);
    bench.rows(1);
    bench.relay.handle_copy_piece(70);
    bench.rows(2);
    bench.relay.handle_copy_piece(71);
    // One without rows is done with what was before it.
    bench.relay.handle_copy_piece(72);
    assert_eq!(bench.relay.copied_piece(), None);
    let tickets: Vec<_> = bench.published.iter().map(|(ticket, _)| *ticket).collect();
    bench.relay.handle_delivery(tickets[1]);
    assert_eq!(bench.relay.copied_piece(), None, "out of order");
    bench.relay.handle_delivery(tickets[0]);
    assert_eq!(bench.relay.copied_piece(), Some(70));
    assert_eq!(bench.relay.copied_piece(), None);
    bench.relay.handle_delivery(tickets[2]);
    assert_eq!(bench.relay.copied_piece(), Some(71));
    assert_eq!(bench.relay.copied_piece(), Some(72));
    assert!(!bench.relay.is_copy_durable());
    bench.relay.end_copy(now(bench.seconds)).unwrap();
    bench.settle_down();
    assert!(bench.relay.is_copy_durable());
}

#[test]
fn it_is_finished_when_all_rows_are_acknowledged_and_not_before() {
    let mut bench = Bench::new(0);
    assert!(!bench.relay.wants_input() && bench.relay.wants_copy());
    bench.begin_copy();
    bench.rows(2);
    bench.relay.handle_delivery(bench.published[0].0);
    bench.settle_down();
    assert!(!bench.relay.wants_input());
    bench.end_copy();
    assert!(bench.relay.wants_input());
    assert_eq!(
        bench.stored,
        [(0, Running, false)],
        "a part is worth nothing"
    );
    bench.acknowledge_all();
    assert_eq!(bench.stored[1..], [(1000, Finished, false)]);
    // 0/3E7 is the last byte before 0/3E8: no transaction has that name.
    assert_eq!(bench.ids(), ["7:0/3E7:0", "7:0/3E7:1"]);
}

#[test]
fn a_copy_without_rows_is_finished_at_once() {
    let mut bench = Bench::new(0);
    bench.begin_copy();
    bench.end_copy();
    assert_eq!(bench.stored, [(0, Running, false), (1000, Finished, false)]);
}

#[test]
fn rows_wait_for_room() {
    let mut bench = Bench::new(0);
    bench.begin_copy();
    bench.rows(3);
    assert!(!bench.relay.wants_copy());
    bench.acknowledge_all();
    assert!(bench.relay.wants_copy());
}

#[test]
fn nothing_leaves_behind_a_record_that_may_be_refused() {
    let mut bench = Bench::of(0, 1);
    bench.begin_copy();
    bench.rows(1);
    assert!(!bench.relay.wants_copy() && !bench.relay.wants_input());
    bench.acknowledge_all();
    assert!(bench.relay.wants_copy());
    bench.rows(1);
    bench.acknowledge_all();
    bench.end_copy();
    assert_eq!(bench.ids(), ["7:0/3E7:0", "7:0/3E7:1"]);
    assert!(bench.relay.wants_input());
}

#[test]
fn an_older_slot_streams_up_to_the_point_and_goes_on_behind_it() {
    let mut bench = Bench::new(0);
    bench.relay.copy_at(POINT);
    bench.begin(900);
    bench.insert_and_commit(900);
    assert_eq!(bench.relay.copy_due(), None);
    bench.begin(1000);
    assert_eq!(bench.relay.copy_due(), Some(POINT));
    assert!(!bench.relay.wants_input(), "it stands at the point");
    bench.begin_copy();
    bench.rows(1);
    bench.acknowledge_all();
    bench.end_copy();
    bench.insert_and_commit(1000);
    let ids = ["7:0/384:0", "7:0/3E7:0", "7:0/3E8:0"];
    assert_eq!(bench.ids(), ids);
    bench.acknowledge_all();
    let stored: Vec<_> = bench
        .stored
        .iter()
        .map(|(end, state, _)| (*end, *state))
        .collect();
    assert_eq!(
        stored,
        [
            (0, Running),
            (908, Running),
            (1000, Finished),
            (1008, Finished)
        ]
    );
}

#[test]
fn the_stream_goes_on_until_the_snapshot_is_taken_and_stands_meanwhile() {
    let mut bench = Bench::new(0);
    assert!(!bench.relay.wants_input(), "the point is not known");
    bench.relay.copy_later();
    bench.begin(800);
    bench.insert_and_commit(800);
    bench.acknowledge_all();
    assert!(matches!(bench.stored.last(), Some((808, Running, _))));
    bench.begin(900);
    bench.relay.expect_copy();
    assert!(!bench.relay.wants_input(), "also within a transaction");
    bench.relay.copy_at(POINT);
    bench.insert_and_commit(900);
    bench.begin(1000);
    assert_eq!(bench.relay.copy_due(), Some(POINT));
    bench.begin_copy();
    bench.rows(1);
    bench.relay.copy_later();
    assert!(!bench.relay.wants_input(), "it is too late for that");
    bench.end_copy();
    assert_eq!(bench.ids(), ["7:0/320:0", "7:0/384:0", "7:0/3E7:0"]);
}

#[test]
fn a_position_beyond_the_point_is_not_stored_before_the_rows_are_there() {
    let mut bench = Bench::new(500);
    bench.relay.copy_at(POINT);
    bench.keepalive(999);
    assert_eq!(bench.relay.copy_due(), None);
    bench.keepalive(5000);
    assert_eq!(bench.relay.copy_due(), Some(POINT));
    bench.begin_copy();
    bench.rows(1);
    bench.end_copy();
    assert!(
        bench
            .stored
            .iter()
            .all(|(end, state, _)| *end < 1000 && *state == Running)
    );
    bench.acknowledge_all();
    assert_eq!(bench.stored.last(), Some(&(1000, Finished, false)));
}

#[test]
fn until_means_behind_the_copy() {
    let mut bench = Bench::new(500);
    bench.relay.stop_at(Lsn::new(400));
    bench.settle_down();
    assert_eq!(bench.closed, None);
    bench.begin_copy();
    bench.rows(1);
    bench.end_copy();
    assert_eq!(bench.closed, None);
    bench.acknowledge_all();
    assert_eq!(bench.closed, Some(Closing::Reached));
}

#[test]
fn a_drained_copy_is_still_to_be_made() {
    let mut bench = Bench::new(0);
    bench.begin_copy();
    bench.rows(2);
    bench.relay.drain();
    bench.settle_down();
    assert_eq!((bench.closed, bench.relay.wants_copy()), (None, false));
    bench.acknowledge_all();
    assert_eq!(bench.closed, Some(Closing::Drained));
    assert_eq!(bench.stored, [(0, Running, false)]);
}

#[test]
fn a_copy_that_is_asked_for_stands_in_the_stream_and_is_stored_as_what_was_before() {
    let mut bench = Bench::streaming();
    bench.begin(500);
    assert!(bench.relay.expect_copy());
    assert!(!bench.relay.wants_input(), "the snapshot comes first");
    bench.relay.copy_at(POINT);
    bench.insert_and_commit(500);
    bench.begin(1000);
    assert_eq!(bench.relay.copy_due(), Some(POINT));
    assert!(!bench.relay.wants_input());
    bench.begin_copy();
    bench.rows(2);
    bench.end_copy();
    bench.acknowledge_all();
    bench.insert_and_commit(1000);
    bench.acknowledge_all();
    let ids = ["7:0/1F4:0", "7:0/3E7:0", "7:0/3E7:1", "7:0/3E8:0"];
    assert_eq!(bench.ids(), ids);
    assert!(bench.stored.iter().all(|(_, state, _)| *state == Finished));
    assert_eq!(bench.stored.last(), Some(&(1008, Finished, false)));
    assert!(bench.relay.expect_copy(), "another one may follow");
}

#[test]
fn a_copy_is_given_up_wherever_it_is() {
    for stage in 0..4 {
        let mut bench = Bench::streaming();
        assert!(bench.relay.expect_copy());
        if stage > 0 {
            bench.relay.copy_at(POINT);
        }
        if stage > 1 {
            bench.begin(1000);
        }
        if stage > 2 {
            bench.begin_copy();
            bench.rows(1);
        }
        assert!(bench.relay.give_up_copy(now(bench.seconds)).unwrap());
        bench.settle_down();
        if stage < 2 {
            bench.begin(1000);
        }
        bench.insert_and_commit(1000);
        bench.acknowledge_all();
        let ids = ["7:0/3E7:0", "7:0/3E8:0"];
        assert_eq!(bench.ids(), ids[usize::from(stage < 3)..], "stage {stage}");
        assert_eq!(bench.stored.last(), Some(&(1008, Finished, false)));
        assert!(bench.relay.is_copy_durable() && bench.relay.expect_copy());
    }
}

#[test]
fn a_copy_is_not_given_up_before_its_last_record_has_left() {
    let mut bench = Bench::with(0, 1, Finished);
    assert!(bench.relay.expect_copy());
    bench.relay.copy_at(POINT);
    bench.keepalive(1000);
    bench.begin_copy();
    bench.rows(1);
    let mut row = TupleBuf::default();
    row.push(Cell::Text(b"1"));
    let at = now(bench.seconds);
    // The first may be refused: nothing leaves behind it yet.
    let handed = bench
        .relay
        .handle_copy_row(at, TABLE, row.tuple(), SnapshotMark::Row);
    handed.unwrap();
    assert!(!bench.relay.give_up_copy(at).unwrap());
    bench.acknowledge_all();
    assert!(bench.relay.give_up_copy(at).unwrap());
    bench.acknowledge_all();
    assert_eq!(bench.ids(), ["7:0/3E7:0", "7:0/3E7:1"]);
}

#[test]
fn a_server_is_not_silent_while_its_stream_is_kept_back() {
    fn closes(relay: &mut Relay, seconds: u64) -> bool {
        loop {
            match relay.poll(now(seconds)) {
                Output::Close(closing) => break closing == Closing::Silent,
                Output::WaitUntil(_) => break false,
                _ => {}
            }
        }
    }
    let mut bench = Bench::streaming();
    let relay = &mut bench.relay;
    relay.withhold(true);
    assert!(!relay.wants_input());
    assert!((20..200).step_by(10).all(|seconds| !closes(relay, seconds)));
    relay.withhold(false);
    assert!(relay.wants_input());
    assert!(!closes(relay, 210));
    assert!(closes(relay, 240));
}
