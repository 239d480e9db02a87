//! The schemas around the row: key, envelope, source, transaction, logical messages (Debezium
//! manual, "Change event keys", "Change event values", "Transaction metadata").

use std::convert::Infallible;

use super::{Field, Kind, Schema};
use crate::options::Options;

/// What stands around each payload of one kind: nothing, or `{"schema":…,"payload":` and `}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wrapping(Vec<u8>);

impl Wrapping {
    /// For payloads of this schema, if the options ask for schemas.
    pub(crate) fn of(options: &Options, schema: impl FnOnce() -> Schema) -> Self {
        match options.schemas {
            true => Self::of_schema(&schema()),
            false => Self::default(),
        }
    }

    /// For payloads of this schema.
    pub(crate) fn of_schema(schema: &Schema) -> Self {
        let mut before = b"{\"schema\":".to_vec();
        schema.write(&mut before);
        before.extend_from_slice(b",\"payload\":");
        Self(before)
    }

    /// Appends a payload and what stands around it.
    #[inline]
    pub(crate) fn around<E>(
        &self,
        out: &mut Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        out.extend_from_slice(&self.0);
        payload(out)?;
        if !self.0.is_empty() {
            out.push(b'}');
        }
        Ok(())
    }
}

impl Wrapping {
    /// As [`Wrapping::around`], of a payload that cannot fail.
    pub(crate) fn always_around(&self, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
        let Ok(()) = self.around(out, |out| {
            payload(out);
            Ok::<(), Infallible>(())
        });
    }
}

/// A text that is always there.
pub(crate) fn text_field(name: &str) -> Field {
    text().field(name.to_owned())
}

/// The key of a table's events. `topic` is the table's own, as Debezium would name it.
pub(crate) fn table_key(topic: &str, fields: Vec<Field>) -> Schema {
    Schema::structure(fields).name(format!("{topic}.Key"))
}

/// A row in the envelope, where it may be missing.
pub(crate) fn table_row(topic: &str, columns: &[Field]) -> Schema {
    Schema::structure(columns.to_vec())
        .name(format!("{topic}.Value"))
        .optional()
}

/// The envelope of a table's events.
pub(crate) fn table_value(topic: &str, columns: &[Field]) -> Schema {
    let row = || table_row(topic, columns);
    let mut fields = vec![
        row().field("before"),
        row().field("after"),
        source().field("source"),
        transaction().field("transaction"),
        text().field("op"),
    ];
    fields.extend(["ts_ms", "ts_us", "ts_ns"].map(|name| long().optional().field(name)));
    Schema::structure(fields)
        .name(format!("{topic}.Envelope"))
        .version(2)
}

/// The key of logical messages.
pub(crate) fn message_key() -> Schema {
    let prefix = text().optional().field("prefix");
    named(vec![prefix], "io.debezium.connector.postgresql.MessageKey")
}

/// The value of logical messages; their content has the form of `bytea`.
pub(crate) fn message_value(content: Schema) -> Schema {
    let message = vec![
        text().optional().field("prefix"),
        content.optional().field("content"),
    ];
    let message = named(message, "io.debezium.connector.postgresql.Message");
    let fields = vec![
        text().field("op"),
        long().optional().field("ts_ms"),
        source().field("source"),
        transaction().field("transaction"),
        message.field("message"),
    ];
    named(fields, "io.debezium.connector.postgresql.MessageValue")
}

/// The key of a transaction's boundaries.
pub(crate) fn boundary_key() -> Schema {
    named(
        vec![text().field("id")],
        "io.debezium.connector.common.TransactionMetadataKey",
    )
}

/// The value of a transaction's boundaries.
pub(crate) fn boundary_value() -> Schema {
    let collection = vec![text().field("data_collection"), long().field("event_count")];
    let collection = named(collection, "event.collection").optional();
    let fields = vec![
        text().field("status"),
        text().field("id"),
        long().optional().field("event_count"),
        Schema::array(collection)
            .optional()
            .field("data_collections"),
        long().field("ts_ms"),
    ];
    named(
        fields,
        "io.debezium.connector.common.TransactionMetadataValue",
    )
}

/// What `source.snapshot` may be.
pub(crate) fn snapshot_mark() -> Schema {
    Schema::named(Kind::String, "io.debezium.data.Enum").parameter(
        "allowed",
        "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
    )
}

/// The key of heartbeats.
pub(crate) fn heartbeat_key() -> Schema {
    let fields = vec![text().field("serverName")];
    named(fields, "io.debezium.connector.common.ServerNameKey")
}

/// The value of heartbeats.
pub(crate) fn heartbeat_value() -> Schema {
    let fields = vec![long().field("ts_ms")];
    named(fields, "io.debezium.connector.common.Heartbeat")
}

fn source() -> Schema {
    let snapshot = snapshot_mark().default(Some(b"\"false\"".to_vec()));
    let fields = vec![
        text().field("version"),
        text().field("connector"),
        text().field("name"),
        long().field("ts_ms"),
        snapshot.optional().field("snapshot"),
        text().field("db"),
        text().optional().field("sequence"),
        long().optional().field("ts_us"),
        long().optional().field("ts_ns"),
        text().field("schema"),
        text().field("table"),
        long().optional().field("txId"),
        long().optional().field("lsn"),
        long().optional().field("xmin"),
        text().optional().field("origin"),
        long().optional().field("origin_lsn"),
    ];
    named(fields, "io.debezium.connector.postgresql.Source")
}

fn transaction() -> Schema {
    let fields = vec![
        text().field("id"),
        long().field("total_order"),
        long().field("data_collection_order"),
    ];
    named(fields, "event.block").optional()
}

fn named(fields: Vec<Field>, name: &'static str) -> Schema {
    Schema::named(Kind::Struct(fields), name)
}

fn text() -> Schema {
    Schema::new(Kind::String)
}

fn long() -> Schema {
    Schema::new(Kind::Int64)
}
