//! One cell of text to its JSON: chosen once a column ([`ValueEncoder`]), run once a row.
//!
//! The forms are those of Debezium 3.6.3 under Connect's JsonConverter without schemas (Debezium
//! manual, "PostgreSQL data type mappings"); what Debezium loses is carried. Input is Postgres'
//! text output with DateStyle ISO, IntervalStyle postgres, bytea_output hex, and as many float
//! digits as are needed, which the replication session pins. It comes from the peer: text that is
//! not of the expected form is an error, never a panic, and never a guess.

mod array;
mod bits;
mod built_in;
mod bytes;
mod calendar;
mod geometry;
mod hstore;
mod interval;
mod lossy;
mod number;
mod resolve;
mod string;
mod temporal;
mod vector;
mod zoned;

pub(crate) use built_in::name as built_in_name;
pub(crate) use bytes::{hex_digit, quoted_base64, quoted_bytes, raw_bytea};
pub(crate) use lossy::Loss;
pub(crate) use number::{DecimalForm, write_double, write_integer};
pub(crate) use resolve::{base_type, element_type, numeric_size, resolve};
pub use resolve::{is_carried_as_text, is_left_out, is_maskable};
pub(crate) use string::{quoted, unquoted};
pub(crate) use temporal::{DateForm, Unit};
pub(crate) use zoned::unix_millis;

use crate::options::{BinaryHandling, HstoreHandling, IntervalHandling, Options};

/// Why a cell has no JSON. The encoder adds table and column; the value is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueError {
    /// Not what Postgres prints for the type.
    Malformed,
    /// Bytes that are not UTF-8, of a database in SQL_ASCII.
    NotUtf8,
    /// A value that the chosen mode cannot say.
    Unrepresentable {
        /// What kind of value.
        what: &'static str,
        /// The setting that can.
        remedy: &'static str,
    },
}

/// How the cells of one column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueEncoder {
    /// int2, int4, int8, oid: a JSON number.
    Integer,
    /// float4, float8: a JSON number as Java prints it, or a string for what JSON cannot say.
    Float,
    /// bool.
    Bool,
    /// Whatever is a string both here and in Debezium.
    Text,
    /// A type without a form of its own, carried as the text Postgres prints.
    TextFallback,
    /// The same as bytes.
    ByteFallback(BinaryHandling),
    /// bytea.
    Bytea(BinaryHandling),
    /// numeric.
    Numeric(DecimalForm),
    /// money.
    Money {
        /// As numeric.
        form: DecimalForm,
        /// Behind the point in the database's locale.
        digits: u8,
    },
    /// bit(1), varbit(1): a boolean.
    Bit,
    /// bit and varbit of other lengths.
    Bits {
        /// At most so many.
        length: i32,
    },
    /// point.
    Point,
    /// PostGIS' geometry and geography.
    Geometry {
        /// On the ellipsoid.
        geography: bool,
    },
    /// hstore.
    Hstore(HstoreHandling),
    /// pgvector's vector and halfvec.
    Vector {
        /// Half precision.
        half: bool,
    },
    /// pgvector's sparsevec.
    SparseVector,
    /// date.
    Date(DateForm),
    /// time.
    Time(Unit),
    /// timestamp.
    Timestamp(Unit),
    /// timestamptz, with so many digits after the second.
    ZonedTimestamp {
        /// 0 to 6.
        digits: u8,
    },
    /// timetz.
    ZonedTime,
    /// interval.
    Interval(IntervalHandling),
    /// An array of any dimensions; inner ones become nested arrays.
    Array {
        /// How elements are written.
        element: Box<ValueEncoder>,
        /// The element's type, domains resolved.
        element_type: u32,
        /// Between two elements.
        delimiter: u8,
    },
    /// As Debezium loses it, for `envelope.compatibility: debezium`.
    Lossy {
        /// How the rest is written.
        inner: Box<ValueEncoder>,
        /// What is lost.
        loss: Loss,
    },
}

