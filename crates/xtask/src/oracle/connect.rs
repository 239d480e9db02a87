//! Debezium's connectors in one worker, by Connect's REST interface.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::case::{Case, Setting};
use super::place::Place;

const ANSWER_LIMIT: Duration = Duration::from_secs(90);

static CHANGES: Mutex<()> = Mutex::new(());

/// One connector.
#[derive(Debug)]
pub(super) struct Connector {
    port: u16,
    name: String,
    config: Value,
    made: bool,
}

impl Connector {
    /// The case's connector, not started.
    pub(super) fn new(rest_port: u16, case: &Case, place: &Place) -> Self {
        let mut config = serde_json::Map::new();
        for (name, value) in properties(case, place) {
            config.insert(name, Value::String(value));
        }
        Self {
            port: rest_port,
            name: place.prefix.clone(),
            config: Value::Object(config),
            made: false,
        }
    }

    /// Makes it, or goes on with it after [`stop`](Self::stop).
    pub(super) fn start(&mut self) -> Result<()> {
        if self.made {
            self.ask("PUT", "/resume", "").map(drop)
        } else {
            self.made = true;
            self.ask("PUT", "/config", &self.config.to_string())
                .map(drop)
        }
    }

    /// Stops its task; its offsets stay.
    pub(super) fn stop(&self) -> Result<()> {
        self.ask("PUT", "/stop", "").map(drop)
    }

    /// Why it does not run any more, if so.
    pub(super) fn failure(&self) -> Option<String> {
        let status = self.ask("GET", "/status", "").ok()?;
        let status: Value = serde_json::from_str(&status).ok()?;
        let parts = [status.pointer("/tasks/0"), status.pointer("/connector")];
        let failed = parts.into_iter().flatten();
        let mut traces = failed.filter(|part| part["state"] == "FAILED");
        let trace = traces.next()?["trace"].as_str().unwrap_or("it FAILED");
        let causes = trace
            .lines()
            .filter(|line| line.starts_with("Caused by") || !line.starts_with('\t'));
        Some(causes.collect::<Vec<_>>().join("\n"))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let Self { port, name, .. } = self;
        // A standalone worker's herder and its store of configurations lock each other out when a
        // connector is resumed while another stops (Kafka 4.3): one change at a time.
        let _turn = (method != "GET").then(|| CHANGES.lock());
        let mut stream =
            TcpStream::connect(("127.0.0.1", *port)).context("Connect is not there")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let length = body.len();
        let request = format!(
            "{method} /connectors/{name}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(
            status.starts_with('2'),
            "Connect: {method} {path} of {name}: {answer}"
        );
        match answer.find('{').zip(answer.rfind('}')) {
            Some((start, end)) => Ok(answer[start..=end].to_owned()),
            None if method == "GET" => bail!("Connect said nothing: {answer}"),
            None => Ok(json!({}).to_string()),
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if self.made {
            let _ = self.ask("DELETE", "", ""); // the worker goes with its server
        }
    }
}

fn properties(case: &Case, place: &Place) -> Vec<Setting> {
    let port = place.postgres_port.to_string();
    let json_converter = "org.apache.kafka.connect.json.JsonConverter";
    let schemas = case.option("schemas.enable").unwrap_or("false");
    let mut properties: Vec<Setting> = [
        (
            "connector.class",
            "io.debezium.connector.postgresql.PostgresConnector",
        ),
        ("tasks.max", "1"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", "127.0.0.1"),
        ("database.port", &port),
        ("database.user", "postgres"),
        ("database.dbname", &place.database),
        ("topic.prefix", &place.prefix),
        ("slot.name", &place.prefix),
        ("publication.name", "oracle"),
        ("publication.autocreate.mode", "disabled"),
        ("poll.interval.ms", "10"),
        ("key.converter", json_converter),
        ("value.converter", json_converter),
        ("key.converter.schemas.enable", schemas),
        ("value.converter.schemas.enable", schemas),
        ("topic.creation.default.replication.factor", "1"),
        ("topic.creation.default.partitions", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    properties.extend(case.options.iter().cloned().map(|(name, value)| {
        let value = match name.as_str() {
            // The end of the case is a table, too.
            "table.include.list" => format!("{value},public[.]walferry_end"),
            _ => value.replace("{prefix}", &place.prefix),
        };
        (name, value)
    }));
    properties.extend(case.debezium.iter().cloned());
    properties.retain(|(name, _)| name != "schemas.enable");
    properties
}
