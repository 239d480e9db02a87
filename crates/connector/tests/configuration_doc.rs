//! `docs/configuration.md` says what the tables of keys say.
//!
//! Regenerate with `UPDATE_DOCS=1 cargo test -p walferry --test configuration_doc`.

use std::fmt::Write as _;
use std::path::Path;

use connector::config::debezium::{FOREIGN, Standing};
use connector::config::keys::{self, Default, Key, Kind};
use connector::config::{librdkafka, topic_settings, variable};

#[test]
fn the_documentation_is_generated_from_the_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let wanted = render();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/configuration.md is not what the keys say; run \
         UPDATE_DOCS=1 cargo test -p walferry --test configuration_doc"
    );
}

/// The examples in the documentation are refused or taken as it says.
#[test]
fn the_refused_properties_are_refused() {
    for (name, value, _) in REFUSED {
        assert!(librdkafka::refusal(name, value).is_some(), "{name}={value}");
    }
}

fn render() -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    for key in keys::all() {
        let (first, _) = key.path.split_once('.').unwrap_or((key.path, ""));
        if first != section {
            section = first;
            out.push_str(&section_head(section));
        }
        row(&mut out, key);
    }
    foreign(&mut out);
    out
}

fn section_head(section: &str) -> String {
    let mut out = String::new();
    let about = SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .map(|(_, about)| *about);
    let about = about.unwrap_or_else(|| panic!("the section {section} has no introduction"));
    if section == "topics" {
        kafka(&mut out);
    }
    let _ = write!(out, "\n## `{section}`\n\n");
    if !about.is_empty() {
        let _ = write!(out, "{about}\n\n");
    }
    if section == "topics" {
        out.push_str("Kafka's topic settings: ");
        names(&mut out, topic_settings::SETTINGS.iter().copied());
        out.push('\n');
    }
    out.push_str("| key | takes | default | |\n|---|---|---|---|\n");
    out
}

fn row(out: &mut String, key: &Key) {
    let default = match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Unset => "".to_owned(),
        Default::Is("") => "none".to_owned(),
        Default::Is(text) => format!("`{text}`"),
        Default::From(how) => how.to_owned(),
    };
    let _ = writeln!(
        out,
        "| `{}` | {} | {default} | {} |",
        key.path,
        takes(key.kind),
        key.doc
    );
}

fn takes(kind: Kind) -> String {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Secret => "secret; also `_file`, `_command`".to_owned(),
        Kind::SecretText => "text, never shown".to_owned(),
        Kind::Word { known, not_yet: [] } => words(known),
        Kind::Word { known, not_yet } => {
            format!("{}; not built yet: {}", words(known), words(not_yet))
        }
        Kind::Count { min, max } => format!("{min} to {max}"),
        Kind::Bytes { .. } => "bytes: `16MiB`, `64kB`".to_owned(),
        Kind::Duration { .. } => "time: `500ms`, `25s`, `2m`".to_owned(),
        Kind::List => "list".to_owned(),
    }
}

fn kafka(out: &mut String) {
    out.push_str(KAFKA);
    for (name, _, why) in REFUSED {
        let _ = writeln!(out, "| `{name}` | {why} |");
    }
    out.push_str("\nSecrets, each also as `_file` and `_command`: ");
    let secrets = librdkafka::PROPERTIES
        .iter()
        .copied()
        .filter(|name| librdkafka::is_secret(name));
    names(out, secrets);
}

fn names<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let _ = writeln!(out, "{}.", names.join(", "));
}

fn foreign(out: &mut String) {
    out.push_str(FOREIGN_HEAD);
    for foreign in FOREIGN {
        let standing = match foreign.standing {
            Standing::NotYet { accepts: "" } => "not built yet".to_owned(),
            Standing::NotYet { accepts } => format!("not built yet; `{accepts}` is accepted"),
            Standing::Elsewhere(key) => format!("say `{key}`"),
            Standing::Needless(why) => format!("nothing to set: {why}"),
        };
        let _ = writeln!(out, "| `{}` | {standing} |", foreign.path);
    }
    let _ = write!(out, "\n[operations]: operations.md\n");
    assert_eq!(
        variable("postgres.url"),
        "WALFERRY_POSTGRES_URL",
        "as the head says"
    );
}

const HEAD: &str = "\
# Configuration

<!-- Generated from the table of keys; see crates/connector/tests/configuration_doc.rs. -->

