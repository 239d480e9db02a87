//! What stands in a signal's `data`. A member that is not known is not passed over: a misspelt one would read
//! rows, or stop requests, that nobody meant.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Kind, SignalError, Stopped, Wanted, malformed, matching};

/// Members that are not known, by their names.
pub(super) type Others = BTreeMap<String, IgnoredAny>;

pub(super) fn execute(data: &str) -> Result<Wanted, SignalError> {
    let data: Execute = serde_json::from_str(data).map_err(malformed(EXECUTE))?;
    all_known(&data.others, EXECUTE)?;
    for condition in &data.conditions {
        all_known(&condition.others, EXECUTE)?;
    }
    let kind = match data.kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("incremental") => Kind::Incremental,
        Some("blocking") => Kind::Blocking,
        Some(_) => {
            return Err(SignalError::Malformed {
                line: 1,
                column: 1,
                expected: "type is incremental or blocking",
            });
        }
    };
    if data.collections.is_empty() {
        return Err(SignalError::Missing("data-collections"));
    }
    let conditions = data.conditions.iter().map(|it| &it.collection);
    let mut all = data.collections.iter().chain(conditions);
    if !all.all(|text| is_expression(text)) {
        return Err(SignalError::Expression);
    }
    let conditions = data.conditions.into_iter();
    Ok(Wanted {
        kind,
        collections: data.collections,
        conditions: conditions.map(|it| (it.collection, it.filter)).collect(),
        surrogate_key: data.surrogate_key.filter(|text| !text.trim().is_empty()),
        new_in: data.new_in,
    })
}

pub(super) fn stop(data: &str) -> Result<Stopped, SignalError> {
    let data: Stop = serde_json::from_str(data).map_err(malformed(STOP))?;
    all_known(&data.others, STOP)?;
    if !data.collections.iter().all(|text| is_expression(text)) {
        return Err(SignalError::Expression);
    }
    Ok(match data.id {
        Some(id) => Stopped::Request(id),
        None if data.collections.is_empty() => Stopped::All,
        None => Stopped::Collections(data.collections),
    })
}

/// Refuses the first that is not.
pub(super) fn all_known(others: &Others, expected: &'static str) -> Result<(), SignalError> {
    match others.keys().next() {
        None => Ok(()),
        Some(name) => Err(SignalError::unknown(name, expected)),
    }
}

fn is_expression(text: &str) -> bool {
    matching(text).is_some()
}

#[derive(Deserialize)]
struct Execute {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default, rename = "data-collections")]
    collections: Vec<String>,
    #[serde(default, rename = "additional-conditions")]
    conditions: Vec<Condition>,
    #[serde(rename = "surrogate-key")]
    surrogate_key: Option<String>,
    /// Said by walferry alone (`new_rows.rs`).
    #[serde(rename = "new-in-publication")]
    new_in: Option<String>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "data-collection")]
    collection: String,
    filter: String,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Stop {
    id: Option<String>,
    #[serde(default, rename = "data-collections")]
    collections: Vec<String>,
    /// Debezium's says it, and only one has a meaning there.
    #[serde(rename = "type")]
    _kind: Option<IgnoredAny>,
    #[serde(flatten)]
    others: Others,
}

const EXECUTE: &str = "an object with data-collections, a list of texts; type, \
     additional-conditions (each with data-collection and filter) and surrogate-key may stand beside it";
const STOP: &str =
    "an object, with id or data-collections if not all is to stop; type may stand beside it";

#[cfg(test)]
mod tests {
    use crate::signal::Signal;

    #[test]
    fn members_that_are_not_known_are_refused_by_name() {
        let secret = r#""secret": "secret""#;
        for (kind, data, name) in [
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "additional-condition": "secret"}"#,
                "additional-condition",
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "surrogate_key": "secret"}"#,
                "surrogate_key",
            ),
            (
                "execute-snapshot",
                r#"{"data-collection": ["secret"]}"#,
                "data-collection",
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "additional-conditions":
                    [{"data-collection": "a.b", "filter": "secret", "where": "secret"}]}"#,
                "where",
            ),
            (
                "stop-snapshot",
                r#"{"data-colections": ["secret"]}"#,
                "data-colections",
            ),
        ] {
            let error = Signal::parse("a", kind, data).unwrap_err().to_string();
            let named = format!("its member {name:?} is not understood: an object");
            assert!(error.starts_with(&named), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        // One that stands beside the data, instead of in it, would have all stopped.
        let beside = br#"{"id": "a", "type": "stop-snapshot", "data-collections": ["secret"]}"#;
        let error = Signal::of_json(beside, None).unwrap_err().to_string();
        assert!(error.contains("\"data-collections\" is not"), "{error}");
        let long = format!(r#"{{"{}": 1, {secret}}}"#, "m".repeat(1000));
        let error = Signal::parse("a", "stop-snapshot", &long).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }
}
