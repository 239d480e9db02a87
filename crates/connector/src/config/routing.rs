//! Topics and partitions by rule: `topics.route`, the options of Debezium's ByLogicalTableRouter, and
//! `topics.partition`, those of its PartitionRouting.

use envelope::{HashFunction, PartitionRouting, Rewrite, Route, RouteKey};

use super::reader::Reader;

/// None of both: with a problem, or (inside) without a rule.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Route>> {
    let unique = reader.word("topics.route.key.enforce.uniqueness");
    let field = reader.parsed("topics.route.key.field.name", |text| Ok(text.to_owned()));
    let topic = read_rewrite(reader, "topics.route.topic");
    let value = read_rewrite(reader, "topics.route.key.field");
    let (unique, field, topic, value): (bool, _, _, _) = (unique?, field?, topic?, value?);
    Some(topic.map(|topic| Route {
        topic,
        key: unique.then_some(RouteKey { field, value }),
    }))
}

fn read_rewrite(reader: &mut Reader<'_>, path: &str) -> Option<Option<Rewrite>> {
    let (regex, replacement) = (format!("{path}.regex"), format!("{path}.replacement"));
    match (reader.is_set(&regex), reader.is_set(&replacement)) {
        (false, false) => return Some(None),
        (true, true) => {}
        (has_regex, _) => {
            let (given, missing) = match has_regex {
                true => (regex, replacement),
                false => (replacement, regex),
            };
            let origin = reader.origin(&given);
            reader.report(origin, &given, format!("needs {missing} beside it"));
            let _read = reader.parsed(&given, |text| Ok(text.to_owned()));
            return None;
        }
    }
    let replacement = reader.parsed(&replacement, |text| Ok(text.to_owned()));
    let replacement = replacement.unwrap_or_default();
    reader
        .parsed(&regex, |text| Rewrite::parse(text, &replacement))
        .map(Some)
}

/// None of both, as above.
pub(super) fn read_partitions(reader: &mut Reader<'_>) -> Option<Option<PartitionRouting>> {
    const FIELDS: &str = "topics.partition.partition.payload.fields";
    const PARTITIONS: &str = "topics.partition.partition.topic.num";
    let given = [FIELDS, PARTITIONS].map(|path| reader.is_set(path));
    let origin = reader.origin(if given[0] { FIELDS } else { PARTITIONS });
    let fields = reader.parsed_list(FIELDS, str::parse);
    let partitions = reader.count(PARTITIONS);
    let function: Option<String> = reader.word("topics.partition.partition.hash.function");
    match given {
        [false, false] => function.map(|_| None),
        [true, true] => Some(Some(PartitionRouting {
            fields: fields?,
            partitions: partitions?,
            function: match function?.as_str() {
                "murmur" => HashFunction::Murmur,
                _ => HashFunction::Java,
            },
        })),
        [has_fields, _] => {
            let (path, missing) = match has_fields {
                true => (FIELDS, PARTITIONS),
                false => (PARTITIONS, FIELDS),
            };
            reader.report(origin, path, format!("needs {missing} beside it"));
            None
        }
    }
}
