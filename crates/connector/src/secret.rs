//! Text that must never be shown: passwords, keys, connection strings that may hold one.
//!
//! A [`Secret`] prints as `***` in every form and is wiped from memory when dropped. Only
//! [`Secret::expose`] gives the text, so that `grep expose` finds every place that uses one.

use std::fmt;

use zeroize::Zeroizing;

/// A text that prints as `***` and is wiped when dropped.
#[derive(Clone, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: hand it to the peer that asks for it, never to a log or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text has no characters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// What stands in the place of a secret.
pub const REDACTED: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_shows_the_text() {
        let secret = Secret::new("canary");
        let nested = Some(vec![("password", secret.clone())]);
        for shown in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{nested:#?}"),
        ] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.contains(REDACTED), "{shown}");
        }
        assert_eq!(secret.expose(), "canary");
    }
}
