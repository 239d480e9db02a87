//! Which encoder a column takes, from its type's oid and modifier, the catalog's details, and the
//! options. Oids below 16384 are the same in every database (Postgres source: `pg_type.dat`).

use super::ValueEncoder;
use super::built_in::element as built_in_element;
use super::lossy::{Elements, lossy};
use super::number::DecimalForm;
use super::temporal::{DateForm, Unit};
use crate::details::{TypeDetails, TypeKind};
use crate::options::{Compatibility, DecimalHandling, Options, TimePrecision};

/// Domains over domains over … end here, should the catalog be inconsistent.
const NESTING_MAX: usize = 32;

/// The encoder for a column of the type.
pub(crate) fn resolve(
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    options: &Options,
) -> ValueEncoder {
    let encoder = lossless(oid, type_modifier, types, options);
    if options.compatibility == Compatibility::Lossless {
        return encoder;
    }
    let (oid, _) = base_type(oid, type_modifier, types);
    let details = types.iter().find(|details| details.oid == oid);
    let elements = match details.map(|details| &details.kind) {
        Some(TypeKind::Array { element, .. }) => {
            let (base, _) = base_type(*element, -1, types);
            let details = types.iter().find(|details| details.oid == base);
            Elements {
                name: details.map(|details| details.name.as_str()),
                is_domain: base != *element,
            }
        }
        _ => Elements::default(),
    };
    lossy(oid, encoder, elements, options)
}

fn lossless(
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    options: &Options,
) -> ValueEncoder {
    let (oid, type_modifier) = base_type(oid, type_modifier, types);
    if let Some((element, delimiter)) = element(oid, types) {
        let (element_type, element_modifier) = base_type(element, type_modifier, types);
        let element = scalar(element_type, element_modifier, types, options);
        return ValueEncoder::Array {
            element: Box::new(element),
            element_type,
            delimiter,
        };
    }
    scalar(oid, type_modifier, types, options)
}

/// Do rows leave a column of this type out, as Debezium does? Only for `envelope.compatibility:
/// debezium`.
#[must_use]
pub fn is_left_out(oid: u32, types: &[TypeDetails], options: &Options) -> bool {
    resolve(oid, -1, types, options).is_left_out()
}

/// Is a column of this type, or the element of such an array, carried as its text, since there is no
/// form of its own for it yet? `types` as in [`crate::RelationDetails::types`].
#[must_use]
pub fn is_carried_as_text(oid: u32, types: &[TypeDetails], options: &Options) -> bool {
    resolve(oid, -1, types, options).is_fallback()
}

/// Can a column of this type be masked: is it a text?
#[must_use]
pub fn is_maskable(oid: u32, types: &[TypeDetails], options: &Options) -> bool {
    resolve(oid, -1, types, options).is_text()
}

/// The element's type of an array.
pub(crate) fn element_type(oid: u32, types: &[TypeDetails]) -> Option<u32> {
    element(oid, types).map(|(element, _)| element)
}

/// The element's type of an array, and what stands between two elements.
fn element(oid: u32, types: &[TypeDetails]) -> Option<(u32, u8)> {
    let details = types.iter().find(|details| details.oid == oid);
    match details.map(|details| &details.kind) {
        Some(TypeKind::Array { element, delimiter }) => Some((*element, *delimiter)),
        _ => built_in_element(oid),
    }
}

/// Goes through domains to the type under them.
pub(crate) fn base_type(mut oid: u32, mut type_modifier: i32, types: &[TypeDetails]) -> (u32, i32) {
    for _ in 0..NESTING_MAX {
        let Some(TypeDetails {
            kind:
                TypeKind::Domain {
                    base,
                    type_modifier: own,
                },
            ..
        }) = types.iter().find(|details| details.oid == oid)
        else {
            break;
        };
        oid = *base;
        // The outermost modifier there is counts: only one level of a chain has one.
        if *own >= 0 {
            type_modifier = *own;
        }
    }
    (oid, type_modifier)
}

