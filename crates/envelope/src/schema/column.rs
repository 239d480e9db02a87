//! The schema of a column's values: it says how the bytes of its encoder are to be read (Debezium
//! manual, "Data type mappings").

use super::{Kind, Schema};
use crate::details::{TypeDetails, TypeKind};
use crate::options::{BinaryHandling, HstoreHandling, IntervalHandling, Options, TimePrecision};
use crate::value::{DateForm, DecimalForm, Unit, ValueEncoder, base_type, numeric_size};

/// The schema of a column, not optional and without a default. `encoder` is the column's own.
pub(crate) fn of_column(
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    options: &Options,
    encoder: &ValueEncoder,
) -> Schema {
    let (oid, type_modifier) = base_type(oid, type_modifier, types);
    if let ValueEncoder::Lossy { inner, .. } = encoder {
        return of_column(oid, type_modifier, types, options, inner);
    }
    let ValueEncoder::Array {
        element,
        element_type,
        ..
    } = encoder
    else {
        return scalar(oid, type_modifier, types, options, encoder);
    };
    let schema = of_column(*element_type, type_modifier, types, options, element);
    // Debezium says so of enums alone.
    let is_enum = labels(*element_type, types).is_some();
    Schema::array(schema.optional_if(!is_enum))
}

fn scalar(
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    options: &Options,
    encoder: &ValueEncoder,
) -> Schema {
    match encoder {
        ValueEncoder::Integer => Schema::new(match oid {
            21 => Kind::Int16,
            23 => Kind::Int32,
            _ => Kind::Int64,
        }),
        ValueEncoder::Float => Schema::new(match oid {
            700 => Kind::Float,
            _ => Kind::Double,
        }),
        ValueEncoder::Bool => Schema::new(Kind::Boolean),
        ValueEncoder::Text => text(oid, types),
        ValueEncoder::TextFallback => Schema::new(Kind::String),
        ValueEncoder::Bytea(handling) | ValueEncoder::ByteFallback(handling) => of_bytes(*handling),
        ValueEncoder::Money { form, .. } => money(*form),
        ValueEncoder::Bit => Schema::new(Kind::Boolean),
        ValueEncoder::Bits { length } => {
            Schema::named(Kind::Bytes, "io.debezium.data.Bits").parameter("length", length)
        }
        ValueEncoder::Point => point(),
        ValueEncoder::Geometry { geography } => geometry(*geography),
        ValueEncoder::Hstore(HstoreHandling::Json) => {
            Schema::named(Kind::String, "io.debezium.data.Json")
        }
        ValueEncoder::Hstore(HstoreHandling::Map) => Schema::map(
            Schema::new(Kind::String),
            Schema::new(Kind::String).optional(),
        ),
        ValueEncoder::Vector { half: false } => Schema::array(Schema::new(Kind::Double))
            .name("io.debezium.data.DoubleVector")
            .version(1),
        ValueEncoder::Vector { half: true } => Schema::array(Schema::new(Kind::Float))
            .name("io.debezium.data.FloatVector")
            .version(1),
        ValueEncoder::SparseVector => sparse_vector(),
        ValueEncoder::Numeric(form) => numeric(*form, type_modifier),
        ValueEncoder::Date(form) => date(*form, options.time),
        ValueEncoder::Time(unit) => time(*unit, options.time),
        ValueEncoder::Timestamp(unit) => timestamp(*unit, options.time),
        ValueEncoder::ZonedTimestamp { .. } => {
            Schema::named(Kind::String, "io.debezium.time.ZonedTimestamp")
        }
        ValueEncoder::ZonedTime => Schema::named(Kind::String, "io.debezium.time.ZonedTime"),
        ValueEncoder::Interval(IntervalHandling::Numeric) => {
            Schema::named(Kind::Int64, "io.debezium.time.MicroDuration")
        }
        ValueEncoder::Interval(IntervalHandling::String) => {
            Schema::named(Kind::String, "io.debezium.time.Interval")
        }
        ValueEncoder::Array { .. } | ValueEncoder::Lossy { .. } => {
            of_column(oid, type_modifier, types, options, encoder)
        }
    }
}

/// The schema of bytes in the chosen form.
pub(crate) fn of_bytes(handling: BinaryHandling) -> Schema {
    Schema::new(match handling {
        BinaryHandling::Bytes => Kind::Bytes,
        BinaryHandling::Base64 | BinaryHandling::Base64UrlSafe | BinaryHandling::Hex => {
            Kind::String
        }
    })
}

fn text(oid: u32, types: &[TypeDetails]) -> Schema {
    let named = |name| Schema::named(Kind::String, name);
    match oid {
        114 | 3802 => named("io.debezium.data.Json"),
        142 => named("io.debezium.data.Xml"),
        2950 => named("io.debezium.data.Uuid"),
        3614 => named("io.debezium.data.Tsvector"),
        _ => match labels(oid, types) {
            Some(labels) => named("io.debezium.data.Enum").parameter("allowed", labels.join(",")),
            None if is_base(oid, "ltree", types) => named("io.debezium.data.Ltree"),
            None => Schema::new(Kind::String),
        },
    }
}

