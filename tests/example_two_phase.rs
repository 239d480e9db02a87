//! The example of two-phase commit: two databases under one coordinator. Events of a transfer appear
//! when the whole is decided, those of one that was rolled back never, whoever is killed in between.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use e2e::support::compare::assert_at_least_once;
use e2e::support::example::{self, Program};
use e2e::support::topic::read_topic;
use e2e::support::workload::Dice;
use e2e::support::{kafka, postgres, query_one, unique, wait_for};
use xtask::servers::{Durability, PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);
const SEED: u64 = 20_261_130;
const BANKS: [&str; 2] = ["a", "b"];
/// Right before which the coordinator dies; `none` is death from outside, at any moment.
const STEPS: [&str; 6] = [
    "prepare-a",
    "prepare-b",
    "decide",
    "commit-a",
    "commit-b",
    "none",
];

struct Stage {
    postgres: PostgresServer,
    name: String,
}

impl Stage {
    fn new() -> Self {
        let options = PostgresOptions {
            durability: Durability::Safe,
            ..PostgresOptions::default()
        };
        let stage = Self {
            postgres: postgres(options.with("max_prepared_transactions", "20")),
            name: unique("example_2pc"),
        };
        let coordinator = example::script("two-phase/coordinator.sql");
        example::database(&stage.postgres, "coordinator", &[&coordinator]);
        let tables = example::script("two-phase/bank.sql");
        for bank in BANKS {
            example::database(&stage.postgres, &database(bank), &[&tables]);
            let mut init = stage.walferry("outbox init", bank)();
            init.arg("--apply");
            example::run(init);
        }
        stage
    }

    fn walferry(
        &self,
        subcommand: &'static str,
        bank: &'static str,
    ) -> impl Fn() -> Command + 'static {
        let url = self.postgres.url_for(&database(bank));
        let kafka = kafka().bootstrap_servers();
        let name = format!("{}_{bank}", self.name);
        let topics = format!("{}.${{routedByValue}}", self.name);
        move || {
            let mut command = example::walferry(subcommand, "two-phase/walferry.yaml");
            command.env("DATABASE", &url).env("KAFKA", &kafka);
            command.env("BANK", bank).env("WALFERRY_NAME", &name);
            command.env("WALFERRY_OUTBOX_ROUTE_TOPIC_REPLACEMENT", &topics);
            command
        }
    }

    fn catch_up(&self, bank: &'static str) {
        let mut walferry = self.walferry("run", bank)();
        walferry.args(["--until", "now"]);
        example::run(walferry);
    }

    fn coordinator(&self, arguments: &[&str]) -> Program {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let urls = ["coordinator", "bank_a", "bank_b"].map(|name| self.postgres.url_for(name));
        Program::started("coordinator", move || {
            let mut command = example::python("two-phase/coordinator.py");
            for (name, url) in ["COORDINATOR", "BANK_A", "BANK_B"].into_iter().zip(&urls) {
                command.env(name, url);
            }
            command.args(&arguments);
            command
        })
    }

    fn decided(&self) -> BTreeSet<String> {
        let rows = self
            .postgres
            .query_text("coordinator", "SELECT transfer FROM decision");
        rows.expect("decisions").into_iter().collect()
    }

    fn wait_decided(&self, wanted: usize, coordinator: &mut Program) {
        wait_for("transfers go on", LIMIT, || {
            coordinator.assert_running();
            (self.decided().len() >= wanted).then_some(())
        });
    }

    /// The transfers that a bank's topic tells of, each once but for repeats.
    fn told(&self, bank: &str) -> BTreeSet<String> {
        let topic = format!("{}.bank_{bank}", self.name);
        let events = read_topic(&kafka().bootstrap_servers(), &topic);
        let repeats = assert_at_least_once(&events);
        let transfers = events.iter().map(|event| {
            let transfer = event.json()["transfer"].as_str().map(str::to_owned);
            transfer.expect("a transfer")
        });
        let transfers: BTreeSet<String> = transfers.collect();
        assert_eq!(transfers.len(), repeats.distinct, "one event a transfer");
        transfers
    }

    /// What has appeared was decided before.
    fn assert_only_decided(&self) {
        for bank in BANKS {
            let told = self.told(bank);
            let decided = self.decided();
            let early: Vec<&String> = told.difference(&decided).collect();
            assert!(early.is_empty(), "bank {bank} tells of {early:?}");
        }
    }

    /// Both topics tell of what was decided and of nothing else; money and locks are where they were.
    fn assert_settled(&self) {
        let decided = self.decided();
        assert!(
            decided.len() > 40,
            "a load worth the name: {}",
            decided.len()
        );
        for bank in BANKS {
            let told = self.told(bank);
            let differ: Vec<&String> = decided.symmetric_difference(&told).collect();
            assert!(
                differ.is_empty(),
                "bank {bank} and the decisions: {differ:?}"
            );
        }
        let sum = |bank: &str| -> i64 {
            let rows = self
                .postgres
                .query_text(&database(bank), "SELECT sum(balance) FROM accounts");
            rows.expect("a sum")[0].parse().expect("a number")
        };
        assert_eq!(sum("a") + sum("b"), 6000, "money is moved, not made");
        let left = query_one(&self.postgres, "SELECT count(*) FROM pg_prepared_xacts");
        assert_eq!(left, "0", "nothing is left prepared");
    }
}

