//! Our bytes against those of Debezium 3.6.3, recorded by `testdata/debezium/record.sh`: the same
//! write-ahead log, message by message, must give the same topics, keys, values and headers in the
//! same order. Set aside are times of processing and Debezium's memory of the commit before (the
//! first part of `sequence`), which a restart changes. Where Debezium loses data we differ on
//! purpose: every such place is in `differences.txt` with its reason, and must occur.

#![allow(clippy::disallowed_methods, reason = "the recordings are files")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use envelope::{
    AddedField, Compatibility, Context, Encoder, KeyRule, LogicalMessages, Mask, Names, Options,
    Pattern, Records, RelationDetails, Rewrite, Route, RouteKey, SnapshotMark, Table, TypeDetails,
    TypeKind, Unwrap,
};
use pgoutput::{Begin, CommitLsn, Lsn, Message, PgTimestamp};
use serde_json::Value;

const END: &str = "walferry-end";
const MESSAGE: &str =
    "io.debezium.connector.postgresql.LogicalDecodingMessageMonitor$LogicalDecodingMessageId@";

#[test]
fn every_recorded_case_is_matched() {
    compare(Compatibility::Lossless, "differences.txt");
}

#[test]
fn every_recorded_case_is_matched_with_its_losses() {
    compare(Compatibility::Debezium, "differences_debezium.txt");
}

