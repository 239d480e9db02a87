//! The ledger against a model that keeps every record and computes each answer from scratch.

use pgoutput::{CommitLsn, EndLsn, KeepaliveLsn, Lsn};
use proptest::prelude::*;
use relay::{Ledger, Mark, Split, Ticket};

/// What the world may do next; numbers choose among what is possible.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin { gap: u64 },
    Issue { bytes: usize },
    Commit { length: u64 },
    Keepalive { gap: u64 },
    Settle { choice: usize },
    SettleAgain { choice: usize },
    Store,
    Stored,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..9_u64).prop_map(|gap| Step::Begin { gap }),
        8 => (0..500_usize).prop_map(|bytes| Step::Issue { bytes }),
        3 => (1..9_u64).prop_map(|length| Step::Commit { length }),
        2 => (0..9_u64).prop_map(|gap| Step::Keepalive { gap }),
        9 => any::<usize>().prop_map(|choice| Step::Settle { choice }),
        1 => any::<usize>().prop_map(|choice| Step::SettleAgain { choice }),
        2 => Just(Step::Store),
        3 => Just(Step::Stored),
    ]
}

#[derive(Debug, Default)]
struct Model {
    start: u64,
    head: u64,
    received: u64,
    transactions: Vec<ModelTransaction>,
    records: Vec<ModelRecord>,
    storing: Option<Mark>,
    durable: Option<Mark>,
    confirmed: u64,
}

#[derive(Debug)]
struct ModelTransaction {
    commit_lsn: u64,
    end_lsn: Option<u64>,
    first_ordinal: u64,
    records: Vec<usize>,
}

#[derive(Debug)]
struct ModelRecord {
    bytes: usize,
    settled: bool,
}

impl Model {
    fn open(&self) -> bool {
        self.transactions
            .last()
            .is_some_and(|last| last.end_lsn.is_none())
    }

    /// Records count as done in the order of publication only.
    fn done_records(&self) -> usize {
        self.records
            .iter()
            .take_while(|record| record.settled)
            .count()
    }

    fn mark(&self) -> Mark {
        let done = self.done_records();
        let mut end = self.start;
        for of in &self.transactions {
            match of.end_lsn {
                Some(end_lsn) if of.records.iter().all(|record| *record < done) => {
                    end = end.max(end_lsn);
                }
                _ => {
                    let mine = of.records.iter().filter(|record| **record < done).count() as u64;
                    let records_done = of.first_ordinal + mine;
                    let commit_lsn = CommitLsn(Lsn::new(of.commit_lsn));
                    let split = (records_done > 0).then_some(Split {
                        commit_lsn,
                        records_done,
                    });
                    return Mark {
                        end: Lsn::new(end),
                        split,
                    };
                }
            }
        }
        Mark::at(Lsn::new(end.max(self.received)))
    }

    fn unsettled(&self) -> Vec<u64> {
        let of = |(index, record): (usize, &ModelRecord)| (!record.settled).then_some(index as u64);
        self.records.iter().enumerate().filter_map(of).collect()
    }
}

fn apply(step: Step, ledger: &mut Ledger, model: &mut Model) {
    match step {
        Step::Begin { gap } if !model.open() => begin(gap, ledger, model),
        Step::Issue { bytes } => {
            let issued = ledger.issue(bytes, 0);
            assert_eq!(issued.is_some(), model.open());
            if let (Some(ticket), Some(open)) = (issued, model.transactions.last_mut()) {
                assert_eq!(ticket.as_u64(), model.records.len() as u64);
                open.records.push(model.records.len());
                model.records.push(ModelRecord {
                    bytes,
                    settled: false,
                });
            }
        }
        Step::Commit { length } if model.open() => {
            model.head += length;
            model.received = model.received.max(model.head);
            ledger.commit(EndLsn(Lsn::new(model.head)));
            if let Some(open) = model.transactions.last_mut() {
                open.end_lsn = Some(model.head);
            }
        }
        Step::Keepalive { gap } => {
            // Not monotonic, and never beyond what comes next.
            let wal_end = model.head.saturating_sub(gap / 2);
            model.received = model.received.max(wal_end);
            ledger.keepalive(KeepaliveLsn(Lsn::new(wal_end)));
        }
        Step::Settle { choice } => {
            let unsettled = model.unsettled();
            if !unsettled.is_empty() {
                let ticket = unsettled[choice % unsettled.len()];
                assert!(ledger.settle(Ticket::from_u64(ticket)));
                model.records[usize::try_from(ticket).unwrap()].settled = true;
            }
        }
        Step::SettleAgain { choice } => {
            let number = choice % (model.records.len() + 3);
            if model
                .records
                .get(number)
                .is_none_or(|record| record.settled)
            {
                assert!(!ledger.settle(Ticket::from_u64(number as u64)));
            }
        }
        Step::Store => {
            let mark = model.mark();
            let wanted = model.storing.is_none() && model.durable != Some(mark);
            assert_eq!(ledger.store(), wanted.then_some(mark));
            if wanted {
                model.storing = Some(mark);
            }
        }
        Step::Stored => {
            ledger.stored();
            if let Some(mark) = model.storing.take() {
                model.confirmed = model.confirmed.max(mark.end.as_u64());
                model.durable = Some(mark);
            }
        }
        Step::Begin { .. } | Step::Commit { .. } => {}
    }
}