fn database(bank: &str) -> String {
    format!("bank_{bank}")
}

#[test]
fn events_appear_when_the_whole_is_decided() {
    eprintln!("seed {SEED}");
    let mut dice = Dice::new(SEED);
    let mut stage = Stage::new();
    let mut walferries = BANKS.map(|bank| Program::started(bank, stage.walferry("run", bank)));
    let mut prepared_at_death = 0;
    for round in 0..3 {
        for step in STEPS {
            let before = stage.decided().len();
            if step == "none" {
                let mut coordinator = stage.coordinator(&[]);
                let more = 1 + usize::try_from(dice.below(20)).unwrap_or(0);
                stage.wait_decided(before + more, &mut coordinator);
                coordinator.kill9();
            } else {
                let mut coordinator = stage.coordinator(&["--die-at", step]);
                if dice.below(2) == 0 {
                    walferries.iter_mut().for_each(Program::start);
                }
                assert_eq!(coordinator.wait(), 137, "{step}");
            }
            let left = query_one(&stage.postgres, "SELECT count(*) FROM pg_prepared_xacts");
            eprintln!("round {round}, {step}: {left} left prepared");
            let expected: &[&str] = match step {
                "prepare-a" => &["0"],
                "prepare-b" | "commit-b" => &["1"],
                "decide" | "commit-a" => &["2"],
                _ => &["0", "1", "2"],
            };
            assert!(expected.contains(&&*left), "{step}: {left} left prepared");
            prepared_at_death += usize::from(left != "0");
            stage.assert_only_decided();
            if dice.below(2) == 0 {
                let one = usize::try_from(dice.below(2)).unwrap_or(0);
                walferries[one].start();
            }
        }
    }
    assert!(
        prepared_at_death >= 12,
        "most deaths leave something behind"
    );
    // Postgres dies under all of them: they go on by themselves, and end what they had prepared.
    let mut coordinator = stage.coordinator(&[]);
    for _ in 0..2 {
        let before = stage.decided().len();
        stage.wait_decided(before + 5, &mut coordinator);
        stage.postgres.kill9();
        stage.postgres.restart().expect("Postgres");
    }
    let before = stage.decided().len();
    stage.wait_decided(before + 5, &mut coordinator);
    assert_eq!(coordinator.stop(), 0);
    for (walferry, bank) in walferries.iter_mut().zip(BANKS) {
        walferry.kill9();
        stage.catch_up(bank);
    }
    stage.assert_settled();
}