One YAML file, given by `walferry run -c FILE`. The least that works:

```yaml
name: shop
postgres:
  url: postgresql://walferry@127.0.0.1:5432/shop
kafka:
  bootstrap.servers: 127.0.0.1:9092
tables:
  include: [ \"public.*\" ]
```

- **Nested and dotted mean the same:** `topics: { replication: { factor: 3 } }` is
  `topics: { replication.factor: 3 }` is `topics.replication.factor: 3`.
- **Variables:** `${VAR}` and `${VAR:-default}` are replaced in values, for names in capitals
  (`[A-Z_][A-Z0-9_]*`). Any other `${...}` stays as written. An unset variable without a default is
  a problem. Keep secrets out of keys that are not secret: their values are shown.
- **Environment:** every key can be given as `WALFERRY_` and its path in capitals, with `_` for
  everything but letters and digits: `WALFERRY_POSTGRES_URL`, `WALFERRY_KAFKA_BOOTSTRAP_SERVERS`.
  It wins over the file; lists take commas. With all of it by environment, give `-c /dev/null`.
  A `WALFERRY_` variable that is no key is refused, but for `WALFERRY_CONFIG`,
  `WALFERRY_LOG_LEVEL`, `WALFERRY_LOG_FORMAT` (the command line's), `WALFERRY_TEST_*`, and those
  that Kubernetes sets for a service called walferry (`WALFERRY_PORT*`, `WALFERRY_SERVICE_*`).
- **Secrets** can be given in the file, as `<key>_file` (the file's content) or as `<key>_command`
  (a shell command's output, within 10 s); in one of the three. Line breaks at the end are cut.
  Files and commands are read anew at each connect. No secret is ever printed.
- **Problems** are told all at once, with line, column, key, and the nearest known key, before
  anything is touched; the exit code is then 2 ([operations]).
- The file is UTF-8, at most 1 MiB, one document, without anchors, aliases and tags.
";

/// What stands under each section's heading.
const SECTIONS: &[(&str, &str)] = &[
    ("name", ""),
    ("postgres", ""),
    (
        "topics",
        "Any of Kafka's topic settings may stand beside these keys (`retention.ms: 604800000`); \
         they are set on the topics that walferry creates.",
    ),
    ("tables", ""),
    ("snapshot", "Debezium's option, under its own name."),
    (
        "envelope",
        "Debezium's options, under their own names and with their own words.",
    ),
    (
        "outbox",
        "The options of Debezium's EventRouter, under their own names ([outbox](outbox.md)).",
    ),
    ("delivery", ""),
    ("admin", ""),
    (
        "limits",
        "Bounds of memory. The Kafka client's own queue follows from them.",
    ),
    ("shutdown", ""),
];

const KAFKA: &str = "
## `kafka`

librdkafka's properties under their own names; any producer property passes through.
`bootstrap.servers` is required. Those that would break the guarantee are refused:

| property | why |
|---|---|
";

/// Property, a value that is refused, and the line in the documentation.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "enable.idempotence",
        "false",
        "stays true: a retry must not repeat or reorder",
    ),
    (
        "acks",
        "1",
        "stays all: a record is confirmed once Kafka has it safe",
    ),
    (
        "message.timeout.ms",
        "1000",
        "stays 0, never: a record that times out leaves a hole",
    ),
    (
        "partitioner",
        "random",
        "anything but `random`: a key stays on one partition",
    ),
    (
        "max.in.flight.requests.per.connection",
        "6",
        "is the idempotent producer's",
    ),
    ("retries", "0", "is the idempotent producer's"),
    ("queuing.strategy", "lifo", "stays fifo"),
    (
        "delivery.report.only.error",
        "true",
        "stays false: acknowledgements move the slot",
    ),
    (
        "queue.buffering.max.messages",
        "5",
        "follows from `limits.in.flight.records`",
    ),
    (
        "queue.buffering.max.kbytes",
        "5",
        "follows from `limits.in.flight.bytes`",
    ),
    (
        "statistics.interval.ms",
        "5",
        "is walferry's, for its metrics",
    ),
    (
        "transactional.id",
        "x",
        "exactly-once delivery is not built yet",
    ),
];

const FOREIGN_HEAD: &str = "
## Debezium's other options

Recognised, and refused with what to do instead. `<...>` stands for any text.

| option | |
|---|---|
";