fn begin(gap: u64, ledger: &mut Ledger, model: &mut Model) {
    model.head += gap;
    // Only the very first transaction can be one that an earlier run had begun.
    let first_ordinal = if model.transactions.is_empty() {
        gap
    } else {
        0
    };
    ledger.begin(CommitLsn(Lsn::new(model.head)), 0, first_ordinal);
    model.transactions.push(ModelTransaction {
        commit_lsn: model.head,
        end_lsn: None,
        first_ordinal,
        records: Vec::new(),
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_models(
        start in 0..50_u64,
        durable: bool,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mark = Mark::at(Lsn::new(start));
        let mut ledger = Ledger::new(mark, durable);
        let mut model = Model {
            start,
            head: start,
            received: start,
            durable: durable.then_some(mark),
            confirmed: if durable { start } else { 0 },
            ..Model::default()
        };
        for step in steps {
            let confirmed_before = ledger.confirmed();
            apply(step, &mut ledger, &mut model);
            prop_assert_eq!(ledger.mark(), model.mark());
            prop_assert_eq!(ledger.confirmed().lsn().as_u64(), model.confirmed);
            prop_assert!(ledger.confirmed() >= confirmed_before);
            prop_assert!(ledger.confirmed().lsn() <= ledger.acknowledged());
            let unsettled = model.unsettled();
            prop_assert_eq!(ledger.in_flight_records(), unsettled.len());
            let bytes: usize = model.records.iter().filter(|r| !r.settled).map(|r| r.bytes).sum();
            prop_assert_eq!(ledger.in_flight_bytes(), bytes);
        }
    }
}

#[test]
fn a_record_in_flight_is_found_with_its_transaction() {
    let mut ledger = Ledger::new(Mark::at(Lsn::new(1)), true);
    ledger.begin(CommitLsn(Lsn::new(10)), 0, 3);
    let first = ledger.issue(1, 77).unwrap();
    let second = ledger.issue(1, 78).unwrap();
    ledger.commit(EndLsn(Lsn::new(12)));
    ledger.begin(CommitLsn(Lsn::new(20)), 0, 0);
    let third = ledger.issue(1, 79).unwrap();
    let find = |ledger: &Ledger, ticket| {
        let at = ledger.locate(ticket).unwrap();
        (at.commit_lsn.0.as_u64(), at.ordinal, at.relation)
    };
    assert_eq!(find(&ledger, first), (10, 3, 77));
    assert_eq!(find(&ledger, second), (10, 4, 78));
    assert_eq!(find(&ledger, third), (20, 0, 79));
    ledger.settle(first);
    ledger.settle(second);
    assert!(ledger.locate(first).is_none());
    assert_eq!(find(&ledger, third), (20, 0, 79));
}

#[test]
fn what_an_earlier_run_did_of_a_transaction_counts_until_it_has_come_again() {
    let split = Some(Split {
        commit_lsn: CommitLsn(Lsn::new(120)),
        records_done: 7,
    });
    let start = Mark {
        end: Lsn::new(100),
        split,
    };
    let mut ledger = Ledger::new(start, true);
    assert_eq!(ledger.mark(), start);
    assert_eq!(ledger.store(), None, "that very mark is stored");

    // The server goes through what is done already, and tells its position.
    ledger.begin(CommitLsn(Lsn::new(80)), 0, 0);
    assert_eq!(ledger.mark(), start);
    ledger.commit(EndLsn(Lsn::new(90)));
    ledger.keepalive(KeepaliveLsn(Lsn::new(110)));
    let end = Lsn::new(110);
    assert_eq!(ledger.mark(), Mark { end, split });

    ledger.begin(CommitLsn(Lsn::new(120)), 0, 7);
    assert_eq!(ledger.mark(), Mark { end, split });
    ledger.commit(EndLsn(Lsn::new(130)));
    assert_eq!(ledger.mark(), Mark::at(Lsn::new(130)));
}
