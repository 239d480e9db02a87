//! The exit codes of the `walferry` command: documented in `docs/operations.md`, never reused.

use std::process::ExitCode;

use crate::halt::Halt;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done as asked: `--until` reached, drained after a signal, `check` found no error.
    Done,
    /// 1: something walferry has no name for; the message says what.
    Unexpected,
    /// 2: the command line or the configuration is wrong; nothing was touched.
    Usage,
    /// 3: `check` or `verify` found errors, or `snapshot` a table that cannot be read.
    CheckErrors,
    /// 4: `check` or `verify` found warnings and no error.
    CheckWarnings,
    /// 5: the shutdown did not finish within `shutdown.timeout`. Nothing is lost: what Kafka had
    /// not acknowledged is published again at the next start.
    DrainTimeout,
    /// 6: a second signal ended the process at once. Nothing is lost, as above.
    Interrupted,
    /// 7: a signal ended the run before it had reached the position that `--until` asked for; or
    /// `verify` before its end, or `snapshot` was stopped or its end is not known. Nothing is lost; the rest is published by the next run.
    NotReached,
    /// 10 and above: a named halt; see [`Halt`].
    Halted(Halt),
}

impl Exit {
    /// Every exit, in the order of its code.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Done,
            Self::Unexpected,
            Self::Usage,
            Self::CheckErrors,
            Self::CheckWarnings,
            Self::DrainTimeout,
            Self::Interrupted,
            Self::NotReached,
        ]
        .into_iter()
        .chain(Halt::all().map(Self::Halted))
    }

    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::CheckErrors => 3,
            Self::CheckWarnings => 4,
            Self::DrainTimeout => 5,
            Self::Interrupted => 6,
            Self::NotReached => 7,
            Self::Halted(halt) => halt.exit_code(),
        }
    }

    /// What the number means, in one line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done as asked",
            Self::Unexpected => "an unexpected error",
            Self::Usage => "wrong command line or configuration; nothing was touched",
            Self::CheckErrors => {
                "check or verify found errors; or snapshot was asked for a table that cannot be read"
            }
            Self::CheckWarnings => "check or verify found warnings, no errors",
            Self::DrainTimeout => "shutdown.timeout passed before Kafka had acknowledged all",
            Self::Interrupted => "ended at once by a second signal",
            Self::NotReached => {
                "ended by a signal before the position of --until was reached, or verify was done; or snapshot was \
                 stopped, or its end is not known"
            }
            Self::Halted(halt) => halt.title(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_rise() {
        let codes: Vec<u8> = Exit::all().map(Exit::code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(
            codes.iter().all(|code| *code < 126),
            "126 and above belong to the shell"
        );
    }
}
