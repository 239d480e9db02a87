//! Puts aside what no two runs can share, after a look at it: times of processing, positions in the
//! log, transaction ids, and the headers that only one side has.

use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::case::Case;
use super::topics::Record;

/// The table whose rows tell both sides that a case is at its end.
pub(super) const END_TABLE: &str = "walferry_end";

struct Volatile {
    pattern: Regex,
    instead: &'static str,
}

/// A number keeps its name and its quotes; null stays null.
static VOLATILE: LazyLock<Vec<Volatile>> = LazyLock::new(|| {
    [
        // Times of the envelope and of `source`, positions, and transaction ids, also where a flat
        // row has them under another name.
        (r#"("\w*(?:ts_[mun]s|lsn|txId)":)"?-?\d+"?"#, "${1}_"),
        (r#"("\w*sequence":")\[[^\]]*\]""#, "${1}_\""),
        // A transaction's id: `742:23456789`.
        (r#"("\w*(?:id)":")\d+:\d+""#, "${1}_\""),
        // The same as headers.
        (r"^(\w*(?:ts_[mun]s|lsn|txId)=)-?\d+$", "${1}_"),
        (r#"^(\w*id="?)\d+:\d+"#, "${1}_"),
        // An inner array is a Java object, too.
        (r"(\[Ljava\.lang\.\w+;@)[0-9a-f]+", "${1}_"),
        // A logical message in a transaction's end is named by a Java object, and has its place among
        // the tables by that object's address.
        (r"(LogicalDecodingMessageId@)[0-9a-f]+", "${1}_"),
        (
            r#"(\{"data_collection":"[^"]*LogicalDecodingMessageId@_","event_count":\d+\}),(\{[^\]]*\})\]"#,
            "${2},${1}]",
        ),
    ]
    .map(|(pattern, instead)| Volatile {
        pattern: Regex::new(pattern).expect("the expressions above are well formed"),
        instead,
    })
    .into()
});

static LSN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""lsn":(\d+)"#).expect("it is well formed"));
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#""ts_ms":(\d+),(?:"[a-z_]+":(?:"[^"]*"|true|false),)*?"ts_us":(\d+),"ts_ns":(\d+)"#,
    )
    .expect("it is well formed")
});

/// What a record's place in the stream looks like in its source block.
static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#""snapshot":"([a-z_]+)","db":"[^"]*","sequence":"\[(null|\\"\d+\\"),\\"(\d+)\\"\]".*?"lsn":(null|\d+)"#,
    )
    .expect("it is well formed")
});

/// The lines of a side, one a record, ordered by topic; what is between tabs is compared.
///
/// The case's volatile fields are set aside, too. What Debezium puts in place of a null, 0 and 1970, is
/// not. Nor are records of the table of signals: its inserts, and Debezium's watermarks among them.
pub(super) fn lines(records: &[Record], prefix: &str, case: &Case) -> Result<Vec<String>> {
    let signals = case.option("signal.data.collection").map(Apart::signals);
    let apart: Vec<Apart> = signals.into_iter().chain([Apart::new(END_TABLE)]).collect();
    let fields: Vec<Regex> = case
        .volatile
        .iter()
        .map(|field| {
            Regex::new(&format!(
                r#"("{field}":)(?:"[^1][^"]*"|0\.\d+|[1-9]\d*(?:\.\d+)?)"#
            ))
        })
        .collect::<Result<_, _>>()?;
    let mut lines = Vec::new();
    let (mut topic, mut last_lsn) = ("", 0);
    let mut begun = None;
    let mut beaten = false;
    for record in records {
        if record.topic != topic {
            (topic, last_lsn) = (&record.topic, 0);
        }
        check(record, &mut last_lsn)?;
        // How many heartbeats there are is a matter of time.
        if record.topic.starts_with("__debezium-heartbeat") && std::mem::replace(&mut beaten, true)
        {
            continue;
        }
        if apart.iter().any(|table| table.is_of(record)) {
            // Their transactions have no beginning, either.
            begun.take();
            continue;
        }
        lines.extend(begun.take());
        let mut line = line(record, prefix);
        for field in &fields {
            line = field.replace_all(&line, "${1}_").into_owned();
        }
        if record.value.contains("\"status\":\"BEGIN\"") {
            begun = Some(line);
        } else {
            lines.push(line);
        }
    }
    lines.extend(begun);
    Ok(lines)
}

/// A table whose records are set aside, and the transactions that end with it.
struct Apart {
    table: String,
    names: Vec<String>,
}

