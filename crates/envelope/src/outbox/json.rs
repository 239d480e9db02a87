//! JSON payloads as JSON (EventRouter's `table.expand.json.payload`): without white space where no
//! more is asked, else with the schema that Debezium makes of a document.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::options::JsonNulls;
use crate::schema::{Field, Kind, Schema};
use crate::table::json_string;
use crate::value::write_double;

/// Whether a text is JSON.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Appends JSON without the white space between its tokens; digits and escapes stay as they are.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'"', rest) {
        let (between, string) = rest.split_at(at);
        dense(between, out);
        let end = string_end(string);
        let (string, tail) = string.split_at(end);
        out.extend_from_slice(string);
        rest = tail;
    }
    dense(rest, out);
}

fn dense(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
}

/// Where the string ends that the text begins with.
fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// A document, its members in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The schema; none where one document has no one schema (an array of different types), or
    /// nothing is known (null, an empty array). `key` is the path, which names structs.
    pub(super) fn schema(&self, key: &str, nulls: JsonNulls) -> Result<Option<Schema>, Mixed> {
        let kind = match self {
            Self::Null => {
                let bytes = nulls == JsonNulls::OptionalBytes;
                return Ok(bytes.then(|| Schema::new(Kind::Bytes).optional()));
            }
            Self::Bool(_) => Kind::Boolean,
            Self::Integer(number) if i32::try_from(*number).is_ok() => Kind::Int32,
            Self::Integer(_) => Kind::Int64,
            Self::Double(_) => Kind::Double,
            Self::String(_) => Kind::String,
            Self::Array(items) if items.is_empty() => return Ok(None),
            Self::Array(items) => Kind::Array(Box::new(of_items(items, key, nulls)?)),
            Self::Object(members) => {
                let mut fields = Vec::new();
                for (name, value) in members {
                    let path = match key.trim().is_empty() {
                        true => name.clone(),
                        false => format!("{key}.{name}"),
                    };
                    if let Some(schema) = value.schema(&path, nulls)? {
                        fields.push(schema.field(name.clone()));
                    }
                }
                let structure = Schema::structure(fields).name(key.to_owned());
                return Ok(Some(structure.optional()));
            }
        };
        Ok(Some(Schema::new(kind).optional()))
    }

    /// Appends the document as Debezium leaves it: with the members of its schema, no others.
    pub(super) fn write_as(&self, schema: &Schema, out: &mut Vec<u8>) {
        match (self, schema.kind()) {
            (Self::Object(members), Kind::Struct(fields)) => {
                out.push(b'{');
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    json_string(&field.name, out);
                    out.push(b':');
                    let mut members = members.iter();
                    let found = members.find(|(name, _)| *name == field.name);
                    found
                        .map_or(&Self::Null, |(_, value)| value)
                        .write_as(&field.schema, out);
                }
                out.push(b'}');
            }
            (Self::Array(items), Kind::Array(element)) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write_as(element, out);
                }
                out.push(b']');
            }
            (Self::Bool(true), _) => out.extend_from_slice(b"true"),
            (Self::Bool(false), _) => out.extend_from_slice(b"false"),
            (Self::Integer(number), _) => crate::value::write_integer(*number, out),
            (Self::Double(number), _) => write_double(*number, out),
            (Self::String(text), _) => json_string(text, out),
            (Self::Null | Self::Array(_) | Self::Object(_), _) => out.extend_from_slice(b"null"),
        }
    }
}

/// An array whose items have no one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mixed;

fn of_items(items: &[Json], key: &str, nulls: JsonNulls) -> Result<Schema, Mixed> {
    let mut found: Option<Schema> = None;
    for item in items.iter().filter(|item| **item != Json::Null) {
        let path = if matches!(item, Json::Object(_)) {
            key
        } else {
            ""
        };
        let schema = item.schema(path, nulls)?.ok_or(Mixed)?;
        found = Some(match found {
            None => schema,
            Some(before) => merged(before, schema)?,
        });
    }
    found.ok_or(Mixed)
}

/// Objects of one array may have different members; all else must be the same.
fn merged(before: Schema, schema: Schema) -> Result<Schema, Mixed> {
    if before == schema {
        return Ok(before);
    }
    let (Kind::Struct(first), Kind::Struct(second)) = (before.kind(), schema.kind()) else {
        return Err(Mixed);
    };
    let mut fields: Vec<Field> = first.clone();
    for field in second {
        match fields.iter_mut().find(|known| known.name == field.name) {
            None => fields.push(field.clone()),
            Some(known) if *known.schema.kind() == Kind::Bytes => *known = field.clone(),
            Some(_) => {}
        }
    }
    // As in Debezium, what was put together is not optional any more.
    Ok(before.with_fields(fields).optional_if(false))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "beyond int64 Debezium has a double, too"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Double(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            // Of two members of one name the last counts, in the place of the first.
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => members.push((name, value)),
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_and_all_else_stays() {
        let mut out = Vec::new();
        compact(br#"{ "a b": [1.10, "x\" y"], "n" : null }"#, &mut out);
        assert_eq!(out, br#"{"a b":[1.10,"x\" y"],"n":null}"#);
    }

    #[test]
    fn arrays_of_different_types_have_no_schema() {
        let schema = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            json.schema("payload", JsonNulls::Ignore)
        };
        assert_eq!(schema(r#"{"a":[1,"x"]}"#), Err(Mixed));
        assert_eq!(schema("[1,3000000000]"), Err(Mixed));
        assert!(schema(r#"[{"a":1},{"b":null}]"#).unwrap().is_some());
        assert_eq!(schema("[]"), Ok(None));
    }
}
