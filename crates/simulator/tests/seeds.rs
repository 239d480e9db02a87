//! Many seeds, many worlds: no promise is broken in any of them.

use simulator::{Summary, live};

/// Enough to meet every fault in many places, in seconds. Two tests, for two cores.
const SEEDS: u64 = 500;

#[test]
fn promises_hold_in_even_worlds() {
    promises_hold((0..SEEDS).step_by(2));
}

#[test]
fn promises_hold_in_odd_worlds() {
    promises_hold((1..SEEDS).step_by(2));
}

/// Paste a failing seed here.
#[test]
fn this_seed() {
    promises_hold_in(0);
}

#[test]
fn a_seed_gives_the_same_world_again() {
    for seed in 0..5 {
        let (one, other) = (live(seed), live(seed));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

fn promises_hold(seeds: impl Iterator<Item = u64>) {
    let all = seeds
        .map(promises_hold_in)
        .fold(Summary::default(), Summary::and);
    // The worlds must not be so kind that nothing is shown.
    assert!(all.runs > 800, "{all:?}");
    assert!(all.records > 30_000, "{all:?}");
    assert!(all.repeats > 1000, "{all:?}");
    assert!(all.splits > 1000, "{all:?}");
    assert!(all.refusals > 50, "{all:?}");
    assert!(all.silences > 10, "{all:?}");
    assert!(all.stops > 100, "{all:?}");
}

fn promises_hold_in(seed: u64) -> Summary {
    live(seed).unwrap_or_else(|failure| panic!("{failure}"))
}
