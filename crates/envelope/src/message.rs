//! Logical messages (Debezium manual, "Message events").

use pgoutput::LogicalMessage;

use crate::change::Context;
use crate::encoder::Encoder;
use crate::error::EncodeError;
use crate::options::{LogicalMessages, Options};
use crate::records::{Operation, Records};
use crate::schema::{self, Wrapping};
use crate::source::Source;
use crate::table::json_string;
use crate::transaction::{self, Place};
use crate::value::{quoted_bytes, write_integer};

/// What is the same for all messages.
#[derive(Debug)]
pub(crate) struct Messages {
    topic: String,
    key_wrapping: Wrapping,
    value_wrapping: Wrapping,
}

impl Messages {
    pub(crate) fn new(options: &Options) -> Option<Self> {
        (options.logical_messages == LogicalMessages::Publish).then(|| Self {
            topic: options.message_topic(),
            key_wrapping: Wrapping::of(options, schema::message_key),
            value_wrapping: Wrapping::of(options, || {
                schema::message_value(schema::of_bytes(options.binary))
            }),
        })
    }
}

impl Encoder {
    /// `m`: a message of `pg_logical_emit_message`, when these are asked for.
    ///
    /// # Errors
    /// None so far; as the other operations.
    pub fn logical_message(
        &mut self,
        context: &Context<'_>,
        message: &LogicalMessage<'_>,
        out: &mut Records,
    ) -> Result<(), EncodeError> {
        if let Some(written) = self.outbox_message(context, message, out) {
            return written;
        }
        let Some(messages) = &self.messages else {
            return Ok(());
        };
        if !self.options.message_prefixes.admits(message.prefix) {
            return Ok(());
        }
        let context = &Context {
            xid: if message.transactional {
                context.xid
            } else {
                0
            },
            ..*context
        };
        self.source.enter(context);
        let place = match &mut self.metadata {
            Some(metadata) if message.transactional => Some(metadata.count(0, message.prefix)),
            _ => None,
        };
        let (source, options) = (&self.source, &self.options);
        let mut draft = out.draft(0, &messages.topic);
        draft.key(|out| {
            messages.key_wrapping.always_around(out, |out| {
                out.extend_from_slice(b"{\"prefix\":");
                json_string(message.prefix, out);
                out.push(b'}');
            });
        });
        draft.value(|out| {
            messages.value_wrapping.always_around(out, |out| {
                write_message(source, options, context, message, place, out);
            });
        });
        draft.finish(
            Operation::Message,
            self.source.id_prefix(),
            context.first_ordinal,
        );
        Ok(())
    }
}

fn write_message(
    source: &Source,
    options: &Options,
    context: &Context<'_>,
    message: &LogicalMessage<'_>,
    place: Option<Place>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
    let millis = context.now_unix_nanos.div_euclid(1_000_000);
    write_integer(millis, out);
    source.write_block(context, b"\"\",\"table\":\"\"", out);
    transaction::write_block(place, context, out);
    out.extend_from_slice(b",\"message\":{\"prefix\":");
    json_string(message.prefix, out);
    out.extend_from_slice(b",\"content\":");
    quoted_bytes(message.content, options.binary, out);
    out.extend_from_slice(b"}}");
}
