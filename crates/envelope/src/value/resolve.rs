//! Which encoder a column takes, from its type's oid and modifier, the catalog's details, and the
//! options. Oids below 16384 are the same in every database (Postgres source: `pg_type.dat`).

use super::ValueEncoder;
use super::number::DecimalForm;
use super::temporal::{DateForm, Unit};
use crate::details::{TypeDetails, TypeKind};
use crate::options::{DecimalHandling, Options, TimePrecision};

/// Domains over domains over … end here, should the catalog be inconsistent.
const NESTING_MAX: usize = 32;

/// The encoder for a column of the type.
pub(crate) fn resolve(
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    options: &Options,
) -> ValueEncoder {
    let (oid, type_modifier) = base_type(oid, type_modifier, types);
    let details = types.iter().find(|details| details.oid == oid);
    let element = match details.map(|details| &details.kind) {
        Some(TypeKind::Array { element }) => Some(*element),
        _ => built_in_element(oid),
    };
    if let Some(element) = element {
        let (element_type, element_modifier) = base_type(element, type_modifier, types);
        let element = scalar(element_type, element_modifier, types, options);
        return ValueEncoder::Array {
            element: Box::new(element),
            element_type,
        };
    }
    scalar(oid, type_modifier, types, options)
}

/// Is a column of this type, or the element of such an array, carried as its text, since there is no
/// form of its own for it yet? `types` as in [`crate::RelationDetails::types`].
#[must_use]
pub fn is_carried_as_text(oid: u32, types: &[TypeDetails], options: &Options) -> bool {
    resolve(oid, -1, types, options).is_fallback()
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
        1700 => ValueEncoder::Numeric(decimal_form(type_modifier, options.decimal)),
        _ if is_text(oid) => ValueEncoder::Text,
        _ => match types.iter().find(|details| details.oid == oid) {
            Some(details) if is_textual(details) => ValueEncoder::Text,
            _ => ValueEncoder::TextFallback,
        },
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

/// Types of a database's own that are strings in Debezium too.
fn is_textual(details: &TypeDetails) -> bool {
    match details.kind {
        TypeKind::Enum { .. } => true,
        TypeKind::Base => matches!(details.name.as_str(), "citext" | "ltree"),
        _ => false,
    }
}

fn decimal_form(type_modifier: i32, handling: DecimalHandling) -> DecimalForm {
    // Precision and scale stand in the modifier less VARHDRSZ; the scale in 11 bits with a sign
    // (Postgres source: `numeric.c`).
    let scale = (type_modifier >= 4).then(|| {
        let bits = (type_modifier - 4) & 0x7ff;
        i16::try_from((bits ^ 1024) - 1024).unwrap_or(0)
    });
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

/// The element's type of a built-in array.
fn built_in_element(oid: u32) -> Option<u32> {
    Some(match oid {
        143 => 142,   // xml
        199 => 114,   // json
        651 => 650,   // cidr
        775 => 774,   // macaddr8
        791 => 790,   // money
        1000 => 16,   // bool
        1001 => 17,   // bytea
        1002 => 18,   // "char"
        1003 => 19,   // name
        1005 => 21,   // int2
        1007 => 23,   // int4
        1009 => 25,   // text
        1014 => 1042, // bpchar
        1015 => 1043, // varchar
        1016 => 20,   // int8
        1017 => 600,  // point
        1021 => 700,  // float4
        1022 => 701,  // float8
        1028 => 26,   // oid
        1040 => 829,  // macaddr
        1041 => 869,  // inet
        1115 => 1114, // timestamp
        1182 => 1082, // date
        1183 => 1083, // time
        1185 => 1184, // timestamptz
        1187 => 1186, // interval
        1231 => 1700, // numeric
        1270 => 1266, // timetz
        1561 => 1560, // bit
        1563 => 1562, // varbit
        2951 => 2950, // uuid
        3221 => 3220, // pg_lsn
        3643 => 3614, // tsvector
        3807 => 3802, // jsonb
        3905 => 3904, // int4range
        3907 => 3906, // numrange
        3909 => 3908, // tsrange
        3911 => 3910, // tstzrange
        3913 => 3912, // daterange
        3927 => 3926, // int8range
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            details(20002, "_outer", TypeKind::Array { element: 20001 }),
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
                element_type: 1700
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
