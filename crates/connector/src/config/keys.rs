//! Every key that walferry reads: path, kind, default, meaning.
//!
//! This table is what the reader, the suggestions, the environment's names and
//! `docs/configuration.md` are made from. Debezium's further options, which are recognised and
//! refused with a reason, stand in [`super::debezium`]; librdkafka's properties in
//! [`super::librdkafka`]; Kafka's topic settings in [`super::topic_settings`].

use envelope::{
    BinaryHandling, Compatibility, DecimalHandling, DeleteTombstoneHandling, FailureHandling,
    HstoreHandling, IntervalHandling, LogicalMessages, NameAdjustment, TimePrecision,
};

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
    KEYS.iter().find(|key| key.path == path)
}

const SWITCH: Kind = Kind::Word {
    known: &["true", "false"],
    not_yet: &[],
};
const CREATE: Kind = Kind::Word {
    known: &["auto", "never"],
    not_yet: &[],
};

/// Every key, by section and in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        path: "name",
        kind: Kind::Text,
        default: Default::Required,
        doc: "The connector's name: letters, digits, `-`, `_` and `.`. Slot, publication and \
              progress are named after it unless said otherwise.",
    },
    Key {
        path: "postgres.url",
        kind: Kind::SecretText,
        default: Default::Required,
        doc: "libpq's connection URL or keyword string. Unix sockets: `?host=/var/run/postgresql`. \
              What it does not say comes from the `PG*` variables and `.pgpass`, as with psql.",
    },
    Key {
        path: "postgres.password",
        kind: Kind::Secret,
        default: Default::Unset,
        doc: "The password, instead of one in the URL. Better by `postgres.password_file` or \
              `postgres.password_command`, which are read anew at each connect.",
    },
    Key {
        path: "postgres.slot",
        kind: Kind::Text,
        default: Default::From("`walferry_` and the name"),
        doc: "The replication slot: lower-case letters, digits and `_`, up to 63.",
    },
    Key {
        path: "postgres.publication",
        kind: Kind::Text,
        default: Default::From("the slot's name"),
        doc: "The publication.",
    },
    Key {
        path: "postgres.create",
        kind: CREATE,
        default: Default::Is("auto"),
        doc: "Whether walferry creates a missing slot and publication, and adds newly matching \
              tables to its publication. It never re-creates a slot for which progress exists.",
    },
    Key {
        path: "postgres.reconnect.backoff.min",
        kind: Kind::Duration {
            min_ms: 10,
            max_ms: 60_000,
        },
        default: Default::Is("100ms"),
        doc: "The wait before the first try to connect again; it doubles from there.",
    },
    Key {
        path: "postgres.reconnect.backoff.max",
        kind: Kind::Duration {
            min_ms: 10,
            max_ms: 600_000,
        },
        default: Default::Is("1s"),
        doc: "The longest wait between two tries.",
    },
    Key {
        path: "topics.prefix",
        kind: Kind::Text,
        default: Default::From("the name"),
        doc: "First part of every topic: `<prefix>.<schema>.<table>` (Debezium's `topic.prefix`).",
    },
    Key {
        path: "topics.create",
        kind: CREATE,
        default: Default::Is("auto"),
        doc: "Whether walferry creates missing topics.",
    },
    Key {
        path: "topics.partitions",
        kind: Kind::Count {
            min: 1,
            max: 10_000,
        },
        default: Default::Is("1"),
        doc: "Partitions of the topics that walferry creates. Order holds by key.",
    },
    Key {
        path: "topics.replication.factor",
        kind: Kind::Count { min: -1, max: 100 },
        default: Default::Is("-1"),
        doc: "Replicas of the topics that walferry creates; -1 is the broker's default.",
    },
    Key {
        path: "topics.progress",
        kind: Kind::Text,
        default: Default::From("`walferry.progress.` and the slot"),
        doc: "The topic that remembers what was published: one partition, compacted.",
    },
    Key {
        path: "topics.route.topic.regex",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Tables whose topic's name this expression matches as a whole go to another topic, as \
              with ByLogicalTableRouter: several tables in one, or one under another name.",
    },
    Key {
        path: "topics.route.topic.replacement",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "That topic's name; `$1` and `${name}` are the expression's groups.",
    },
    Key {
        path: "topics.route.key.enforce.uniqueness",
        kind: SWITCH,
        default: Default::Is("true"),
        doc: "Whether keys get a field that tells rows of different tables apart.",
    },
    Key {
        path: "topics.route.key.field.name",
        kind: Kind::Text,
        default: Default::Is(envelope::Route::KEY_FIELD),
        doc: "Name of that field. It holds the name of the topic that the table would have had.",
    },
    Key {
        path: "topics.route.key.field.regex",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Makes something else of that name, where it matches as a whole.",
    },
    Key {
        path: "topics.route.key.field.replacement",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "What it then becomes.",
    },
    Key {
        path: "tables.include",
        kind: Kind::List,
        default: Default::Required,
        doc: "The captured tables: `schema.table` with `*` and `?`, or a `/regular expression/` \
              of the whole name. A part in double quotes is literal.",
    },
    Key {
        path: "tables.exclude",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Tables to leave out; wins over `tables.include`.",
    },
    Key {
        path: "snapshot.snapshot.mode",
        kind: Kind::Word {
            known: &["initial", "no_data"],
            not_yet: &[
                "always",
                "initial_only",
                "when_needed",
                "configuration_based",
                "custom",
            ],
        },
        default: Default::Is("initial"),
        doc: "Whether the rows that are there at the first start are published (`initial`) or only \
              changes from then on (`no_data`).",
    },
    Key {
        path: "envelope.format",
        kind: Kind::Word {
            known: &["json"],
            not_yet: &["avro", "protobuf", "cloudevents"],
        },
        default: Default::Is("json"),
        doc: "The form of keys and values.",
    },
    Key {
        path: "envelope.schemas.enable",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether each key and value carries its Connect schema, as JsonConverter writes it.",
    },
    Key {
        path: "envelope.decimal.handling.mode",
        kind: Kind::Word {
            known: DecimalHandling::WORDS,
            not_yet: &[],
        },
        default: Default::Is("precise"),
        doc: "How `numeric` is written: Connect's Decimal in base64, a double, or text.",
    },
    Key {
        path: "envelope.time.precision.mode",
        kind: Kind::Word {
            known: TimePrecision::WORDS,
            not_yet: &["structured"],
        },
        default: Default::Is("adaptive"),
        doc: "The unit of dates, times and timestamps.",
    },
    Key {
        path: "envelope.interval.handling.mode",
        kind: Kind::Word {
            known: IntervalHandling::WORDS,
            not_yet: &[],
        },
        default: Default::Is("numeric"),
        doc: "How `interval` is written: microseconds, or ISO 8601 text, which is exact.",
    },
    Key {
        path: "envelope.binary.handling.mode",
        kind: Kind::Word {
            known: BinaryHandling::WORDS,
            not_yet: &[],
        },
        default: Default::Is("bytes"),
        doc: "How `bytea` is written.",
    },
    Key {
        path: "envelope.tombstones.on.delete",
        kind: SWITCH,
        default: Default::Is("true"),
        doc: "Whether a record without value follows each delete, so that compaction forgets the \
              key.",
    },
    Key {
        path: "envelope.compatibility",
        kind: Kind::Word {
            known: Compatibility::WORDS,
            not_yet: &[],
        },
        default: Default::Is("lossless"),
        doc: "What becomes of values that Debezium loses or garbles: carried, or as `debezium` has \
              them.",
    },
    Key {
        path: "envelope.hstore.handling.mode",
        kind: Kind::Word {
            known: HstoreHandling::WORDS,
            not_yet: &[],
        },
        default: Default::Is("json"),
        doc: "How `hstore` is written: a string that holds a JSON object, or a map.",
    },
    Key {
        path: "envelope.money.fraction.digits",
        kind: Kind::Count { min: 0, max: 10 },
        default: Default::Is("2"),
        doc: "The scale of `money` when `decimal.handling.mode` is `precise`.",
    },
    Key {
        path: "envelope.include.unknown.datatypes",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether types that have no form of their own are bytes, by `binary.handling.mode`, as \
              Debezium has them then. Else they are text, where Debezium leaves the column out.",
    },
    Key {
        path: "envelope.skipped.operations",
        kind: Kind::List,
        default: Default::Is("t"),
        doc: "Changes that give no event: `c`, `u`, `d`, `t`; or `none`.",
    },
    Key {
        path: "envelope.unavailable.value.placeholder",
        kind: Kind::Text,
        default: Default::Is(envelope::Options::UNAVAILABLE_VALUE),
        doc: "Stands for a large value that an update left alone and the server does not send; \
              `hex:` and digits for bytes.",
    },
    Key {
        path: "envelope.logical.messages",
        kind: Kind::Word {
            known: LogicalMessages::WORDS,
            not_yet: &[],
        },
        default: Default::Is("skip"),
        doc: "Whether `pg_logical_emit_message` becomes an event in the topic `<prefix>.message`.",
    },
    Key {
        path: "envelope.provide.transaction.metadata",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether each transaction's begin and end is a record in the topic \
              `<prefix>.transaction`, and each event tells its place in its transaction.",
    },
    Key {
        path: "envelope.topic.transaction",
        kind: Kind::Text,
        default: Default::Is(envelope::Options::TRANSACTION_TOPIC_NAME),
        doc: "The last part of that topic's name.",
    },
    Key {
        path: "envelope.topic.delimiter",
        kind: Kind::Text,
        default: Default::Is(envelope::Options::TOPIC_DELIMITER),
        doc: "Stands between the parts of a topic's name: `-` makes `<prefix>-<schema>-<table>`.",
    },
    Key {
        path: "envelope.publish.via.partition.root",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether a publication that walferry creates has changes of partitions under the \
              partitioned table's name and topic, and not each under its own. One that exists \
              decides for itself; `check` says when it differs.",
    },
    Key {
        path: "envelope.heartbeat.interval.ms",
        kind: Kind::Count {
            min: 0,
            max: 86_400_000,
        },
        default: Default::Is("0"),
        doc: "Milliseconds between heartbeats, records in a topic of their own; 0 for none. An idle \
              slot moves without them.",
    },
    Key {
        path: "envelope.topic.heartbeat.prefix",
        kind: Kind::Text,
        default: Default::Is(envelope::Options::HEARTBEAT_PREFIX),
        doc: "The first part of that topic's name: `__debezium-heartbeat.<prefix>`.",
    },
    Key {
        path: "envelope.event.processing.failure.handling.mode",
        kind: Kind::Word {
            known: FailureHandling::WORDS,
            not_yet: &["warn", "skip", "ignore"],
        },
        default: Default::Is("fail"),
        doc: "What becomes of a change that cannot be written in the chosen form, as NaN in a \
              `precise` numeric: walferry stops, or the change goes to the dead-letter topic with \
              what is wrong.",
    },
    Key {
        path: "envelope.topic.dead.letter",
        kind: Kind::Text,
        default: Default::Is(envelope::Options::DEAD_LETTER_TOPIC_NAME),
        doc: "The last part of that topic's name: `<prefix>.dead-letter`.",
    },
    Key {
        path: "envelope.column.include.list",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Columns that events have, as expressions on `schema.table.column`; see \
              [filters](filters.md). Keys have their columns all the same.",
    },
    Key {
        path: "envelope.column.exclude.list",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Columns that events do not have.",
    },
    Key {
        path: "envelope.column.propagate.source.type",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Columns whose schemas tell of their types in the database, as expressions.",
    },
    Key {
        path: "envelope.datatype.propagate.source.type",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "The same by `schema.table.TYPE`.",
    },
    Key {
        path: "envelope.schema.name.adjustment.mode",
        kind: Kind::Word {
            known: NameAdjustment::WORDS,
            not_yet: &[],
        },
        default: Default::Is("none"),
        doc: "Whether characters of schemas' names that Avro does not take become `_` or `_uXXXX`.",
    },
    Key {
        path: "envelope.field.name.adjustment.mode",
        kind: Kind::Word {
            known: NameAdjustment::WORDS,
            not_yet: &[],
        },
        default: Default::Is("none"),
        doc: "The same of columns' names, in rows and keys.",
    },
    Key {
        path: "envelope.message.key.columns",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Columns of keys where they are not the table's own: \
              `schema.table:column,column;schema.other:column`.",
    },
    Key {
        path: "envelope.message.prefix.include.list",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Prefixes of logical messages that become events, as expressions. Either list means \
              `logical.messages: publish`.",
    },
    Key {
        path: "envelope.message.prefix.exclude.list",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Prefixes of logical messages that do not become events.",
    },
    Key {
        path: "envelope.skip.messages.without.change",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether an update gives no event when every column that events have is as it was; \
              seen under REPLICA IDENTITY FULL.",
    },
    Key {
        path: "envelope.unwrap",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "Whether values are flat rows, as after ExtractNewRecordState, in place of envelopes. \
              Any key below means `true`. Truncates then give no record.",
    },
    Key {
        path: "envelope.unwrap.delete.tombstone.handling.mode",
        kind: Kind::Word {
            known: DeleteTombstoneHandling::WORDS,
            not_yet: &[],
        },
        default: Default::Is("tombstone"),
        doc: "What becomes of deletes: a record without value; nothing (`drop`); the old row with \
              `__deleted` `\"true\"` (`rewrite`), and a tombstone behind it \
              (`rewrite-with-tombstone`).",
    },
    Key {
        path: "envelope.unwrap.add.fields",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Parts of the envelope that follow the columns: `op`, `lsn`, `source.ts_ms`, \
              `before.total`, `transaction.id`, …; `ts_ms:when` for another name.",
    },
    Key {
        path: "envelope.unwrap.add.fields.prefix",
        kind: Kind::Text,
        default: Default::Is("__"),
        doc: "Stands before the names of these fields.",
    },
    Key {
        path: "envelope.unwrap.add.headers",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Parts of the envelope that become headers, as in `add.fields`.",
    },
    Key {
        path: "envelope.unwrap.add.headers.prefix",
        kind: Kind::Text,
        default: Default::Is("__"),
        doc: "Stands before the names of these headers.",
    },
    Key {
        path: "delivery",
        kind: Kind::Word {
            known: &["at-least-once"],
            not_yet: &["exactly-once"],
        },
        default: Default::Is("at-least-once"),
        doc: "The guarantee. A repeat after a crash carries the id it had.",
    },
    Key {
        path: "admin.listen",
        kind: Kind::Text,
        default: Default::Is(super::admin::DEFAULT_LISTEN),
        doc: "Address of the page, `/metrics` and `/health`; or `off`. A taken port is an error \
              when this is set, a warning when it is not.",
    },
    Key {
        path: "limits.in.flight.records",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Default::Is("30000"),
        doc: "The most records that Kafka has not acknowledged. Reading pauses there.",
    },
    Key {
        path: "limits.in.flight.bytes",
        kind: Kind::Bytes {
            min: 64 << 10,
            max: 1 << 30,
        },
        default: Default::Is("16MiB"),
        doc: "The most bytes of them. A single larger record still passes, alone.",
    },
    Key {
        path: "shutdown.timeout",
        kind: Kind::Duration {
            min_ms: 0,
            max_ms: 3_600_000,
        },
        default: Default::Is("25s"),
        doc: "How long SIGTERM and SIGINT wait for Kafka's acknowledgements. Below an \
              orchestrator's 30 s.",
    },
];
