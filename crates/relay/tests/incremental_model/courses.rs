//! Courses of events that are not left to chance.

use relay::KeptChanges;

use crate::server::Kind;
use crate::{Step, World};

/// Nothing moves on a standby that nobody writes to: chunk after chunk stands at one place, also those that
/// are read once more after a kill, and each record has an id of its own.
#[test]
fn chunks_at_one_place_share_no_ids() {
    let flow = [
        Step::Read {
            oldest: true,
            lag: 0,
        },
        Step::Keepalive,
        Step::Row,
        Step::Acknowledge,
        Step::Stored,
    ];
    for rounds in 0..40 {
        // Without the last step nothing becomes durable before the kill.
        for flow in [&flow[..], &flow[..4]] {
            let mut world = World::new(Kind::Standby, &[0, 1, 2, 3, 4, 5], 700);
            for _ in 0..rounds {
                for step in flow {
                    world.step(*step);
                }
            }
            let (taken, stored) = (1, false);
            world.kill(taken, stored);
            world.come_to_rest();
            assert_eq!(world.fold(), world.server.rows());
        }
    }
}

/// A commit that is in the log and not seen yet: the chunk that does not have it is read again.
#[test]
fn a_commit_that_nobody_sees_yet() {
    let mut world = World::new(Kind::Primary, &[0, 1], 700);
    assert!(world.server.begin(0, 5));
    assert!(world.server.commit(0));
    let flow = [Step::Stream, Step::Answer, Step::Row, Step::Acknowledge];
    while flow.iter().any(|step| world.step(*step)) {}
    let newest = world.topic.last().unwrap().after;
    // Window, rows, chunk, watermark of the first chunk, which has the row's older state.
    for _ in 0..8 {
        world.step(Step::Read {
            oldest: true,
            lag: 0,
        });
    }
    while flow.iter().any(|step| world.step(*step)) {}
    assert!(world.again >= 1);
    assert_eq!(world.topic.last().unwrap().after, newest);
    world.come_to_rest();
    assert_eq!(world.fold(), world.server.rows());
}

/// Two windows, of which the older one is to look at more than is kept, while the younger one is not: one chunk
/// is read again, and the other leaves.
#[test]
fn a_window_gives_way_where_more_is_changed_than_is_kept() {
    let mut world = World::new(Kind::Primary, &[0, 1, 2, 3], 700);
    let flow = [Step::Stream, Step::Answer, Step::Row, Step::Acknowledge];
    while flow.iter().any(|step| world.step(*step)) {}
    world.keep(KeptChanges {
        changes: 1,
        ..KeptChanges::default()
    });
    let read = Step::Read {
        oldest: true,
        lag: 0,
    };
    for key in [0, 2] {
        world.step(read);
        assert!(world.server.begin(key, 5) && world.server.commit(0));
        while world.server.show(0) {}
        while world.step(Step::Stream) || world.step(Step::Answer) {}
    }
    world.run.queue.clear();
    while [read].iter().chain(&flow).any(|step| world.step(*step)) {
        if world.overflown > 0 && !world.done.is_empty() {
            break;
        }
    }
    assert_eq!((world.overflown, &world.done[..]), (1, &[2][..]));
    world.run.queue.push_back(4);
    world.come_to_rest();
    assert_eq!(world.fold(), world.server.rows());
}