fn scalar(oid: u32, type_modifier: i32, types: &[TypeDetails], options: &Options) -> ValueEncoder {
    match oid {
        16 => ValueEncoder::Bool,
        17 => ValueEncoder::Bytea(options.binary),
        20 | 21 | 23 | 26 => ValueEncoder::Integer,
        700 | 701 => ValueEncoder::Float,
        600 => ValueEncoder::Point,
        790 => ValueEncoder::Money {
            form: decimal_form(Some(options.money_fraction_digits.into()), options.decimal),
            digits: 2,
        },
        1082 => ValueEncoder::Date(match options.time {
            TimePrecision::IsoString => DateForm::Iso,
            _ => DateForm::Days,
        }),
        1083 => ValueEncoder::Time(time_unit(type_modifier, options.time)),
        1114 => ValueEncoder::Timestamp(timestamp_unit(type_modifier, options.time)),
        1184 => ValueEncoder::ZonedTimestamp {
            digits: u8::try_from(type_modifier).map_or(6, |digits| digits.min(6)),
        },
        1186 => ValueEncoder::Interval(options.interval),
        1266 => ValueEncoder::ZonedTime,
        1560 | 1562 => match type_modifier {
            1 => ValueEncoder::Bit,
            0.. => ValueEncoder::Bits {
                length: type_modifier,
            },
            _ => ValueEncoder::Bits { length: i32::MAX },
        },
        1700 => {
            let scale = numeric_size(type_modifier).map(|(_, scale)| scale);
            ValueEncoder::Numeric(decimal_form(scale, options.decimal))
        }
        _ if is_text(oid) => ValueEncoder::Text,
        _ => {
            let details = types.iter().find(|details| details.oid == oid);
            let known = details.and_then(|details| of_database(details, options));
            known.unwrap_or(match options.unknown_as_bytes {
                true => ValueEncoder::ByteFallback(options.binary),
                false => ValueEncoder::TextFallback,
            })
        }
    }
}

/// Built-in types that are strings in Debezium too: "char", name, text, json, xml, cidr, inet,
/// macaddr, macaddr8, bpchar, varchar, uuid, jsonb, tsvector, and the six ranges.
fn is_text(oid: u32) -> bool {
    matches!(
        oid,
        18 | 19
            | 25
            | 114
            | 142
            | 650
            | 869
            | 829
            | 774
            | 1042
            | 1043
            | 2950
            | 3614
            | 3802
            | 3904
            | 3906
            | 3908
            | 3910
            | 3912
            | 3926
    )
}

/// Types of a database's own that have a form: enums, and those of known extensions by their names.
fn of_database(details: &TypeDetails, options: &Options) -> Option<ValueEncoder> {
    Some(match (&details.kind, details.name.as_str()) {
        (TypeKind::Enum { .. }, _) => ValueEncoder::Text,
        (TypeKind::Base, name) => match name {
            "citext" | "ltree" | "isbn" => ValueEncoder::Text,
            // Texts by nature, though Debezium does not know them.
            "isbn13" | "issn" | "issn13" | "ismn" | "ismn13" | "upc" | "ean13"
                if !options.unknown_as_bytes
                    && options.compatibility == Compatibility::Lossless =>
            {
                ValueEncoder::Text
            }
            "hstore" => ValueEncoder::Hstore(options.hstore),
            "geometry" => ValueEncoder::Geometry { geography: false },
            "geography" => ValueEncoder::Geometry { geography: true },
            "vector" => ValueEncoder::Vector { half: false },
            "halfvec" => ValueEncoder::Vector { half: true },
            "sparsevec" => ValueEncoder::SparseVector,
            _ => return None,
        },
        _ => return None,
    })
}

/// Precision and scale of a `numeric` that has them. They stand in the modifier less VARHDRSZ; the
/// scale in 11 bits with a sign (Postgres source: `numeric.c`).
pub(crate) fn numeric_size(type_modifier: i32) -> Option<(i32, i16)> {
    (type_modifier >= 4).then(|| {
        let bits = type_modifier - 4;
        let scale = ((bits & 0x7ff) ^ 1024) - 1024;
        ((bits >> 16) & 0xffff, i16::try_from(scale).unwrap_or(0))
    })
}

fn decimal_form(scale: Option<i16>, handling: DecimalHandling) -> DecimalForm {
    match (handling, scale) {
        (DecimalHandling::Precise, Some(scale)) => DecimalForm::Scaled { scale },
        (DecimalHandling::Precise, None) => DecimalForm::Variable,
        (DecimalHandling::Double, _) => DecimalForm::Double,
        (DecimalHandling::String, scale) => DecimalForm::Text {
            scale: scale.unwrap_or(0),
        },
    }
}

