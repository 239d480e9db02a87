//! The consumer's side: an event has its effect once, whatever is repeated, killed or rolled back.

use std::time::Duration;

use e2e::support::topic::read_topic;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, query, query_one, sql};
use inbox::{Inbox, Position};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, IsolationLevel, NoTls};
use xtask::servers::{PostgresOptions, PostgresServer};

const LIMIT: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn connect(postgres: &PostgresServer) -> Client {
    let url = format!(
        "postgresql://postgres@127.0.0.1:{}/postgres",
        postgres.port()
    );
    let (client, connection) = tokio_postgres::connect(&url, NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    client
}

/// One question, in a transaction of its own.
async fn is_new(client: &mut Client, inbox: &Inbox, id: &str) -> bool {
    let transaction = client.transaction().await.expect("a transaction");
    let answer = inbox.is_new(&transaction, id).await.expect("an answer");
    transaction.commit().await.expect("committed");
    answer
}

async fn advance(
    client: &mut Client,
    partition: i32,
    place: &str,
) -> Result<bool, tokio_postgres::Error> {
    let transaction = client.transaction().await.expect("a transaction");
    let inbox = Inbox::new("billing");
    let answer = inbox.advance(&transaction, "t", partition, position(place));
    let answer = answer.await?;
    transaction.commit().await.expect("committed");
    Ok(answer)
}

fn position(text: &str) -> Position {
    text.parse().expect("a position")
}

#[test]
fn an_id_is_new_once_a_consumer() {
    let postgres = postgres(PostgresOptions::default());
    runtime().block_on(async {
        let (mut one, mut other) = (connect(&postgres).await, connect(&postgres).await);
        Inbox::install(&one).await.expect("installed");
        Inbox::install(&one).await.expect("installed again");
        let inbox = Inbox::new("billing");
        assert!(is_new(&mut one, &inbox, "a").await);
        assert!(!is_new(&mut one, &inbox, "a").await);
        assert!(is_new(&mut one, &Inbox::new("mail"), "a").await);
        // Who asks meanwhile waits: after a rollback it is new, after a commit it is not.
        for (id, commits) in [("b", false), ("c", true)] {
            let first = one.transaction().await.expect("a transaction");
            assert!(inbox.is_new(&first, id).await.expect("an answer"));
            let asks = async {
                let second = other.transaction().await.expect("a transaction");
                let answer = inbox.is_new(&second, id).await.expect("an answer");
                second.commit().await.expect("committed");
                answer
            };
            let ends = async {
                // The other waits for this row's end, which the server tells.
                let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
                while query_one(&postgres, waits) == "0" {
                    tokio::task::yield_now().await;
                }
                if commits {
                    first.commit().await.expect("committed");
                } else {
                    first.rollback().await.expect("rolled back");
                }
            };
            let (answer, ()) = tokio::join!(asks, ends);
            assert_eq!(answer, !commits, "{id}");
        }
        // Above READ COMMITTED an answer that would be wrong is an error that says: again.
        let late = other
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead);
        let late = late.start().await.expect("a transaction");
        late.query_one("SELECT 1", &[]).await.expect("a snapshot");
        assert!(is_new(&mut one, &inbox, "d").await);
        let error = inbox
            .is_new(&late, "d")
            .await
            .expect_err("a serialization failure");
        assert_eq!(error.code().map(|code| code.code()), Some("40001"));
    });
}

#[test]
fn several_may_install_it_at_once_and_a_consumer_needs_few_rights() {
    let postgres = postgres(PostgresOptions::default());
    runtime().block_on(async {
        let (mut one, other) = (connect(&postgres).await, connect(&postgres).await);
        let first = one.transaction().await.expect("a transaction");
        Inbox::install(&first).await.expect("installed");
        let ends = async {
            let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
            while query_one(&postgres, waits) == "0" {
                tokio::task::yield_now().await;
            }
            first.commit().await.expect("committed");
        };
        let (installed, ()) = tokio::join!(Inbox::install(&other), ends);
        installed.expect("installed after the other");
    });
    // What docs/idempotent-consumer.md says that it needs.
    sql(
        &postgres,
        "CREATE ROLE billing; GRANT USAGE ON SCHEMA walferry_inbox TO billing;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA walferry_inbox TO billing;
         SET ROLE billing; SELECT walferry_inbox.is_new('billing', '1');
         SELECT walferry_inbox.advance('billing', 't', 0, '7:0/FF:0');
         SELECT walferry_inbox.forget('billing', 't'); SELECT walferry_inbox.clean('1 day')",
    );
}

#[test]
fn ids_are_cleaned_by_age_in_bounded_steps() {
    let postgres = postgres(PostgresOptions::default());
    runtime().block_on(async {
        let client = connect(&postgres).await;
        Inbox::install(&client).await.expect("installed");
        sql(
            &postgres,
            "INSERT INTO walferry_inbox.seen SELECT 'c', g::text, now() - interval '2 days'
             FROM generate_series(1, 25) g; SELECT walferry_inbox.is_new('c', 'young')",
        );
        let day = Duration::from_secs(86_400);
        for expected in [10, 10, 5, 0] {
            let gone = Inbox::clean(&client, day, 10).await.expect("cleaned");
            assert_eq!(gone, expected);
        }
        assert_eq!(
            query(&postgres, "SELECT id FROM walferry_inbox.seen"),
            ["young"]
        );
    });
}

