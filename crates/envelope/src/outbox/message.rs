//! A logical message as an event, so that an outbox needs no table: its content is a JSON object
//! whose members stand for the columns.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pgoutput::LogicalMessage;
use serde_json::value::RawValue;

use super::assembly::{Assembly, Forms, Router};
use super::json::compact;
use super::{Outbox, OutboxForm, Placement};
use crate::change::Context;
use crate::dead_letter::Letter;
use crate::encoder::Encoder;
use crate::error::{EncodeError, EncodeErrorKind};
use crate::options::Options;
use crate::records::{Operation, Records};
use crate::schema::{Kind, Schema, Wrapping};
use crate::table::json_string;
use crate::value::unix_millis;

/// Member of the body whose members are headers.
const HEADERS: &str = "headers";
/// Member of the body that is the key where the one that `table.field.event.key` names is missing.
const KEY: &str = "key";

type Body<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl Encoder {
    /// Writes the event of a message; false if it is none.
    pub(crate) fn outbox_message(
        &mut self,
        context: &Context<'_>,
        message: &LogicalMessage<'_>,
        out: &mut Records,
    ) -> Option<Result<(), EncodeError>> {
        let router = self
            .outbox
            .take_if(|it| it.options.has_prefix(message.prefix));
        let mut router = router?;
        if message.transactional
            && let Some(metadata) = &mut self.metadata
        {
            metadata.count(0, message.prefix);
        }
        let written = self.outbox_body(&mut router, context, message, out);
        self.outbox = Some(router);
        let written = written.map_err(|kind| EncodeError {
            table: message.prefix.to_owned(),
            is_message: true,
            column: None,
            lsn: context.data_start,
            kind,
        });
        Some(self.settle_message(written, context, Letter::of_message(message), out))
    }

    fn outbox_body(
        &mut self,
        router: &mut Router,
        context: &Context<'_>,
        message: &LogicalMessage<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeErrorKind> {
        if !message.transactional {
            return Err(EncodeErrorKind::OutboxOutside);
        }
        let body: Body<'_> =
            serde_json::from_slice(message.content).map_err(|_| EncodeErrorKind::OutboxBody)?;
        assemble(router, &body, &self.options)?;
        let text = Wrapping::of(&self.options, || Schema::new(Kind::String).optional());
        let prefix = self.options.message_topic();
        let forms = Forms {
            relation: 0,
            key: &text,
            value: &text,
            payload: None,
            schema_prefix: &prefix,
        };
        self.emit(router, &forms, context, Operation::Message, out)
    }
}

/// A member as it is; none for null.
fn member<'a>(body: &Body<'a>, name: &str) -> Option<&'a str> {
    let raw = body.get(name)?.get();
    (raw != "null").then_some(raw)
}

/// A member as a JSON string: numbers are put into quotes, as a key is a text.
fn text_json(raw: &str, out: &mut Vec<u8>) -> Result<(), EncodeErrorKind> {
    match raw.as_bytes().first() {
        Some(b'"') => {
            json_string(&text(raw)?, out);
            Ok(())
        }
        Some(b'{' | b'[') | None => Err(EncodeErrorKind::OutboxBody),
        Some(_) => {
            json_string(raw, out);
            Ok(())
        }
    }
}

/// The text of a string, or of what else is no object and no array.
fn text(raw: &str) -> Result<Cow<'_, str>, EncodeErrorKind> {
    match raw.starts_with('"') {
        true => serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| EncodeErrorKind::OutboxBody),
        false => Ok(Cow::Borrowed(raw)),
    }
}