fn compare(compatibility: Compatibility, list: &str) {
    let mut differences = Differences::read(list);
    let mut report = String::new();
    for case in cases() {
        let name = case.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "refused" && compatibility == Compatibility::Lossless {
            continue;
        }
        let expected: Vec<String> = read(&case, "events")
            .lines()
            .filter(|line| !line.contains("\"op\":\"r\""))
            .map(|line| differences.apply(&name, &masked(line)))
            .collect();
        let ours: Vec<String> = Replay::of(&case, compatibility)
            .lines()
            .iter()
            .map(|line| masked(line))
            .collect();
        assert!(!expected.is_empty(), "{name} has no recorded events");
        for index in 0..expected.len().max(ours.len()) {
            let none = String::from("(no record)");
            let expected = expected.get(index).unwrap_or(&none);
            let ours = ours.get(index).unwrap_or(&none);
            if expected != ours {
                let (expected, ours) = (window(expected, ours), window(ours, expected));
                writeln!(
                    report,
                    "{name}, record {index}:\n  Debezium {expected}\n  walferry {ours}"
                )
                .unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
    differences.assert_all_used();
}

/// Every `NAME.sql` that was recorded.
fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/debezium");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    cases.sort();
    assert!(cases.len() > 10, "the recordings are in the repository");
    cases
}

fn read(case: &Path, extension: &str) -> String {
    let path = case.with_extension(extension);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part around the first difference.
fn window(line: &str, other: &str) -> String {
    let line: Vec<char> = line.chars().collect();
    let equal = line
        .iter()
        .zip(other.chars())
        .take_while(|(left, right)| **left == *right)
        .count();
    line.iter()
        .skip(equal.saturating_sub(60))
        .take(200)
        .collect()
}

/// Puts aside what cannot be equal.
fn masked(line: &str) -> String {
    let mut masked = line.to_owned();
    // The name of a Java object stands for a logical message; ours is the message's prefix.
    while let Some(start) = masked.find(MESSAGE) {
        let end = start + masked[start..].find('"').unwrap();
        masked.replace_range(start..end, "p");
    }
    let masked_end = format!("\"data_collection\":\"{END}\"");
    masked = masked.replace(&masked_end, "\"data_collection\":\"p\"");
    if let Some(start) = masked.find("sequence\":\"[") {
        let start = start + "sequence\":\"[".len();
        let end = start + masked[start..].find(',').unwrap();
        masked.replace_range(start..end, "_");
    }
    // A flat row's added time.
    if let Some(at) = masked.find("_when\":") {
        let start = at + "_when\":".len();
        let digits = masked[start..].find(|c: char| !c.is_ascii_digit());
        masked.replace_range(start..start + digits.unwrap_or_default(), "_");
    }
    let mut from = masked.find("\"op\":").unwrap_or(masked.len());
    while let Some(at) = masked[from..].find("\"ts_") {
        let start = from + at + "\"ts_ms\":".len();
        let digits = masked[start..]
            .chars()
            .take_while(char::is_ascii_digit)
            .count();
        masked.replace_range(start..start + digits, "_");
        from = start;
    }
    masked
}

/// Places where we differ on purpose.
struct Differences {
    all: Vec<Difference>,
    used: Vec<bool>,
}

#[derive(Debug)]
struct Difference {
    /// With `*` at its end, all that begin so.
    case: String,
    debezium: String,
    ours: String,
    /// A header that only our record has.
    header: Option<String>,
}

impl Differences {
    fn read(list: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/debezium");
        let text = fs::read_to_string(directory.join(list)).unwrap();
        let all: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let mut parts = line.split('\t').map(|part| part.replace('⇥', "\t"));
                let mut part = || parts.next().unwrap_or_else(|| panic!("{line}"));
                let (case, debezium, ours) = (part(), part(), part());
                Difference {
                    case,
                    debezium,
                    ours,
                    header: parts.next(),
                }
            })
            .collect();
        Self {
            used: vec![false; all.len()],
            all,
        }
    }

    fn apply(&mut self, name: &str, line: &str) -> String {
        let mut line = line.to_owned();
        for (difference, used) in self.all.iter().zip(&mut self.used) {
            let case = &difference.case;
            let here = name == case
                || case
                    .strip_suffix('*')
                    .is_some_and(|start| name.starts_with(start));
            if here && line.contains(&difference.debezium) {
                line = line.replace(&difference.debezium, &difference.ours);
                if let Some(header) = &difference.header {
                    write!(line, "\t{header}").unwrap();
                }
                *used = true;
            }
        }
        line
    }

    fn assert_all_used(&self) {
        for (difference, used) in self.all.iter().zip(&self.used) {
            assert!(*used, "Debezium does not say this: {difference:?}");
        }
    }
}

/// A log played through the encoder, as `relay` does it, less all that relay is for.
struct Replay {
    options: Options,
    details: HashMap<u32, RelationDetails>,
    messages: Vec<(Lsn, Vec<u8>)>,
}

impl Replay {
    fn of(case: &Path, compatibility: Compatibility) -> Self {
        let messages = read(case, "wal")
            .lines()
            .map(|line| {
                let (lsn, hex) = line.split_once(' ').unwrap();
                (lsn.parse().unwrap(), bytes(hex))
            })
            .collect();
        Self {
            options: Options {
                compatibility,
                ..options(case)
            },
            details: details(&read(case, "catalog")),
            messages,
        }
    }

    /// The records in the recorder's form.
    fn lines(&self) -> Vec<String> {
        let mut encoder = Encoder::new(self.options.clone());
        let mut tables: HashMap<u32, Table> = HashMap::new();
        let mut transaction = None;
        let mut records = Records::new();
        let mut lines = Vec::new();
        for (lsn, bytes) in &self.messages {
            let message = Message::decode(bytes).unwrap();
            match message {
                Message::Begin(begin) => {
                    transaction = Some(begin);
                    encoder.begin(&context(transaction, *lsn), &mut records);
                }
                Message::Commit(_) => {
                    encoder.commit(&context(transaction.take(), *lsn), &mut records);
                }
                Message::Relation(relation) => {
                    let details = &self.details[&relation.oid];
                    tables.insert(relation.oid, Table::new(&relation, details, &self.options));
                }
                message => {
                    let context = context(transaction, *lsn);
                    change(&mut encoder, &tables, &context, &message, &mut records);
                }
            }
            let told = records.iter().map(|record| line(&record));
            lines.extend(told.filter(|line| !line.contains(&format!("{{\"prefix\":\"{END}\""))));
            records.clear();
        }
        lines
    }
}

fn context(transaction: Option<Begin>, lsn: Lsn) -> Context<'static> {
    let (commit_lsn, commit_time, xid) = match transaction {
        Some(begin) => (begin.commit_lsn, begin.commit_time, begin.xid),
        None => (CommitLsn(lsn), PgTimestamp(0), 0),
    };
    Context {
        epoch: 1,
        commit_lsn,
        commit_time,
        xid,
        data_start: lsn,
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: 0,
        now_unix_nanos: 1_700_000_000_123_456_789,
    }
}

