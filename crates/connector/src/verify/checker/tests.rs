use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::kafka::order::merged;

const EPOCH: u64 = 7;

fn settings(topics: &[usize]) -> Settings {
    let places = topics.iter().map(|&topic| Place {
        topic,
        truncated: false,
    });
    Settings {
        epoch: Some(EPOCH),
        published: u64::MAX,
        gaps: Gaps::Judged,
        places: places.collect(),
        topics: topics.iter().max().map_or(0, |it| it + 1),
        remembered: 1000,
    }
}

fn id(lsn: u64, ordinal: u64) -> Id {
    Id {
        epoch: EPOCH,
        position: Position {
            lsn: lsn * 8,
            ordinal,
        },
    }
}

/// A partition's records: its ids, each with the digest that such a record has.
fn partition(place: usize, ids: &[Id]) -> Vec<Record> {
    let numbered = (0..).zip(ids);
    let record = |(offset, &id): (i64, &Id)| Record {
        place,
        offset,
        id: Some(id),
        keyed: true,
        of_chunk: false,
        digest: id.position.lsn * 1000 + id.position.ordinal + 1,
    };
    numbered.map(record).collect()
}

fn check(settings: Settings, partitions: &[Vec<Record>]) -> Tally {
    let mut checker = Checker::new(settings);
    for record in merged(partitions, |record| place_of(record.id, Some(EPOCH))) {
        checker.take(&record);
    }
    checker.finish()
}

fn found(tally: &Tally) -> Vec<(Code, usize, i64, Option<Id>)> {
    let all = tally.found();
    all.map(|it| (it.code, it.place, it.offset, it.id))
        .collect()
}

#[test]
fn a_clean_stream_with_a_replay_has_duplicates_only() {
    let ids = [id(1, 0), id(2, 0), id(2, 2), id(1, 0), id(2, 0), id(2, 2)];
    let news = [id(2, 1), id(2, 1), id(3, 0)];
    let tally = check(
        settings(&[0, 1]),
        &[partition(0, &ids), partition(1, &news)],
    );
    assert!(found(&tally).iter().all(|it| it.0 == Code::Duplicate));
    assert_eq!(tally.counts()[0].duplicates, 3);
    assert_eq!(tally.counts()[1].duplicates, 1);
    assert_eq!(tally.transactions, 3);
}

#[test]
fn each_kind_is_found_at_its_offset() {
    let mut records = partition(
        0,
        &[id(1, 0), id(2, 0), id(1, 1), id(2, 0), id(4, 2), id(5, 0)],
    );
    records[3].digest = 1;
    let stranger = Record {
        id: None,
        offset: 6,
        ..records[0]
    };
    let mut old = Record {
        offset: 7,
        ..records[0]
    };
    old.id = Some(Id {
        epoch: EPOCH - 1,
        ..id(1, 0)
    });
    records.extend([stranger, old]);
    let earlier = Record {
        place: 1,
        offset: 0,
        ..old
    };
    let again = Record {
        place: 1,
        offset: 1,
        ..records[5]
    };
    let tally = check(settings(&[0, 0]), &[records, vec![earlier, again]]);
    assert_eq!(
        found(&tally),
        [
            (Code::Duplicate, 0, 3, Some(id(2, 0))),
            (Code::DuplicateDiffers, 0, 3, Some(id(2, 0))),
            (Code::Gap, 0, 4, Some(id(4, 0))),
            (Code::Order, 0, 2, Some(id(1, 1))),
            (Code::Elsewhere, 1, 1, Some(id(5, 0))),
            (Code::Foreign, 0, 6, None),
            (Code::OtherEpoch, 0, 7, old.id),
            (Code::EarlierEpoch, 1, 0, old.id),
        ]
    );
    let gap = tally.found().find(|it| it.code == Code::Gap).unwrap();
    assert_eq!(gap.last, Some(id(4, 1)));
}

#[test]
fn a_straggler_fills_the_gap_and_is_out_of_order() {
    let ids = [id(1, 0), id(1, 2), id(2, 0), id(1, 1), id(1, 1)];
    let tally = check(settings(&[0]), &[partition(0, &ids)]);
    assert_eq!(
        found(&tally),
        [
            (Code::Duplicate, 0, 4, Some(id(1, 1))),
            (Code::Order, 0, 3, Some(id(1, 1)))
        ]
    );
}

