//! The names of keys: in the environment, the forms of a secret, and the nearest known one.

use std::collections::BTreeMap;

use super::keys::{self, Kind};
use super::{debezium, librdkafka, topic_settings};

/// What the environment's names begin with.
pub(super) const PREFIX: &str = "WALFERRY_";

/// The environment's name of a key: capitals, and `_` for everything but letters and digits.
pub fn variable(path: &str) -> String {
    let name = path.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    PREFIX.chars().chain(name).collect()
}

/// Variables with our prefix that are not keys, without the prefix: the command line's, the
/// tests', and those that Kubernetes sets for a service called `walferry`.
pub(super) fn is_reserved(rest: &str) -> bool {
    matches!(
        rest,
        "CONFIG" | "LOG_LEVEL" | "LOG_FORMAT" | "SERVICE_HOST" | "PORT"
    ) || ["TEST_", "SERVICE_PORT", "PORT_"]
        .iter()
        .any(|prefix| rest.starts_with(prefix))
}

/// Every path that can be written, by its environment name. Debezium's refused options are there
/// too, so that they are refused with their reason.
pub(super) fn paths_by_variable() -> BTreeMap<String, String> {
    all_paths().map(|path| (variable(&path), path)).collect()
}

/// Every path without placeholders that can be written.
pub(super) fn all_paths() -> impl Iterator<Item = String> {
    let keys = keys::all().flat_map(|key| match key.kind {
        Kind::Secret => forms_of_secret(key.path),
        _ => vec![key.path.to_owned()],
    });
    let kafka = librdkafka::PROPERTIES.iter().flat_map(|property| {
        let path = format!("kafka.{property}");
        match librdkafka::is_secret(property) {
            true => forms_of_secret(&path),
            false => vec![path],
        }
    });
    let topics = topic_settings::SETTINGS
        .iter()
        .map(|setting| format!("topics.{setting}"));
    let foreign = debezium::FOREIGN
        .iter()
        .map(|foreign| foreign.path.to_owned())
        .filter(|path| !path.contains('<'));
    keys.chain(kafka).chain(topics).chain(foreign)
}

/// The three ways to give the secret that this path belongs to; empty if it belongs to none.
pub(super) fn forms_of_secret(path: &str) -> Vec<String> {
    let base = path
        .strip_suffix("_file")
        .or_else(|| path.strip_suffix("_command"))
        .unwrap_or(path);
    let is_secret = match base.strip_prefix("kafka.") {
        Some(property) => librdkafka::is_known(property) && librdkafka::is_secret(property),
        None => keys::all().any(|key| key.path == base && matches!(key.kind, Kind::Secret)),
    };
    if !is_secret {
        return Vec::new();
    }
    vec![
        base.to_owned(),
        format!("{base}_file"),
        format!("{base}_command"),
    ]
}

/// The known name that an unknown one most likely means.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (likeness(unknown, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then(y.cmp(x)))
        .map(|(_, name)| name.to_owned())
}

/// From 0 to 1. A name that lacks only its section or its beginning, or has another section, is
/// nearly the same.
fn likeness(unknown: &str, known: &str) -> f64 {
    let (unknown, known) = (plain(unknown), plain(known));
    let whole = strsim::normalized_damerau_levenshtein(&unknown, &known);
    let tail = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned());
    let ends = |end: &str| {
        known
            .strip_suffix(end)
            .is_some_and(|head| head.ends_with('.'))
    };
    let section = |name: &str| name.split_once('.').map(|(section, _)| section.to_owned());
    let likeness_min = match tail(&unknown) {
        _ if ends(&unknown) => 0.95,
        Some(tail) if ends(&tail) && section(&unknown) == section(&known) => 0.8,
        // Under the wrong section: `postgres.decimal.handling.mode`.
        Some(tail) if ends(&tail) && tail.contains('.') && is_section(&unknown) => 0.9,
        _ => 0.0,
    };
    whole.max(likeness_min)
}

/// Whether the first word of a path is one of our sections.
fn is_section(path: &str) -> bool {
    let section = path.split('.').next();
    keys::all().any(|key| key.path.contains('.') && key.path.split('.').next() == section)
}

/// Environment names are compared as the paths they stand for.
fn plain(name: &str) -> String {
    match name.strip_prefix(PREFIX) {
        Some(rest) => rest.to_ascii_lowercase().replace('_', "."),
        None => name.to_owned(),
    }
}

/// Below this a suggestion is more of a riddle than a help.
const LIKENESS_MIN: f64 = 0.75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_variable() {
        let paths: Vec<String> = all_paths().collect();
        let by_variable = paths_by_variable();
        for path in &paths {
            assert_eq!(by_variable.get(&variable(path)), Some(path));
        }
        assert_eq!(by_variable["WALFERRY_POSTGRES_URL"], "postgres.url");
        assert_eq!(
            by_variable["WALFERRY_KAFKA_BOOTSTRAP_SERVERS"],
            "kafka.bootstrap.servers"
        );
        assert_eq!(
            by_variable["WALFERRY_KAFKA_SASL_PASSWORD_FILE"],
            "kafka.sasl.password_file"
        );
        assert!(
            !by_variable
                .keys()
                .any(|name| is_reserved(name.trim_start_matches(PREFIX)))
        );
    }

    #[test]
    fn typing_errors_find_their_key() {
        for (unknown, expected) in [
            ("kafka.bootstrap.serverz", Some("kafka.bootstrap.servers")),
            ("kafka.bootstrap_servers", Some("kafka.bootstrap.servers")),
            ("snapshot.mode", Some("snapshot.snapshot.mode")),
            ("bootstrap.servers", Some("kafka.bootstrap.servers")),
            (
                "decimal.handling.mode",
                Some("envelope.decimal.handling.mode"),
            ),
            (
                "postgres.decimal.handling.mode",
                Some("envelope.decimal.handling.mode"),
            ),
            ("postgres.passwordfile", Some("postgres.password_file")),
            ("table.include", Some("tables.include")),
            ("topics.retention.msec", Some("topics.retention.ms")),
            ("kafka.servers", Some("kafka.bootstrap.servers")),
            ("colour", None),
        ] {
            let paths: Vec<String> = all_paths().collect();
            let found = nearest(unknown, paths.iter().map(String::as_str));
            assert_eq!(found.as_deref(), expected, "{unknown}");
        }
    }
}