fn time_unit(type_modifier: i32, precision: TimePrecision) -> Unit {
    match precision {
        TimePrecision::Adaptive if (0..=3).contains(&type_modifier) => Unit::Millis,
        TimePrecision::Connect => Unit::Millis,
        TimePrecision::Nanoseconds => Unit::Nanos,
        TimePrecision::IsoString => Unit::Iso,
        TimePrecision::Adaptive
        | TimePrecision::AdaptiveTimeMicroseconds
        | TimePrecision::Microseconds => Unit::Micros,
    }
}

fn timestamp_unit(type_modifier: i32, precision: TimePrecision) -> Unit {
    match precision {
        TimePrecision::AdaptiveTimeMicroseconds => {
            time_unit(type_modifier, TimePrecision::Adaptive)
        }
        precision => time_unit(type_modifier, precision),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_only_when_asked_for() {
        let mut options = Options::new("srv", "db");
        const PG_LSN: u32 = 3220;
        const MONEY_ARRAY: u32 = 791;
        const INT4: u32 = 23;
        for oid in [PG_LSN, MONEY_ARRAY, INT4] {
            assert!(!is_left_out(oid, &[], &options), "{oid}");
        }
        options.compatibility = Compatibility::Debezium;
        assert!(is_left_out(PG_LSN, &[], &options) && is_left_out(MONEY_ARRAY, &[], &options));
        assert!(!is_left_out(INT4, &[], &options) && !is_carried_as_text(PG_LSN, &[], &options));
        options.unknown_as_bytes = true;
        assert!(!is_left_out(PG_LSN, &[], &options));
    }

    fn details(oid: u32, name: &str, kind: TypeKind) -> TypeDetails {
        TypeDetails {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            kind,
        }
    }

    #[test]
    fn modifiers_give_scale_and_unit() {
        let options = Options::new("srv", "db");
        let numeric = |modifier| resolve(1700, modifier, &[], &options);
        assert_eq!(numeric(-1), ValueEncoder::Numeric(DecimalForm::Variable));
        assert_eq!(
            numeric((12 << 16 | 2) + 4),
            ValueEncoder::Numeric(DecimalForm::Scaled { scale: 2 })
        );
        assert_eq!(
            numeric((5 << 16 | (-2 & 0x7ff)) + 4),
            ValueEncoder::Numeric(DecimalForm::Scaled { scale: -2 })
        );
        assert_eq!(
            resolve(1114, 3, &[], &options),
            ValueEncoder::Timestamp(Unit::Millis)
        );
        assert_eq!(
            resolve(1114, -1, &[], &options),
            ValueEncoder::Timestamp(Unit::Micros)
        );
        assert_eq!(
            resolve(1184, 0, &[], &options),
            ValueEncoder::ZonedTimestamp { digits: 0 }
        );
    }

    #[test]
    fn domains_arrays_and_enums_are_looked_through() {
        let options = Options::new("srv", "db");
        let types = [
            details(
                20000,
                "inner",
                TypeKind::Domain {
                    base: 1700,
                    type_modifier: (8 << 16 | 3) + 4,
                },
            ),
            details(
                20001,
                "outer",
                TypeKind::Domain {
                    base: 20000,
                    type_modifier: -1,
                },
            ),
            details(
                20002,
                "_outer",
                TypeKind::Array {
                    element: 20001,
                    delimiter: b',',
                },
            ),
            details(20003, "mood", TypeKind::Enum { labels: Vec::new() }),
            details(
                20004,
                "loop",
                TypeKind::Domain {
                    base: 20004,
                    type_modifier: -1,
                },
            ),
            details(20005, "pair", TypeKind::Composite),
        ];
        let scaled = ValueEncoder::Numeric(DecimalForm::Scaled { scale: 3 });
        assert_eq!(resolve(20001, -1, &types, &options), scaled);
        assert_eq!(
            resolve(20002, -1, &types, &options),
            ValueEncoder::Array {
                element: Box::new(scaled),
                element_type: 1700,
                delimiter: b','
            }
        );
        assert_eq!(resolve(20003, -1, &types, &options), ValueEncoder::Text);
        for unknown in [20004, 20005, 29999] {
            assert_eq!(
                resolve(unknown, -1, &types, &options),
                ValueEncoder::TextFallback
            );
        }
    }
}
