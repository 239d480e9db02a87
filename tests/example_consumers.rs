//! The consumers of the documentation, in Rust, Python and Java: each event has one effect in each,
//! by id and by position, while walferry, they themselves, their database and Kafka are killed.

use std::process::Command;
use std::time::Duration;

use e2e::support::example::{self, Program, wait_consumed};
use e2e::support::walferry::{Config, built};
use e2e::support::workload::Dice;
use e2e::support::{own_kafka, postgres, query, sql, wait_for};
use xtask::servers::programs::JavaProgram;
use xtask::servers::{
    Directory, Durability, KafkaServer, PostgresOptions, PostgresServer, directory,
};

const LIMIT: Duration = Duration::from_secs(120);
const ROUNDS: u64 = 9;
const LANGUAGES: [&str; 3] = ["rust", "python", "java"];

/// Java's classes, for as long as the test runs.
struct Java {
    program: JavaProgram,
    _classes: Directory,
}

fn java() -> Java {
    let classes = directory("java").expect("a directory");
    let example = example::file("idempotent-consumer/java");
    let (pom, source) = (example.join("pom.xml"), example.join("Consumer.java"));
    Java {
        program: JavaProgram::compile(&pom, &source, classes.path()).expect("a Java program"),
        _classes: classes,
    }
}

struct Stage {
    source: PostgresServer,
    /// A database for each language.
    sink: PostgresServer,
    kafka: KafkaServer,
    config: Config,
    java: std::rc::Rc<Java>,
    by: &'static str,
}

impl Stage {
    fn new(by: &'static str) -> Self {
        let server = || {
            postgres(PostgresOptions {
                durability: Durability::Safe,
                ..PostgresOptions::default()
            })
        };
        let (source, sink, kafka) = (server(), server(), own_kafka());
        let balance = example::script("idempotent-consumer/balance.sql");
        sql(&source, &balance);
        for language in LANGUAGES {
            example::database(&sink, language, &[&balance, inbox::SQL]);
        }
        let config = Config::new("consumers", &source, &kafka)
            .unset("tables.include")
            .set("topics.partitions", "3")
            .set("outbox.message.prefix", "outbox")
            .set("outbox.value.converter", "string")
            .set("outbox.key.converter", "string");
        let mut init = config.command("outbox init");
        init.arg("--apply");
        example::run(init);
        Self {
            source,
            sink,
            kafka,
            config,
            java: std::rc::Rc::new(java()),
            by,
        }
    }

    /// One transaction: an amount is added here, and an event tells of it; or neither.
    fn write(&self, dice: &mut Dice) {
        let (account, amount) = (1 + dice.below(10), dice.below(100));
        let event = format!("'{{\"account\": {account}, \"amount\": {amount}}}'");
        let effect = format!(
            "INSERT INTO balance VALUES ({account}, {amount}, 1) ON CONFLICT (account) DO UPDATE
             SET amount = balance.amount + EXCLUDED.amount, events = balance.events + 1;"
        );
        let (effect, payload, end) = match dice.below(10) {
            0 => (effect, event, "ROLLBACK"),
            // Told of without a value: nothing is to be added.
            1 => (String::new(), "NULL".to_owned(), "COMMIT"),
            _ => (effect, event, "COMMIT"),
        };
        sql(
            &self.source,
            &format!(
                "BEGIN; {effect} SELECT outbox_emit('added', '{account}', 'Added', {payload}); {end}"
            ),
        );
    }

    fn consumer(&self, language: &'static str, instance: u32, group: &'static str) -> Program {
        let url = self.sink.url_for(language);
        let jdbc = format!(
            "jdbc:postgresql://127.0.0.1:{}/java?user=postgres",
            self.sink.port()
        );
        let (kafka, by) = (self.kafka.bootstrap_servers(), self.by);
        let java = std::rc::Rc::clone(&self.java);
        Program::started(&format!("{language} {instance}"), move || {
            let mut command = match language {
                "rust" => Command::new(built("example-consumer")),
                "python" => example::python("idempotent-consumer/python/consumer.py"),
                _ => java.program.command("Consumer").expect("Java"),
            };
            let database = if language == "java" { &jdbc } else { &url };
            command.env("DATABASE", database).env("KAFKA", &kafka);
            command.env("TOPIC", TOPIC).env("BY", by);
            command.env("GROUP", format!("{group}-{language}"));
            command.env("INSTANCE", format!("{language}-{instance}"));
            command
        })
    }

