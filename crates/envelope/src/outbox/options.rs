//! The options of the outbox: those of Debezium's EventRouter by their names and defaults (Debezium
//! manual, "Outbox Event Router"), and where events come from.

use crate::options::words;
use crate::route::Rewrite;
use crate::table_pattern::TablePattern;

/// Where an outbox is, and what becomes of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// Tables whose inserted rows are events.
    pub tables: Vec<TablePattern>,
    /// Prefixes of logical messages that are events.
    pub message_prefixes: Vec<String>,
    /// What stands where.
    pub fields: OutboxFields,
    /// `route.topic.regex` and `route.topic.replacement`, on the value that routes.
    pub topic: Rewrite,
    /// `table.fields.additional.placement`.
    pub additional: Vec<AdditionalField>,
    /// `table.field.additional.missing` is `ignore`.
    pub additional_may_miss: bool,
    /// `table.op.invalid.behavior`.
    pub invalid_operation: InvalidOperation,
    /// `table.expand.json.payload`.
    pub expand_json: bool,
    /// `table.json.payload.null.behavior`.
    pub json_nulls: JsonNulls,
    /// `route.tombstone.on.empty.payload`.
    pub tombstones: bool,
    /// How keys are written.
    pub keys: OutboxForm,
    /// How payloads are written.
    pub values: OutboxForm,
    /// Topics that no event may be routed to, besides those that the options of the envelope name.
    pub taken_topics: Vec<String>,
}

/// Names of columns, or of members of a message's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxFields {
    /// `table.field.event.id`.
    pub id: String,
    /// `table.field.event.key`.
    pub key: String,
    /// `table.field.event.type`; only messages without the routing member are routed by it.
    pub kind: String,
    /// `table.field.event.payload`.
    pub payload: String,
    /// `route.by.field`.
    pub route: String,
    /// `table.field.event.timestamp`: the record's time.
    pub timestamp: Option<String>,
    /// `table.field.event.schema.version`.
    pub schema_version: Option<String>,
    /// `tracing.span.context.field`: properties that become headers. If nothing is said they may be
    /// missing.
    pub tracing: Option<String>,
}

impl OutboxFields {
    /// `tracing.span.context.field` if nothing is said.
    pub const TRACING: &'static str = "tracingspancontext";

    /// Where a span's context is.
    #[must_use]
    pub fn tracing(&self) -> &str {
        self.tracing.as_deref().unwrap_or(Self::TRACING)
    }
}

impl Outbox {
    /// `route.topic.regex` if nothing is said.
    pub const TOPIC_REGEX: &'static str = "(?<routedByValue>.*)";
    /// `route.topic.replacement` if nothing is said.
    pub const TOPIC_REPLACEMENT: &'static str = "outbox.event.${routedByValue}";

    /// Whether a table's rows are events.
    #[must_use]
    pub fn has_table(&self, schema: &str, table: &str) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|pattern| pattern.matches(schema, table))
    }

    /// Whether messages of this prefix are events.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.message_prefixes.iter().any(|known| known == prefix)
    }

    /// Whether values are a struct of the payload and other fields.
    pub(crate) fn has_envelope(&self) -> bool {
        let mut fields = self.additional.iter();
        fields.any(|field| field.placement == Placement::Envelope)
    }
}

/// One item of `table.fields.additional.placement`: `column:placement[:alias]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdditionalField {
    /// The column.
    pub field: String,
    /// Where it goes.
    pub placement: Placement,
    /// What it is called there.
    pub alias: String,
}

/// Where an additional field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// A header.
    Header,
    /// A field beside `payload` in the value.
    Envelope,
    /// The number of the partition.
    Partition,
}

impl std::str::FromStr for AdditionalField {
    type Err = String;

    /// Says what is wrong as the tail of a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "is not of the form column:placement or column:placement:alias, where the \
                     placement is header, envelope or partition";
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let (field, placement, alias) = match parts.as_slice() {
            [field, placement] => (*field, *placement, *field),
            [field, placement, alias] => (*field, *placement, *alias),
            _ => return Err(wrong.to_owned()),
        };
        let placement = match placement {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => return Err(wrong.to_owned()),
        };
        if field.is_empty() || alias.is_empty() {
            return Err(wrong.to_owned());
        }
        Ok(Self {
            field: field.to_owned(),
            placement,
            alias: alias.to_owned(),
        })
    }
}

words! {
    /// What becomes of a change of an outbox table that is neither an insert nor a delete.
    InvalidOperation, "table.op.invalid.behavior" {
        /// It gives no event; counted and logged as a warning.
        #[default]
        Warn = "warn",
        /// It gives no event; counted and logged as an error.
        Error = "error",
        /// The connector stops.
        Fatal = "fatal",
        /// It gives no event and is counted.
        Ignore = "ignore",
    }
}

words! {
    /// What the schema of an expanded payload says of members that are null.
    JsonNulls, "table.json.payload.null.behavior" {
        /// Nothing.
        #[default]
        Ignore = "ignore",
        /// Optional bytes.
        OptionalBytes = "optional_bytes",
    }
}

words! {
    /// How a key or a payload becomes bytes, by the names of Connect's converters.
    OutboxForm, "converter" {
        /// As JSON: a text is in quotes.
        #[default]
        Json = "json",
        /// The text itself.
        String = "string",
        /// The bytes of a `bytea`, and the text of anything else.
        Bytes = "bytes",
    }
}
