//! The section `outbox`: the options of Debezium's EventRouter, and where events come from.

use super::{Default, Key, Kind, SWITCH};

const fn key(path: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        doc,
    }
}

const CONVERTER: Kind = Kind::Word {
    known: envelope::OutboxForm::WORDS,
    not_yet: &[],
};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    key(
        "outbox.table",
        Kind::List,
        Default::Is(""),
        "Tables whose inserted rows are events ([outbox](outbox.md)), by patterns as in \
         `tables.include`; beside captured tables or instead of them.",
    ),
    key(
        "outbox.message.prefix",
        Kind::List,
        Default::Is(""),
        "Prefixes of `pg_logical_emit_message` whose messages are events: an outbox without a table.",
    ),
    key(
        "outbox.table.field.event.id",
        Kind::Text,
        Default::Is("id"),
        "The column with the event's id, which becomes the header `id`.",
    ),
    key(
        "outbox.table.field.event.key",
        Kind::Text,
        Default::Is("aggregateid"),
        "The column with the record's key.",
    ),
    key(
        "outbox.table.field.event.type",
        Kind::Text,
        Default::Is("type"),
        "The column with the event's type. As in Debezium it goes nowhere by itself: place it with \
         `table.fields.additional.placement`. Messages without the member that `route.by.field` names \
         are routed by it.",
    ),
    key(
        "outbox.table.field.event.payload",
        Kind::Text,
        Default::Is("payload"),
        "The column with the payload.",
    ),
    key(
        "outbox.table.field.event.timestamp",
        Kind::Text,
        Default::Unset,
        "A column of `timestamp` or `timestamptz` that becomes the record's time; without, it is the \
         time of sending.",
    ),
    key(
        "outbox.table.field.event.schema.version",
        Kind::Text,
        Default::Unset,
        "A column with the version of the value's schema, where there is an envelope.",
    ),
    key(
        "outbox.table.fields.additional.placement",
        Kind::List,
        Default::Is(""),
        "Further columns: `column:placement` or `column:placement:alias`, where the placement is \
         `header`, `envelope` (beside `payload` in the value) or `partition`.",
    ),
    key(
        "outbox.table.field.additional.missing",
        Kind::Word {
            known: &["error", "ignore"],
            not_yet: &[],
        },
        Default::Is("error"),
        "Whether such a column may be missing.",
    ),
    key(
        "outbox.table.op.invalid.behavior",
        Kind::Word {
            known: envelope::InvalidOperation::WORDS,
            not_yet: &[],
        },
        Default::Is("warn"),
        "What becomes of an UPDATE or TRUNCATE of an outbox table: no event, and a log line (`warn`, \
         `error`) or none (`ignore`), counted in each case; or the connector stops (`fatal`). A DELETE \
         is cleaning up and gives nothing.",
    ),
    key(
        "outbox.table.expand.json.payload",
        SWITCH,
        Default::Is("false"),
        "Whether a payload of JSON is written as JSON, not as a string that holds it.",
    ),
    key(
        "outbox.table.json.payload.null.behavior",
        Kind::Word {
            known: envelope::JsonNulls::WORDS,
            not_yet: &[],
        },
        Default::Is("ignore"),
        "What the schema of such a payload says of members that are null.",
    ),
    key(
        "outbox.route.by.field",
        Kind::Text,
        Default::Is("aggregatetype"),
        "The column whose value names the topic.",
    ),
    key(
        "outbox.route.topic.regex",
        Kind::Text,
        Default::Is(envelope::Outbox::TOPIC_REGEX),
        "Matched with that value as a whole; a value that it does not match is the topic's name.",
    ),
    key(
        "outbox.route.topic.replacement",
        Kind::Text,
        Default::Is(envelope::Outbox::TOPIC_REPLACEMENT),
        "The topic's name, with the expression's groups.",
    ),
    key(
        "outbox.route.tombstone.on.empty.payload",
        SWITCH,
        Default::Is("false"),
        "Whether an event whose payload is null or blank is a tombstone.",
    ),
    key(
        "outbox.tracing.span.context.field",
        Kind::Text,
        Default::Is(envelope::OutboxFields::TRACING),
        "A column with a span's context, as Java's `Properties` writes it (lines of `name=value`, such as \
         `traceparent=…`), which become headers. It may be missing, unless it is named here.",
    ),
    key(
        "outbox.key.converter",
        CONVERTER,
        Default::Is("json"),
        "How keys are written: `json` as JsonConverter, a text in quotes; `string` as StringConverter, \
         the text alone.",
    ),
    key(
        "outbox.value.converter",
        CONVERTER,
        Default::Is("json"),
        "How payloads are written: `json` as JsonConverter; `string` as StringConverter, the text alone; \
         `bytes` as ByteArrayConverter, the bytes of a `bytea`.",
    ),
];