fn change(
    encoder: &mut Encoder,
    tables: &HashMap<u32, Table>,
    context: &Context<'_>,
    message: &Message<'_>,
    out: &mut Records,
) {
    match message {
        Message::Insert(insert) => {
            encoder.insert(&tables[&insert.relation], context, insert.new, out)
        }
        Message::Update(update) => encoder.update(
            &tables[&update.relation],
            context,
            update.old,
            update.new,
            out,
        ),
        Message::Delete(delete) => {
            encoder.delete(&tables[&delete.relation], context, delete.old, out)
        }
        Message::Truncate(truncate) => truncate
            .relations
            .iter()
            .try_for_each(|oid| encoder.truncate(&tables[&oid], context, out)),
        Message::Logical(message) => encoder.logical_message(context, message, out),
        _ => Ok(()),
    }
    .unwrap();
}

fn line(record: &envelope::Record<'_>) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("<none>".to_owned(), |bytes| {
            String::from_utf8(bytes.to_vec()).unwrap()
        })
    };
    let mut line = format!(
        "{}\t{}\t{}",
        record.topic,
        text(record.key),
        text(record.value)
    );
    for (name, value) in record.headers.iter() {
        write!(line, "\t{name}={}", text(value)).unwrap();
    }
    line
}

/// The case's `-- option` lines, and those of the file it includes.
fn options(case: &Path) -> Options {
    let mut sql = fs::read_to_string(case).unwrap();
    if let Some(include) = sql
        .lines()
        .find_map(|line| line.strip_prefix("-- include "))
    {
        sql += &fs::read_to_string(case.with_file_name(include)).unwrap();
    }
    let mut prefixes = HashMap::new();
    let mut route = HashMap::new();
    let mut options = Options::new("srv", "oracle");
    options.logical_messages = LogicalMessages::Publish;
    for option in sql
        .lines()
        .filter_map(|line| line.strip_prefix("-- option "))
    {
        let (name, word) = option.split_once('=').unwrap();
        match name {
            "decimal.handling.mode" => options.decimal = word.parse().unwrap(),
            "time.precision.mode" => options.time = word.parse().unwrap(),
            "interval.handling.mode" => options.interval = word.parse().unwrap(),
            "binary.handling.mode" => options.binary = word.parse().unwrap(),
            "hstore.handling.mode" => options.hstore = word.parse().unwrap(),
            "money.fraction.digits" => options.money_fraction_digits = word.parse().unwrap(),
            "include.unknown.datatypes" => options.unknown_as_bytes = word.parse().unwrap(),
            "column.exclude.list" => options.columns.shown = Names::Except(patterns(word)),
            "column.include.list" => options.columns.shown = Names::Only(patterns(word)),
            "column.propagate.source.type" => options.columns.propagated = patterns(word),
            "datatype.propagate.source.type" => options.columns.propagated_types = patterns(word),
            "message.prefix.include.list" => options.message_prefixes = Names::Only(patterns(word)),
            "message.key.columns" => {
                options.columns.keys = word
                    .split(';')
                    .map(|rule| KeyRule::parse(rule).unwrap())
                    .collect();
            }
            "skip.messages.without.change" => {
                options.skip_messages_without_change = word.parse().unwrap();
            }
            "skipped.operations" => options.skipped_operations = word.parse().unwrap(),
            "tombstones.on.delete" => options.tombstones_on_delete = word.parse().unwrap(),
            "provide.transaction.metadata" => options.transaction_metadata = word.parse().unwrap(),
            "schemas.enable" => options.schemas = word.parse().unwrap(),
            "snapshot.mode" | "transforms" => {}
            name if name.starts_with("column.") => {
                let mask = Mask::parse(&name["column.".len()..]).unwrap().unwrap();
                options.columns.masks.push((mask, patterns(word)));
            }
            name if name.starts_with("transforms.route.") => {
                route.insert(&name["transforms.route.".len()..], word);
            }
            other => match other.strip_prefix("transforms.unwrap.") {
                Some("type") => options.unwrap = options.unwrap.or_else(|| Some(Unwrap::default())),
                Some(name) if name.ends_with(".prefix") => {
                    prefixes.insert(name.trim_end_matches(".prefix"), word);
                }
                Some(name) => {
                    let prefix = prefixes.get(name).copied().unwrap_or("__");
                    unwrap_option(options.unwrap.get_or_insert_default(), name, word, prefix);
                }
                None => panic!("{}: {other} is not known here", case.display()),
            },
        }
    }
    if !route.is_empty() {
        options.route = Some(routed(&route));
    }
    options
}

