//! `walferry outbox init`: the SQL that a service needs for an outbox, made from the configuration.

mod form;

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use self::form::Form;
use crate::config::Config;
use crate::credentials;
use crate::postgres::sql::sql;
use crate::postgres::{SqlClient, slots};
use crate::preflight::quote::{identifier, literal, qualified};

const COMMON: &str = include_str!("common.sql");
const MESSAGE: &str = include_str!("message.sql");
const TABLE: &str = include_str!("table.sql");
/// By itself, at the end: a transaction that has written cannot make a slot, and a slot that is older than its
/// publication cannot read it.
const SLOT: &str = include_str!("slot.sql");
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Why there is no SQL, or why it did not run.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No outbox is configured.
    #[error("the configuration has no outbox: set outbox.message.prefix, outbox.table, or both")]
    NoOutbox,
    /// A pattern is no name.
    #[error("outbox.table: {0} is a pattern, and a table has one name: write schema.table")]
    Pattern(String),
    /// One name for two things.
    #[error(
        "the section outbox gives two parts of an event the name {0}, and no SQL can be made for that \
         (transaction and headers are walferry's own names); give them two names, or make the table \
         yourself"
    )]
    Twice(String),
    /// The database did not do it.
    #[error("{0}")]
    Refused(String),
}

/// Who gets it, and where it is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// Gets the rights to write events.
    pub role: Option<&'a str>,
    /// Where the functions are made; without, beside the table, or in `public`.
    pub schema: Option<&'a str>,
}

/// What a service needs.
#[derive(Debug)]
pub struct Script {
    /// To be run as a whole.
    pub sql: String,
    /// What of the configuration it leaves out.
    pub notes: Vec<String>,
}

/// The SQL for this configuration.
///
/// # Errors
/// Nothing in the configuration says what to make, or it cannot be made.
pub fn script(config: &Config, wish: Wish<'_>) -> Result<Script, InitError> {
    let form = Form::new(config, wish.schema)?;
    let mut out = form.filled(COMMON);
    if form.prefix.is_some() {
        out += &form.filled(MESSAGE);
    }
    if form.table.is_some() {
        out += &form.filled(TABLE);
    }
    publication(&form, &mut out);
    rights_of_walferry(&form, &mut out);
    if let Some(role) = wish.role {
        rights(&form, role, &mut out);
    }
    out += "\nCOMMIT;\n";
    out += &form.filled(SLOT);
    let notes = form.notes();
    Ok(Script { sql: out, notes })
}

/// Runs the SQL: all or nothing, and then the slot. `say` is told what is waited for.
///
/// # Errors
/// What the server says, or why it cannot be reached.
pub async fn apply(config: &Config, script: &str, say: impl Fn(&str)) -> Result<(), InitError> {
    let refused = |error: &dyn std::fmt::Display| InitError::Refused(error.to_string());
    let conninfo = credentials::conninfo(config).await;
    let conninfo = conninfo.map_err(|error| InitError::Refused(error.0))?;
    let client = SqlClient::connect(&conninfo).await;
    let client = client.map_err(|error| refused(&error))?;
    let other = SqlClient::connect(&conninfo).await;
    let other = other.map_err(|error| refused(&error))?;
    let doing = client.batch_execute(script);
    tokio::pin!(doing);
    let mut ticks = interval_at(Instant::now() + SAY_EVERY, SAY_EVERY);
    loop {
        tokio::select! {
            done = &mut doing => {
                return done.map_err(sql("set up the outbox")).map_err(|error| refused(&error));
            }
            _ = ticks.tick() => say(&waited_for(&other).await),
        }
    }
}

async fn waited_for(client: &SqlClient) -> String {
    match slots::oldest_writer(client).await {
        Ok(Some(writer)) if writer.process_id == 0 => format!(
            "waiting: a slot begins when the transactions that are running have ended; the oldest is \
             prepared, for {} seconds (see pg_prepared_xacts)",
            writer.age.as_secs()
        ),
        Ok(Some(writer)) => format!(
            "waiting: a slot begins when the transactions that are running have ended; the oldest is \
             of the server process {}, for {} seconds",
            writer.process_id,
            writer.age.as_secs()
        ),
        Ok(None) => "waiting for the server".to_owned(),
        Err(error) => format!("waiting; what for could not be asked: {error}"),
    }
}

/// The publication, if it is missing; the table in it, if that is missing.
fn publication(form: &Form<'_>, out: &mut String) {
    let name = &form.config.postgres.publication;
    let (publication, text) = (identifier(name), literal(name));
    let root = form.config.publish_via_partition_root;
    let table = form.table.as_ref();
    let table = table.map(|(schema, table)| qualified(schema, table));
    let tables = table.as_ref().map(|table| format!(" FOR TABLE {table}"));
    let tables = tables.unwrap_or_default();
    // By its own list, too: what is published of a partitioned table may be the partitions.
    let add = table.map(|table| {
        format!(
            "    ELSIF NOT EXISTS (SELECT FROM pg_publication AS known WHERE pubname = {text} AND (puballtables\n            \
             OR EXISTS (SELECT FROM pg_publication_rel WHERE prpubid = known.oid AND prrelid = {of}::regclass)\n            \
             OR EXISTS (SELECT FROM pg_publication_tables AS listed WHERE listed.pubname = known.pubname\n                \
             AND format('%I.%I', schemaname, tablename)::regclass = {of}::regclass))) THEN\n        \
             ALTER PUBLICATION {publication} ADD TABLE {table};\n",
            of = literal(&table),
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

/// The first start copies the rows that are there.
fn rights_of_walferry(form: &Form<'_>, out: &mut String) {
    let Some((schema, table)) = &form.table else {
        return;
    };
    let role = identifier(&form.config.postgres.conninfo.user);
    let _ = write!(
        out,
        "\n-- walferry's own role, that of postgres.url, copies the table at its first start.\n\
         GRANT USAGE ON SCHEMA {} TO {role};\n\
         GRANT SELECT ON {} TO {role};\n",
        identifier(schema),
        qualified(schema, table)
    );
}

/// What the service's role may do: emit and insert, and with the table clean up behind itself.
fn rights(form: &Form<'_>, role: &str, out: &mut String) {
    let (schema, role) = (identifier(&form.schema), identifier(role));
    let mut schemas = vec![schema.clone()];
    let mut functions = vec!["outbox_id", "outbox_check"];
    functions.extend(form.prefix.map(|_| "outbox_emit"));
    let mut tables = String::new();
    if let Some((of, table)) = &form.table {
        functions.extend(["outbox_insert", "outbox_clean"]);
        if *of != form.schema {
            schemas.push(identifier(of));
        }
        let _ = write!(
            tables,
            "GRANT SELECT, INSERT, DELETE ON {} TO {role};\n\
             GRANT SELECT, INSERT, UPDATE ON {schema}.outbox_seen TO {role};\n",
            qualified(of, table)
        );
    }
    let functions: Vec<String> = functions
        .iter()
        .map(|name| format!("{schema}.{name}"))
        .collect();
    let (schemas, functions) = (schemas.join(", "), functions.join(",\n    "));
    let _ = write!(
        out,
        "\n-- The service's role, and no other.\n\
         GRANT USAGE ON SCHEMA {schemas} TO {role};\n\
         REVOKE ALL ON FUNCTION {functions} FROM PUBLIC;\n\
         GRANT EXECUTE ON FUNCTION {functions} TO {role};\n{tables}"
    );
}