impl ValueEncoder {
    /// The text Postgres prints, as a string.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::TextFallback)
    }

    /// No form of its own, or an array of such.
    pub(crate) fn is_fallback(&self) -> bool {
        match self {
            Self::TextFallback | Self::ByteFallback(_) => true,
            Self::Array { element, .. } => element.is_fallback(),
            Self::Lossy { inner, .. } => !self.is_left_out() && inner.is_fallback(),
            _ => false,
        }
    }

    /// Whether rows do not have the column at all.
    pub(crate) fn is_left_out(&self) -> bool {
        matches!(
            self,
            Self::Lossy {
                loss: Loss::Column,
                ..
            }
        )
    }

    /// What becomes of it where there is no room for null.
    pub(crate) fn required(mut self) -> Self {
        if let Self::Lossy { loss, .. } = &mut self
            && *loss == Loss::Constant("null")
        {
            *loss = Loss::Constant("\"\"");
        }
        self
    }

    /// The encoder with what the database's locale says of `money`.
    pub(crate) fn with_money_digits(mut self, found: u8) -> Self {
        match &mut self {
            Self::Money { digits, .. } => *digits = found,
            Self::Array { element: inner, .. } | Self::Lossy { inner, .. } => {
                let found = std::mem::replace(inner.as_mut(), Self::Bool).with_money_digits(found);
                **inner = found;
            }
            _ => {}
        }
        self
    }

    /// Appends the JSON of one text cell. `scratch` is for elements of arrays; its content is lost.
    #[inline]
    pub(crate) fn encode(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        match self {
            Self::Integer => number::integer(text, out),
            Self::Bool => boolean(text, out),
            Self::Text | Self::TextFallback => quoted(text, out),
            Self::Numeric(form) => number::numeric(text, *form, out),
            Self::Timestamp(unit) => temporal::timestamp(text, *unit, out),
            Self::ZonedTimestamp { digits } => zoned::timestamp(text, *digits, out),
            _ => self.encode_rare(text, out, scratch),
        }
    }

    /// Apart, so that the everyday types above are inlined where rows are written.
    #[inline(never)]
    fn encode_rare(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        match self {
            Self::Float => number::float(text, out),
            Self::ByteFallback(handling) => {
                quoted_bytes(text, *handling, out);
                Ok(())
            }
            Self::Bytea(handling) => bytes::bytea(text, *handling, out),
            Self::Money { form, digits } => number::money(text, *form, *digits, out),
            Self::Bit => bits::bit(text, out),
            Self::Bits { .. } => bits::bits(text, out),
            Self::Point => geometry::point(text, out),
            Self::Geometry { .. } => geometry::ewkb(text, out),
            Self::Hstore(handling) => hstore::hstore(text, *handling, out),
            Self::Vector { .. } => vector::dense(text, out),
            Self::SparseVector => vector::sparse(text, out),
            Self::Date(form) => temporal::date(text, *form, out),
            Self::Time(unit) => temporal::time(text, *unit, out),
            Self::ZonedTime => zoned::time(text, out),
            Self::Interval(handling) => interval::interval(text, *handling, out),
            Self::Array {
                element, delimiter, ..
            } => array::array(text, element, *delimiter, out, scratch),
            Self::Lossy { inner, loss } => loss.encode(inner, text, out, scratch),
            Self::Integer
            | Self::Bool
            | Self::Text
            | Self::TextFallback
            | Self::Numeric(_)
            | Self::Timestamp(_)
            | Self::ZonedTimestamp { .. } => self.encode(text, out, scratch),
        }
    }

    /// What stands in a `before` for a NOT NULL column whose old value the log does not have:
    /// Debezium's zero of the type, since its schema allows no null there.
    pub(crate) fn zero(&self) -> Vec<u8> {
        let json: &[u8] = match self {
            Self::Float => b"0.0",
            Self::Bool | Self::Bit => b"false",
            Self::Text
            | Self::TextFallback
            | Self::ByteFallback(_)
            | Self::Bytea(_)
            | Self::Bits { .. } => b"\"\"",
            Self::Numeric(form) | Self::Money { form, .. } => return form.zero(),
            Self::Point => {
                b"{\"x\":0.0,\"y\":0.0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null}"
            }
            Self::Geometry { .. } => geometry::EMPTY,
            Self::Hstore(HstoreHandling::Json) => b"\"{}\"",
            Self::Hstore(HstoreHandling::Map) => b"{}",
            Self::SparseVector => b"{\"dimensions\":0,\"vector\":[]}",
            Self::Date(DateForm::Iso) => b"\"1970-01-01Z\"",
            Self::Time(Unit::Iso) | Self::ZonedTime => b"\"00:00:00Z\"",
            Self::Timestamp(Unit::Iso) | Self::ZonedTimestamp { .. } => b"\"1970-01-01T00:00:00Z\"",
            Self::Interval(IntervalHandling::String) => b"\"P0Y0M0DT0H0M0S\"",
            Self::Array { .. } | Self::Vector { .. } => b"[]",
            Self::Lossy { inner, .. } => return inner.zero(),
            Self::Integer
            | Self::Date(DateForm::Days)
            | Self::Time(_)
            | Self::Timestamp(_)
            | Self::Interval(IntervalHandling::Numeric) => b"0",
        };
        json.to_vec()
    }

    /// What stands for a value that an update left alone and the log does not have (TOAST); none
    /// where the type has no room for a mark that cannot be taken for a value.
    pub(crate) fn placeholder(&self, options: &Options) -> Option<Vec<u8>> {
        let mark = &options.unavailable_mark()[..];
        let text = String::from_utf8_lossy(mark);
        let text = text.as_bytes();
        let mut json = Vec::new();
        match self {
            Self::Text | Self::TextFallback | Self::Numeric(DecimalForm::Text { .. }) => {
                quoted(text, &mut json).ok()?;
            }
            Self::Bytea(handling) | Self::ByteFallback(handling) => {
                bytes::placeholder(mark, *handling, &mut json)?;
            }
            Self::Hstore(handling) => hstore::placeholder(text, *handling, &mut json)?,
            Self::Array {
                element,
                element_type,
                ..
            } => {
                array::placeholder(mark, element, *element_type, options, &mut json)?;
            }
            Self::Lossy { inner, loss } => match (loss, &**inner) {
                (
                    Loss::Array { .. },
                    Self::Array {
                        element,
                        element_type,
                        ..
                    },
                ) if !lossy::has_placeholder(element, *element_type) => return None,
                _ => return inner.placeholder(options),
            },
            _ => return None,
        }
        Some(json)
    }
}

fn boolean(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    match text {
        b"t" => out.extend_from_slice(b"true"),
        b"f" => out.extend_from_slice(b"false"),
        _ => return Err(ValueError::Malformed),
    }
    Ok(())
}
