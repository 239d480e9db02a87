//! The hashes of PartitionRouting: Java's `hashCode` of a field's value as Connect holds it, and
//! Debezium's MurmurHash3 of it. Values come as the JSON they are written as, beside their schema.
//!
//! A struct's hash in Java changes with every start of the JVM, and a map's is that of its entries:
//! these, and what is not of its schema's form, are hashed as the text of their JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::{BigInt, Sign};

use crate::schema::{Kind, Schema};
use crate::value::unquoted;

/// `partition.hash.function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFunction {
    /// `java`: `Object.hashCode`.
    Java,
    /// `murmur`: a MurmurHash3 of texts, and of the hash codes of others.
    Murmur,
}

/// How a value was before it became JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JavaForm {
    Boolean,
    /// `Byte`, `Short`, `Integer`.
    Integer,
    Long,
    Float,
    Double,
    String,
    /// `ByteBuffer`.
    Bytes,
    /// `BigDecimal`.
    Decimal {
        scale: i32,
    },
    /// `java.util.Date`, in days or milliseconds since 1970.
    Date {
        days: bool,
    },
    List(Box<JavaForm>),
    /// Hashed as its JSON.
    Json,
}

impl JavaForm {
    /// The form of values of this schema.
    pub(crate) fn of(schema: &Schema) -> Self {
        match schema.logical_name() {
            Some("org.apache.kafka.connect.data.Decimal") => {
                let scale = schema.parameter_of("scale");
                return scale
                    .and_then(|scale| scale.parse().ok())
                    .map_or(Self::Json, |scale| Self::Decimal { scale });
            }
            Some("org.apache.kafka.connect.data.Date") => return Self::Date { days: true },
            Some(
                "org.apache.kafka.connect.data.Time" | "org.apache.kafka.connect.data.Timestamp",
            ) => return Self::Date { days: false },
            _ => {}
        }
        match schema.kind() {
            Kind::Boolean => Self::Boolean,
            Kind::Int16 | Kind::Int32 => Self::Integer,
            Kind::Int64 => Self::Long,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Array(element) => Self::List(Box::new(Self::of(element))),
            Kind::Map(..) | Kind::Struct(_) => Self::Json,
        }
    }

    /// The hash of a value that is not null.
    pub(crate) fn hash(&self, json: &[u8], function: HashFunction) -> i32 {
        let is_text = match self.code(json) {
            Some(code) if *self != Self::String => return function.of_code(code),
            Some(_) => true,
            None => false,
        };
        let mut text = Vec::new();
        match is_text {
            true => unquoted(json, &mut text),
            false => text.extend_from_slice(json),
        }
        function.of_text(&text)
    }

    /// `hashCode`; none for what has none of its own, or is not of this form.
    fn code(&self, json: &[u8]) -> Option<i32> {
        let number = || std::str::from_utf8(json).ok();
        match self {
            Self::Boolean => Some(if json == b"true" { 1231 } else { 1237 }),
            Self::Integer => number()?.parse().ok(),
            Self::Long => number()?.parse().ok().map(of_long),
            Self::Float => {
                let value: f32 = float(json)?;
                Some(
                    (if value.is_nan() { f32::NAN } else { value })
                        .to_bits()
                        .cast_signed(),
                )
            }
            Self::Double => {
                let value: f64 = float(json)?;
                let bits = (if value.is_nan() { f64::NAN } else { value }).to_bits();
                Some(of_long(bits.cast_signed()))
            }
            Self::String => {
                let mut text = Vec::new();
                unquoted(json, &mut text);
                Some(of_string(&text))
            }
            Self::Bytes => Some(of_bytes(&decoded(json)?)),
            Self::Decimal { scale } => {
                let unscaled = BigInt::from_signed_bytes_be(&decoded(json)?);
                Some(of_integer(&unscaled).wrapping_mul(31).wrapping_add(*scale))
            }
            Self::Date { days } => {
                let value: i64 = number()?.parse().ok()?;
                Some(of_long(if *days { value * DAY_MILLIS } else { value }))
            }
            Self::List(element) => elements(json)?.try_fold(1_i32, |code, item| {
                let of_item = match item {
                    b"null" => 0,
                    item => element.code(item)?,
                };
                Some(code.wrapping_mul(31).wrapping_add(of_item))
            }),
            Self::Json => None,
        }
    }
}

impl HashFunction {
    /// The hash of an object that is no text, by its `hashCode`.
    fn of_code(self, code: i32) -> i32 {
        match self {
            Self::Java => code,
            Self::Murmur => murmur_of_int(code),
        }
    }

    /// The hash of a text.
    pub(crate) fn of_text(self, text: &[u8]) -> i32 {
        match self {
            Self::Java => of_string(text),
            Self::Murmur => murmur_of_text(text),
        }
    }
}