    /// How many events have had an effect in that language's database.
    fn effects(&self, language: &str) -> u64 {
        let rows = self
            .sink
            .query_text(language, "SELECT coalesce(sum(events), 0) FROM balance");
        rows.expect("a sum")[0].parse().expect("a number")
    }

    fn wait_consumed(&self, group: &str, consumers: &mut [Program]) {
        let kafka = self.kafka.bootstrap_servers();
        for language in LANGUAGES {
            wait_consumed(&kafka, &format!("{group}-{language}"), TOPIC, consumers);
        }
    }

    fn assert_one_effect_each(&self) {
        let all =
            "SELECT account || ': ' || amount || ' in ' || events FROM balance ORDER BY account";
        let expected = query(&self.source, all);
        for language in LANGUAGES {
            let found = self.sink.query_text(language, all).expect("rows");
            assert_eq!(found, expected, "{language}: one effect an event");
        }
    }

    /// What the consumers need goes away and comes back.
    fn kill_server(&mut self, round: u64) {
        match round {
            2 => {
                eprintln!("round {round}: their Postgres");
                self.sink.kill9();
                self.sink.restart().expect("Postgres");
            }
            5 => {
                eprintln!("round {round}: Kafka");
                self.kafka.kill9();
                self.kafka.restart().expect("Kafka");
            }
            _ => {}
        }
    }
}

const TOPIC: &str = "outbox.event.added";

fn each_event_has_one_effect(by: &'static str, seed: u64) {
    eprintln!("seed {seed}, by {by}");
    let mut dice = Dice::new(seed);
    let mut stage = Stage::new(by);
    let mut walferry = stage.config.spawn();
    let mut consumers: Vec<Program> = LANGUAGES
        .map(|language| stage.consumer(language, 1, "billing"))
        .into();
    for round in 0..ROUNDS {
        let before = LANGUAGES.map(|language| stage.effects(language));
        for _ in 0..60 {
            stage.write(&mut dice);
        }
        let at_least = 1 + dice.below(20);
        for (language, before) in LANGUAGES.into_iter().zip(before) {
            wait_for(&format!("{language} goes on"), LIMIT, || {
                consumers.iter_mut().for_each(Program::assert_running);
                (stage.effects(language) >= before + at_least).then_some(())
            });
        }
        stage.kill_server(round);
        if round == ROUNDS / 2 {
            // Others of their groups: partitions move while events are under way.
            let more = LANGUAGES.map(|language| stage.consumer(language, 2, "billing"));
            consumers.extend(more);
        }
        let surely = dice.below(3);
        for (consumer, number) in consumers.iter_mut().zip(0..) {
            if number % 3 == surely || dice.below(4) == 0 {
                eprintln!("round {round}: {}", consumer.name());
                consumer.start();
            }
        }
        if dice.below(2) == 0 {
            eprintln!("round {round}: walferry");
            walferry.kill9();
            walferry = stage.config.spawn();
        }
    }
    walferry.kill9();
    stage.config.catch_up(LIMIT);
    stage.wait_consumed("billing", &mut consumers);
    stage.assert_one_effect_each();
    for consumer in &mut consumers {
        let code = consumer.stop();
        assert!([0, 143].contains(&code), "{}: {code}", consumer.name());
    }
    // All once more, as after a lost consumer group.
    let again = LANGUAGES.map(|language| stage.consumer(language, 1, "again"));
    let mut again = Vec::from(again);
    stage.wait_consumed("again", &mut again);
    stage.assert_one_effect_each();
}

#[test]
fn by_id() {
    each_event_has_one_effect("id", 20_261_201);
}

#[test]
fn by_position() {
    each_event_has_one_effect("position", 20_261_202);
}
