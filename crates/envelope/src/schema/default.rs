//! A column's default in its schema, from the expression that `pg_get_expr` prints. As Debezium, it
//! takes constants as they are and gives the type's zero for functions, whose value is not known
//! before the row is there; it knows nothing of other expressions.

use crate::details::{TypeDetails, TypeKind};
use crate::value::ValueEncoder;

/// The default as JSON, in the encoder's form.
pub(crate) fn default_of(
    expression: &str,
    oid: u32,
    type_modifier: i32,
    types: &[TypeDetails],
    encoder: &ValueEncoder,
) -> Option<Vec<u8>> {
    let text = text_of(expression.trim(), Family::of(oid, types)?)?;
    let text = match Family::of(oid, types)? {
        Family::Moment(_) => cut_fraction(&text, type_modifier),
        _ => text,
    };
    let mut json = Vec::new();
    encoder
        .encode(text.as_bytes(), &mut json, &mut Vec::new())
        .ok()?;
    // A struct cannot be a default in Connect.
    (!json.starts_with(b"{")).then_some(json)
}

/// Types whose defaults Debezium reads, with what stands for a function's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Bool,
    /// Numbers, texts, documents.
    Plain(&'static str),
    /// Dates and times, for which words such as CURRENT_DATE are functions, too.
    Moment(&'static str),
    /// No function is known to give it.
    Constant,
}

impl Family {
    fn of(oid: u32, types: &[TypeDetails]) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            20 | 21 | 23 => Self::Plain("0"),
            700 | 701 | 1700 => Self::Plain("0.0"),
            25 | 142 | 1042 | 1043 => Self::Plain(""),
            114 | 3802 => Self::Plain("{}"),
            2950 => Self::Plain("00000000-0000-0000-0000-000000000000"),
            1082 => Self::Moment("1970-01-01"),
            1083 => Self::Moment("00:00:00"),
            1114 => Self::Moment("1970-01-01 00:00:00"),
            1184 => Self::Moment("1970-01-01 00:00:00+00"),
            1186 | 1560 | 1562 => Self::Constant,
            _ => {
                let details = types.iter().find(|details| details.oid == oid)?;
                matches!(details.kind, TypeKind::Enum { .. }).then_some(Self::Constant)?
            }
        })
    }
}

/// The value's text in Postgres' form.
fn text_of(expression: &str, family: Family) -> Option<String> {
    match family {
        Family::Bool if expression.eq_ignore_ascii_case("true") => Some("t".to_owned()),
        Family::Bool => Some("f".to_owned()),
        Family::Plain(unknown) if is_function(expression) => Some(unknown.to_owned()),
        Family::Moment(unknown) if is_function(expression) || is_clock(expression) => {
            Some(unknown.to_owned())
        }
        _ => literal(expression),
    }
}

/// `now()`, `(now() + …)`, `nextval('…'::regclass)`.
fn is_function(expression: &str) -> bool {
    let name = expression.strip_prefix('(').unwrap_or(expression);
    let rest =
        name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    rest.len() < name.len() && rest.starts_with('(')
}

fn is_clock(expression: &str) -> bool {
    ["CURRENT_", "LOCALTIME"]
        .iter()
        .any(|word| expression.starts_with(word))
}

/// `'…'::type`, `B'…'::"bit"`, or a bare number; anything else is an expression.
fn literal(expression: &str) -> Option<String> {
    let quoted = expression.strip_prefix('B').unwrap_or(expression);
    let Some(quoted) = quoted.strip_prefix('\'') else {
        let is_number = !expression.is_empty()
            && expression
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
        return is_number.then(|| expression.to_owned());
    };
    let mut text = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        if c != '\'' {
            text.push(c);
        } else if rest.as_str().starts_with('\'') {
            text.push('\'');
            rest.next();
        } else {
            let cast = rest.as_str();
            let whole = cast.is_empty() || (cast.starts_with("::") && !cast.contains(" || "));
            return whole.then_some(text);
        }
    }
    None
}

/// The constant is printed with more digits after the second than the column keeps.
fn cut_fraction(text: &str, type_modifier: i32) -> String {
    let (Ok(kept), Some(point)) = (usize::try_from(type_modifier), text.find('.')) else {
        return text.to_owned();
    };
    let (whole, fraction) = text.split_at(point);
    let fraction = fraction.trim_start_matches('.');
    let digits = fraction.len()
        - fraction
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    let (digits, rest) = fraction.split_at(digits);
    match digits.get(..kept).unwrap_or(digits) {
        "" => format!("{whole}{rest}"),
        digits => format!("{whole}.{digits}{rest}"),
    }
}