#[test]
fn what_need_not_be_there_is_no_gap() {
    let holes = [id(1, 1), id(2, 1), id(3, 1), id(4, 1)];
    let copied = Id {
        epoch: EPOCH,
        position: Position {
            lsn: 39,
            ordinal: 5,
        },
    };
    let gaps = |settings: Settings| {
        let mut ids = holes.to_vec();
        ids.push(copied);
        let tally = check(settings, &[partition(0, &ids)]);
        (tally.counts()[0].gaps, tally.transactions_not_judged)
    };
    let all = settings(&[0]);
    assert_eq!(
        gaps(all.clone()),
        (4, 1),
        "rows of a snapshot are not judged"
    );
    let under_way = Settings {
        published: 24,
        ..all.clone()
    };
    assert_eq!(gaps(under_way), (2, 3));
    let truncated = Settings {
        places: vec![Place {
            topic: 0,
            truncated: true,
        }],
        ..all.clone()
    };
    assert_eq!(gaps(truncated), (3, 2), "the first may have lost its begin");
    let unread = Settings {
        gaps: Gaps::NotJudged,
        ..all.clone()
    };
    assert_eq!(gaps(unread), (0, 5));
    let empty = Settings {
        places: vec![
            all.places[0],
            Place {
                topic: 0,
                truncated: true,
            },
        ],
        ..all
    };
    assert_eq!(
        gaps(empty),
        (0, 5),
        "nothing is left of the other partition"
    );
}

#[test]
fn what_comes_late_tells_of_a_hole_before_it() {
    // The transaction was closed, or nothing was seen of it.
    for late in [id(1, 2), id(2, 1)] {
        let first = partition(0, &[id(3, 0), late]);
        let second = partition(1, &[id(1, 0)]);
        let found = found(&check(settings(&[0, 0]), &[first, second]));
        let codes: Vec<Code> = found.iter().map(|it| it.0).collect();
        assert!(codes.contains(&Code::Gap), "{late:?}: {found:?}");
        assert!(codes.contains(&Code::Order), "{late:?}: {found:?}");
    }
}

#[test]
fn what_a_kill_leaves_of_a_chunk_is_no_gap_and_its_end_may_come_again_by_another_id() {
    let of = |of_chunk: bool| {
        let mut rows = partition(0, &[id(1, 1), id(1, 3), id(3, 0)]);
        rows.iter_mut()
            .take(2)
            .for_each(|it| it.of_chunk = of_chunk);
        // The second attempt has no rows: BEGIN is repeated, and END stands where a row stood.
        let begins = partition(1, &[id(1, 0), id(2, 1), id(1, 0)]);
        let ends = partition(2, &[id(1, 4), id(1, 1)]);
        found(&check(settings(&[0, 1, 1]), &[rows, begins, ends]))
    };
    let beside = [
        (Code::Duplicate, 1, 2, Some(id(1, 0))),
        (Code::Gap, 1, 1, Some(id(2, 0))),
    ];
    assert_eq!(of(true), beside, "others are judged");
    let all = of(false);
    assert!(all.contains(&(Code::Gap, 0, 1, Some(id(1, 2)))), "{all:?}");
    assert!(
        all.contains(&(Code::Order, 2, 1, Some(id(1, 1)))),
        "{all:?}"
    );
}

#[test]
fn without_keys_a_repeat_may_be_in_any_partition() {
    let keyless = |place, ids: &[Id]| {
        let mut records = partition(place, ids);
        records.iter_mut().for_each(|it| it.keyed = false);
        records
    };
    // 2 was on its way to the other partition when the run ended.
    let partitions = [
        keyless(0, &[id(1, 0), id(3, 0), id(2, 0), id(4, 0)]),
        keyless(1, &[id(1, 0), id(3, 0)]),
    ];
    let tally = check(settings(&[0, 0]), &partitions);
    assert!(found(&tally).iter().all(|it| it.0 == Code::Duplicate));
    assert_eq!(tally.counts()[0].duplicates, 2);
    assert_eq!(tally.transactions, 3, "a straggler closes none");
}

#[test]
fn what_is_too_long_ago_is_counted_and_not_judged() {
    let ids: Vec<Id> = (0..10).chain(0..10).map(|lsn| id(lsn, 0)).collect();
    let few = Settings {
        remembered: 4,
        ..settings(&[0])
    };
    let tally = check(few, &[partition(0, &ids)]);
    let counts = tally.counts()[0];
    assert_eq!((counts.duplicates, counts.not_compared), (10, 6));
    assert_eq!(counts.out_of_order, 0);
}

/// A history as it might be published: transactions, each record with its partition; runs that end
/// anywhere, each partition at a place of its own; and then damage.
#[derive(Clone, Debug)]
struct History {
    partitions: Vec<Vec<Record>>,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Remove(usize),
    Swap(usize),
    Other(usize),
    Strip(usize),
}

