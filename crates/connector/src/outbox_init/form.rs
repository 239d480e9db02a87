//! What the SQL is filled with: the one table and prefix that it is for, and the columns and members
//! that the configuration names.

use envelope::{Outbox, OutboxFields, Placement, Rewrite, Route};

use super::InitError;
use crate::config::Config;
use crate::preflight::quote::{identifier, literal, qualified};

/// Schema and name.
pub(super) type Name = (String, String);

/// One outbox.
pub(super) struct Form<'a> {
    pub(super) config: &'a Config,
    pub(super) outbox: &'a Outbox,
    /// Where the functions are.
    pub(super) schema: String,
    pub(super) table: Option<Name>,
    pub(super) prefix: Option<&'a str>,
    fields: Vec<Field>,
}

/// Beside the five that each event has.
struct Field {
    name: String,
    kind: FieldKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldKind {
    Time,
    Version,
    Tracing,
    Text,
    Partition,
}

/// By which `outbox_clean()` knows a row.
const TRANSACTION: &str = "transaction";
const CREATED_AT: &str = "created_at";

impl<'a> Form<'a> {
    pub(super) fn new(config: &'a Config, schema: Option<&str>) -> Result<Self, InitError> {
        let outbox = config.envelope.outbox.as_ref().ok_or(InitError::NoOutbox)?;
        let mut tables = Vec::new();
        for pattern in &outbox.tables {
            tables.push(one_table(pattern.as_str())?);
        }
        // Each service with its own table asks with its own schema.
        let of_schema = tables.iter().find(|(of, _)| Some(of.as_str()) == schema);
        let table = of_schema.or(tables.first()).cloned();
        let own = table.as_ref().map_or("public", |(schema, _)| schema);
        let schema = schema.unwrap_or(own).to_owned();
        let prefix = outbox.message_prefixes.first().map(String::as_str);
        Ok(Self {
            fields: fields(outbox, prefix.is_some())?,
            config,
            outbox,
            schema,
            table,
            prefix,
        })
    }

    /// What is left out, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let (Some((schema, table)), 2..) = (&self.table, self.outbox.tables.len()) {
            notes.push(format!(
                "outbox.table names several tables: this is for {schema}.{table}; for another, give its \
                 schema by --schema"
            ));
        }
        if let (Some(prefix), 2..) = (self.prefix, self.outbox.message_prefixes.len()) {
            notes.push(format!(
                "outbox.message.prefix names several: outbox_emit() writes messages of {prefix}"
            ));
        }
        notes
    }

    pub(super) fn filled(&self, template: &str) -> String {
        let names = &self.outbox.fields;
        let mut out = template.to_owned();
        for (mark, text) in self.table_marks().into_iter().chain(self.marks()) {
            out = out.replace(&format!("{{{mark}}}"), &text);
        }
        for (mark, name) in [
            ("id", &names.id),
            ("route", &names.route),
            ("key", &names.key),
            ("type", &names.kind),
            ("payload", &names.payload),
        ] {
            out = out.replace(&format!("{{{mark}}}"), &identifier(name));
            out = out.replace(&format!("{{{mark}_text}}"), &literal(name));
        }
        out
    }

    fn marks(&self) -> Vec<(&'static str, String)> {
        let slot = &self.config.postgres.slot;
        let check = literal(&format!("events of slot {slot}"));
        let prefix = self.prefix.unwrap_or_default();
        let emit = literal(&format!("messages of prefix {prefix}, slot {slot}"));
        let mut marks = vec![("outbox_check", check.clone())];
        marks.extend(self.prefix.map(|_| ("outbox_emit", emit.clone())));
        let of_table = self.table_mark();
        if self.table.is_some() {
            marks.push(("outbox_insert", of_table.clone()));
            marks.push(("outbox_clean", of_table.clone()));
        }
        let marks = marks
            .iter()
            .map(|(name, mark)| format!("('{name}', {mark})"));
        let partitions = self.named(|kind| kind == FieldKind::Partition);
        let partitions = partitions.map(|field| {
            format!(
                "\n        WHEN (additional ->> {})::int < 0 THEN 'a partition must not be negative'",
                literal(&field.name)
            )
        });
        vec![
            ("schema", identifier(&self.schema)),
            ("schema_text", literal(&identifier(&self.schema))),
            ("slot", literal(slot)),
            (
                "publication_text",
                literal(&self.config.postgres.publication),
            ),
            ("prefix", literal(prefix)),
            ("marks", marks.collect::<Vec<_>>().join(",\n            ")),
            ("check_mark", check),
            ("emit_mark", emit),
            ("table_mark", of_table),
            (
                "route_rule",
                route_rule(&self.outbox.topic, "aggregatetype"),
            ),
            ("partition_rule", partitions.collect()),
            ("members", self.members()),
            (
                "known_members",
                self.known(|kind| kind != FieldKind::Tracing),
            ),
            ("known_columns", self.known(|_| true)),
        ]
    }

    fn table_mark(&self) -> String {
        let table = self.table.as_ref();
        let table = table.map(|(schema, table)| format!("{schema}.{table}"));
        let (table, slot) = (table.unwrap_or_default(), &self.config.postgres.slot);
        literal(&format!("rows of {table}, slot {slot}"))
    }

    /// What the table's SQL is filled with.
    fn table_marks(&self) -> Vec<(&'static str, String)> {
        let table = self.table.as_ref();
        let table = table.map(|(schema, table)| qualified(schema, table));
        let table = table.unwrap_or_default();
        let names = &self.outbox.fields;
        let mut columns = String::new();
        let mut wanted = Vec::new();
        for name in five(names) {
            wanted.push(format!("({}, NULL)", literal(name)));
        }
        let own = (!self.has(CREATED_AT)).then_some((CREATED_AT, FieldKind::Time));
        let fields = self.named(|_| true);
        let fields = fields
            .map(|field| (field.name.as_str(), field.kind))
            .chain(own);
        for (name, kind) in fields {
            let definition = definition(kind);
            columns += &format!(",\n    {} {definition}", identifier(name));
            if name != CREATED_AT || self.has(CREATED_AT) {
                wanted.push(format!("({}, {})", literal(name), literal(definition)));
            }
        }
        columns += ",\n    -- By which outbox_clean() tells what is published.";
        columns += &format!("\n    {TRANSACTION} {TRANSACTION_TYPE}");
        wanted.push(format!(
            "({}, {})",
            literal(TRANSACTION),
            literal(TRANSACTION_TYPE)
        ));
        let each = |form: &dyn Fn(&str, &Field) -> String| -> String {
            let fields = self.named(|_| true);
            fields
                .map(|field| form(&identifier(&field.name), field))
                .collect()
        };
        vec![
            ("table_text", literal(&table)),
            ("table", table),
            ("columns", columns),
            ("wanted", wanted.join(",\n            ")),
            (
                "fill",
                each(&|name, field| {
                    let value = format!("additional ->> {}", literal(&field.name));
                    match field.kind {
                        FieldKind::Time => {
                            format!("    made.{name} := coalesce({value}, now()::text);\n")
                        }
                        _ => format!("    made.{name} := {value};\n"),
                    }
                }),
            ),
            ("names", each(&|name, _| format!(", {name}"))),
            ("values", each(&|name, _| format!(", made.{name}"))),
            (
                "route_column_rule",
                route_rule(&self.outbox.topic, &identifier(&names.route)),
            ),
        ]
    }

    /// Further members of a message's body.
    fn members(&self) -> String {
        let members = self.named(|kind| kind != FieldKind::Tracing).map(|field| {
            let name = literal(&field.name);
            let value = match field.kind {
                FieldKind::Time if self.outbox.fields.timestamp.as_ref() == Some(&field.name) => format!(
                    "floor(extract(epoch FROM (additional ->> {name})::timestamptz) * 1000)::bigint"
                ),
                FieldKind::Version | FieldKind::Partition => {
                    format!("(additional ->> {name})::int")
                }
                _ => format!("additional -> {name}"),
            };
            format!(",\n        {name}, {value}")
        });
        members.collect()
    }

    fn known(&self, wanted: impl Fn(FieldKind) -> bool) -> String {
        let names: Vec<String> = self.named(wanted).map(|it| literal(&it.name)).collect();
        format!("ARRAY[{}]::text[]", names.join(", "))
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    fn named(&self, wanted: impl Fn(FieldKind) -> bool) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| wanted(field.kind))
    }
}

