//! Which topic names Kafka takes (`org.apache.kafka.common.internals.Topic`).

use std::collections::BTreeMap;

/// The longest name: the log directory adds a partition number to it, and must fit 255 bytes.
const LENGTH_MAX: usize = 249;

/// Why a name is no topic's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a topic name is empty")]
    Empty,
    /// It is too long.
    #[error("topic name \"{name}\" has {} characters and may have {LENGTH_MAX}", name.len())]
    Long {
        /// The name.
        name: String,
    },
    /// It is `.` or `..`.
    #[error("topic name \"{name}\" is reserved")]
    Reserved {
        /// The name.
        name: String,
    },
    /// It holds a character that is not allowed.
    #[error(
        "topic name \"{name}\" holds {character:?}; letters, digits, `.`, `_` and `-` are allowed"
    )]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
}

/// Checks that Kafka takes the name.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let owned = || name.to_owned();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Reserved { name: owned() });
    }
    let legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if let Some(character) = name.chars().find(|it| !legal(*it)) {
        return Err(NameError::Character {
            name: owned(),
            character,
        });
    }
    if name.len() > LENGTH_MAX {
        return Err(NameError::Long { name: owned() });
    }
    Ok(())
}

/// Names of which Kafka takes only one: its metrics write `.` as `_`, so it refuses to create
/// a topic whose name differs from another's in nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The names, sorted, two or more.
    pub names: Vec<String>,
}

/// Finds the names that differ only in `.` and `_`.
#[must_use]
pub fn collisions<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Collision> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let group = groups.entry(name.replace('.', "_")).or_default();
        if !group.iter().any(|other| other == name) {
            group.push(name.to_owned());
        }
    }
    let colliding = groups.into_values().filter(|names| names.len() > 1);
    colliding
        .map(|mut names| {
            names.sort_unstable();
            Collision { names }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_and_illegal_names() {
        for name in ["a", "shop.public.users", "_x-Y9", "...", &"a".repeat(249)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_name(""), Err(NameError::Empty));
        for name in [".", ".."] {
            assert!(
                matches!(check_name(name), Err(NameError::Reserved { .. })),
                "{name}"
            );
        }
        assert!(matches!(
            check_name(&"a".repeat(250)),
            Err(NameError::Long { .. })
        ));
        for (name, bad) in [
            ("a b", ' '),
            ("a$b", '$'),
            ("käse", 'ä'),
            ("a/b", '/'),
            ("a\0", '\0'),
        ] {
            let expected = NameError::Character {
                name: name.to_owned(),
                character: bad,
            };
            assert_eq!(check_name(name), Err(expected));
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        let found = collisions(["a.b", "a_b", "a.b", "a-b", "c.d_e", "c_d.e", "c.d"]);
        let names: Vec<_> = found.into_iter().map(|it| it.names.join(" ")).collect();
        assert_eq!(names, ["a.b a_b", "c.d_e c_d.e"]);
    }
}
