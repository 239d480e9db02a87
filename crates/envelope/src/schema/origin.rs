//! What a column's schema tells of its type in the database (Debezium manual,
//! `column.propagate.source.type`): names and sizes as JDBC's metadata has them.

use crate::details::TypeDetails;
use crate::value::{base_type, built_in_name, element_type, numeric_size};

/// No limit that JDBC knows of.
const UNLIMITED: i32 = i32::MAX;
/// Digits that a numeric without a precision can have.
const NUMERIC_DIGITS_MAX: i32 = 131_089;

/// The parameters, in Debezium's order.
pub(crate) fn source_parameters(
    column: &str,
    oid: u32,
    modifier: i32,
    types: &[TypeDetails],
) -> [(&'static str, String); 4] {
    let (base, modifier) = base_type(oid, modifier, types);
    let base = element_type(base, types).unwrap_or(base);
    let (base, modifier) = base_type(base, modifier, types);
    let (length, scale) = size(base, modifier);
    [
        ("__debezium.source.column.type", type_name(oid, types)),
        ("__debezium.source.column.length", length.to_string()),
        ("__debezium.source.column.scale", scale.to_string()),
        ("__debezium.source.column.name", column.to_owned()),
    ]
}

/// In capitals; an array's has `_` before its element's.
pub(crate) fn type_name(oid: u32, types: &[TypeDetails]) -> String {
    if let Some(details) = types.iter().find(|details| details.oid == oid) {
        return details.name.to_uppercase();
    }
    if let Some(element) = element_type(oid, types) {
        return format!("_{}", type_name(element, types));
    }
    built_in_name(oid).unwrap_or_default().to_uppercase()
}

fn size(oid: u32, modifier: i32) -> (i32, i32) {
    let has_modifier = modifier >= 0;
    let digits = if has_modifier { modifier } else { 6 };
    let seconds = match (has_modifier, modifier) {
        (true, 0) => 0,
        (true, 1) => 3,
        _ => digits + 1,
    };
    match oid {
        16 | 18 => (1, 0),
        20 => (19, 0),
        21 => (5, 0),
        23 | 26 => (10, 0),
        700 => (8, 8),
        701 => (17, 17),
        1042 | 1043 if modifier >= 4 => (modifier - 4, 0),
        1082 => (13, 0),
        1083 => (8 + seconds, digits),
        1266 => (14 + seconds, digits),
        1114 => (22 + seconds, digits),
        1184 => (28 + seconds, digits),
        1186 => (49, 6),
        1560 | 1562 if has_modifier => (modifier, 0),
        1700 => numeric_size(modifier).map_or((NUMERIC_DIGITS_MAX, 0), |(precision, scale)| {
            (precision, i32::from(scale))
        }),
        _ => (UNLIMITED, 0),
    }
}