/// `String.hashCode`, over UTF-16.
fn of_string(text: &[u8]) -> i32 {
    let text = String::from_utf8_lossy(text);
    text.encode_utf16().fold(0, |code: i32, unit| {
        code.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// `Long.hashCode`.
fn of_long(value: i64) -> i32 {
    let bits = value.cast_unsigned();
    low(bits ^ (bits >> 32))
}

/// `ByteBuffer.hashCode`, from the end.
fn of_bytes(bytes: &[u8]) -> i32 {
    bytes.iter().rev().fold(1, |code: i32, byte| {
        code.wrapping_mul(31)
            .wrapping_add(i32::from(byte.cast_signed()))
    })
}

/// `BigInteger.hashCode`.
fn of_integer(value: &BigInt) -> i32 {
    let (sign, words) = value.to_u32_digits();
    let code = words.iter().rev().fold(0_i32, |code, word| {
        code.wrapping_mul(31).wrapping_add(word.cast_signed())
    });
    if sign == Sign::Minus {
        code.wrapping_neg()
    } else {
        code
    }
}

/// A number, or one of the words that stand for what JSON has none for.
fn float<F: std::str::FromStr>(json: &[u8]) -> Option<F> {
    let text = std::str::from_utf8(json).ok()?;
    text.trim_matches('"').parse().ok()
}

fn decoded(json: &[u8]) -> Option<Vec<u8>> {
    let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    STANDARD.decode(text).ok()
}

/// The elements of a JSON array, each as its JSON.
fn elements(json: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let inner = json.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let between = move |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
        *byte == b',' && depth == 0 && !quoted
    };
    let items = (!inner.is_empty()).then(|| inner.split(between));
    Some(items.into_iter().flatten())
}

/// The state of Debezium's MurmurHash3, an early form of it whose constants change as it goes.
struct Murmur {
    h: [u64; 2],
    c: [u64; 2],
}

impl Murmur {
    fn new() -> Self {
        Self {
            h: [0x9368_e53c_2f6a_f274 ^ SEED, 0x586d_cd20_8f7c_d3fd ^ SEED],
            c: [0x87c3_7b91_1142_53d5, 0x4cf5_ad43_2745_937f],
        }
    }

    fn mix(&mut self, k: [u64; 2]) {
        let ([mut h1, mut h2], [c1, c2]) = (self.h, self.c);
        h1 ^= k[0].wrapping_mul(c1).rotate_left(23).wrapping_mul(c2);
        h1 = h1.wrapping_add(h2);
        h2 = h2.rotate_left(41);
        h2 ^= k[1].wrapping_mul(c2).rotate_left(23).wrapping_mul(c1);
        h2 = h2.wrapping_add(h1);
        self.h = [
            h1.wrapping_mul(3).wrapping_add(0x52dc_e729),
            h2.wrapping_mul(3).wrapping_add(0x3849_5ab5),
        ];
        self.c = [
            c1.wrapping_mul(5).wrapping_add(0x7b7d_159c),
            c2.wrapping_mul(5).wrapping_add(0x6bce_6396),
        ];
    }

    fn finish(self, length: usize) -> i32 {
        let [mut h1, mut h2] = self.h;
        h2 ^= length as u64;
        h1 = h1.wrapping_add(h2);
        h2 = h2.wrapping_add(h1);
        low(fmix(h1).wrapping_add(fmix(h2)) >> 32)
    }
}

fn fmix(mut k: u64) -> u64 {
    k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

/// Of an integer's four bytes, each with its sign.
fn murmur_of_int(value: i32) -> i32 {
    let bytes = value.to_le_bytes();
    let k1 = bytes
        .iter()
        .zip([0, 8, 16, 24])
        .fold(0, |k, (byte, shift)| {
            k ^ (i64::from(byte.cast_signed()) << shift).cast_unsigned()
        });
    let mut state = Murmur::new();
    state.mix([k1, 0]);
    state.finish(bytes.len())
}

/// Of a text's UTF-8. Bytes behind the last sixteen go in with their sign.
fn murmur_of_text(text: &[u8]) -> i32 {
    let mut state = Murmur::new();
    let (blocks, tail) = text.as_chunks::<16>();
    for block in blocks {
        let [k1, k2] = words(block, u64::from);
        state.mix([k1, k2]);
    }
    if !tail.is_empty() {
        let signed = |byte: u8| i64::from(byte.cast_signed()).cast_unsigned();
        state.mix(words(tail, signed));
    }
    state.finish(text.len())
}

/// Up to sixteen bytes as two words.
fn words(bytes: &[u8], widen: impl Fn(u8) -> u64) -> [u64; 2] {
    let (low, high) = bytes.split_at(bytes.len().min(8));
    [low, high].map(|half| {
        let shifted = half.iter().zip((0..).step_by(8));
        shifted.fold(0, |word, (byte, shift)| word ^ (widen(*byte) << shift))
    })
}

/// The lower half, as Java's `(int)`.
fn low(bits: u64) -> i32 {
    let [a, b, c, d, ..] = bits.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

const SEED: u64 = 9001;
const DAY_MILLIS: i64 = 86_400_000;

#[cfg(test)]
mod tests;
