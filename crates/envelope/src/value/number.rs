//! Integers, floating point and `numeric`. Floats keep Postgres' shortest digits and take the
//! layout of Java's `Double.toString`, which is what Connect's JSON shows.

use std::fmt::Write;

use num_bigint::BigInt;

use super::ValueError;
use super::bytes::quoted_base64;
use super::string::quoted;

/// How a `numeric` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalForm {
    /// Connect's `Decimal`: base64 of the unscaled value.
    Scaled {
        /// Of the column; negative for `numeric(5,-2)`.
        scale: i16,
    },
    /// Debezium's `VariableScaleDecimal`, for columns without a scale.
    Variable,
    /// A double.
    Double,
    /// The text.
    Text {
        /// Of the column, 0 without one: digits of the zero of a NOT NULL column.
        scale: i16,
    },
}

/// Digits that surely fit an i64.
const WORD_DIGITS: usize = 18;
/// Room for a float's digits: 17 are significant, but numbers up to 1e15 are printed in full.
const FLOAT_DIGITS_MAX: usize = 32;

const NOT_FINITE: ValueError = ValueError::Unrepresentable {
    what: "NaN or infinity in a numeric",
    remedy: "decimal.handling.mode: string",
};

impl DecimalForm {
    /// See `ValueEncoder::zero`.
    pub(super) fn zero(self) -> Vec<u8> {
        match self {
            Self::Scaled { .. } => b"\"AA==\"".to_vec(),
            Self::Variable => b"{\"scale\":0,\"value\":\"AA==\"}".to_vec(),
            Self::Double => b"0.0".to_vec(),
            Self::Text { scale } => match usize::try_from(scale) {
                Ok(digits @ 1..) => format!("\"0.{}\"", "0".repeat(digits)).into_bytes(),
                _ => b"\"0\"".to_vec(),
            },
        }
    }
}

/// Appends a whole number.
#[inline]
pub(crate) fn write_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[inline]
pub(super) fn integer(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // JSON has no leading zeros, and Postgres prints none.
    let valid = match digits {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty(),
        _ => digits.iter().all(u8::is_ascii_digit),
    };
    if !valid {
        return Err(ValueError::Malformed);
    }
    out.extend_from_slice(text);
    Ok(())
}

pub(super) fn float(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    match text {
        b"NaN" => out.extend_from_slice(b"\"NaN\""),
        b"Infinity" => out.extend_from_slice(b"\"Infinity\""),
        b"-Infinity" => out.extend_from_slice(b"\"-Infinity\""),
        _ => java_layout(text, out)?,
    }
    Ok(())
}

pub(super) fn numeric(text: &[u8], form: DecimalForm, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let special = match text {
        b"NaN" => Some(("\"NaN\"", "\"NAN\"")),
        b"Infinity" => Some(("\"Infinity\"", "\"POSITIVE_INFINITY\"")),
        b"-Infinity" => Some(("\"-Infinity\"", "\"NEGATIVE_INFINITY\"")),
        _ => None,
    };
    match (form, special) {
        (DecimalForm::Double, Some((double, _))) => out.extend_from_slice(double.as_bytes()),
        (DecimalForm::Text { .. }, Some((_, word))) => out.extend_from_slice(word.as_bytes()),
        (_, Some(_)) => return Err(NOT_FINITE),
        (DecimalForm::Scaled { scale }, None) => scaled(&Decimal::parse(text)?, scale, out)?,
        (DecimalForm::Variable, None) => variable(&Decimal::parse(text)?, out)?,
        (DecimalForm::Double, None) => double(text, out)?,
        (DecimalForm::Text { .. }, None) => {
            Decimal::parse(text)?;
            quoted(text, out)?;
        }
    }
    Ok(())
}

/// Digits of an i64, a sign, a point.
const MONEY_LEN_MAX: usize = 21;

