//! `walferry status`: what a running walferry says of itself, asked at its admin page, for people.

use std::fmt::Write as _;
use std::time::Duration;

use pgoutput::Lsn;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Config, Listen};
use crate::preflight::quote::literal;
use crate::words::counted;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no page to ask.
    #[error(
        "admin.listen is off: a walferry without its page cannot be asked; set it to 127.0.0.1:7466, say"
    )]
    Off,
    /// Nobody answers there.
    #[error(
        "no walferry answers at {address} (admin.listen): {reason}; is `walferry run` running with this file?"
    )]
    Nobody {
        /// Where it was asked.
        address: String,
        /// The system's word, or what the answer was.
        reason: String,
    },
}

/// The JSON that the running walferry of this configuration answers at `/status`.
///
/// # Errors
/// The page is off, or nobody answers.
pub async fn ask(config: &Config) -> Result<Value, StatusError> {
    let Listen::At { address, .. } = &config.admin else {
        return Err(StatusError::Off);
    };
    let nobody = |reason: String| StatusError::Nobody {
        address: address.clone(),
        reason,
    };
    let body = match timeout(ANSWER_TIMEOUT, get(address)).await {
        Ok(answer) => answer.map_err(|error| nobody(error.to_string()))?,
        Err(_) => return Err(nobody(format!("no answer within {ANSWER_TIMEOUT:?}"))),
    };
    let json = serde_json::from_str(&body);
    json.map_err(|_| nobody("something else listens there".to_owned()))
}

/// The body of the answer to a GET of `/status`.
async fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body.unwrap_or_default().to_owned())
}

/// The ladder of positions, and all that holds it up.
#[must_use]
pub fn text(status: &Value) -> String {
    let reason = match &status["reason"] {
        Value::String(reason) => format!(": {reason}"),
        _ => String::new(),
    };
    let (name, stage) = (word(&status["name"]), word(&status["stage"]));
    let seconds = word(&status["uptime_seconds"]);
    let mut out = format!("{name}: {stage}{reason}\nup for {seconds} s\n\n");
    ladder(&mut out, status);
    rates(&mut out, status);
    // One that was given up has no end of its own: the stage tells.
    if status["stage"].as_str() != Some("streaming") {
        snapshot(&mut out, &status["snapshot"]);
    }
    for request in list(&status["snapshots"]) {
        asked_for(&mut out, request);
    }
    for transaction in list(&status["prepared_transactions"]) {
        prepared(&mut out, transaction);
    }
    tables(&mut out, list(&status["tables"]));
    out
}

/// Each position with its distance from the server's, and which step is the slow one.
fn ladder(out: &mut String, status: &Value) {
    let positions = &status["positions"];
    let lsn = |step: &str| word(&positions[step]).parse::<Lsn>().unwrap_or_default();
    let server = lsn("server");
    for step in ["server", "received", "acknowledged", "confirmed"] {
        let behind = match server.bytes_since(lsn(step)) {
            0 => String::new(),
            bytes => format!("  {bytes} bytes behind"),
        };
        let _ = writeln!(out, "  {step:<12}  {}{behind}", lsn(step));
    }
    let _ = writeln!(out, "\n  {}", slow_step(status, &lsn));
}

/// What is waited for, if anything worth a word is.
fn slow_step(status: &Value, lsn: &impl Fn(&str) -> Lsn) -> &'static str {
    let lag_bytes = status["lag_bytes"].as_u64().unwrap_or_default();
    let lag_seconds = status["lag_seconds"].as_f64().unwrap_or_default();
    let waits = status["in_flight"]["records"].as_u64().unwrap_or_default() > 0;
    let unread = lsn("server").bytes_since(lsn("received"));
    let streams = !matches!(
        status["stage"].as_str(),
        Some("starting" | "checking" | "draining" | "retrying")
    );
    if !streams {
        "It does not stream now: what the server has written since is not known."
    } else if lag_bytes < LAG_BYTES && lag_seconds < LAG_SECONDS {
        "It keeps up."
    } else if waits && unread < lag_bytes / 2 {
        "Kafka is the slow step: it has not acknowledged what was published."
    } else if unread >= lag_bytes / 2 {
        "Reading is the slow step: a backlog is being drained, or Kafka's pace leaves no room for more."
    } else {
        "Confirming is the slow step: a position is not stored, or the slot is held by a prepared transaction."
    }
}

