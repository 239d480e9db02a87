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
    let (are_chosen, has_topic) = (reader.is_set(CHANNELS), reader.is_set(TOPIC));
    let channels = reader.parsed_list(CHANNELS, channel)?;
    let table = match reader.is_set(TABLE) {
        true => reader.parsed(TABLE, table_name).map(Some),
        false => Some(None),
    };
    let topic = match reader.is_set(TOPIC) {
        true => reader.parsed(TOPIC, |text| Ok(text.to_owned())).map(Some),
        false => Some(None),
    };
    if are_chosen && channels.contains(&Channel::Kafka) && !has_topic {
        reader.report_missing(TOPIC);
        return None;
    }
    let (source, kafka) = (&Channel::Source, &Channel::Kafka);
    let table = table.map(|table| table.filter(|_| channels.contains(source)));
    let topic = topic.map(|topic| topic.filter(|_| channels.contains(kafka)));
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

/// Where signals may come from, in Debezium's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// The stream: the table.
    Source,
    /// The topic.
    Kafka,
}

fn channel(text: &str) -> Result<Channel, String> {
    let why = match text {
        "source" => return Ok(Channel::Source),
        "kafka" => return Ok(Channel::Kafka),
        "file" => "walferry watches no file",
        "jmx" => "there is no JVM here",
        _ => return Err("is no channel: source and kafka are".to_owned()),
    };
    let instead = "name source and kafka alone, and ask from a shell by walferry snapshot";
    Err(format!("is not taken, since {why}: {instead}"))
}

fn table_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
            Ok((schema.to_owned(), table.to_owned()))
        }
        _ => Err("write schema.table".to_owned()),
    }
}

const CHANNELS: &str = "envelope.signal.enabled.channels";
const TABLE: &str = "envelope.signal.data.collection";
const TOPIC: &str = "envelope.signal.kafka.topic";

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError};

    fn parse(signals: &str) -> Result<Config, ConfigError> {
        let text = format!(
            "name: shop\npostgres: {{ url: postgresql://w@h/shop }}\nkafka: {{ bootstrap.servers: h:9092 }}\n\
             tables: {{ include: [ \"public.*\" ] }}\nenvelope:\n  signal:\n    data.collection: public.signals\n{signals}"
        );
        let environment = std::iter::empty::<(&str, &str)>().collect();
        Config::parse("walferry.yaml", &text, &environment)
    }

    #[test]
    fn a_door_is_open_when_its_channel_is_named() {
        let doors = |text: &str| {
            let signals = parse(text)
                .unwrap_or_else(|error| panic!("{error}"))
                .signals;
            (signals.table.is_some(), signals.topic.is_some())
        };
        assert_eq!(doors(""), (true, false));
        assert_eq!(doors("    kafka.topic: s\n"), (true, true));
        let both = "    kafka.topic: s\n    enabled.channels: ";
        assert_eq!(doors(&format!("{both}source")), (true, false));
        assert_eq!(doors(&format!("{both}[ kafka ]")), (false, true));
        assert_eq!(doors(&format!("{both}source,kafka")), (true, true));
    }

    #[test]
    fn other_channels_are_refused_with_the_reason() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        for (channel, reason) in [
            ("file", "walferry watches no file"),
            ("jmx", "no JVM"),
            ("post", "is no channel"),
        ] {
            let said = refused(&format!("    enabled.channels: source,{channel}"));
            assert!(said.contains(reason) && said.contains(channel), "{said}");
        }
        let said = refused("    enabled.channels: kafka");
        assert!(
            said.contains("envelope.signal.kafka.topic: must be given"),
            "{said}"
        );
    }
}