/// `money`, whose text is what the server's `lc_monetary` makes of a whole number of hundredths (or
/// what else the locale has): its digits in order, among signs, symbols and separators. `digits` are
/// behind the point.
pub(super) fn money(
    text: &[u8],
    form: DecimalForm,
    digits: u8,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    const MINUS: &[u8] = "\u{2212}".as_bytes();
    let negative = text.iter().any(|byte| matches!(byte, b'-' | b'('))
        || text.windows(MINUS.len()).any(|bytes| bytes == MINUS);
    let found = || text.iter().filter(|byte| byte.is_ascii_digit());
    let whole = found()
        .count()
        .checked_sub(usize::from(digits))
        .filter(|whole| *whole > 0)
        .ok_or(ValueError::Malformed)?;
    let mut decimal = [0; MONEY_LEN_MAX];
    let bytes = negative
        .then_some(&b'-')
        .into_iter()
        .chain(found().take(whole))
        .chain((digits > 0).then_some(&b'.'))
        .chain(found().skip(whole));
    let mut len = 0;
    for byte in bytes {
        *decimal.get_mut(len).ok_or(ValueError::Malformed)? = *byte;
        len += 1;
    }
    let decimal = decimal.get(..len).unwrap_or_default();
    numeric(decimal, form, out).map_err(|_| ValueError::Unrepresentable {
        what: "an amount with more digits behind the point",
        remedy: "money.fraction.digits",
    })
}

/// A decimal as Postgres prints it: sign, digits, and perhaps a point and digits.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, ValueError> {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => {
                let (whole, rest) = digits.split_at(at);
                (whole, rest.get(1..).unwrap_or_default())
            }
            None => (digits, &b""[..]),
        };
        let bare_point = point.is_some() && fraction.is_empty();
        let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if whole.is_empty() || bare_point || !all_digits {
            return Err(ValueError::Malformed);
        }
        Ok(Self {
            negative: digits.len() != text.len(),
            whole,
            fraction,
        })
    }
}

fn scaled(decimal: &Decimal<'_>, scale: i16, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let Decimal {
        negative,
        whole,
        fraction,
    } = *decimal;
    let (kept, beyond, zeros) = match usize::try_from(scale) {
        // Postgres prints just the column's scale; anything else must at least lose nothing.
        Ok(scale) => {
            let (kept, beyond) = fraction.split_at(fraction.len().min(scale));
            ((whole, kept), (beyond, &b""[..]), scale - kept.len())
        }
        Err(_) => {
            let dropped = usize::from(scale.unsigned_abs());
            let (kept, beyond) = whole.split_at(whole.len().saturating_sub(dropped));
            ((kept, &b""[..]), (beyond, fraction), 0)
        }
    };
    if beyond.0.iter().chain(beyond.1).any(|digit| *digit != b'0') {
        return Err(ValueError::Malformed);
    }
    unscaled(negative, kept, zeros, out)
}

fn variable(decimal: &Decimal<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let significant = decimal.fraction.iter().rposition(|digit| *digit != b'0');
    let fraction = decimal
        .fraction
        .get(..significant.map_or(0, |last| last + 1))
        .unwrap_or_default();
    out.extend_from_slice(b"{\"scale\":");
    out.extend_from_slice(itoa::Buffer::new().format(fraction.len()).as_bytes());
    out.extend_from_slice(b",\"value\":");
    unscaled(decimal.negative, (decimal.whole, fraction), 0, out)?;
    out.push(b'}');
    Ok(())
}

/// Writes base64 of the shortest big-endian two's complement of the digits put together.
fn unscaled(
    negative: bool,
    (whole, fraction): (&[u8], &[u8]),
    zeros: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let len = whole.len() + fraction.len() + zeros;
    let digits = whole
        .iter()
        .chain(fraction)
        .copied()
        .chain(std::iter::repeat_n(b'0', zeros));
    if len <= WORD_DIGITS {
        let value = digits.fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        let value = if negative { -value } else { value };
        quoted_base64(shortest(&value.to_be_bytes()), out);
    } else if len <= 2 * WORD_DIGITS {
        let value = digits.fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        let value = if negative { -value } else { value };
        quoted_base64(shortest(&value.to_be_bytes()), out);
    } else {
        let ascii: Vec<u8> = digits.collect();
        let value = BigInt::parse_bytes(&ascii, 10).ok_or(ValueError::Malformed)?;
        let value = if negative { -value } else { value };
        quoted_base64(&value.to_signed_bytes_be(), out);
    }
    Ok(())
}

/// Drops leading bytes that only repeat the sign, as Java's `BigInteger.toByteArray` does.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && let Some(next) = rest.first()
        && ((*first == 0 && *next < 0x80) || (*first == 0xff && *next >= 0x80))
    {
        bytes = rest;
    }
    bytes
}

/// Appends a finite double as Java prints it.
pub(crate) fn write_double(value: f64, out: &mut Vec<u8>) {
    // What `{:e}` prints of a finite double is what the layout takes.
    let _ = java_layout(format!("{value:e}").as_bytes(), out);
}

