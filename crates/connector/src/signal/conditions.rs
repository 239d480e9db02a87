//! The conditions of a request, in the order in which its signal has them.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{matching, means};

/// Conditions on the rows of tables. Of those whose expression means a table the first holds, as in Debezium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(Vec<(String, String)>);

impl Conditions {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The expressions for tables.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(expression, _)| expression.as_str())
    }

    /// The condition on this table's rows.
    #[must_use]
    pub fn on(&self, table: &str) -> Option<&str> {
        let mut conditions = self.0.iter();
        conditions
            .find(|(expression, _)| means(expression, table))
            .map(|(_, filter)| filter.as_str())
    }

    /// The first expression that means none of these tables.
    #[must_use]
    pub fn in_vain(&self, tables: &[&String]) -> Option<&str> {
        let is_in_vain = |expression: &&str| {
            let pattern = matching(expression);
            !tables.iter().any(|&table| {
                table == expression || pattern.as_ref().is_some_and(|it| it.is_match(table))
            })
        };
        self.expressions().find(is_in_vain)
    }
}

impl FromIterator<(String, String)> for Conditions {
    /// What repeats an expression would never hold.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(conditions: T) -> Self {
        let mut all = Self::default();
        for (expression, filter) in conditions {
            if !all.expressions().any(|it| it == expression) {
                all.0.push((expression, filter));
            }
        }
        all
    }
}

/// An object, as it always was in the notes, whose members keep their order.
impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(expression, filter)| (expression, filter)),
        )
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Conditions;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("conditions by expressions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
        let mut conditions = Vec::new();
        while let Some(condition) = map.next_entry()? {
            conditions.push(condition);
        }
        Ok(conditions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(all: &[(&str, &str)]) -> Conditions {
        let all = all.iter();
        all.map(|(expression, filter)| ((*expression).to_owned(), (*filter).to_owned()))
            .collect()
    }

    #[test]
    fn the_first_that_means_a_table_holds_also_once_it_was_noted() {
        let said = conditions(&[
            ("public.orders", "id < 5"),
            ("public.o.*", "id < 10"),
            ("public.orders", "id < 7"),
        ]);
        let note = serde_json::to_string(&said).unwrap();
        assert_eq!(note, r#"{"public.orders":"id < 5","public.o.*":"id < 10"}"#);
        for conditions in [&said, &serde_json::from_str(&note).unwrap()] {
            assert_eq!(conditions.on("public.orders"), Some("id < 5"));
            assert_eq!(conditions.on("public.others"), Some("id < 10"));
            assert_eq!(conditions.on("public.users"), None);
        }
    }

    #[test]
    fn one_that_means_no_table_is_found() {
        let said = conditions(&[("public.o.*", "true"), ("public.user", "true")]);
        let (orders, users) = ("public.orders".to_owned(), "public.users".to_owned());
        assert_eq!(said.in_vain(&[&orders, &users]), Some("public.user"));
        assert_eq!(said.in_vain(&[&users]), Some("public.o.*"));
        assert_eq!(Conditions::default().in_vain(&[]), None);
    }
}
