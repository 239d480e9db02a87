//! `walferry outbox init`: the SQL that a service needs for an outbox, made from the configuration.

use std::fmt::Write as _;

use envelope::Outbox;

use crate::config::Config;
use crate::credentials;
use crate::postgres::SqlClient;
use crate::postgres::sql::sql;
use crate::preflight::quote::{identifier, literal, qualified};

const COMMON: &str = include_str!("common.sql");
const MESSAGE: &str = include_str!("message.sql");
const TABLE: &str = include_str!("table.sql");
/// By itself, at the end: a transaction that has written cannot make a slot, and a slot that is older than its
/// publication cannot read it.
const SLOT: &str = include_str!("slot.sql");

/// Why there is no SQL, or why it did not run.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No outbox is configured.
    #[error("the configuration has no outbox: set outbox.message.prefix, outbox.table, or both")]
    NoOutbox,
    /// A pattern is no name.
    #[error("outbox.table: {0} is a pattern, and a table has one name: write schema.table")]
    Pattern(String),
    /// The database did not do it.
    #[error("{0}")]
    Refused(String),
}

/// The SQL for this configuration; with rights for `role`, if one is given.
///
/// # Errors
/// Nothing in the configuration says what to make.
pub fn script(config: &Config, role: Option<&str>) -> Result<String, InitError> {
    let outbox = config.envelope.outbox.as_ref().ok_or(InitError::NoOutbox)?;
    let table = match outbox.tables.first() {
        Some(pattern) => Some(one_table(pattern.as_str())?),
        None => None,
    };
    let schema = table.as_ref().map_or("public", |(schema, _)| schema);
    let mut out = filled(COMMON, config, outbox, schema, table.as_ref());
    if !outbox.message_prefixes.is_empty() {
        out += &filled(MESSAGE, config, outbox, schema, table.as_ref());
    }
    if table.is_some() {
        out += &filled(TABLE, config, outbox, schema, table.as_ref());
    }
    publication(config, table.as_ref(), &mut out);
    if let Some(role) = role {
        rights(outbox, schema, table.as_ref(), role, &mut out);
    }
    out += "\nCOMMIT;\n";
    // Rows of a table wait by themselves: the first start copies them.
    if !outbox.message_prefixes.is_empty() {
        out += &filled(SLOT, config, outbox, schema, table.as_ref());
    }
    Ok(out)
}

/// Runs the SQL: all or nothing, and then the slot.
///
/// # Errors
/// What the server says, or why it cannot be reached.
pub async fn apply(config: &Config, script: &str) -> Result<(), InitError> {
    let refused = |error: &dyn std::fmt::Display| InitError::Refused(error.to_string());
    let conninfo = credentials::conninfo(config).await;
    let conninfo = conninfo.map_err(|error| InitError::Refused(error.0))?;
    let client = SqlClient::connect(&conninfo).await;
    let client = client.map_err(|error| refused(&error))?;
    let done = client.batch_execute(script).await;
    done.map_err(sql("set up the outbox"))
        .map_err(|error| refused(&error))
}

type Name = (String, String);

fn one_table(pattern: &str) -> Result<Name, InitError> {
    let is_name = |part: &str| {
        let legal = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        !part.is_empty() && part.chars().all(legal)
    };
    match pattern.split_once('.') {
        Some((schema, table)) if is_name(schema) && is_name(table) => {
            Ok((schema.to_owned(), table.to_owned()))
        }
        _ => Err(InitError::Pattern(pattern.to_owned())),
    }
}

fn filled(
    template: &str,
    config: &Config,
    outbox: &Outbox,
    schema: &str,
    table: Option<&Name>,
) -> String {
    let fields = &outbox.fields;
    let prefix = outbox.message_prefixes.first();
    let table = table.map(|(schema, table)| qualified(schema, table));
    let mut out = template.replace("{schema}", &identifier(schema));
    for (mark, text) in [
        ("{table}", table.unwrap_or_default()),
        ("{prefix}", literal(prefix.map_or("", String::as_str))),
        ("{slot}", literal(&config.postgres.slot)),
    ] {
        out = out.replace(mark, &text);
    }
    for (name, field) in [
        ("id", &fields.id),
        ("route", &fields.route),
        ("key", &fields.key),
        ("type", &fields.kind),
        ("payload", &fields.payload),
    ] {
        out = out.replace(&format!("{{{name}}}"), &identifier(field));
        out = out.replace(&format!("{{{name}_text}}"), &literal(field));
    }
    out
}

/// The publication, if it is missing; the table in it, if that is missing.
fn publication(config: &Config, table: Option<&Name>, out: &mut String) {
    let name = &config.postgres.publication;
    let (publication, text) = (identifier(name), literal(name));
    let root = config.publish_via_partition_root;
    let tables = table.map(|(schema, table)| format!(" FOR TABLE {}", qualified(schema, table)));
    let tables = tables.unwrap_or_default();
    let add = table.map(|(schema, table)| {
        format!(
            "    ELSIF NOT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = {text}\n        \
             AND schemaname = {} AND tablename = {}) THEN\n        \
             ALTER PUBLICATION {publication} ADD TABLE {};\n",
            literal(schema),
            literal(table),
            qualified(schema, table)
        )
    });
    let add = add.unwrap_or_default();
    let _ = write!(
        out,
        "\n-- What walferry reads; messages need no table in it.\n\
         DO $outbox$ BEGIN\n    \
         IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = {text}) THEN\n        \
         CREATE PUBLICATION {publication}{tables} WITH (publish_via_partition_root = {root});\n\
         {add}    END IF;\nEND $outbox$;\n"
    );
}

/// What the service's role may do: emit and insert, and with the table clean up behind itself.
fn rights(outbox: &Outbox, schema: &str, table: Option<&Name>, role: &str, out: &mut String) {
    let (schema, role) = (identifier(schema), identifier(role));
    let _ = write!(
        out,
        "\nGRANT USAGE ON SCHEMA {schema} TO {role};\n\
         GRANT EXECUTE ON FUNCTION {schema}.outbox_id() TO {role};\n"
    );
    if !outbox.message_prefixes.is_empty() {
        let _ = writeln!(
            out,
            "GRANT EXECUTE ON FUNCTION {schema}.outbox_emit(text, text, text, jsonb, jsonb, uuid) TO {role};"
        );
    }
    if let Some((of, table)) = table {
        let table = qualified(of, table);
        let _ = writeln!(
            out,
            "GRANT SELECT, INSERT, DELETE ON {table} TO {role};\n\
             GRANT EXECUTE ON FUNCTION {schema}.outbox_insert(text, text, text, jsonb, uuid) TO {role};\n\
             GRANT EXECUTE ON FUNCTION {schema}.outbox_clean(int, text) TO {role};"
        );
    }
}
