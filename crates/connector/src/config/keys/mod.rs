//! Every key that walferry reads: path, kind, default, meaning.
//!
//! This table is what the reader, the suggestions, the environment's names and
//! `docs/configuration.md` are made from. Debezium's further options, which are recognised and
//! refused with a reason, stand in [`super::debezium`]; librdkafka's properties in
//! [`super::librdkafka`]; Kafka's topic settings in [`super::topic_settings`].

mod envelope;
mod outbox;
mod process;
mod source;

/// One key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The path with dots: `topics.replication.factor`.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds without it.
    pub default: Default,
    /// The sentence for the documentation.
    pub doc: &'static str,
}

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// A text that is never shown; beside it stand `<key>_file` and `<key>_command`.
    Secret,
    /// A text that is never shown, without those two siblings.
    SecretText,
    /// One of a few words, and words that are known but not built yet.
    Word {
        /// The words that work.
        known: &'static [&'static str],
        /// The words that are refused, saying so.
        not_yet: &'static [&'static str],
    },
    /// A whole number within bounds.
    Count {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number of bytes: `16MiB`, `64kB` or a plain number.
    Bytes {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A time with its unit, in milliseconds here: `500ms`, `25s`, `2m`.
    Duration {
        /// The least.
        min_ms: u64,
        /// The most.
        max_ms: u64,
    },
    /// A YAML list, or one text with commas.
    List,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Nothing: it must be given.
    Required,
    /// Nothing is set.
    Unset,
    /// This text, read as if it had been written.
    Is(&'static str),
    /// Made from other keys; the text says how.
    From(&'static str),
}

/// The key with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// Every key, by section and in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [source::KEYS, envelope::KEYS, outbox::KEYS, process::KEYS]
        .into_iter()
        .flatten()
}

const SWITCH: Kind = Kind::Word {
    known: &["true", "false"],
    not_yet: &[],
};
const CREATE: Kind = Kind::Word {
    known: &["auto", "never"],
    not_yet: &[],
};
