//! What a user may choose about the form of events. The options are Debezium's, by their names and
//! words (Debezium manual, "PostgreSQL connector properties"); a word that is not built yet is not
//! in the lists, so that it is refused where the configuration is read.
//!
//! Deliberately not here: which tables are captured, topics' settings, anything about positions.

use std::str::FromStr;

use crate::columns::{ColumnRules, Names};
use crate::flat::Unwrap;
use crate::outbox::Outbox;
use crate::partition::PartitionRouting;
use crate::route::Route;

/// A word that the named option does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} does not know {word:?}; it takes one of: {}", known.join(", "))]
pub struct UnknownWord {
    /// The option's full name, as Debezium spells it.
    pub option: &'static str,
    /// What was written.
    pub word: String,
    /// Every word that would have been understood.
    pub known: &'static [&'static str],
}

/// Declares an option that is one of a few words.
macro_rules! words {
    (
        $(#[$about:meta])* $name:ident, $option:literal {
            $( $(#[$doc:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// The option's full name, as Debezium spells it.
            pub const OPTION: &'static str = $option;
            /// Every word the option takes, the default first.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this choice.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::options::UnknownWord;

            fn from_str(word: &str) -> Result<Self, $crate::options::UnknownWord> {
                match word {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::options::UnknownWord {
                        option: Self::OPTION,
                        word: word.to_owned(),
                        known: Self::WORDS,
                    }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// How `numeric` is written.
    DecimalHandling, "decimal.handling.mode" {
        /// Connect's `Decimal`: base64 of the unscaled value; with its scale where the column has none.
        #[default]
        Precise = "precise",
        /// A JSON number of double precision; digits beyond it are lost.
        Double = "double",
        /// The decimal text, which is exact and holds NaN and infinity.
        String = "string",
    }
}

words! {
    /// The unit in which dates, times and timestamps without time zone are written.
    TimePrecision, "time.precision.mode" {
        /// Milliseconds or microseconds since midnight or 1970, by the column's precision.
        #[default]
        Adaptive = "adaptive",
        /// As adaptive, but times of day always in microseconds.
        AdaptiveTimeMicroseconds = "adaptive_time_microseconds",
        /// Connect's own types: always milliseconds; finer digits are lost.
        Connect = "connect",
        /// ISO 8601 text in UTC.
        IsoString = "isostring",
        /// Always microseconds.
        Microseconds = "microseconds",
        /// Always nanoseconds; years outside 1677 to 2262 cannot be written.
        Nanoseconds = "nanoseconds",
    }
}

words! {
    /// How `interval` is written.
    IntervalHandling, "interval.handling.mode" {
        /// Microseconds, a month taken as 365.25 / 12 days.
        #[default]
        Numeric = "numeric",
        /// ISO 8601 text, which is exact.
        String = "string",
    }
}

words! {
    /// How `bytea` is written.
    BinaryHandling, "binary.handling.mode" {
        /// Connect's bytes, in JSON base64.
        #[default]
        Bytes = "bytes",
        /// Text in base64.
        Base64 = "base64",
        /// Text in base64 with `-` and `_`.
        Base64UrlSafe = "base64-url-safe",
        /// Text in hexadecimal, lower case.
        Hex = "hex",
    }
}

words! {
    /// What becomes of values that Debezium loses or garbles.
    Compatibility, "compatibility" {
        /// They are carried.
        #[default]
        Lossless = "lossless",
        /// They are lost or garbled as there.
        Debezium = "debezium",
    }
}

words! {
    /// How `hstore` is written.
    HstoreHandling, "hstore.handling.mode" {
        /// A string that holds a JSON object.
        #[default]
        Json = "json",
        /// A map.
        Map = "map",
    }
}

words! {
    /// What becomes of a change that cannot be written in the chosen form.
    FailureHandling, "event.processing.failure.handling.mode" {
        /// The connector stops.
        #[default]
        Fail = "fail",
        /// It goes to the dead-letter topic, and the connector goes on.
        DeadLetter = "dead-letter",
    }
}

words! {
    /// How names that Avro does not take are made fit.
    NameAdjustment, "schema.name.adjustment.mode" {
        /// They are not.
        #[default]
        None = "none",
        /// `_` in place of each character.
        Avro = "avro",
        /// `_uXXXX` in place of each character, and of `_`.
        AvroUnicode = "avro_unicode",
    }
}

words! {
    /// What becomes of deletes, and of the tombstones behind them, in flat rows.
    DeleteTombstoneHandling, "delete.tombstone.handling.mode" {
        /// A delete has no value; no tombstone follows.
        #[default]
        Tombstone = "tombstone",
        /// A delete gives no record, nor does its tombstone.
        Drop = "drop",
        /// A delete is the old row with `__deleted` `"true"`; no tombstone follows.
        Rewrite = "rewrite",
        /// As rewrite, and the tombstone follows.
        RewriteWithTombstone = "rewrite-with-tombstone",
        /// A delete has no value; no tombstone follows. In Debezium this differs from `tombstone`
        /// in the record's bytes, here it does not.
        DeleteToTombstone = "delete-to-tombstone",
    }
}

words! {
    /// Whether `pg_logical_emit_message` becomes an event.
    LogicalMessages, "logical.messages" {
        /// No event.
        #[default]
        Skip = "skip",
        /// An event in the topic `PREFIX.message`.
        Publish = "publish",
    }
}

/// Kinds of change that give no event (`skipped.operations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkippedOperations {
    /// `c`: inserts, but for the create of a change of key.
    pub create: bool,
    /// `u`: updates that leave the key as it was. A change of key is published all the same:
    /// without it the row would stay under its old key for ever.
    pub update: bool,
    /// `d`: deletes, but for those of a change of key.
    pub delete: bool,
    /// `t`: truncates.
    pub truncate: bool,
}

impl SkippedOperations {
    /// The option's full name, as Debezium spells it.
    pub const OPTION: &'static str = "skipped.operations";
    /// The words that the list may hold; `none` stands alone.
    pub const WORDS: &'static [&'static str] = &["c", "u", "d", "t", "none"];
    /// Nothing is skipped.
    pub const NONE: Self = Self {
        create: false,
        update: false,
        delete: false,
        truncate: false,
    };
}

impl Default for SkippedOperations {
    fn default() -> Self {
        Self {
            truncate: true,
            ..Self::NONE
        }
    }
}

impl FromStr for SkippedOperations {
    type Err = UnknownWord;

    fn from_str(list: &str) -> Result<Self, UnknownWord> {
        let mut skipped = Self::NONE;
        if list.trim() == "none" {
            return Ok(skipped);
        }
        for word in list.split(',') {
            match word.trim() {
                "c" => skipped.create = true,
                "u" => skipped.update = true,
                "d" => skipped.delete = true,
                "t" => skipped.truncate = true,
                other => {
                    return Err(UnknownWord {
                        option: Self::OPTION,
                        word: other.to_owned(),
                        known: Self::WORDS,
                    });
                }
            }
        }
        Ok(skipped)
    }
}

/// Everything that decides the bytes of an event, besides the change itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Debezium's `topic.prefix`: first part of every topic, and `source.name`.
    pub server_name: String,
    /// Name of the database, for `source.db`.
    pub database: String,
    /// `schemas.enable`: each key and value carries its Connect schema.
    pub schemas: bool,
    /// `decimal.handling.mode`.
    pub decimal: DecimalHandling,
    /// `time.precision.mode`.
    pub time: TimePrecision,
    /// `interval.handling.mode`.
    pub interval: IntervalHandling,
    /// `binary.handling.mode`.
    pub binary: BinaryHandling,
    /// `envelope.compatibility`, which is walferry's own.
    pub compatibility: Compatibility,
    /// `hstore.handling.mode`.
    pub hstore: HstoreHandling,
    /// `money.fraction.digits`: the scale of `money` under `decimal.handling.mode` `precise`.
    pub money_fraction_digits: u8,
    /// `include.unknown.datatypes`: types that have no form of their own are bytes, by
    /// `binary.handling.mode`, as Debezium has them; else they are text.
    pub unknown_as_bytes: bool,
    /// `unavailable.value.placeholder`: stands for a TOASTed value that an update left alone.
    pub unavailable_value_placeholder: String,
    /// `skipped.operations`.
    pub skipped_operations: SkippedOperations,
    /// `tombstones.on.delete`: a record without value follows each delete of a table with a key.
    pub tombstones_on_delete: bool,
    /// Whether logical messages become events.
    pub logical_messages: LogicalMessages,
    /// `provide.transaction.metadata`: records at each transaction's begin and end, and each
    /// event's place in it.
    pub transaction_metadata: bool,
    /// `topic.transaction`: the last part of the topic of those records.
    pub transaction_topic_name: String,
    /// `heartbeat.interval.ms`; 0 for none.
    pub heartbeat_interval_ms: u64,
    /// `topic.heartbeat.prefix`: the first part of the heartbeats' topic.
    pub heartbeat_prefix: String,
    /// `event.processing.failure.handling.mode`.
    pub failures: FailureHandling,
    /// The last part of the dead-letter topic's name.
    pub dead_letter_topic_name: String,
    /// `schema.name.adjustment.mode`.
    pub schema_names: NameAdjustment,
    /// `field.name.adjustment.mode`: of columns, in rows and keys.
    pub field_names: NameAdjustment,
    /// Which columns are shown, masked, and in keys.
    pub columns: ColumnRules,
    /// `skip.messages.without.change`: no event for an update that leaves every shown column as it
    /// was. Seen where the log has the whole old row (REPLICA IDENTITY FULL).
    pub skip_messages_without_change: bool,
    /// `message.prefix.include.list` or `message.prefix.exclude.list`.
    pub message_prefixes: Names,
    /// Flat rows in place of envelopes.
    pub unwrap: Option<Unwrap>,
    /// Tables and messages whose content is events.
    pub outbox: Option<Outbox>,
    /// Tables' topics by rule.
    pub route: Option<Route>,
    /// Partitions by chosen fields.
    pub partitions: Option<PartitionRouting>,
    /// `topic.delimiter`: stands between the parts of a topic's name.
    pub topic_delimiter: String,
}

impl Options {
    /// Debezium's own default of `unavailable.value.placeholder`.
    pub const UNAVAILABLE_VALUE: &'static str = "__debezium_unavailable_value";

    /// Debezium's own default of `topic.transaction`.
    pub const TRANSACTION_TOPIC_NAME: &'static str = "transaction";
    /// Debezium's own default of `topic.heartbeat.prefix`.
    pub const HEARTBEAT_PREFIX: &'static str = "__debezium-heartbeat";
    /// The last part of the dead-letter topic's name if nothing is said.
    pub const DEAD_LETTER_TOPIC_NAME: &'static str = "dead-letter";
    /// Debezium's own default of `topic.delimiter`.
    pub const TOPIC_DELIMITER: &'static str = ".";

    /// Debezium's defaults for the given topic prefix and database.
    #[must_use]
    pub fn new(server_name: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            server_name: server_name.into(),
            database: database.into(),
            schemas: false,
            decimal: DecimalHandling::default(),
            time: TimePrecision::default(),
            interval: IntervalHandling::default(),
            binary: BinaryHandling::default(),
            compatibility: Compatibility::default(),
            hstore: HstoreHandling::default(),
            money_fraction_digits: 2,
            unknown_as_bytes: false,
            unavailable_value_placeholder: Self::UNAVAILABLE_VALUE.to_owned(),
            skipped_operations: SkippedOperations::default(),
            tombstones_on_delete: true,
            logical_messages: LogicalMessages::default(),
            transaction_metadata: false,
            transaction_topic_name: Self::TRANSACTION_TOPIC_NAME.to_owned(),
            heartbeat_interval_ms: 0,
            heartbeat_prefix: Self::HEARTBEAT_PREFIX.to_owned(),
            failures: FailureHandling::default(),
            dead_letter_topic_name: Self::DEAD_LETTER_TOPIC_NAME.to_owned(),
            schema_names: NameAdjustment::None,
            field_names: NameAdjustment::None,
            columns: ColumnRules::default(),
            skip_messages_without_change: false,
            message_prefixes: Names::All,
            unwrap: None,
            outbox: None,
            route: None,
            partitions: None,
            topic_delimiter: Self::TOPIC_DELIMITER.to_owned(),
        }
    }

    /// The bytes of `unavailable.value.placeholder`: of its text, or those that `hex:` spells.
    pub(crate) fn unavailable_mark(&self) -> Vec<u8> {
        let text = &self.unavailable_value_placeholder;
        let digits = text
            .strip_prefix("hex:")
            .filter(|digits| digits.len().is_multiple_of(2));
        let bytes = digits.and_then(|digits| {
            let pairs = (0..digits.len()).step_by(2);
            pairs
                .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
                .collect()
        });
        bytes.unwrap_or_else(|| text.clone().into_bytes())
    }

    /// The topic of a table's events.
    #[must_use]
    pub fn topic(&self, schema: &str, table: &str) -> String {
        let own = self.own_topic(schema, table);
        let routed = self.route.as_ref().and_then(|route| route.topic(&own));
        routed.map_or(own, |routed| crate::table::topic(&routed))
    }

    /// Whether a table's rows are events of an outbox, which name their topics themselves.
    #[must_use]
    pub fn is_outbox(&self, schema: &str, table: &str) -> bool {
        let mut outbox = self.outbox.iter();
        outbox.any(|outbox| outbox.has_table(schema, table))
    }

    /// Whether a row may be written without an event that tells its new state.
    #[must_use]
    pub fn has_silent_writes(&self) -> bool {
        let skipped = self.skipped_operations;
        skipped.create || skipped.update || self.skip_messages_without_change
    }

    /// The topic that a table has if it is not routed.
    #[must_use]
    pub fn own_topic(&self, schema: &str, table: &str) -> String {
        self.topic_of(&[schema, table])
    }

    /// Whether a delete among flat rows is the text `null`, which is no tombstone.
    pub(crate) fn deletes_are_null(&self) -> bool {
        let deletes = self.unwrap.as_ref().map(|unwrap| unwrap.deletes);
        self.compatibility == Compatibility::Debezium
            && deletes == Some(DeleteTombstoneHandling::Tombstone)
    }

    /// The topic of logical messages.
    #[must_use]
    pub fn message_topic(&self) -> String {
        // Debezium asks no naming strategy for this one: the delimiter is always a dot.
        crate::table::topic(&format!("{}.message", self.server_name))
    }

    /// The topic of transactions' boundaries.
    #[must_use]
    pub fn transaction_topic(&self) -> String {
        self.topic_of(&[&self.transaction_topic_name])
    }

    /// The topic of heartbeats.
    #[must_use]
    pub fn heartbeat_topic(&self) -> String {
        let delimiter = &self.topic_delimiter;
        crate::table::topic(&format!(
            "{}{delimiter}{}",
            self.heartbeat_prefix, self.server_name
        ))
    }

    /// The topic of changes that cannot be written.
    #[must_use]
    pub fn dead_letter_topic(&self) -> String {
        self.topic_of(&[&self.dead_letter_topic_name])
    }

    /// The topics of records that belong to no table, those that the options ask for.
    #[must_use]
    pub fn topics_without_table(&self) -> Vec<String> {
        let messages = self.logical_messages == LogicalMessages::Publish;
        let topics = [
            messages.then(|| self.message_topic()),
            self.transaction_metadata.then(|| self.transaction_topic()),
            (self.failures == FailureHandling::DeadLetter).then(|| self.dead_letter_topic()),
            (self.heartbeat_interval_ms > 0).then(|| self.heartbeat_topic()),
        ];
        topics.into_iter().flatten().collect()
    }

    fn topic_of(&self, parts: &[&str]) -> String {
        let mut name = self.server_name.clone();
        for part in parts {
            name.push_str(&self.topic_delimiter);
            name.push_str(part);
        }
        crate::table::topic(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for word in TimePrecision::WORDS {
            assert_eq!(word.parse::<TimePrecision>().unwrap().as_str(), *word);
        }
        for word in BinaryHandling::WORDS {
            assert_eq!(word.parse::<BinaryHandling>().unwrap().as_str(), *word);
        }
        assert_eq!(
            DecimalHandling::WORDS[0],
            DecimalHandling::default().as_str()
        );
        assert_eq!(
            IntervalHandling::WORDS[0],
            IntervalHandling::default().as_str()
        );
    }

    #[test]
    fn an_unknown_word_names_the_option_and_the_known_words() {
        let error = "structured".parse::<TimePrecision>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "time.precision.mode does not know \"structured\"; it takes one of: adaptive, \
             adaptive_time_microseconds, connect, isostring, microseconds, nanoseconds"
        );
    }

    #[test]
    fn skipped_operations_are_a_list_or_none() {
        assert_eq!("none".parse(), Ok(SkippedOperations::NONE));
        assert_eq!("t".parse(), Ok(SkippedOperations::default()));
        let both: SkippedOperations = "c, d".parse().unwrap();
        assert!(both.create && both.delete && !both.update && !both.truncate);
        assert!("c,none".parse::<SkippedOperations>().is_err());
        assert!("".parse::<SkippedOperations>().is_err());
    }
}
