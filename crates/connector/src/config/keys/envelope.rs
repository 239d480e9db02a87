//! How events are written: the section `envelope`, mostly Debezium's options.

use envelope::{
    BinaryHandling, Compatibility, DecimalHandling, DeleteTombstoneHandling, FailureHandling,
    HstoreHandling, IntervalHandling, LogicalMessages, NameAdjustment, TimePrecision,
};

use super::{Default, Key, Kind, SWITCH};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
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
        path: "envelope.unwrap.header.changed.name",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "A header of this name lists the columns that an update changed (Debezium's \
              ExtractChangedRecordState); it needs the whole old row, REPLICA IDENTITY FULL.",
    },
    Key {
        path: "envelope.unwrap.header.unchanged.name",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "The same of columns that an update left alone.",
    },
    Key {
        path: "envelope.unwrap.drop.fields.header.name",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Columns that this one of the two headers lists are left out of the row.",
    },
    Key {
        path: "envelope.unwrap.drop.fields.keep.schema.compatible",
        kind: SWITCH,
        default: Default::Is("true"),
        doc: "Whether columns that may not be null stay in the row all the same.",
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
        path: "envelope.signal.enabled.channels",
        kind: Kind::List,
        default: Default::Is("source, kafka"),
        doc: "Which doors for signals are open where their table (`source`) or topic (`kafka`) is named. Messages \
              always are; `file` and `jmx` are refused.",
    },
    Key {
        path: "envelope.signal.data.collection",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "A table (`schema.table`) whose inserts are signals: columns `id`, `type`, `data`, in that order.",
    },
    Key {
        path: "envelope.signal.kafka.topic",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "A topic of one partition whose records are signals: the key is `topics.prefix`, the value \
              `{\"type\": …, \"data\": …}`. It must be there.",
    },
];