fn rates(out: &mut String, status: &Value) {
    let number = |name: &str| status[name].as_f64().unwrap_or_default();
    let _ = writeln!(
        out,
        "\n  lag           {} bytes, {:.1} s\n  rate          {:.0} records/s, {:.0} bytes/s\n  in flight     {} records, {} bytes",
        word(&status["lag_bytes"]),
        number("lag_seconds"),
        number("records_per_second"),
        number("bytes_per_second"),
        word(&status["in_flight"]["records"]),
        word(&status["in_flight"]["bytes"]),
    );
    if let Some(slot) = status["slot"].as_object() {
        let part = |(name, value): (&String, &Value)| format!("{name} {}", word(value));
        let parts: Vec<String> = slot.iter().map(part).collect();
        let _ = writeln!(out, "  slot          {}", parts.join(", "));
    }
}

/// The rows that are there, while this process reads them.
fn snapshot(out: &mut String, snapshot: &Value) {
    if snapshot.is_null() || snapshot["over"].as_bool() == Some(true) {
        return;
    }
    let (read, tables) = (word(&snapshot["tables_read"]), &snapshot["tables"]);
    let (tables, rows) = (several(tables, "table"), several(&snapshot["rows"], "row"));
    let pauses = match snapshot["paused"].as_bool() {
        Some(true) => "now, until the server keeps less WAL".to_owned(),
        _ => several(&snapshot["pauses"], "time"),
    };
    let _ = writeln!(
        out,
        "  snapshot      {read} of {tables}, {rows}, paused {pauses}"
    );
}

/// Rows that were asked for and are not all published.
fn asked_for(out: &mut String, request: &Value) {
    let (id, kind) = (word(&request["id"]), word(&request["kind"]));
    if request["table"].is_null() {
        let _ = writeln!(out, "  asked for     {id}, {kind}: waits for its turn");
        return;
    }
    let (table, left) = (word(&request["table"]), &request["tables_left"]);
    let (left, rows) = (several(left, "table"), several(&request["rows"], "row"));
    let paused = match request["paused"].as_bool() {
        Some(true) => ", paused",
        _ => "",
    };
    let _ = writeln!(
        out,
        "  asked for     {id}, {kind}: {table}, {left} left with it, {rows}{paused}"
    );
}

/// A transaction that waits, with the statements that end it.
fn prepared(out: &mut String, transaction: &Value) {
    let _ = writeln!(
        out,
        "\n  prepared      {} by {} in {}, {} s ago; the slot keeps {} bytes of WAL in all",
        transaction["gid"],
        word(&transaction["owner"]),
        word(&transaction["database"]),
        word(&transaction["age_seconds"]),
        word(&transaction["retained_bytes"]),
    );
    let gid = transaction["gid"].as_str().unwrap_or_default();
    let gid = literal(gid);
    let _ = writeln!(
        out,
        "                COMMIT PREPARED {gid};  or  ROLLBACK PREPARED {gid};"
    );
}

