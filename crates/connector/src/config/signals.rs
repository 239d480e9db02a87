//! Where signals come from, and what becomes of tables that are made while walferry runs.

use envelope::TablePattern;

use super::reader::Reader;

/// Debezium's `signal.*`, as far as it holds here. Messages with the prefix `walferry.signal` are always
/// listened to.
#[derive(Clone, Debug)]
pub struct Signals {
    /// The table whose inserts are signals: its schema and its name.
    pub table: Option<(String, String)>,
    /// The Kafka topic whose records are signals.
    pub topic: Option<String>,
    /// What becomes of tables that begin to match.
    pub new_tables: NewTables,
}

/// What becomes of a table that begins to match while walferry runs (`tables.new`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTables {
    /// It is published, and so are the rows it has.
    Snapshot,
    /// It is published from then on.
    Stream,
    /// The log tells of it.
    Ignore,
}

impl Signals {
    /// `schema.table` of the signals.
    #[must_use]
    pub fn table_name(&self) -> Option<String> {
        let (schema, table) = self.table.as_ref()?;
        Some(format!("{schema}.{table}"))
    }

    /// As a pattern of that one table.
    pub(super) fn pattern(&self) -> Option<TablePattern> {
        let (schema, table) = self.table.as_ref()?;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        TablePattern::parse(&format!("{}.{}", quoted(schema), quoted(table))).ok()
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Signals> {
    let table = match reader.is_set(TABLE) {
        true => reader.parsed(TABLE, table_name).map(Some),
        false => Some(None),
    };
    let topic = match reader.is_set(TOPIC) {
        true => reader.parsed(TOPIC, |text| Ok(text.to_owned())).map(Some),
        false => Some(None),
    };
    let new_tables = reader.parsed("tables.new", |text| {
        Ok(match text {
            "stream" => NewTables::Stream,
            "ignore" => NewTables::Ignore,
            _ => NewTables::Snapshot,
        })
    });
    Some(Signals {
        table: table?,
        topic: topic?,
        new_tables: new_tables?,
    })
}

fn table_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
            Ok((schema.to_owned(), table.to_owned()))
        }
        _ => Err("write schema.table".to_owned()),
    }
}

const TABLE: &str = "envelope.signal.data.collection";
const TOPIC: &str = "envelope.signal.kafka.topic";
