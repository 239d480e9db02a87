//! Adds up the amounts of events, each event once, whoever is killed meanwhile.

use std::env;
use std::error::Error;
use std::time::Duration;

use inbox::{Inbox, Position};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, NoTls, Transaction};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = consume() => ended,
        // Who can be killed at any moment needs no other way to stop.
        _ = terminate.recv() => Ok(()),
    }
}

async fn consume() -> Result<(), Failure> {
    let consumer = consumer()?;
    consumer.subscribe(&[&env::var("TOPIC")?])?;
    let handler = Handler {
        inbox: Inbox::new("billing"),
        by_position: env::var("BY").is_ok_and(|by| by == "position"),
    };
    let mut session = None;
    loop {
        let event = match consumer.recv().await {
            Ok(event) => event,
            // Such as another instance of the same name.
            Err(KafkaError::MessageConsumptionFatal(code)) => return Err(code.into()),
            Err(error) => {
                eprintln!("kafka: {error}"); // it is away: recv goes on by itself
                continue;
            }
        };
        while let Err(error) = handler.handle(&mut session, &event).await {
            if !is_passing(&error) {
                return Err(error);
            }
            // Not known whether it was committed. Asked again, the inbox knows.
            eprintln!("postgres: {error}");
            session = None;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if let Err(error) = consumer.store_offset_from_message(&event) {
            // Its partition has moved: there it comes again, and is not new.
            eprintln!("kafka: {error}");
        }
    }
}

struct Handler {
    inbox: Inbox,
    by_position: bool,
}

impl Handler {
    /// One event, one transaction: the effect, and the memory of it.
    async fn handle(
        &self,
        session: &mut Option<Client>,
        event: &BorrowedMessage<'_>,
    ) -> Result<(), Failure> {
        let client = match session {
            Some(client) => client,
            None => session.insert(connect().await?),
        };
        let transaction = client.transaction().await?;
        let is_new = self.is_new(&transaction, event).await?;
        if let (true, Some(payload)) = (is_new, event.payload()) {
            add(&transaction, &serde_json::from_slice(payload)?).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn is_new(
        &self,
        transaction: &Transaction<'_>,
        event: &BorrowedMessage<'_>,
    ) -> Result<bool, Failure> {
        if !self.by_position {
            let id = header(event, "id")?;
            return Ok(self.inbox.is_new(transaction, id).await?);
        }
        let (topic, partition) = (event.topic(), event.partition());
        let position: Position = header(event, "walferry.id")?.parse()?;
        let passed = self.inbox.advance(transaction, topic, partition, position);
        Ok(passed.await?)
    }
}

#[derive(Deserialize)]
struct Payload {
    account: i32,
    amount: i64,
}

async fn add(transaction: &Transaction<'_>, event: &Payload) -> Result<(), Failure> {
    let sql = "INSERT INTO balance VALUES ($1, $2, 1) ON CONFLICT (account)
        DO UPDATE SET amount = balance.amount + EXCLUDED.amount, events = balance.events + 1";
    transaction
        .execute(sql, &[&event.account, &event.amount])
        .await?;
    Ok(())
}

fn header<'a>(event: &'a BorrowedMessage<'_>, name: &str) -> Result<&'a str, Failure> {
    let mut headers = event.headers().into_iter().flat_map(Headers::iter);
    let found = headers.find(|header| header.key == name);
    let value = found.and_then(|header| header.value);
    let value = value.ok_or_else(|| format!("an event without the header {name}"))?;
    Ok(std::str::from_utf8(value)?)
}

async fn connect() -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(&env::var("DATABASE")?, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether Postgres was only away (no answer, or 08, 57P), or asks for another try (40).
fn is_passing(error: &Failure) -> bool {
    let Some(error) = error.downcast_ref::<tokio_postgres::Error>() else {
        return false;
    };
    let passes = |code: &str| ["08", "40", "57P"].iter().any(|it| code.starts_with(it));
    error.code().is_none_or(|code| passes(code.code()))
}

fn consumer() -> Result<StreamConsumer, Failure> {
    let group = env::var("GROUP").unwrap_or_else(|_| "billing".to_owned());
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", env::var("KAFKA")?)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        // But by store_offset_from_message, once an event is handled.
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "1000")
        // Until the first event has made the topic.
        .set("topic.metadata.refresh.interval.ms", "1000");
    if let Ok(instance) = env::var("INSTANCE") {
        // A name of its own: back after a crash, it has its partitions at once.
        settings.set("group.instance.id", instance);
    }
    Ok(settings.create()?)
}
