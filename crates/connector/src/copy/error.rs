//! Why a copy ended before its end, and whether another one can end differently.

use std::fmt;

use crate::halt::Halt;
use crate::postgres::PostgresError;

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
    fn the_table_is_named() {
        let error = PostgresError::of_sqlstate("22012");
        let text = CopyError::of("public.users", Step::Read, error).to_string();
        assert!(text.contains("public.users"), "{text}");
    }
}