fn numeric(form: DecimalForm, type_modifier: i32) -> Schema {
    match form {
        DecimalForm::Scaled { scale } => {
            let (precision, _) = numeric_size(type_modifier).unwrap_or_default();
            Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal")
                .parameter("scale", scale)
                .parameter("connect.decimal.precision", precision)
        }
        DecimalForm::Variable => {
            let fields = vec![
                Schema::new(Kind::Int32).field("scale"),
                Schema::new(Kind::Bytes).field("value"),
            ];
            Schema::named(
                Kind::Struct(fields),
                "io.debezium.data.VariableScaleDecimal",
            )
            .doc("Variable scaled decimal")
        }
        DecimalForm::Double => Schema::new(Kind::Double),
        DecimalForm::Text { .. } => Schema::new(Kind::String),
    }
}

fn money(form: DecimalForm) -> Schema {
    match form {
        // The precision is nobody's.
        DecimalForm::Scaled { scale } => {
            Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal")
                .parameter("scale", scale)
        }
        form => numeric(form, -1),
    }
}

fn point() -> Schema {
    let fields = vec![
        Schema::new(Kind::Double).field("x"),
        Schema::new(Kind::Double).field("y"),
        Schema::new(Kind::Bytes).optional().field("wkb"),
        Schema::new(Kind::Int32).optional().field("srid"),
    ];
    Schema::named(Kind::Struct(fields), "io.debezium.data.geometry.Point").doc("Geometry (POINT)")
}

fn geometry(geography: bool) -> Schema {
    let fields = vec![
        Schema::new(Kind::Bytes).field("wkb"),
        Schema::new(Kind::Int32).optional().field("srid"),
    ];
    let (name, doc) = match geography {
        true => ("io.debezium.data.geometry.Geography", "Geography"),
        false => ("io.debezium.data.geometry.Geometry", "Geometry"),
    };
    Schema::named(Kind::Struct(fields), name).doc(doc)
}

fn sparse_vector() -> Schema {
    let elements = Schema::map(Schema::new(Kind::Int16), Schema::new(Kind::Double));
    let fields = vec![
        Schema::new(Kind::Int16).field("dimensions"),
        elements.field("vector"),
    ];
    Schema::named(Kind::Struct(fields), "io.debezium.data.SparseDoubleVector")
        .doc("Sparse double vector")
}

fn date(form: DateForm, precision: TimePrecision) -> Schema {
    match (form, precision) {
        (DateForm::Iso, _) => Schema::named(Kind::String, "io.debezium.time.IsoDate"),
        (DateForm::Days, TimePrecision::Connect) => {
            Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Date")
        }
        (DateForm::Days, _) => Schema::named(Kind::Int32, "io.debezium.time.Date"),
    }
}

fn time(unit: Unit, precision: TimePrecision) -> Schema {
    match (unit, precision) {
        (Unit::Millis, TimePrecision::Connect) => {
            Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Time")
        }
        (Unit::Millis, _) => Schema::named(Kind::Int32, "io.debezium.time.Time"),
        (Unit::Micros, _) => Schema::named(Kind::Int64, "io.debezium.time.MicroTime"),
        (Unit::Nanos, _) => Schema::named(Kind::Int64, "io.debezium.time.NanoTime"),
        (Unit::Iso, _) => Schema::named(Kind::String, "io.debezium.time.IsoTime"),
    }
}

fn timestamp(unit: Unit, precision: TimePrecision) -> Schema {
    match (unit, precision) {
        (Unit::Millis, TimePrecision::Connect) => {
            Schema::named(Kind::Int64, "org.apache.kafka.connect.data.Timestamp")
        }
        (Unit::Millis, _) => Schema::named(Kind::Int64, "io.debezium.time.Timestamp"),
        (Unit::Micros, _) => Schema::named(Kind::Int64, "io.debezium.time.MicroTimestamp"),
        (Unit::Nanos, _) => Schema::named(Kind::Int64, "io.debezium.time.NanoTimestamp"),
        (Unit::Iso, _) => Schema::named(Kind::String, "io.debezium.time.IsoTimestamp"),
    }
}

fn labels(oid: u32, types: &[TypeDetails]) -> Option<&[String]> {
    let found = types.iter().find(|details| details.oid == oid)?;
    match &found.kind {
        TypeKind::Enum { labels } => Some(labels),
        _ => None,
    }
}

fn is_base(oid: u32, name: &str, types: &[TypeDetails]) -> bool {
    types
        .iter()
        .any(|details| details.oid == oid && details.name == name && details.kind == TypeKind::Base)
}