fn routed(options: &HashMap<&str, &str>) -> Route {
    let rewrite = |name: &str| {
        let expression = options.get(format!("{name}.regex").as_str())?;
        let replacement = options[format!("{name}.replacement").as_str()];
        Some(Rewrite::parse(expression, replacement).unwrap())
    };
    let unique = options.get("key.enforce.uniqueness") != Some(&"false");
    Route {
        topic: rewrite("topic").unwrap(),
        key: unique.then(|| RouteKey {
            field: (*options.get("key.field.name").unwrap_or(&Route::KEY_FIELD)).to_owned(),
            value: rewrite("key.field"),
        }),
    }
}

fn patterns(list: &str) -> Vec<Pattern> {
    list.split(',')
        .map(|pattern| Pattern::parse(pattern).unwrap())
        .collect()
}

fn unwrap_option(unwrap: &mut Unwrap, name: &str, word: &str, prefix: &str) {
    let fields = || {
        let fields = word.split(',');
        fields
            .map(|field| AddedField::parse(field, prefix).unwrap())
            .collect()
    };
    match name {
        "delete.tombstone.handling.mode" => unwrap.deletes = word.parse().unwrap(),
        "add.fields" => unwrap.fields = fields(),
        "add.headers" => unwrap.headers = fields(),
        other => panic!("{other} is not known here"),
    }
}

/// Every table's details; all have all types.
fn details(catalog: &str) -> HashMap<u32, RelationDetails> {
    let rows: Vec<Value> = catalog
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let oid = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let names = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let pairs = |value: &Value| -> Vec<(String, String)> {
        let pairs = value.as_array().into_iter().flatten();
        pairs
            .map(|pair| serde_json::from_value(pair.clone()).unwrap())
            .collect()
    };
    let types: Vec<TypeDetails> = rows
        .iter()
        .filter(|row| row.get("type").is_some())
        .map(|row| TypeDetails {
            oid: oid(&row["type"]),
            schema: row["schema"].as_str().unwrap().to_owned(),
            name: row["name"].as_str().unwrap().to_owned(),
            kind: match row["kind"].as_str().unwrap() {
                "array" => TypeKind::Array {
                    element: oid(&row["element"]),
                    delimiter: match row["name"].as_str() {
                        Some("_geometry" | "_geography") => b':',
                        _ => b',',
                    },
                },
                "e" => TypeKind::Enum {
                    labels: names(&row["labels"]),
                },
                "d" => TypeKind::Domain {
                    base: oid(&row["base"]),
                    type_modifier: i32::try_from(row["type_modifier"].as_i64().unwrap()).unwrap(),
                },
                "c" => TypeKind::Composite,
                _ => TypeKind::Base,
            },
        })
        .collect();
    rows.iter()
        .filter(|row| row.get("relation").is_some())
        .map(|row| {
            let details = RelationDetails {
                primary_key: names(&row["primary_key"]),
                identity_index: names(&row["identity_index"]),
                not_null: names(&row["not_null"]),
                defaults: pairs(&row["defaults"]),
                money_digits: None,
                types: types.clone(),
            };
            (oid(&row["relation"]), details)
        })
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