fn assemble(
    router: &mut Router,
    body: &Body<'_>,
    options: &Options,
) -> Result<(), EncodeErrorKind> {
    let Router {
        options: outbox,
        parts,
        ..
    } = router;
    let names = &outbox.fields;
    parts.clear();
    let required = |raw: Option<&str>, what, out: &mut Vec<u8>| match raw {
        Some(raw) => text_json(raw, out),
        None => Err(EncodeErrorKind::OutboxNull { what }),
    };
    required(member(body, &names.id), "its id", &mut parts.id)?;
    parts.check_id()?;
    let key = member(body, &names.key).or_else(|| member(body, KEY));
    required(key, "its key", &mut parts.key)?;
    let route = member(body, &names.route).or_else(|| member(body, &names.kind));
    let what = "the value that routes it";
    let route = route.ok_or(EncodeErrorKind::OutboxNull { what })?;
    parts.route.push_str(&text(route)?);
    payload(member(body, &names.payload), outbox, options, parts)?;
    if let Some(time) = names.timestamp.as_ref().and_then(|name| member(body, name)) {
        let time = text(time)?;
        let millis = time.parse().ok().or_else(|| unix_millis(&time));
        parts.timestamp = Some(millis.ok_or(EncodeErrorKind::OutboxTimestamp)?);
    }
    if let Some(version) = names
        .schema_version
        .as_ref()
        .and_then(|name| member(body, name))
    {
        let version = text(version)?.parse();
        parts.version = Some(version.map_err(|_| EncodeErrorKind::OutboxVersion)?);
    }
    if let Some(context) = member(body, names.tracing()) {
        parts.properties(&text(context)?)?;
    }
    headers(body, parts)?;
    additional(outbox, body, parts)
}

/// Objects, arrays and numbers stay what they are; a string is a text.
fn payload(
    raw: Option<&str>,
    outbox: &Outbox,
    options: &Options,
    parts: &mut Assembly,
) -> Result<(), EncodeErrorKind> {
    let Some(raw) = raw else {
        parts.payload_is_empty = true;
        parts.payload.extend_from_slice(b"null");
        return Ok(());
    };
    if !raw.starts_with('"') {
        // What no schema can say stays as its text.
        json_string(raw, &mut parts.payload);
        return parts.expand(raw.as_bytes(), outbox, options);
    }
    let text = text(raw)?;
    parts.payload_is_empty = text.trim().is_empty();
    json_string(&text, &mut parts.payload);
    if outbox.expand_json && !parts.payload_is_empty && outbox.values == OutboxForm::Json {
        parts.expand(text.as_bytes(), outbox, options)?;
    }
    Ok(())
}

fn headers(body: &Body<'_>, parts: &mut Assembly) -> Result<(), EncodeErrorKind> {
    let Some(raw) = member(body, HEADERS) else {
        return Ok(());
    };
    let headers: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw).map_err(|_| EncodeErrorKind::OutboxHeader)?;
    for (name, value) in headers {
        let value = value.get();
        if value.starts_with(['{', '[']) {
            return Err(EncodeErrorKind::OutboxHeader);
        }
        let mut json = Vec::new();
        match value.starts_with('"') {
            true => json_string(&text(value)?, &mut json),
            false => json.extend_from_slice(value.as_bytes()),
        }
        parts.header(name, json)?;
    }
    Ok(())
}

fn additional(
    outbox: &Outbox,
    body: &Body<'_>,
    parts: &mut Assembly,
) -> Result<(), EncodeErrorKind> {
    for field in &outbox.additional {
        let Some(raw) = body.get(field.field.as_str()) else {
            if outbox.additional_may_miss {
                continue;
            }
            let option = "table.fields.additional.placement";
            return Err(EncodeErrorKind::OutboxColumn { option });
        };
        let mut json = Vec::new();
        compact(raw.get().as_bytes(), &mut json);
        match field.placement {
            Placement::Header => parts.header(field.alias.clone(), json)?,
            Placement::Envelope => parts.envelope.push((field.alias.clone(), json, None)),
            Placement::Partition if json == b"null" => {}
            Placement::Partition => parts.place(&text(raw.get())?)?,
        }
    }
    Ok(())
}