const TRANSACTION_TYPE: &str = "xid8 NOT NULL DEFAULT pg_current_xact_id()";

fn definition(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Time => "timestamptz NOT NULL DEFAULT now()",
        FieldKind::Version | FieldKind::Partition => "int",
        FieldKind::Tracing | FieldKind::Text => "text",
    }
}

fn five(names: &OutboxFields) -> [&str; 5] {
    [
        &names.id,
        &names.route,
        &names.key,
        &names.kind,
        &names.payload,
    ]
    .map(String::as_str)
}

/// What else the configuration names, each once.
fn fields(outbox: &Outbox, by_message: bool) -> Result<Vec<Field>, InitError> {
    let names = &outbox.fields;
    let mut taken = vec![TRANSACTION];
    taken.extend(by_message.then_some("headers"));
    for name in five(names) {
        if taken.contains(&name) {
            return Err(InitError::Twice(name.to_owned()));
        }
        taken.push(name);
    }
    let mut fields = Vec::new();
    for (name, kind) in [
        (&names.timestamp, FieldKind::Time),
        (&names.schema_version, FieldKind::Version),
        (&names.tracing, FieldKind::Tracing),
    ] {
        let Some(name) = name else { continue };
        if taken.contains(&name.as_str()) {
            return Err(InitError::Twice(name.clone()));
        }
        taken.push(name);
        let name = name.clone();
        fields.push(Field { name, kind });
    }
    for field in &outbox.additional {
        let name = field.field.as_str();
        if taken.contains(&name) {
            continue; // it is there already, and goes to one more place
        }
        taken.push(name);
        let kind = match field.placement {
            Placement::Partition => FieldKind::Partition,
            _ if name == CREATED_AT => FieldKind::Time,
            Placement::Header | Placement::Envelope => FieldKind::Text,
        };
        let name = name.to_owned();
        fields.push(Field { name, kind });
    }
    Ok(fields)
}

/// Whether a value makes a legal name of a topic; where the expression is the user's own, only that
/// there is one.
fn route_rule(topic: &Rewrite, value: &str) -> String {
    const PROBE: &str = "routedByValue";
    let route = Route {
        topic: topic.clone(),
        key: None,
    };
    let made = route.topic(PROBE).unwrap_or_default();
    let (before, after) = made.split_once(PROBE).unwrap_or_default();
    let plain = Rewrite::parse(Outbox::TOPIC_REGEX, &format!("{before}${{{PROBE}}}{after}"));
    if plain.as_ref() != Ok(topic) {
        return format!("{value} <> ''");
    }
    let mut name = value.to_owned();
    if !before.is_empty() {
        name = format!("{} || {name}", literal(before));
    }
    if !after.is_empty() {
        name = format!("{name} || {}", literal(after));
    }
    let mut rule = format!("{value} <> '' AND ({name}) ~ '^[a-zA-Z0-9._-]{{1,249}}$'");
    if before.is_empty() && after.is_empty() {
        rule += &format!(" AND {value} NOT IN ('.', '..')");
    }
    rule
}

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
