//! What Debezium 3.6.3 makes of values that it cannot hold, for `envelope.compatibility: debezium`.
//! Seen in its own output; every case is in `testdata/debezium`.

use super::ValueError;
use super::array::array;
use super::number::DecimalForm;
use super::temporal::{DateForm, Unit};
use super::{ValueEncoder, temporal, zoned};
use crate::options::{BinaryHandling, Options};

/// How a value is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The column is left out.
    Column,
    /// Always the same stands for it.
    Constant(&'static str),
    /// Null for what the mode cannot say, or for no bits.
    Null,
    /// Infinite dates are in the wrong order.
    Date(DateForm),
    /// A time of day in ISO text, with a zone or without: 24:00 is 00:00.
    Midnight,
    /// An array: null as a whole with an element that has no place in it, and inner arrays are null.
    Array {
        /// NULL has no place in it either.
        required: bool,
    },
    /// An element of an array of dates: no era, and infinity is another than a column's.
    ElementDate(DateForm),
    /// An element: milliseconds, and 24:00 is 00:00.
    ElementTime(Unit),
    /// An element: seconds.
    ElementZonedTime,
    /// An element: no era, and -infinity is far away.
    ElementZonedTimestamp,
    /// An element: neither NaN nor infinity.
    ElementNumeric,
}

/// What an array is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Elements<'a> {
    /// Their type's name, unless it is built in.
    pub(super) name: Option<&'a str>,
    /// It is a domain.
    pub(super) is_domain: bool,
}

/// The encoder that loses what Debezium loses.
pub(super) fn lossy(
    oid: u32,
    encoder: ValueEncoder,
    elements: Elements<'_>,
    options: &Options,
) -> ValueEncoder {
    const NAME: u32 = 19;
    let loss = match &encoder {
        ValueEncoder::Array {
            element,
            element_type,
            ..
        } => return array_of(encoder.clone(), element, *element_type, elements, options),
        ValueEncoder::TextFallback => Loss::Column,
        ValueEncoder::Text if oid == NAME => Loss::Constant("null"),
        ValueEncoder::Numeric(DecimalForm::Scaled { .. } | DecimalForm::Variable)
        | ValueEncoder::Timestamp(Unit::Micros | Unit::Nanos)
        | ValueEncoder::Bit => Loss::Null,
        ValueEncoder::Date(form) => Loss::Date(*form),
        ValueEncoder::Time(Unit::Iso) | ValueEncoder::ZonedTime => Loss::Midnight,
        _ => return encoder,
    };
    ValueEncoder::Lossy {
        inner: Box::new(encoder),
        loss,
    }
}

fn array_of(
    array: ValueEncoder,
    element: &ValueEncoder,
    element_type: u32,
    elements: Elements<'_>,
    options: &Options,
) -> ValueEncoder {
    const BIT: u32 = 1560;
    // name, xml, point, money, interval, varbit.
    const LEFT_OUT: [u32; 6] = [19, 142, 600, 790, 1186, 1562];
    let unknown = elements.is_domain || element.is_fallback();
    if LEFT_OUT.contains(&element_type) || (unknown && !options.unknown_as_bytes) {
        return ValueEncoder::Lossy {
            inner: Box::new(array),
            loss: Loss::Column,
        };
    }
    if element_type == BIT {
        // Its schema is that of one element.
        return ValueEncoder::Lossy {
            inner: Box::new(element.clone()),
            loss: Loss::Constant("null"),
        };
    }
    let mut element = match unknown {
        true => ValueEncoder::ByteFallback(options.binary),
        false => element.clone(),
    };
    if let Some(loss) = element_loss(&element) {
        element = ValueEncoder::Lossy {
            inner: Box::new(element),
            loss,
        };
    }
    let required = needs_elements(&element, element_type, elements.name);
    let ValueEncoder::Array { delimiter, .. } = array else {
        return array;
    };
    ValueEncoder::Lossy {
        inner: Box::new(ValueEncoder::Array {
            element: Box::new(element),
            element_type,
            delimiter,
        }),
        loss: Loss::Array { required },
    }
}

