//! Whether the rows that a new table has are published, and how they are asked for: in the transaction that
//! publishes the table, by a message that stands behind all that was written before.

use std::fmt;

use envelope::Options;
use relay::SIGNAL_PREFIX;
use serde_json::json;

use crate::config::{Config, CopySettings, NewTables};
use crate::preflight::quote::literal;
use crate::signal::Kind;

/// What a configuration says of the rows of new tables.
#[derive(Clone, Debug)]
pub struct NewRows {
    publication: String,
    are_wanted: bool,
    envelope: Options,
    copy: CopySettings,
}

/// What becomes of the rows of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rows {
    /// Rows of new tables are not wanted.
    Unwanted,
    /// Rows of this one are not.
    Excluded,
    /// They are asked for like this.
    Asked(Kind),
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unwanted => "none",
            Self::Excluded => "none: snapshot.include.collection.list leaves them out",
            Self::Asked(kind) => kind.word(),
        })
    }
}

impl NewRows {
    /// As the configuration wants it.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            publication: config.postgres.publication.clone(),
            are_wanted: config.signals.new_tables == NewTables::Snapshot,
            envelope: config.envelope.clone(),
            copy: config.copy.clone(),
        }
    }

    /// Of a table that is read in chunks only where a key orders its rows.
    #[must_use]
    pub fn of_table(&self, schema: &str, table: &str, is_ordered: bool) -> Rows {
        let name = format!("{schema}.{table}");
        if !self.are_wanted {
            return Rows::Unwanted;
        }
        if !self.copy.includes(&name) {
            return Rows::Excluded;
        }
        let by_statement = self.copy.selects.contains_key(&name);
        let is_outbox = self.envelope.is_outbox(schema, table);
        Rows::Asked(match is_ordered && !is_outbox && !by_statement {
            true => Kind::Incremental,
            false => Kind::Blocking,
        })
    }

    /// The topic of its events; none where they name it themselves, or are signals.
    #[must_use]
    pub fn topic(&self, schema: &str, table: &str) -> Option<String> {
        let are_signals = self.copy.signal_table.as_deref() == Some(&format!("{schema}.{table}"));
        let has_topic = !are_signals && !self.envelope.is_outbox(schema, table);
        has_topic.then(|| self.envelope.topic(schema, table))
    }

    /// The statements that ask for the rows of these tables, as far as they are wanted.
    #[must_use]
    pub fn ask_for(&self, tables: &[(String, Rows)]) -> Option<String> {
        let mut statements = Vec::new();
        for kind in [Kind::Incremental, Kind::Blocking] {
            let asked = tables.iter().filter(|(_, rows)| *rows == Rows::Asked(kind));
            let asked: Vec<&str> = asked.map(|(table, _)| table.as_str()).collect();
            let each = asked.chunks(ASKED_AT_ONCE);
            statements.extend(each.map(|tables| self.statement(tables, kind)));
        }
        (!statements.is_empty()).then(|| statements.join("; "))
    }

    fn statement(&self, tables: &[&str], kind: Kind) -> String {
        let id = match tables {
            [first, others @ ..] if !others.is_empty() => {
                format!("new-{first}-and-{}", others.len())
            }
            _ => format!("new-{}", tables.concat()),
        };
        let names: Vec<String> = tables.iter().map(|table| regex::escape(table)).collect();
        let data = json!({
            "type": kind.word(),
            "data-collections": names,
            "new-in-publication": self.publication,
        });
        let signal = json!({ "id": id, "type": "execute-snapshot", "data": data });
        format!(
            "SELECT pg_catalog.pg_logical_emit_message(true, {}, {})",
            literal(SIGNAL_PREFIX),
            literal(&signal.to_string())
        )
    }
}

/// So that a signal keeps to its size (64 KiB), however long the names are.
const ASKED_AT_ONCE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn new_rows(word: &str, more: &str) -> NewRows {
        let text = format!(
            "name: shop\npostgres: {{ url: postgresql://w@h/shop }}\nkafka: {{ bootstrap.servers: h:9092 }}\n\
             tables: {{ include: [ \"public.*\" ], new: {word} }}\n{more}"
        );
        let environment = std::iter::empty::<(&str, &str)>().collect();
        let config = Config::parse("walferry.yaml", &text, &environment);
        NewRows::of(&config.unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn no_signal_is_too_large_however_many_tables_are_new() {
        let long = "x".repeat(63);
        let rows = Rows::Asked(Kind::Incremental);
        let tables: Vec<_> = (0..1_001)
            .map(|n| (format!("{long}.{n}.{long}"), rows))
            .collect();
        let asked = new_rows("snapshot", "").ask_for(&tables).unwrap();
        let statements: Vec<&str> = asked.split("; ").collect();
        assert_eq!(statements.len(), 11);
        assert!(statements.iter().all(|it| it.len() < 64 << 10));
        let regex = |name: &str| format!("\"{}\"", name.replace('.', "\\\\."));
        assert!(tables.iter().all(|(name, _)| asked.contains(&regex(name))));
    }

    #[test]
    fn rows_that_cannot_be_read_in_chunks_are_asked_for_by_blocking() {
        let (chunks, blocking) = (Kind::Incremental, Kind::Blocking);
        let rows = new_rows(
            "snapshot",
            "outbox: { table: [ public.outbox ] }\nsnapshot:\n  \
             snapshot.include.collection.list: [ \"public\\\\.(in|outbox|chosen).*\" ]\n  \
             snapshot.select.statement.overrides: [ public.chosen ]\n  \
             snapshot.select.statement.overrides.public.chosen: SELECT * FROM public.chosen WHERE id > 1",
        );
        for (table, is_ordered, wanted) in [
            ("inner", true, Rows::Asked(chunks)),
            ("inner", false, Rows::Asked(blocking)),
            ("outbox", true, Rows::Asked(blocking)),
            ("chosen", true, Rows::Asked(blocking)),
            ("other", true, Rows::Excluded),
        ] {
            let is = rows.of_table("public", table, is_ordered);
            assert_eq!(is, wanted, "{table}");
        }
        let stream = new_rows("stream", "").of_table("public", "inner", true);
        assert_eq!(stream, Rows::Unwanted);
        assert_eq!(
            rows.ask_for(&[("public.other".to_owned(), Rows::Excluded)]),
            None
        );
    }
}
