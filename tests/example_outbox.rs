//! The example of the outbox: the balances of two databases agree while the service, walferry, the
//! consumer, Kafka and both databases are killed. Written to both by the service itself, they do not.

use std::process::Command;
use std::time::Duration;

use e2e::support::example::{self, Program, wait_consumed};
use e2e::support::topic::read_topic;
use e2e::support::workload::Dice;
use e2e::support::{own_kafka, postgres, wait_for};
use xtask::servers::{Durability, KafkaServer, PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(120);
const ROUNDS: u64 = 12;
const SEED: u64 = 20_261_128;
const TOPIC: &str = "outbox.event.transfer";

/// Two databases on servers of their own, and a Kafka.
struct Stage {
    accounts: PostgresServer,
    mirror: PostgresServer,
    kafka: KafkaServer,
}

impl Stage {
    /// What the example's page says, up to the first start.
    fn new() -> Self {
        let server = || {
            postgres(PostgresOptions {
                durability: Durability::Safe,
                ..PostgresOptions::default()
            })
        };
        let stage = Self {
            accounts: server(),
            mirror: server(),
            kafka: own_kafka(),
        };
        let accounts = example::script("outbox/accounts.sql");
        example::database(&stage.accounts, "accounts", &[&accounts]);
        let mirror = example::script("outbox/mirror.sql");
        example::database(&stage.mirror, "mirror", &[&mirror, inbox::SQL]);
        let mut init = stage.walferry("outbox init");
        init.args(["--role", "service", "--apply"]);
        example::run(init);
        stage
    }

    fn catch_up(&self) {
        let mut walferry = self.walferry("run");
        walferry.args(["--until", "now"]);
        example::run(walferry);
    }

    fn walferry(&self, subcommand: &str) -> Command {
        let mut command = example::walferry(subcommand, "outbox/walferry.yaml");
        command
            .env("ACCOUNTS", self.accounts.url_for("accounts"))
            .env("KAFKA", self.kafka.bootstrap_servers());
        command
    }

    /// It connects with the rights that `outbox init` gave, and no others.
    fn service(&self, arguments: &'static [&str]) -> impl Fn() -> Command + 'static {
        let url = format!(
            "postgresql://service@127.0.0.1:{}/accounts",
            self.accounts.port()
        );
        let kafka = self.kafka.bootstrap_servers();
        move || {
            let mut command = example::python("outbox/service.py");
            command.args(arguments).env("ACCOUNTS", &url);
            command.env("KAFKA", &kafka);
            command
        }
    }

    fn consumer(&self, group: &'static str) -> Program {
        let (url, kafka) = (
            self.mirror.url_for("mirror"),
            self.kafka.bootstrap_servers(),
        );
        Program::started("consumer", move || {
            let mut command = example::python("outbox/consumer.py");
            command.env("MIRROR", &url).env("KAFKA", &kafka);
            command.env("GROUP", group);
            command
        })
    }

    fn running_walferry(&self) -> Program {
        let (url, kafka) = (
            self.accounts.url_for("accounts"),
            self.kafka.bootstrap_servers(),
        );
        Program::started("walferry", move || {
            let mut command = example::walferry("run", "outbox/walferry.yaml");
            command.env("ACCOUNTS", &url).env("KAFKA", &kafka);
            command
        })
    }

    /// All that is committed is in Kafka, and all that is in Kafka is handled by the group.
    fn drain(&self, group: &str, consumer: &mut Program) {
        self.catch_up();
        self.wait_consumed(group, consumer);
    }

    fn wait_consumed(&self, group: &str, consumer: &mut Program) {
        let kafka = self.kafka.bootstrap_servers();
        wait_consumed(&kafka, group, TOPIC, std::slice::from_mut(consumer));
    }

    /// How often accounts were touched: twice a transfer.
    fn touched(&self, side: Side) -> u64 {
        let rows = self.rows(side, "sum(transfers)");
        rows[0].parse().expect("a number")
    }

    /// Waits until that side has so many transfers more.
    fn wait_transfers(&self, side: Side, more: u64, programs: &mut [Program]) {
        let wanted = self.touched(side) + 2 * more;
        wait_for("transfers go on", LIMIT, || {
            programs.iter_mut().for_each(Program::assert_running);
            (self.touched(side) >= wanted).then_some(())
        });
    }

    /// Balances, and how many transfers touched each account.
    fn balances(&self, side: Side) -> Vec<String> {
        self.rows(side, "id || ': ' || balance || ' ' || transfers")
    }

    fn rows(&self, side: Side, what: &str) -> Vec<String> {
        let (server, table) = match side {
            Side::Accounts => (&self.accounts, "accounts"),
            Side::Mirror => (&self.mirror, "mirror"),
        };
        let rows = server.query_text(table, &format!("SELECT {what} FROM {table} ORDER BY 1"));
        rows.expect("rows")
    }

    fn assert_agree(&self) {
        assert_eq!(
            self.balances(Side::Mirror),
            self.balances(Side::Accounts),
            "the balances agree"
        );
        assert_eq!(self.rows(Side::Mirror, "sum(balance)"), ["10000"]);
    }

    /// One of the servers dies and comes back; each in its turn.
    fn kill_server(&mut self, turn: u64) -> &'static str {
        match turn % 3 {
            0 => {
                self.kafka.kill9();
                self.kafka.restart().expect("Kafka");
                "Kafka"
            }
            1 => {
                self.accounts.kill9();
                self.accounts.restart().expect("Postgres");
                "the accounts' Postgres"
            }
            _ => {
                self.mirror.kill9();
                self.mirror.restart().expect("Postgres");
                "the mirror's Postgres"
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Accounts,
    Mirror,
}

#[test]
fn balances_agree_while_everything_is_killed() {
    eprintln!("seed {SEED}");
    let mut dice = Dice::new(SEED);
    let mut stage = Stage::new();
    let service = Program::started("service", stage.service(&[]));
    let mut programs = [service, stage.running_walferry(), stage.consumer("mirror")];
    for round in 0..ROUNDS {
        // Something is under way on that side, and more than before the last kill.
        let side = match dice.below(2) {
            0 => Side::Accounts,
            _ => Side::Mirror,
        };
        stage.wait_transfers(side, 1 + dice.below(30), &mut programs);
        let surely = dice.below(3);
        let mut killed = Vec::new();
        for (program, number) in programs.iter_mut().zip(0..) {
            if number == surely || dice.below(3) == 0 {
                program.kill9();
                killed.push(program);
            }
        }
        let names: Vec<&str> = killed.iter().map(|program| program.name()).collect();
        eprintln!("round {round}: {}", names.join(", "));
        if round % 3 == 1 {
            eprintln!("round {round}: {}", stage.kill_server(round / 3));
        }
        killed.into_iter().for_each(Program::start);
    }
    stage.wait_transfers(Side::Accounts, 1, &mut programs);
    let [mut service, mut walferry, mut consumer] = programs;
    assert_eq!(service.stop(), 0);
    walferry.kill9();
    stage.drain("mirror", &mut consumer);
    stage.assert_agree();
    assert!(stage.touched(Side::Accounts) > 300, "a load worth the name");
    assert_eq!(consumer.stop(), 0);
    // Once more from the beginning, as after a lost consumer group: nothing has a second effect.
    let mut again = stage.consumer("again");
    stage.wait_consumed("again", &mut again);
    stage.assert_agree();
    assert_eq!(again.stop(), 0);
}

#[test]
fn a_death_between_two_writes_loses_an_event_and_with_the_outbox_none() {
    let stage = Stage::new();
    let mut consumer = stage.consumer("mirror");
    let lives = |arguments: &'static [&str], code: i32| {
        let mut service = Program::started("service", stage.service(arguments));
        assert_eq!(service.wait(), code, "{arguments:?}");
    };
    lives(&["--die-after", "5"], 137);
    lives(&["--count", "5"], 0);
    stage.drain("mirror", &mut consumer);
    assert_eq!(stage.touched(Side::Accounts), 20, "ten transfers");
    stage.assert_agree();

    lives(&["--dual-write", "--count", "5"], 0);
    stage.wait_consumed("mirror", &mut consumer);
    stage.assert_agree(); // who does not die does not notice
    lives(&["--dual-write", "--die-after", "5"], 137);
    lives(&["--dual-write", "--count", "5"], 0);
    stage.wait_consumed("mirror", &mut consumer);
    let events = read_topic(&stage.kafka.bootstrap_servers(), TOPIC).len();
    assert_eq!(events, 24, "one of 25 is told to nobody");
    assert_eq!(stage.touched(Side::Accounts), 50);
    assert_eq!(stage.touched(Side::Mirror), 48);
    assert_ne!(stage.balances(Side::Mirror), stage.balances(Side::Accounts));
    assert_eq!(consumer.stop(), 0);
}
