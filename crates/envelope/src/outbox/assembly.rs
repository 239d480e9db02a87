//! The parts of one event, from wherever they come, and the record they make.

use super::json::{Json, Mixed, compact, is_json};
use super::{Outbox, OutboxForm, Topics, may_be_header};
use crate::change::Context;
use crate::encoder::Encoder;
use crate::error::EncodeErrorKind;
use crate::options::{Compatibility, Options};
use crate::records::{Operation, Records};
use crate::schema::{Field, Kind, Schema, Wrapping};
use crate::table::json_string;
use crate::value::unquoted;

/// What routes events: the options, and what is used again from one event to the next.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) options: Outbox,
    topics: Topics,
    pub(super) parts: Assembly,
}

/// The parts of one event.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Names the topic.
    pub(super) route: String,
    /// As JSON.
    pub(super) id: Vec<u8>,
    /// As JSON.
    pub(super) key: Vec<u8>,
    /// As JSON; or as it is, see `payload_is_bytes`.
    pub(super) payload: Vec<u8>,
    pub(super) payload_is_bytes: bool,
    /// Null, or nothing but white space.
    pub(super) payload_is_empty: bool,
    /// Of an expanded payload, or a message's.
    pub(super) payload_schema: Option<Schema>,
    /// Names and JSON.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// What stands beside the payload: names, JSON, and schemas where these are asked for.
    pub(super) envelope: Vec<(String, Vec<u8>, Option<Schema>)>,
    pub(super) version: Option<i32>,
    pub(super) partition: Option<u32>,
    /// Milliseconds since 1970.
    pub(super) timestamp: Option<i64>,
}

/// What stands around keys and values of one source of events.
pub(super) struct Forms<'a> {
    pub(super) relation: u32,
    pub(super) key: &'a Wrapping,
    /// For payloads that are not expanded.
    pub(super) value: &'a Wrapping,
    pub(super) payload: Option<&'a Schema>,
    /// `topic.prefix.schema`, the first part of the envelope's name.
    pub(super) schema_prefix: &'a str,
}

impl Router {
    pub(crate) fn new(all: &Options) -> Option<Box<Self>> {
        let router = |options: &Outbox| Self {
            options: options.clone(),
            topics: Topics::new(all, options),
            parts: Assembly::default(),
        };
        all.outbox.as_ref().map(router).map(Box::new)
    }

    /// Keeps events out of a topic that is a captured table's.
    pub(crate) fn take_topic(&mut self, topic: &str) {
        self.topics.take(topic);
    }
}

impl Assembly {
    /// Ready for the next event.
    pub(super) fn clear(&mut self) {
        self.route.clear();
        self.id.clear();
        self.key.clear();
        self.payload.clear();
        self.headers.clear();
        self.envelope.clear();
        self.payload_schema = None;
        self.payload_is_bytes = false;
        self.payload_is_empty = false;
        self.version = None;
        self.partition = None;
        self.timestamp = None;
    }

    /// Sees that the id tells the event from others.
    pub(super) fn check_id(&self) -> Result<(), EncodeErrorKind> {
        match self.id.as_slice() {
            b"\"\"" => Err(EncodeErrorKind::OutboxEmptyId),
            _ => Ok(()),
        }
    }

    /// Adds a header that the event itself names.
    pub(super) fn header(&mut self, name: String, json: Vec<u8>) -> Result<(), EncodeErrorKind> {
        if !may_be_header(&name) {
            return Err(EncodeErrorKind::OutboxHeaderName);
        }
        self.headers.push((name, json));
        Ok(())
    }

    /// The number of the partition, which Kafka takes up to 2^31 - 1.
    pub(super) fn place(&mut self, number: &str) -> Result<(), EncodeErrorKind> {
        let number = number.parse().ok();
        let number = number.filter(|number: &u32| i32::try_from(*number).is_ok());
        self.partition = Some(number.ok_or(EncodeErrorKind::OutboxPartition)?);
        Ok(())
    }