#[test]
fn a_position_is_passed_once() {
    let postgres = postgres(PostgresOptions::default());
    runtime().block_on(async {
        let mut client = connect(&postgres).await;
        Inbox::install(&client).await.expect("installed");
        for (partition, id, expected) in [
            (0, "7:0/FF:0", true),
            (0, "7:0/FF:0", false),
            (0, "7:0/FF:10", true),
            (0, "7:0/FF:9", false),
            (0, "7:0/100:0", true),
            (1, "7:0/1:0", true),
            (0, "8:0/1:0", true),
        ] {
            let passed = advance(&mut client, partition, id).await;
            assert_eq!(passed.expect("an answer"), expected, "{partition} {id}");
        }
        let older = advance(&mut client, 0, "7:0/FFFF:0").await;
        let error = older.expect_err("another database");
        assert_eq!(error.code().map(|code| code.code()), Some("55000"));
        sql(&postgres, "SELECT walferry_inbox.forget('billing', 't')");
        let again = advance(&mut client, 0, "7:0/FFFF:0").await;
        assert!(again.expect("an answer"));
        assert_eq!(
            query_one(&postgres, "SELECT count(*) FROM walferry_inbox.position"),
            "1"
        );
    });
}

/// A generator of its own, so that a seed says it all.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Reads from its committed offset on; dies at random before or after the database's commit, and before
/// Kafka's. Ends at the end of the topic.
async fn consume(
    postgres: &PostgresServer,
    config: &Config,
    (committed, random): (&mut usize, &mut Random),
    by_position: bool,
) {
    let inbox = Inbox::new("balances");
    let topic = format!("{}.account", config.name());
    let mut client = connect(postgres).await;
    let events = read_topic(config.bootstrap_servers(), &topic);
    let mut at = *committed;
    while let Some(event) = events.get(at) {
        let header = |name: &str| {
            let found = event.headers.iter().find(|(header, _)| header == name);
            String::from_utf8(found.expect("a header").1.clone()).expect("a text")
        };
        let transaction = client.transaction().await.expect("a transaction");
        let is_new = if by_position {
            let place = position(&header("walferry.id"));
            inbox
                .advance(&transaction, &topic, event.partition, place)
                .await
        } else {
            inbox.is_new(&transaction, &header("id")).await
        };
        if is_new.expect("an answer") {
            let amount = event.json()["amount"].as_i64().expect("a number");
            let effect = "UPDATE balance SET amount = amount + $1, effects = effects + 1";
            transaction
                .execute(effect, &[&amount])
                .await
                .expect("the effect");
        }
        match random.below(8) {
            0 => {
                // Died before its commit: the session's end rolls back.
                drop(transaction);
                at = *committed;
                continue;
            }
            _ => transaction.commit().await.expect("committed"),
        }
        at += 1;
        match random.below(4) {
            // Died with the offset not committed.
            0 => at = *committed,
            1 => {}
            _ => *committed = at,
        }
    }
    *committed = at;
}

#[test]
fn each_event_has_one_effect_while_both_sides_are_killed() {
    for (seed, by_position) in [
        (0x9E37_79B9_7F4A_7C15, false),
        (0xD1B5_4A32_D192_ED03, true),
    ] {
        eprintln!("seed {seed:#x}, by position: {by_position}");
        let mut random = Random(seed);
        let postgres = postgres(PostgresOptions::default());
        sql(
            &postgres,
            "CREATE TABLE account (amount bigint); INSERT INTO account VALUES (0);
             CREATE TABLE balance (amount bigint, effects bigint); INSERT INTO balance VALUES (0, 0)",
        );
        sql(&postgres, inbox::SQL);
        let config = Config::new("inbox", &postgres, kafka()).unset("tables.include");
        let topic = format!("'{}.${{routedByValue}}'", config.name());
        let config = config
            .set("outbox.message.prefix", "outbox")
            .set("outbox.route.topic.replacement", &topic);
        config.catch_up(LIMIT);
        let mut events = 0;
        let mut committed = 0;
        for round in 0..5 {
            let mut walferry = config.start();
            for step in 0..40 {
                let amount = random.below(100);
                let end = if random.below(5) == 0 {
                    "ROLLBACK"
                } else {
                    "COMMIT"
                };
                events += i64::from(end == "COMMIT");
                sql(
                    &postgres,
                    &format!(
                        "BEGIN; UPDATE account SET amount = amount + {amount};
                         SELECT pg_logical_emit_message(true, 'outbox',
                            '{{\"id\": \"{round}-{step}\", \"aggregatetype\": \"account\", \"key\": \"1\",
                               \"payload\": {{\"amount\": {amount}}}}}'); {end}"
                    ),
                );
            }
            walferry.kill9();
            runtime().block_on(consume(
                &postgres,
                &config,
                (&mut committed, &mut random),
                by_position,
            ));
        }
        config.catch_up(LIMIT);
        // From the beginning once more, as after a lost consumer group.
        committed = 0;
        runtime().block_on(consume(
            &postgres,
            &config,
            (&mut committed, &mut random),
            by_position,
        ));
        let both = "SELECT account.amount || ' ' || balance.amount FROM account, balance";
        let both = query_one(&postgres, both);
        let (here, there) = both.split_once(' ').expect("two amounts");
        assert_eq!(here, there, "the balances agree");
        assert_eq!(
            query_one(&postgres, "SELECT effects FROM balance"),
            events.to_string()
        );
    }
}