fn history() -> impl Strategy<Value = History> {
    let transactions = proptest::collection::vec(proptest::collection::vec(0usize..3, 1..5), 1..14);
    // Where a run begins again, and how far each partition had come by then.
    let kills = proptest::collection::vec((0usize..30, [0usize..12, 0usize..12, 0usize..12]), 0..4);
    let damage = prop_oneof![
        (0usize..60).prop_map(Damage::Remove),
        (0usize..60).prop_map(Damage::Swap),
        (0usize..60).prop_map(Damage::Other),
        (0usize..60).prop_map(Damage::Strip),
    ];
    let damages = proptest::collection::vec((0usize..3, damage), 0..3);
    (transactions, kills, damages).prop_map(|(transactions, kills, damages)| {
        let stream: Vec<(usize, Id)> = (1..)
            .zip(&transactions)
            .flat_map(|(lsn, places)| {
                let records = (0..).zip(places);
                records.map(move |(ordinal, &place)| (place, id(lsn, ordinal)))
            })
            .collect();
        let mut ids: Vec<Vec<Id>> = vec![Vec::new(); 3];
        let mut begin = 0;
        for (end, more) in kills {
            // Everything before `end` is acknowledged; of what follows each partition took a part.
            let end = end.clamp(begin, stream.len());
            for (place, ids) in ids.iter_mut().enumerate() {
                let of = |from: usize| stream[from..].iter().filter(move |it| it.0 == place);
                ids.extend(
                    stream[begin..end]
                        .iter()
                        .filter(|it| it.0 == place)
                        .map(|it| it.1),
                );
                ids.extend(of(end).take(more[place]).map(|it| it.1));
            }
            begin = end;
        }
        for (place, ids) in ids.iter_mut().enumerate() {
            let rest = stream[begin..].iter().filter(|it| it.0 == place);
            ids.extend(rest.map(|it| it.1));
        }
        let mut partitions: Vec<Vec<Record>> = (0..3).map(|it| partition(it, &ids[it])).collect();
        for (place, damage) in damages {
            apply(&mut partitions[place], damage);
        }
        for records in &mut partitions {
            for (offset, record) in (0..).zip(records) {
                record.offset = offset;
            }
        }
        History { partitions }
    })
}

fn apply(records: &mut Vec<Record>, damage: Damage) {
    let len = records.len();
    match damage {
        Damage::Remove(at) if at < len => drop(records.remove(at)),
        Damage::Swap(at) if at + 1 < len => records.swap(at, at + 1),
        Damage::Other(at) if at < len => records[at].digest += 500,
        Damage::Strip(at) if at < len => records[at].id = None,
        _ => {}
    }
}

/// The promise, word by word, over everything at once.
fn naive(history: &History) -> BTreeMap<Code, BTreeSet<(usize, i64)>> {
    let mut found: BTreeMap<Code, BTreeSet<(usize, i64)>> = BTreeMap::new();
    let mut seen: BTreeMap<u64, BTreeMap<u64, (usize, i64)>> = BTreeMap::new();
    for (place, records) in history.partitions.iter().enumerate() {
        let mut first: BTreeMap<Position, u64> = BTreeMap::new();
        for record in records {
            let mut add = |code| {
                found
                    .entry(code)
                    .or_default()
                    .insert((place, record.offset))
            };
            let Some(id) = record.id else {
                add(Code::Foreign);
                continue;
            };
            match first.get(&id.position) {
                Some(&digest) => {
                    add(Code::Duplicate);
                    if digest != record.digest {
                        add(Code::DuplicateDiffers);
                    }
                }
                None => {
                    if first.last_key_value().is_some_and(|it| *it.0 > id.position) {
                        add(Code::Order);
                    }
                    first.insert(id.position, record.digest);
                    let of = seen.entry(id.position.lsn).or_default();
                    of.insert(id.position.ordinal, (place, record.offset));
                }
            }
        }
    }
    for ordinals in seen.values() {
        let mut expected = 0;
        for (&ordinal, &at) in ordinals {
            if ordinal > expected {
                found.entry(Code::Gap).or_default().insert(at);
            }
            expected = ordinal + 1;
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_checker_finds_what_a_reader_with_all_the_memory_finds(history in history()) {
        let tally = check(settings(&[0, 0, 1]), &history.partitions);
        let mut found: BTreeMap<Code, BTreeSet<(usize, i64)>> = BTreeMap::new();
        for it in tally.found() {
            found.entry(it.code).or_default().insert((it.place, it.offset));
        }
        let mut expected = naive(&history);
        // Only the first ten of a kind and topic are kept.
        let duplicates: u64 = tally.counts().iter().map(|it| it.duplicates).sum();
        let all = expected.remove(&Code::Duplicate).unwrap_or_default();
        found.remove(&Code::Duplicate);
        prop_assert_eq!(duplicates, all.len() as u64);
        prop_assert_eq!(&found, &expected);
    }

    #[test]
    fn a_short_memory_accuses_nobody(history in history(), remembered in 1usize..6) {
        let few = Settings { remembered, ..settings(&[0, 0, 1]) };
        let tally = check(few, &history.partitions);
        let expected = naive(&history);
        for it in tally.found().filter(|it| it.code != Code::Duplicate && it.code != Code::Gap) {
            let known = expected.get(&it.code).is_some_and(|all| all.contains(&(it.place, it.offset)));
            prop_assert!(known, "{:?}", it);
        }
    }
}