fn element_loss(element: &ValueEncoder) -> Option<Loss> {
    Some(match element {
        ValueEncoder::Date(form) => Loss::ElementDate(*form),
        ValueEncoder::Time(unit) => Loss::ElementTime(*unit),
        ValueEncoder::ZonedTime => Loss::ElementZonedTime,
        ValueEncoder::ZonedTimestamp { .. } => Loss::ElementZonedTimestamp,
        ValueEncoder::Numeric(_) => Loss::ElementNumeric,
        _ => return None,
    })
}

impl Loss {
    /// Appends the JSON of one text cell.
    pub(super) fn encode(
        &self,
        inner: &ValueEncoder,
        text: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        let fixed = match (self, text) {
            (Self::Column, _) => Some("null"),
            (Self::Constant(json), _) => Some(*json),
            (Self::Null, b"") => Some("null"),
            (Self::Date(form), b"infinity") => Some(match form {
                DateForm::Days => "-2147472692",
                DateForm::Iso => "\"-5877611-06-21Z\"",
            }),
            (Self::Date(form), b"-infinity") => Some(match form {
                DateForm::Days => "-2147472691",
                DateForm::Iso => "\"-5877611-06-22Z\"",
            }),
            (Self::ElementDate(form), b"infinity") => Some(match form {
                DateForm::Days => "-622191234",
                DateForm::Iso => "\"+292278994-08-16Z\"",
            }),
            (Self::ElementDate(form), b"-infinity") => Some(match form {
                DateForm::Days => "-625821272",
                DateForm::Iso => "\"+292269055-12-02Z\"",
            }),
            (Self::ElementZonedTimestamp, b"-infinity") => {
                Some("\"+292269055-12-02T23:00:00.000000Z\"")
            }
            _ => None,
        };
        if let Some(json) = fixed {
            out.extend_from_slice(json.as_bytes());
            return Ok(());
        }
        let start = out.len();
        let written = self.encode_cut(inner, text, out, scratch);
        match (self, written) {
            (Self::Null | Self::Array { .. }, Err(ValueError::Unrepresentable { .. })) => {
                out.truncate(start);
                out.extend_from_slice(b"null");
                Ok(())
            }
            (_, written) => written,
        }
    }

    fn encode_cut(
        &self,
        inner: &ValueEncoder,
        text: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        match (self, inner) {
            (
                Self::Array { required },
                ValueEncoder::Array {
                    element, delimiter, ..
                },
            ) => {
                if let Some(count) = inner_arrays(text) {
                    nulls(count, out);
                    return Ok(());
                }
                if *required && has_null(text, *delimiter) {
                    out.extend_from_slice(b"null");
                    return Ok(());
                }
                array(text, element, *delimiter, out, scratch)
            }
            (Self::ElementDate(form), _) => temporal::date(without_era(text), *form, out),
            (Self::ElementZonedTimestamp, _) => inner.encode(without_era(text), out, scratch),
            (Self::ElementTime(unit), _) => temporal::time(cut(text, 3), *unit, out),
            (Self::Midnight, ValueEncoder::ZonedTime) => zoned::time_before_midnight(text, out),
            (Self::Midnight, _) => temporal::time(cut(text, 6), Unit::Iso, out),
            (Self::ElementZonedTime, _) => zoned_seconds(text, out),
            (Self::ElementNumeric, _) if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") => {
                Err(ValueError::Unrepresentable {
                    what: "NaN or infinity in an array",
                    remedy: "envelope.compatibility: lossless",
                })
            }
            _ => inner.encode(text, out, scratch),
        }
    }
}

/// As Debezium's placeholder of an array: only for these elements is there one.
pub(super) fn has_placeholder(element: &ValueEncoder, element_type: u32) -> bool {
    match element {
        ValueEncoder::Bytea(handling) => *handling == BinaryHandling::Bytes,
        ValueEncoder::Lossy { loss, .. } => *loss == Loss::ElementDate(DateForm::Days),
        // int8, int4, text, json, bpchar, varchar, uuid, jsonb.
        _ => [20, 23, 25, 114, 1042, 1043, 2950, 3802].contains(&element_type),
    }
}

