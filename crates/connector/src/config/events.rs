//! The form of events: the section `envelope`, but for what belongs to topics and tables.

use envelope::{AddedField, Changes, Dropped, LogicalMessages, Names, Unwrap};

use super::columns;
use super::reader::Reader;
use super::routing;

pub(super) fn read(
    reader: &mut Reader<'_>,
    prefix: &str,
    database: &str,
) -> Option<envelope::Options> {
    let _json: Option<String> = reader.word("envelope.format");
    let schemas = reader.word("envelope.schemas.enable");
    let decimal = reader.word("envelope.decimal.handling.mode");
    let time = reader.word("envelope.time.precision.mode");
    let interval = reader.word("envelope.interval.handling.mode");
    let binary = reader.word("envelope.binary.handling.mode");
    let compatibility = reader.word("envelope.compatibility");
    let hstore = reader.word("envelope.hstore.handling.mode");
    let money_digits = reader.count("envelope.money.fraction.digits");
    let unknown_as_bytes = reader.word("envelope.include.unknown.datatypes");
    let tombstones = reader.word("envelope.tombstones.on.delete");
    let skipped = read_skipped_operations(reader);
    let placeholder = reader.parsed("envelope.unavailable.value.placeholder", |text| match text
        .strip_prefix("hex:")
    {
        Some(digits) if !is_hex(digits) => Err("takes pairs of hexadecimal digits".to_owned()),
        _ => Ok(text.to_owned()),
    });
    let prefixes = read_prefixes(reader);
    let messages = read_messages(
        reader,
        prefixes.as_ref().is_some_and(|names| !names.is_all()),
    );
    let without_change = reader.word("envelope.skip.messages.without.change");
    let heartbeat = reader.count("envelope.heartbeat.interval.ms");
    let heartbeat_prefix = reader.parsed("envelope.topic.heartbeat.prefix", topic_part);
    let failures = reader.word("envelope.event.processing.failure.handling.mode");
    let dead_letter = reader.parsed("envelope.topic.dead.letter", topic_part);
    let columns = columns::read(reader);
    let schema_names = reader.word("envelope.schema.name.adjustment.mode");
    let field_names = reader.word("envelope.field.name.adjustment.mode");
    let metadata = reader.word("envelope.provide.transaction.metadata");
    let transaction_topic = reader.parsed("envelope.topic.transaction", topic_part);
    let unwrap = read_unwrap(reader);
    let route = routing::read(reader);
    let partitions = routing::read_partitions(reader);
    let delimiter = reader.parsed("envelope.topic.delimiter", topic_part);
    Some(envelope::Options {
        decimal: decimal?,
        time: time?,
        interval: interval?,
        binary: binary?,
        compatibility: compatibility?,
        hstore: hstore?,
        money_fraction_digits: money_digits?,
        unknown_as_bytes: unknown_as_bytes?,
        schemas: schemas?,
        tombstones_on_delete: tombstones?,
        skipped_operations: skipped?,
        unavailable_value_placeholder: placeholder?,
        logical_messages: messages?,
        message_prefixes: prefixes?,
        skip_messages_without_change: without_change?,
        heartbeat_interval_ms: heartbeat?,
        heartbeat_prefix: heartbeat_prefix?,
        failures: failures?,
        dead_letter_topic_name: dead_letter?,
        columns: columns?,
        schema_names: schema_names?,
        field_names: field_names?,
        transaction_metadata: metadata?,
        transaction_topic_name: transaction_topic?,
        unwrap: unwrap?,
        route: route?,
        partitions: partitions?,
        topic_delimiter: delimiter?,
        ..envelope::Options::new(prefix, database)
    })
}

/// A part of a topic's name.
fn topic_part(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "holds {c:?}; a topic's name takes letters, digits, . _ -"
        )),
        None => Ok(text.to_owned()),
    }
}

fn is_hex(digits: &str) -> bool {
    digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn read_prefixes(reader: &mut Reader<'_>) -> Option<Names> {
    let lists = [
        "envelope.message.prefix.include.list",
        "envelope.message.prefix.exclude.list",
    ];
    columns::read_names(reader, lists)
}

/// A list of prefixes says that messages are wanted, unless it is said that they are not.
fn read_messages(reader: &mut Reader<'_>, chosen: bool) -> Option<LogicalMessages> {
    let path = "envelope.logical.messages";
    let implied = chosen && !reader.is_set(path);
    let word = reader.word(path)?;
    Some(if implied {
        LogicalMessages::Publish
    } else {
        word
    })
}

fn read_skipped_operations(reader: &mut Reader<'_>) -> Option<envelope::SkippedOperations> {
    let path = "envelope.skipped.operations";
    let items = reader.list(path)?;
    let origin = items
        .first()
        .map(|item| item.origin.clone())
        .unwrap_or_default();
    let words: Vec<&str> = items.iter().map(|item| item.value.as_str()).collect();
    match words.join(",").parse() {
        Ok(skipped) => Some(skipped),
        Err(_) => {
            reader.report(
                origin,
                path,
                "takes a list of c, u, d and t; or none, alone",
            );
            None
        }
    }
}

/// Flat rows, if any key of theirs is set, unless the switch says otherwise.
fn read_unwrap(reader: &mut Reader<'_>) -> Option<Option<Unwrap>> {
    let path = "envelope.unwrap";
    let implied = !reader.is_set(path) && reader.is_any_set_below(path);
    let on: bool = reader.word(path)?;
    let deletes = reader.word("envelope.unwrap.delete.tombstone.handling.mode");
    let fields = read_added(reader, "envelope.unwrap.add.fields");
    let headers = read_added(reader, "envelope.unwrap.add.headers");
    let changes = read_changes(reader);
    let unwrap = Unwrap {
        deletes: deletes?,
        fields: fields?,
        headers: headers?,
        changes: changes?,
    };
    Some((on || implied).then_some(unwrap))
}

/// None of both: with a problem, or (inside) without headers of changes.
fn read_changes(reader: &mut Reader<'_>) -> Option<Option<Changes>> {
    const DROP: &str = "envelope.unwrap.drop.fields.header.name";
    let given = |reader: &mut Reader<'_>, path| match reader.is_set(path) {
        true => reader.parsed(path, |text| Ok(text.to_owned())).map(Some),
        false => Some(None),
    };
    let changed = given(reader, "envelope.unwrap.header.changed.name")?;
    let unchanged = given(reader, "envelope.unwrap.header.unchanged.name")?;
    let origin = reader.origin(DROP);
    let drop = given(reader, DROP)?;
    let compatible: bool = reader.word("envelope.unwrap.drop.fields.keep.schema.compatible")?;
    let dropped = match &drop {
        None => None,
        Some(_) if drop == unchanged => Some(Dropped::Unchanged),
        Some(_) if drop == changed => Some(Dropped::Changed),
        Some(_) => {
            let reason = "names no header of changes: write the name that \
                          envelope.unwrap.header.unchanged.name gives";
            reader.report(origin, DROP, reason);
            return None;
        }
    };
    let some = changed.is_some() || unchanged.is_some();
    Some(some.then_some(Changes {
        changed,
        unchanged,
        dropped,
        breaks_schema: !compatible,
    }))
}

fn read_added(reader: &mut Reader<'_>, path: &str) -> Option<Vec<AddedField>> {
    let prefix = reader.parsed(&format!("{path}.prefix"), |text| Ok(text.to_owned()))?;
    reader.parsed_list(path, |text| {
        AddedField::parse(text, &prefix).map_err(|error| error.to_string())
    })
}
