//! What is wrong with a configuration: where, which key, why, and the nearest known key.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Somewhere in the file; for what is missing.
    #[default]
    File,
    /// A place in the file, both counted from 1.
    Place {
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
    /// walferry's own default.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Place { line, column } => write!(f, "{line}:{column}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::BuiltIn => f.write_str("default"),
        }
    }
}

/// One thing to mend. Its texts never hold the value of a secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The key's full path, where it is about one.
    pub path: Option<String>,
    /// What is wrong, and what to do.
    pub reason: String,
    /// The nearest known key or word.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem of a place rather than of a key.
    pub(super) fn at(origin: Origin, reason: impl Into<String>) -> Self {
        Self {
            origin,
            path: None,
            reason: reason.into(),
            nearest: None,
        }
    }

    /// A problem of a key.
    pub(super) fn of(origin: Origin, path: &str, reason: impl Into<String>) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..Self::at(origin, reason)
        }
    }

    pub(super) fn nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }
}

/// Why there is no configuration. `Display` prints every problem, one a line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file is larger than a configuration can be.
    #[error("{}: larger than {limit} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// The file was read and is wrong, in all these ways.
    #[error("{}", Listing(file, problems))]
    Invalid {
        /// The file's name, as it was given.
        file: String,
        /// Every problem, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// One line a problem: `walferry.yaml:5:3: kafka.bootstrap.serverz: ...`.
struct Listing<'a>(&'a str, &'a [Problem]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, problems) = self;
        for (index, problem) in problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match &problem.origin {
                Origin::Place { line, column } => write!(f, "{file}:{line}:{column}: ")?,
                Origin::Environment(name) => write!(f, "environment {name}: ")?,
                Origin::File | Origin::BuiltIn => write!(f, "{file}: ")?,
            }
            if let Some(path) = &problem.path {
                write!(f, "{path}: ")?;
            }
            f.write_str(&problem.reason)?;
            if let Some(nearest) = &problem.nearest {
                write!(f, "; did you mean {nearest}?")?;
            }
        }
        Ok(())
    }
}
