//! Why a copy ended before its end, and whether another one can end differently.

use std::fmt;

use crate::halt::Halt;
use crate::postgres::{Class, PostgresError};

/// A copy that ended before its end.
#[derive(Debug)]
pub struct CopyError {
    /// `schema.table`, when the reader was about one.
    table: Option<String>,
    step: Step,
    error: Box<PostgresError>,
}

/// What the reader was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The snapshot, or the list of tables.
    Begin,
    /// A table's lock: the table of the snapshot may be another by now.
    Lock,
    /// Its rows.
    Read,
}

impl CopyError {
    /// Before any table.
    pub(super) fn beginning(error: PostgresError) -> Self {
        Self {
            table: None,
            step: Step::Begin,
            error: Box::new(error),
        }
    }

    /// About this table.
    pub(super) fn of(table: &str, step: Step, error: PostgresError) -> Self {
        Self {
            table: Some(table.to_owned()),
            step,
            error: Box::new(error),
        }
    }

    /// Whether it says something of the one table that it is about, which a copy that was asked for goes
    /// on without.
    #[must_use]
    pub fn leaves_out(&self) -> bool {
        self.table.is_some() && self.error.is_of_statement()
    }

    /// Whether nothing but a person can mend it. A server that lets nobody in may do so later.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.error.class() == Class::Permanent && !self.error.is_of_connecting()
    }

    /// What is the matter, without the table.
    #[must_use]
    pub fn reason(&self) -> String {
        self.error.to_string()
    }

    /// Whether a lock was not to be had in time.
    pub(super) fn is_lock_timeout(&self) -> bool {
        self.error.is_lock_timeout()
    }

    /// What a person must mend first; none when another copy, in a newer snapshot, may do.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        if let PostgresError::Standby { .. } = *self.error {
            return Some(Halt::ServerUnsuitable);
        }
        if self.error.is_authentication() {
            return Some(Halt::Authentication);
        }
        let state = self.error.sqlstate()?;
        match (state.as_str(), self.step) {
            ("42501", _) => Some(Halt::Authorization),
            // A table or a column that was dropped or renamed since the snapshot.
            (_, Step::Begin | Step::Lock) | ("42703", Step::Read) => None,
            // Corrupted data or index.
            ("XX001" | "XX002", Step::Read) => Some(Halt::CopyRefused),
            // Feature, cardinality, data, syntax and access, external routines, limits, PL/pgSQL.
            (_, Step::Read) => match state.class() {
                "0A" | "21" | "22" | "38" | "39" | "42" | "54" | "P0" => Some(Halt::CopyRefused),
                _ => None,
            },
        }
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "copying table {table}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for CopyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(sqlstate: &str, step: Step) -> Option<Halt> {
        CopyError::of("public.users", step, PostgresError::of_sqlstate(sqlstate)).halt()
    }

    #[test]
    fn what_a_newer_snapshot_may_mend_is_tried_again_and_the_rest_is_a_halt() {
        for step in [Step::Begin, Step::Lock, Step::Read] {
            assert_eq!(halt("42501", step), Some(Halt::Authorization));
            for again in ["57P01", "40P01", "53200", "58030"] {
                assert_eq!(halt(again, step), None, "{again}");
            }
        }
        // Dropped or renamed since; a snapshot that went with its session.
        assert_eq!(halt("42P01", Step::Lock), None);
        assert_eq!(halt("3F000", Step::Lock), None);
        assert_eq!(halt("22023", Step::Begin), None);
        assert_eq!(halt("42703", Step::Read), None);
        for state in ["22012", "42883", "54000", "XX001", "0A000", "P0001"] {
            assert_eq!(halt(state, Step::Read), Some(Halt::CopyRefused), "{state}");
        }
    }

    #[test]
    fn a_copy_that_was_asked_for_goes_on_without_a_table_and_not_without_a_server() {
        let of = |state| CopyError::of("public.a", Step::Read, PostgresError::of_sqlstate(state));
        for state in [
            "42501", "42P01", "55P03", "22012", "42601", "57014", "P0001",
        ] {
            assert!(of(state).leaves_out(), "{state}");
        }
        for state in ["57P01", "40P01", "53200", "58030", "08006"] {
            assert!(!of(state).leaves_out(), "{state}");
        }
        let of_none = CopyError::beginning(PostgresError::of_sqlstate("42501"));
        assert!(!of_none.leaves_out() && of_none.is_permanent());
    }

    #[test]
    fn the_table_is_named() {
        let error = PostgresError::of_sqlstate("22012");
        let text = CopyError::of("public.users", Step::Read, error).to_string();
        assert!(text.contains("public.users"), "{text}");
    }
}
