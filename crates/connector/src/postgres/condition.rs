//! What SQLSTATEs are called: the PostgreSQL manual, appendix A. For errors whose own words are not told,
//! since they may hold the values of rows.

use tokio_postgres::error::DbError;

use super::error::one_line;

/// An error that was met while rows were read, without the server's words where they may hold a value.
pub(super) fn of_rows(error: &DbError) -> String {
    let (severity, state) = (error.severity(), error.code().code());
    if has_names_alone(state) && error.where_().is_none() {
        return format!("{severity} {state}: {}", one_line(error.message()));
    }
    let name = name(state);
    format!(
        "{severity} {state} {name}; what the server says of it may hold values of the row and is kept out \
         here: the server's log has it"
    )
}

/// Whether the server's own words for it are about statements, tables, locks and sessions. What a function
/// says of it, which has a context, may be about anything.
fn has_names_alone(state: &str) -> bool {
    let class = state.get(..2).unwrap_or_default();
    matches!(
        class,
        "08" | "0A" | "25" | "28" | "3D" | "3F" | "40" | "42" | "53" | "55" | "57" | "58"
    )
}

/// The condition's name; of one that is not among these, its class'.
fn name(state: &str) -> &'static str {
    match state {
        "21000" => "cardinality_violation",
        "22001" => "string_data_right_truncation",
        "22003" => "numeric_value_out_of_range",
        "22007" => "invalid_datetime_format",
        "22008" => "datetime_field_overflow",
        "22012" => "division_by_zero",
        "22021" => "character_not_in_repertoire",
        "22023" => "invalid_parameter_value",
        "2201B" => "invalid_regular_expression",
        "22P02" => "invalid_text_representation",
        "22P05" => "untranslatable_character",
        "P0001" => "raise_exception",
        "P0002" => "no_data_found",
        "P0003" => "too_many_rows",
        "P0004" => "assert_failure",
        "XX001" => "data_corrupted",
        "XX002" => "index_corrupted",
        state => class(state.get(..2).unwrap_or_default()),
    }
}

fn class(class: &str) -> &'static str {
    match class {
        "0A" => "feature_not_supported",
        "22" => "data_exception",
        "23" => "integrity_constraint_violation",
        "25" => "invalid_transaction_state",
        "28" => "invalid_authorization_specification",
        "2F" => "sql_routine_exception",
        "38" => "external_routine_exception",
        "39" => "external_routine_invocation_exception",
        "40" => "transaction_rollback",
        "42" => "syntax_error_or_access_rule_violation",
        "53" => "insufficient_resources",
        "54" => "program_limit_exceeded",
        "55" => "object_not_in_prerequisite_state",
        "57" => "operator_intervention",
        "58" => "system_error",
        "P0" => "plpgsql_error",
        "XX" => "internal_error",
        _ => "an error of the statement or of a function in it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_named_by_themselves_or_by_their_class() {
        assert_eq!(name("22P02"), "invalid_text_representation");
        assert_eq!(name("22ZZZ"), "data_exception");
        assert_eq!(name("Q1234"), class("?"));
    }

    #[test]
    fn words_are_told_of_names_and_not_of_data() {
        for state in ["42703", "42501", "55P03", "57014", "0A000"] {
            assert!(has_names_alone(state), "{state}");
        }
        for state in [
            "22P02", "23514", "21000", "P0001", "38000", "54000", "XX000", "Q1234", "",
        ] {
            assert!(!has_names_alone(state), "{state}");
        }
    }
}
