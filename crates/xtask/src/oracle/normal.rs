//! Puts aside what no two runs can share, after a look at it: times of processing, positions in the
//! log, transaction ids, and the headers that only one side has.

use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use regex::Regex;

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

/// The lines of a side, one a record, ordered by topic; what is between tabs is compared.
///
/// `fields` are set aside, too: those that the case's SQL fills with the time. What Debezium puts in
/// place of a null, 0 and 1970, is not.
pub(super) fn lines(records: &[Record], prefix: &str, fields: &[String]) -> Result<Vec<String>> {
    let fields: Vec<Regex> = fields
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
        if is_of_end(record) {
            // The transaction of the end has no beginning, either.
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

fn is_of_end(record: &Record) -> bool {
    let is_flat = record.topic.contains(END_TABLE);
    let names = [
        format!("\"table\":\"{END_TABLE}\""),
        format!("\"data_collection\":\"public.{END_TABLE}\""),
    ];
    is_flat || names.iter().any(|name| record.value.contains(name))
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