fn tables(out: &mut String, tables: &[Value]) {
    if !tables.is_empty() {
        out.push_str("\n  events by table since the start\n");
    }
    for table in tables.iter().take(TABLES_SHOWN) {
        let (name, total) = (word(&table["table"]), word(&table["total"]));
        let _ = writeln!(out, "  {name:<40} {total:>12}");
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn several(value: &Value, one: &str) -> String {
    counted(value.as_u64().unwrap_or_default(), one)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Ten thousand tables with all their counts fit.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const TABLES_SHOWN: usize = 20;
/// Less is what is under way in any busy moment.
const LAG_BYTES: u64 = 8 << 20;
const LAG_SECONDS: f64 = 2.0;

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_slow_stage_and_the_forgotten_transaction_are_named() {
        let status = json!({
            "name": "shop", "stage": "snapshot", "reason": null, "uptime_seconds": 61,
            "positions": {"server": "0/3000000", "received": "0/3000000", "published": "0/2FFFFF0",
                          "acknowledged": "0/1000000", "confirmed": "0/FFFFF0"},
            "lag_bytes": 33_554_448, "lag_seconds": 0.25, "records_per_second": 12.4, "bytes_per_second": 800.0,
            "in_flight": {"records": 7, "bytes": 900},
            "slot": {"wal_status": "reserved"},
            "snapshot": {"tables": 3, "tables_read": 1, "rows": 12, "pauses": 2},
            "snapshots": [{"id": "again", "kind": "incremental", "table": "public.users", "tables_left": 2,
                           "rows": 2048, "chunks": 2, "paused": true},
                          {"id": "later", "kind": "blocking", "table": null, "tables_left": null,
                           "rows": 0, "chunks": 0, "paused": false}],
            "prepared_transactions": [{"gid": "it's", "database": "shop", "owner": "bank",
                                       "age_seconds": 3600, "retained_bytes": 1024}],
            "tables": [{"table": "public.users", "total": 3}]
        });
        expect![[r#"
            shop: snapshot
            up for 61 s

              server        0/3000000
              received      0/3000000
              acknowledged  0/1000000  33554432 bytes behind
              confirmed     0/FFFFF0  33554448 bytes behind

              Kafka is the slow step: it has not acknowledged what was published.

              lag           33554448 bytes, 0.2 s
              rate          12 records/s, 800 bytes/s
              in flight     7 records, 900 bytes
              slot          wal_status reserved
              snapshot      1 of 3 tables, 12 rows, paused 2 times
              asked for     again, incremental: public.users, 2 tables left with it, 2048 rows, paused
              asked for     later, blocking: waits for its turn

              prepared      "it's" by bank in shop, 3600 s ago; the slot keeps 1024 bytes of WAL in all
                            COMMIT PREPARED 'it''s';  or  ROLLBACK PREPARED 'it''s';

              events by table since the start
              public.users                                        3
        "#]]
        .assert_eq(&text(&status));
    }

    #[test]
    fn a_snapshot_that_is_over_is_not_told_of() {
        let said = |stage: &str, over: bool| {
            let snapshot =
                json!({"tables": 1, "tables_read": 0, "rows": 1, "pauses": 0, "over": over});
            text(
                &json!({"name": "shop", "stage": stage, "uptime_seconds": 3, "snapshot": snapshot}),
            )
        };
        let (begun, over) = (said("snapshot", false), said("snapshot", true));
        let given_up = said("streaming", false);
        assert!(!given_up.contains("paused"), "{given_up}");
        assert!(
            begun.contains("  snapshot      0 of 1 table, 1 row, paused 0 times\n"),
            "{begun}"
        );
        assert!(begun.starts_with("shop: snapshot\nup for 3 s\n"), "{begun}");
        assert!(!over.contains("paused"), "{over}");
    }

    #[test]
    fn what_keeps_up_is_said_to() {
        let at = |received: &str, confirmed: &str, lag: u64, waits: u64| {
            let status = json!({
                "positions": {"server": "0/4000000", "received": received,
                              "acknowledged": confirmed, "confirmed": confirmed},
                "lag_bytes": lag, "lag_seconds": 0.0, "in_flight": {"records": waits},
            });
            text(&status)
        };
        assert!(at("0/4000000", "0/3FFFFF0", 16, 0).contains("It keeps up."));
        let away = text(&json!({"stage": "retrying", "lag_bytes": 16, "lag_seconds": 0.0}));
        assert!(away.contains("It does not stream now"), "{away}");
        assert!(!away.contains("keeps up"), "{away}");
        let reading = at("0/1000000", "0/FFFFF0", 50_331_664, 9);
        assert!(reading.contains("Reading is the slow step"), "{reading}");
        let held = at("0/4000000", "0/1000000", 50_331_648, 0);
        assert!(held.contains("Confirming is the slow step"), "{held}");
    }
}
