//! Connect schemas, as JsonConverter writes them beside each payload when `schemas.enable` is on
//! (Kafka Connect, `Schema`; Debezium manual, "Change event keys" and "Change event values").
//!
//! Made once for each description of a table; a record copies the bytes.

mod blocks;
mod column;
mod default;
mod origin;

pub(crate) use blocks::{
    Wrapping, boundary_key, boundary_value, heartbeat_key, heartbeat_value, message_key,
    message_value, snapshot_mark, table_key, table_row, table_value, text_field,
};
pub(crate) use column::{of_bytes, of_column};
pub(crate) use default::default_of;
pub(crate) use origin::{source_parameters, type_name};

use std::borrow::Cow;

use crate::columns::Mask;
use crate::table::json_string;

/// A schema and what Connect notes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    kind: Kind,
    optional: bool,
    name: Option<Cow<'static, str>>,
    version: Option<i32>,
    doc: Option<&'static str>,
    parameters: Vec<(&'static str, String)>,
    /// As JSON.
    default: Option<Vec<u8>>,
}

/// `Schema.Type`, those that a change event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float,
    Double,
    String,
    Bytes,
    Array(Box<Schema>),
    Map(Box<Schema>, Box<Schema>),
    Struct(Vec<Field>),
}

/// One field of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Cow<'static, str>,
    pub(crate) schema: Schema,
}

impl Schema {
    /// A schema without a name; not optional.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    /// One of Debezium's or Connect's own types, all of version 1.
    pub(crate) fn named(kind: Kind, name: &'static str) -> Self {
        Self {
            name: Some(Cow::Borrowed(name)),
            version: Some(1),
            ..Self::new(kind)
        }
    }

    /// A struct of the given fields.
    pub(crate) fn structure(fields: Vec<Field>) -> Self {
        Self::new(Kind::Struct(fields))
    }

    /// A map.
    pub(crate) fn map(keys: Schema, values: Schema) -> Self {
        Self::new(Kind::Map(Box::new(keys), Box::new(values)))
    }

    /// An array.
    pub(crate) fn array(element: Schema) -> Self {
        Self::new(Kind::Array(Box::new(element)))
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The name of the type that its values stand for.
    pub(crate) fn logical_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A parameter's value.
    pub(crate) fn parameter_of(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(given, _)| *given == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(crate) fn optional_if(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    pub(crate) fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn doc(mut self, doc: &'static str) -> Self {
        self.doc = Some(doc);
        self
    }

    pub(crate) fn parameter(mut self, name: &'static str, value: impl ToString) -> Self {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// The default as JSON.
    pub(crate) fn default(mut self, json: Option<Vec<u8>>) -> Self {
        self.default = json;
        self
    }

    /// What a mask leaves of it: a text that no longer has the form its name promises.
    pub(crate) fn masked(mut self, mask: Option<&Mask>) -> Self {
        let (name, value) = match mask {
            None => return self,
            Some(Mask::Truncate(length)) => ("truncateLength", length.to_string()),
            Some(_) => ("masked", "true".to_owned()),
        };
        self.parameters.push((name, value));
        self
    }

    /// The same struct with other fields.
    pub(crate) fn with_fields(mut self, fields: Vec<Field>) -> Self {
        self.kind = Kind::Struct(fields);
        self
    }

    /// As a field of a struct.
    pub(crate) fn field(self, name: impl Into<Cow<'static, str>>) -> Field {
        Field {
            name: name.into(),
            schema: self,
        }
    }

    /// Appends the schema in JsonConverter's form and order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.write_as(None, out);
    }

    fn write_as(&self, field: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.kind.word().as_bytes());
        out.push(b'"');
        self.kind.write_parts(out);
        out.extend_from_slice(b",\"optional\":");
        out.extend_from_slice(if self.optional { b"true" } else { b"false" });
        let text = |name: &str, value: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            json_string(value, out);
        };
        if let Some(name) = &self.name {
            text(",\"name\":", name, out);
        }
        if let Some(version) = self.version {
            out.extend_from_slice(format!(",\"version\":{version}").as_bytes());
        }
        if let Some(doc) = self.doc {
            text(",\"doc\":", doc, out);
        }
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            let before: &[u8] = if index == 0 {
                b",\"parameters\":{"
            } else {
                b","
            };
            out.extend_from_slice(before);
            json_string(name, out);
            text(":", value, out);
        }
        if !self.parameters.is_empty() {
            out.push(b'}');
        }
        if let Some(default) = &self.default {
            out.extend_from_slice(b",\"default\":");
            out.extend_from_slice(default);
        }
        if let Some(field) = field {
            text(",\"field\":", field, out);
        }
        out.push(b'}');
    }
}

impl Kind {
    fn word(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Array(_) => "array",
            Self::Map(..) => "map",
            Self::Struct(_) => "struct",
        }
    }

    fn write_parts(&self, out: &mut Vec<u8>) {
        match self {
            Self::Array(element) => {
                out.extend_from_slice(b",\"items\":");
                element.write(out);
            }
            Self::Map(keys, values) => {
                out.extend_from_slice(b",\"keys\":");
                keys.write(out);
                out.extend_from_slice(b",\"values\":");
                values.write(out);
            }
            Self::Struct(fields) => {
                out.extend_from_slice(b",\"fields\":[");
                for (index, Field { name, schema }) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    schema.write_as(Some(name), out);
                }
                out.push(b']');
            }
            _ => {}
        }
    }
}
