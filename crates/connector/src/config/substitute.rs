//! `${VAR}` and `${VAR:-default}` in values.
//!
//! Only names in capitals are ours; any other `${...}`, such as the outbox router's
//! `${routedByValue}`, stays as written. Substitution happens in values after the YAML was read, so
//! that a variable cannot add keys.

/// Names that stand in the text but not in the environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unset(pub(super) Vec<String>);

/// Replaces every `${VAR}`. As in a shell, the default is taken for an unset or empty variable.
pub(super) fn substitute<'e>(
    text: &str,
    lookup: impl Fn(&str) -> Option<&'e str>,
) -> Result<String, Unset> {
    let mut out = String::with_capacity(text.len());
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let reference = &rest[start..];
        let Some((name, default, length)) = reference_at(reference) else {
            out.push_str("${");
            rest = &reference[2..];
            continue;
        };
        match (lookup(name), default) {
            (None | Some(""), Some(default)) => out.push_str(default),
            (Some(value), _) => out.push_str(value),
            (None, None) => unset.push(name.to_owned()),
        }
        rest = &reference[length..];
    }
    out.push_str(rest);
    if unset.is_empty() {
        Ok(out)
    } else {
        Err(Unset(unset))
    }
}

/// Name, default and length of the reference that `text` begins with, if it is one of ours.
fn reference_at(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let end = text.find('}')?;
    let inner = text.get(2..end)?;
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let mut letters = name.bytes();
    let first = letters.next()?;
    let legal = (first.is_ascii_uppercase() || first == b'_')
        && letters.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    legal.then_some((name, default, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, Unset> {
        substitute(text, |name| match name {
            "HOST" => Some("db.example"),
            "PORT_2" => Some("5433"),
            "EMPTY" => Some(""),
            "TRICK" => Some("${HOST}"),
            _ => None,
        })
    }

    #[test]
    fn capitals_are_replaced_and_nothing_else() {
        for (text, expected) in [
            (
                "postgresql://${HOST}:${PORT_2}/x",
                "postgresql://db.example:5433/x",
            ),
            ("${NONE:-fallback}", "fallback"),
            ("${EMPTY:-fallback}", "fallback"),
            ("${NONE:-}", ""),
            ("[${EMPTY}]", "[]"),
            (
                "outbox.${routedByValue}.${HOST}",
                "outbox.${routedByValue}.db.example",
            ),
            (
                "$HOST ${host} ${1A} ${} ${HOST",
                "$HOST ${host} ${1A} ${} ${HOST",
            ),
            ("${TRICK}", "${HOST}"),
            ("ü${HOST}ü", "üdb.exampleü"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_unset_name_is_told() {
        assert_eq!(
            with("${A}${HOST}${_B1}"),
            Err(Unset(vec!["A".into(), "_B1".into()]))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_returns(text in "[${}:A-Za-zü-]{0,40}") {
            let _ = with(&text);
        }
    }
}