/// Elements whose schema has no null, and those of ltree, which fail with one all the same.
fn needs_elements(element: &ValueEncoder, element_type: u32, name: Option<&str>) -> bool {
    const TSVECTOR: u32 = 3614;
    match element {
        ValueEncoder::ByteFallback(_) => true,
        ValueEncoder::Text => element_type == TSVECTOR || name.is_some_and(|name| name != "citext"),
        _ => false,
    }
}

/// How many inner arrays there are; none in an array of one dimension.
fn inner_arrays(text: &[u8]) -> Option<usize> {
    let start = memchr::memchr(b'{', text)?;
    let body = text.get(start..).unwrap_or_default();
    if !body.starts_with(b"{{") {
        return None;
    }
    let (mut depth, mut count, mut quoted) = (0usize, 0, false);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b'{' if !quoted => {
                depth += 1;
                count += usize::from(depth == 2);
            }
            b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Some(count)
}

/// Whether one of the elements is NULL.
fn has_null(text: &[u8], delimiter: u8) -> bool {
    let mut quoted = false;
    let mut starts = false;
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let ends = |byte: &u8| *byte == delimiter || *byte == b'}';
        if starts && rest.starts_with(b"NULL") && rest.get(4).is_some_and(ends) {
            return true;
        }
        starts = !quoted && (*byte == delimiter || *byte == b'{');
        match byte {
            b'\\' => {
                rest = tail.get(1..).unwrap_or_default();
                continue;
            }
            b'"' => quoted = !quoted,
            _ => {}
        }
        rest = tail;
    }
    false
}

fn nulls(count: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for index in 0..count {
        out.extend_from_slice(if index == 0 { b"null" } else { b",null" });
    }
    out.push(b']');
}

fn without_era(text: &[u8]) -> &[u8] {
    text.strip_suffix(b" BC").unwrap_or(text)
}

/// A time of day with at most so many digits after the second, and not 24:00.
fn cut(text: &[u8], digits: usize) -> &[u8] {
    if text.starts_with(b"24:00:00") {
        return b"00:00:00";
    }
    match memchr::memchr(b'.', text) {
        Some(point) => text.get(..point + 1 + digits).unwrap_or(text),
        None => text,
    }
}

/// A time of day with its zone, less what is after the second.
fn zoned_seconds(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let Some(point) = memchr::memchr(b'.', text) else {
        return zoned::time_before_midnight(text, out);
    };
    let (whole, fraction) = text.split_at(point);
    let rest = fraction.get(1..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zone = rest.get(digits..).unwrap_or_default();
    // hh:mm:ss and ±hh:mm:ss.
    let mut joined = [0u8; 18];
    let len = whole.len() + zone.len();
    let room = joined.get_mut(..len).ok_or(ValueError::Malformed)?;
    for (place, byte) in room.iter_mut().zip(whole.iter().chain(zone)) {
        *place = *byte;
    }
    zoned::time_before_midnight(room, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_arrays_are_counted() {
        for (text, count) in [
            ("{1,2}", None),
            ("{}", None),
            ("{{1,2},{3,4}}", Some(2)),
            ("[2:3][1:1]={{1},{2}}", Some(2)),
            ("{{{1},{2}}}", Some(1)),
            (r#"{{"{","\"}"},{a,b},{c,d}}"#, Some(3)),
            (r#"{"{{"}"#, None),
        ] {
            assert_eq!(inner_arrays(text.as_bytes()), count, "{text}");
        }
    }

    #[test]
    fn a_null_is_no_text() {
        for (text, found) in [
            ("{NULL}", true),
            ("{a,NULL,b}", true),
            (r#"{"\"",NULL}"#, true),
            (r#"{"NULL",NULLS,aNULL,"a,NULL,b"}"#, false),
            ("{}", false),
        ] {
            assert_eq!(has_null(text.as_bytes(), b','), found, "{text}");
        }
    }

    #[test]
    fn times_are_cut() {
        assert_eq!(cut(b"13:51:30.123456", 3), b"13:51:30.123");
        assert_eq!(cut(b"13:51:30.1", 3), b"13:51:30.1");
        assert_eq!(cut(b"24:00:00", 3), b"00:00:00");
        let mut out = Vec::new();
        zoned_seconds(b"13:51:30.123456+02:30:15", &mut out).unwrap();
        assert_eq!(out, b"\"11:21:15Z\"");
    }
}