impl Apart {
    fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            names: vec![
                format!("\"table\":\"{table}\""),
                format!("\"data_collection\":\"public.{table}\""),
            ],
        }
    }

    /// The table of signals; and transactions without events, which are signals and watermarks to walferry.
    fn signals(of: &str) -> Self {
        let mut apart = Self::new(of.rsplit('.').next().unwrap_or_default());
        let empty = r#""event_count":0,"data_collections":[]"#;
        apart.names.push(empty.to_owned());
        apart
    }

    fn is_of(&self, record: &Record) -> bool {
        // Topics have delimiters and partitions of their own.
        let is_flat = record.topic.contains(&self.table);
        is_flat || self.names.iter().any(|name| record.value.contains(name))
    }
}

/// What is put aside must be right in itself.
fn check(record: &Record, last_lsn: &mut u64) -> Result<()> {
    if let Some(lsn) = LSN.captures(&record.value) {
        let lsn: u64 = lsn[1].parse().context("an LSN is a number")?;
        ensure!(
            lsn >= *last_lsn,
            "{}: LSN {lsn} behind {last_lsn}",
            record.topic
        );
        *last_lsn = lsn;
    }
    if let Some(place) = PLACE.captures(&record.value) {
        let [mark, commit, at, lsn] = [1, 2, 3, 4].map(|group| &place[group]);
        let is_right = match mark {
            "false" => at == lsn,
            "incremental" => commit != "null" && lsn == "null",
            _ => commit == "null" && at == lsn,
        };
        ensure!(
            is_right,
            "{}: snapshot {mark} has the sequence [{commit},{at}] and the LSN {lsn}",
            record.topic
        );
    }
    for times in TIMES.captures_iter(&record.value) {
        let [millis, micros, nanos] = [1, 2, 3].map(|group| times[group].parse::<u64>());
        let (millis, micros, nanos) = (millis?, micros?, nanos?);
        ensure!(
            micros / 1000 == millis && nanos / 1000 == micros,
            "{}: the times {millis}, {micros} and {nanos} do not agree",
            record.topic
        );
    }
    Ok(())
}

fn line(record: &Record, prefix: &str) -> String {
    let headers = record.headers.iter().filter(|header| {
        // Debezium tells which task wrote a record; walferry, which change it is.
        !header.starts_with("__debezium.context.") && !header.starts_with("walferry.id=")
    });
    let parts = [&record.topic, &record.key, &record.value];
    let parts = parts.into_iter().chain(headers);
    let parts = parts.map(|part| masked(&part.replace(prefix, "srv")));
    parts.collect::<Vec<_>>().join("\t")
}

fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for volatile in VOLATILE.iter() {
        if volatile.pattern.is_match(&text) {
            text = volatile
                .pattern
                .replace_all(&text, volatile.instead)
                .into_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_row_that_was_read_is_its_point_and_of_one_asked_for_in_its_sequence() {
        let is_right = |snapshot: &str, sequence: &str, lsn: &str| {
            let value = format!(
                r#"{{"snapshot":"{snapshot}","db":"d","sequence":"[{sequence}]","txId":1,"lsn":{lsn}}}"#
            );
            let record = Record {
                topic: "srv.public.a".to_owned(),
                key: String::new(),
                value,
                headers: Vec::new(),
            };
            check(&record, &mut 0).is_ok()
        };
        assert!(is_right("first", r#"null,\"5\""#, "5"));
        assert!(!is_right("last", r#"null,\"5\""#, "6"));
        assert!(!is_right("true", r#"\"4\",\"5\""#, "5"));
        assert!(is_right("false", r#"null,\"5\""#, "5"));
        assert!(is_right("false", r#"\"4\",\"5\""#, "5"));
        assert!(!is_right("false", r#"\"4\",\"5\""#, "4"));
        assert!(is_right("incremental", r#"\"4\",\"5\""#, "null"));
        assert!(!is_right("incremental", r#"null,\"5\""#, "null"));
        assert!(!is_right("incremental", r#"\"4\",\"5\""#, "5"));
    }

    #[test]
    fn positions_and_times_are_put_aside_and_values_stay() {
        let cases = [
            (
                r#"{"lsn":123,"xmin":null,"txId":7}"#,
                r#"{"lsn":_,"xmin":null,"txId":_}"#,
            ),
            (r#""sequence":"[null,\"123\"]","#, r#""sequence":"_","#),
            (r#"{"id":"742:1234"}"#, r#"{"id":"_"}"#),
            (r#"{"id":742,"t":"1:2"}"#, r#"{"id":742,"t":"1:2"}"#),
            (r#""ts_ms":1700000000000,"x":1"#, r#""ts_ms":_,"x":1"#),
            ("__lsn=77", "__lsn=_"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected);
        }
    }
}
