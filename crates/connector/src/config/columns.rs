//! Which columns events have, which are masked, and which make keys: Debezium's `column.*` options
//! and `message.key.columns`, in the section `envelope`.

use envelope::{ColumnRules, KeyRule, Mask, Names, Pattern};

use super::reader::Reader;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<ColumnRules> {
    let masks = read_masks(reader);
    let lists = [
        "envelope.column.include.list",
        "envelope.column.exclude.list",
    ];
    let shown = read_names(reader, lists);
    let keys = read_keys(reader);
    let propagated = read_patterns(reader, "envelope.column.propagate.source.type");
    let propagated_types = read_patterns(reader, "envelope.datatype.propagate.source.type");
    Some(ColumnRules {
        shown: shown?,
        masks: masks?,
        keys: keys?,
        propagated: propagated?,
        propagated_types: propagated_types?,
    })
}

/// What a pair of lists says, one to include and one to exclude.
pub(super) fn read_names(reader: &mut Reader<'_>, [only, except]: [&str; 2]) -> Option<Names> {
    if reader.is_set(only) && reader.is_set(except) {
        let origin = reader.origin(except);
        let reason = format!("{only} is given too; one of them says it all");
        reader.report(origin, except, reason);
        let _read = (reader.list(only), reader.list(except));
        return None;
    }
    let only = read_patterns(reader, only);
    let except = read_patterns(reader, except);
    Some(match (only?, except?) {
        (only, _) if !only.is_empty() => Names::Only(only),
        (_, except) if !except.is_empty() => Names::Except(except),
        _ => Names::All,
    })
}

fn read_patterns(reader: &mut Reader<'_>, path: &str) -> Option<Vec<Pattern>> {
    reader.parsed_list(path, pattern)
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

fn read_keys(reader: &mut Reader<'_>) -> Option<Vec<KeyRule>> {
    let path = "envelope.message.key.columns";
    if !reader.is_set(path) {
        return Some(Vec::new());
    }
    reader.parsed(path, |text| {
        let rules = text.split(';').map(str::trim);
        rules
            .filter(|rule| !rule.is_empty())
            .map(|rule| KeyRule::parse(rule).map_err(|error| error.to_string()))
            .collect()
    })
}

/// Masks before truncation, so that of several the one that hides most holds.
fn read_masks(reader: &mut Reader<'_>) -> Option<Vec<(Mask, Vec<Pattern>)>> {
    let mut masks = Vec::new();
    let mut right = true;
    for option in reader.names_below("envelope.column") {
        let Some(mask) = Mask::parse(&option) else {
            continue;
        };
        let path = format!("envelope.column.{option}");
        let origin = reader.origin(&path);
        let shown = match option.split_once(".with.salt.") {
            Some((before, _)) => format!("envelope.column.{before}.with.salt.(redacted)"),
            None => path.clone(),
        };
        let items = reader.list_of(&path, &shown);
        let patterns = items.and_then(|items| reader.parse_items(&shown, &items, pattern));
        match (mask, patterns) {
            (Ok(mask), Some(patterns)) => masks.push((mask, patterns)),
            (Err(reason), _) => {
                reader.report(origin, &shown, reason);
                right = false;
            }
            (Ok(_), None) => right = false,
        }
    }
    masks.sort_by_key(|(mask, _)| match mask {
        Mask::Asterisks(_) => 0,
        Mask::Hash { .. } => 1,
        Mask::Truncate(_) => 2,
    });
    right.then_some(masks)
}
