//! Topics by rule: several tables in one topic, or other names than the tables' own (Debezium
//! manual, "Topic Routing").

use regex::Regex;

/// The options of ByLogicalTableRouter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `topic.regex` and `topic.replacement`, on the topic's name.
    pub topic: Rewrite,
    /// `key.enforce.uniqueness`: the field that tells rows of different tables apart.
    pub key: Option<RouteKey>,
}

/// A field of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteKey {
    /// `key.field.name`.
    pub field: String,
    /// `key.field.regex` and `key.field.replacement`; without, the field holds the topic's name as
    /// it was.
    pub value: Option<Rewrite>,
}

/// A regular expression that must match the whole of a text, and what the text then becomes.
#[derive(Clone)]
pub struct Rewrite {
    expression: Regex,
    replacement: String,
    written: (String, String),
}

impl Route {
    /// `key.field.name` if nothing is said.
    pub const KEY_FIELD: &'static str = "__dbz__physicalTableIdentifier";

    /// The topic that a table's own topic is routed to; none if it is left alone.
    #[must_use]
    pub fn topic(&self, own: &str) -> Option<String> {
        self.topic.apply(own)
    }

    /// Name and value of the key's field, for a table whose own topic is routed.
    #[must_use]
    pub fn key(&self, own: &str) -> Option<(&str, String)> {
        self.topic.apply(own)?;
        let key = self.key.as_ref()?;
        let value = key.value.as_ref().and_then(|value| value.apply(own));
        Some((&key.field, value.unwrap_or_else(|| own.to_owned())))
    }
}

impl Rewrite {
    /// Reads an expression, and a replacement that takes groups as `$1` or `${name}`.
    ///
    /// # Errors
    /// The expression is none: the tail of a sentence.
    pub fn parse(expression: &str, replacement: &str) -> Result<Self, String> {
        let anchored = Regex::new(&format!("^(?:{expression})$")).map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().to_owned();
            format!("is no regular expression: {reason}")
        })?;
        Ok(Self {
            expression: anchored,
            replacement: braced(replacement),
            written: (expression.to_owned(), replacement.to_owned()),
        })
    }

    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        let found = self.expression.captures(text)?;
        let mut out = String::new();
        found.expand(&self.replacement, &mut out);
        Some(out)
    }
}

/// `$1x` is group 1 and an x, as in Java; not a group of the name `1x`.
fn braced(replacement: &str) -> String {
    let mut out = String::new();
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('$') => out.push_str("$$"),
                Some(c) => out.push(c),
                None => {}
            },
            '$' if rest.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("${");
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            c => out.push(c),
        }
    }
    out
}

impl PartialEq for Rewrite {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Rewrite {}

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.written, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_javas() {
        let apply = |expression, replacement, text| {
            let rewrite = Rewrite::parse(expression, replacement).unwrap();
            rewrite.apply(text)
        };
        let topic = "srv.public.shard_1";
        assert_eq!(
            apply("(.*)shard_(.*)", "$1all_$2x", topic),
            Some("srv.public.all_1x".to_owned())
        );
        assert_eq!(
            apply("(?<server>.*)\\.public\\..*", "${server}.all\\$", topic),
            Some("srv.all$".to_owned())
        );
        assert_eq!(apply("shard", "x", topic), None);
        assert!(Rewrite::parse("(", "").is_err());
    }
}