    /// `text` in place of the payload, as JSON that is not in quotes.
    pub(super) fn expand(
        &mut self,
        text: &[u8],
        outbox: &Outbox,
        options: &Options,
    ) -> Result<(), EncodeErrorKind> {
        // What is JSON by itself loses nothing where nothing is to be expanded.
        let debezium = options.compatibility == Compatibility::Debezium && outbox.expand_json;
        let document = matches!(text.first(), Some(b'{' | b'['));
        if debezium && !document {
            return Ok(());
        }
        if !debezium && !options.schemas {
            if !is_json(text) {
                return Err(EncodeErrorKind::OutboxNotJson);
            }
            self.payload.clear();
            compact(text, &mut self.payload);
            return Ok(());
        }
        let Some(json) = Json::parse(text) else {
            return match debezium {
                true => Ok(()),
                false => Err(EncodeErrorKind::OutboxNotJson),
            };
        };
        let schema = match json.schema(&outbox.fields.payload, outbox.json_nulls) {
            Ok(Some(schema)) => schema,
            // No schema can say it: the text stays, as in Debezium.
            Ok(None) | Err(Mixed) => return Ok(()),
        };
        self.payload.clear();
        match debezium {
            true => json.write_as(&schema, &mut self.payload),
            false => compact(text, &mut self.payload),
        }
        self.payload_schema = options.schemas.then_some(schema);
        Ok(())
    }
}

impl Encoder {
    /// Writes the record of the router's parts.
    pub(super) fn emit(
        &mut self,
        router: &mut Router,
        forms: &Forms<'_>,
        context: &Context<'_>,
        operation: Operation,
        out: &mut Records,
    ) -> Result<(), EncodeErrorKind> {
        self.source.enter(context);
        let (outbox, parts) = (&router.options, &router.parts);
        let topic = router.topics.of(outbox, &parts.route)?;
        let mut draft = out.draft(forms.relation, topic);
        draft.routed();
        draft.partition(parts.partition);
        draft.timestamp(parts.timestamp);
        draft.key(|out| match outbox.keys {
            OutboxForm::Json => forms.key.always_around(out, |out| out.extend(&parts.key)),
            OutboxForm::String | OutboxForm::Bytes => unquoted(&parts.key, out),
        });
        let is_tombstone = parts.payload_is_empty && outbox.tombstones;
        let is_plain = outbox.values != OutboxForm::Json && !outbox.has_envelope();
        let is_missing = is_tombstone || (is_plain && parts.payload == b"null");
        if !is_missing {
            draft.value(|out| match is_plain {
                true if parts.payload_is_bytes => out.extend(&parts.payload),
                true => unquoted(&parts.payload, out),
                false => write_value(outbox, parts, forms, &self.options, out),
            });
        }
        draft.header("id", |out| unquoted(&parts.id, out));
        for (name, json) in &parts.headers {
            match json.as_slice() {
                b"null" => draft.null_header(name),
                json => draft.header(name, |out| unquoted(json, out)),
            }
        }
        let operation = if is_tombstone {
            Operation::Tombstone
        } else {
            operation
        };
        draft.finish(operation, self.source.id_prefix(), context.first_ordinal);
        Ok(())
    }
}

fn write_value(
    outbox: &Outbox,
    parts: &Assembly,
    forms: &Forms<'_>,
    options: &Options,
    out: &mut Vec<u8>,
) {
    if !outbox.has_envelope() {
        return match &parts.payload_schema {
            Some(schema) => Wrapping::of_schema(schema)
                .always_around(out, |out| out.extend_from_slice(&parts.payload)),
            None => forms
                .value
                .always_around(out, |out| out.extend_from_slice(&parts.payload)),
        };
    }
    let wrapping = Wrapping::of(options, || {
        let text = || Schema::new(Kind::String).optional();
        let payload = parts.payload_schema.as_ref().or(forms.payload);
        let payload = payload.cloned().unwrap_or_else(text).field("payload");
        let others = parts.envelope.iter();
        let others = others.map(|(name, _, schema)| {
            let schema = schema.clone().unwrap_or_else(text);
            schema.field(name.clone())
        });
        let fields: Vec<Field> = std::iter::once(payload).chain(others).collect();
        let name = format!("{}.{}.Value", forms.schema_prefix, parts.route);
        let schema = Schema::structure(fields).name(name);
        match parts.version {
            Some(version) => schema.version(version),
            None => schema,
        }
    });
    wrapping.always_around(out, |out| {
        out.extend_from_slice(b"{\"payload\":");
        out.extend_from_slice(&parts.payload);
        for (name, json, _) in &parts.envelope {
            out.push(b',');
            json_string(name, out);
            out.push(b':');
            out.extend_from_slice(json);
        }
        out.push(b'}');
    });
}