fn double(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    Decimal::parse(text)?;
    let text = std::str::from_utf8(text).map_err(|_| ValueError::Malformed)?;
    let value: f64 = text.parse().map_err(|_| ValueError::Malformed)?;
    if value.is_infinite() {
        let word: &[u8] = if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        return float(word, out);
    }
    let mut shortest = FloatText::default();
    write!(shortest, "{value:e}").map_err(|_| ValueError::Malformed)?;
    java_layout(shortest.bytes.get(..shortest.len).unwrap_or_default(), out)
}

/// A float's shortest digits on the stack.
#[derive(Default)]
struct FloatText {
    bytes: [u8; FLOAT_DIGITS_MAX],
    len: usize,
}

impl Write for FloatText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Lays decimal text out as `Double.toString` does: plain from 10^-3 up to 10^7, else one digit,
/// the point, and an exponent; always a digit after the point.
fn java_layout(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    if let Some(end) = same_in_java(text) {
        out.extend_from_slice(text);
        out.extend_from_slice(end);
        return Ok(());
    }
    lay_out(text, out)
}

/// For a float that both print alike, and most are such: what Java puts behind it.
fn same_in_java(text: &[u8]) -> Option<&'static [u8]> {
    const WHOLE_MAX: usize = 7;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| !byte.is_ascii_digit());
    let (whole, rest) = digits.split_at(point.unwrap_or(digits.len()));
    let (first, _) = whole.split_first()?;
    if whole.len() > WHOLE_MAX || digits.len() > FLOAT_DIGITS_MAX {
        return None;
    }
    let Some(fraction) = rest.strip_prefix(b".") else {
        return (rest.is_empty() && *first != b'0').then_some(b".0");
    };
    let small = *first == b'0';
    let near = fraction.iter().take(3).any(|digit| *digit != b'0');
    let all_digits = fraction.iter().all(u8::is_ascii_digit);
    let shortest = fraction.last().is_some_and(|digit| *digit != b'0');
    let plain = !small || (whole.len() == 1 && near);
    (all_digits && shortest && plain).then_some(b"")
}

fn lay_out(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut digits = [0; FLOAT_DIGITS_MAX];
    let found = significant(text, &mut digits).ok_or(ValueError::Malformed)?;
    let digits = digits.get(..found.len).unwrap_or_default();
    if found.negative {
        out.push(b'-');
    }
    let Some((first, rest)) = digits.split_first() else {
        out.extend_from_slice(b"0.0");
        return Ok(());
    };
    match found.exponent {
        exponent @ -3..=-1 => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', zeros));
            out.extend_from_slice(digits);
        }
        exponent @ 0..=6 => {
            let whole = usize::try_from(exponent).unwrap_or(0) + 1;
            let (left, right) = digits.split_at(whole.min(digits.len()));
            out.extend_from_slice(left);
            out.extend(std::iter::repeat_n(b'0', whole - left.len()));
            out.push(b'.');
            out.extend_from_slice(if right.is_empty() { b"0" } else { right });
        }
        exponent => {
            out.extend_from_slice(&[*first, b'.']);
            out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }
    Ok(())
}

/// `d.ddd × 10^exponent`; no digits for zero.
struct Significant {
    negative: bool,
    len: usize,
    exponent: i32,
}

/// Collects the significant digits of `-12.5e+10`.
fn significant(text: &[u8], digits: &mut [u8; FLOAT_DIGITS_MAX]) -> Option<Significant> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let e = unsigned
        .iter()
        .position(|byte| *byte == b'e')
        .unwrap_or(unsigned.len());
    let (mantissa, power) = unsigned.split_at(e);
    let power: i32 = match power.split_first() {
        Some((_, power)) => std::str::from_utf8(power).ok()?.parse().ok()?,
        None => 0,
    };
    let decimal = Decimal::parse(mantissa)
        .ok()
        .filter(|decimal| !decimal.negative)?;
    let all = || decimal.whole.iter().chain(decimal.fraction);
    let leading = all().take_while(|digit| **digit == b'0').count();
    let mut len = 0;
    for digit in all().skip(leading) {
        *digits.get_mut(len)? = *digit;
        len += 1;
    }
    while len > 0 && digits.get(len - 1) == Some(&b'0') {
        len -= 1;
    }
    let whole = i32::try_from(decimal.whole.len()).ok()?;
    let exponent = power
        .checked_add(whole - 1)?
        .checked_sub(i32::try_from(leading).ok()?)?;
    Some(Significant {
        negative: unsigned.len() != text.len(),
        len,
        exponent,
    })
}

#[cfg(test)]
mod tests;
