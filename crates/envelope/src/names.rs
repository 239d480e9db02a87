//! Names that Avro takes, for fields and schemas (Debezium manual, `field.name.adjustment.mode`,
//! `schema.name.adjustment.mode`).

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::options::{NameAdjustment, Options};

/// Fields that a row would have twice: columns whose adjusted names are one, or which are named as
/// something that is added to flat rows. Of two such values a consumer would see one.
#[must_use]
pub fn ambiguous_fields<'a>(
    columns: impl Iterator<Item = &'a str>,
    options: &Options,
) -> BTreeSet<String> {
    let added = options
        .unwrap
        .iter()
        .flat_map(|unwrap| unwrap.field_names());
    let fields = columns.map(|name| field(name, options.field_names).into_owned());
    let mut seen = BTreeSet::new();
    fields
        .chain(added.map(str::to_owned))
        .filter(|name| !seen.insert(name.clone()))
        .collect()
}

/// A column's name as a field.
pub(crate) fn field(name: &str, mode: NameAdjustment) -> Cow<'_, str> {
    adjusted(name, mode, false)
}

/// A schema's full name, whose dots stay.
pub(crate) fn schema(name: &str, mode: NameAdjustment) -> Cow<'_, str> {
    adjusted(name, mode, true)
}

fn adjusted(name: &str, mode: NameAdjustment, dots: bool) -> Cow<'_, str> {
    if mode == NameAdjustment::None {
        return Cow::Borrowed(name);
    }
    let unicode = mode == NameAdjustment::AvroUnicode;
    let mut out = String::with_capacity(name.len());
    // As Java sees it: a character beyond the basic plane is two.
    for (index, unit) in name.encode_utf16().enumerate() {
        let c = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
        let first = index == 0;
        let legal = c.is_ascii_alphabetic()
            || (c == '_' && !unicode)
            || (!first && (c.is_ascii_digit() || (dots && c == '.')));
        if legal {
            out.push(c);
        } else if unicode {
            let hex = format!("{unit:x}");
            let zeros = if hex.len() <= 2 { "00" } else { "" };
            out.push_str("_u");
            out.push_str(zeros);
            out.push_str(&hex);
        } else {
            out.push('_');
            // A digit is only wrong at the beginning.
            if c.is_ascii_digit() {
                out.push(c);
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_fit_as_debezium_does() {
        use NameAdjustment::{Avro, AvroUnicode, None};
        let cases = [
            ("a b", "a_b", "a_u0020b"),
            ("a.c", "a_c", "a_u002ec"),
            ("1st", "_1st", "_u0031st"),
            ("$x", "_x", "_u0024x"),
            ("é", "_", "_u00e9"),
            ("с", "_", "_u441"),
            ("a_1", "a_1", "a_u005f1"),
            ("😀", "__", "_ud83d_ude00"),
        ];
        for (name, avro, unicode) in cases {
            assert_eq!(field(name, None), name);
            assert_eq!(field(name, Avro), avro);
            assert_eq!(field(name, AvroUnicode), unicode);
        }
        assert_eq!(schema("srv.a-b.Key", Avro), "srv.a_b.Key");
        assert_eq!(schema("srv.a_b.Key", AvroUnicode), "srv.a_u005fb.Key");
    }
}
