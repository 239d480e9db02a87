//! The section `outbox`.

use envelope::{
    AdditionalField, Outbox, OutboxFields, Placement, Rewrite, TablePattern, may_be_header,
};

use super::reader::Reader;

/// None of both: with a problem, or (inside) without an outbox. Events keep out of the progress topic.
pub(super) fn read(reader: &mut Reader<'_>, progress: Option<&str>) -> Option<Option<Outbox>> {
    let is_said = reader.is_set("outbox.table") || reader.is_set("outbox.message.prefix");
    let sources = ["outbox.table", "outbox.message.prefix"];
    let tables = reader.parsed_list(sources[0], TablePattern::parse);
    let prefixes = reader.parsed_list(sources[1], |text| Ok(text.to_owned()));
    let fields = read_fields(reader);
    let additional = reader.parsed_list("outbox.table.fields.additional.placement", placed);
    let missing: Option<String> = reader.word("outbox.table.field.additional.missing");
    let invalid_operation = reader.word("outbox.table.op.invalid.behavior");
    let expand_json = reader.word("outbox.table.expand.json.payload");
    let json_nulls = reader.word("outbox.table.json.payload.null.behavior");
    let replacement = reader.parsed("outbox.route.topic.replacement", |text| Ok(text.to_owned()));
    let replacement = replacement.unwrap_or_default();
    let topic = reader.parsed("outbox.route.topic.regex", |text| {
        Rewrite::parse(text, &replacement)
    });
    let tombstones = reader.word("outbox.route.tombstone.on.empty.payload");
    let keys = reader.word("outbox.key.converter");
    let values = reader.word("outbox.value.converter");
    if !is_said && reader.is_any_set_below("outbox") {
        let origin = reader.origin("outbox");
        let reason = "names no source of events: set outbox.table, outbox.message.prefix, or both";
        reader.report(origin, "outbox", reason);
        return None;
    }
    let outbox = Outbox {
        tables: tables?,
        message_prefixes: prefixes?,
        fields: fields?,
        topic: topic?,
        additional: additional?,
        additional_may_miss: missing?.as_str() == "ignore",
        invalid_operation: invalid_operation?,
        expand_json: expand_json?,
        json_nulls: json_nulls?,
        tombstones: tombstones?,
        keys: keys?,
        values: values?,
        taken_topics: progress.map(str::to_owned).into_iter().collect(),
    };
    Some(is_said.then_some(outbox))
}

/// A further column; none may stand for what consumers know events by.
fn placed(text: &str) -> Result<AdditionalField, String> {
    let field: AdditionalField = text.parse()?;
    match field.placement == Placement::Header && !may_be_header(&field.alias) {
        true => Err(format!(
            "gives a header the name {}, but id and walferry.* are walferry's own; add an alias: \
             column:header:alias",
            field.alias
        )),
        false => Ok(field),
    }
}

fn read_fields(reader: &mut Reader<'_>) -> Option<OutboxFields> {
    let mut name = |path| reader.parsed(path, |text| Ok(text.to_owned()));
    let id = name("outbox.table.field.event.id");
    let key = name("outbox.table.field.event.key");
    let kind = name("outbox.table.field.event.type");
    let payload = name("outbox.table.field.event.payload");
    let route = name("outbox.route.by.field");
    let mut given = |path| match reader.is_set(path) {
        true => reader.parsed(path, |text| Ok(text.to_owned())).map(Some),
        false => Some(None),
    };
    let timestamp = given("outbox.table.field.event.timestamp");
    let schema_version = given("outbox.table.field.event.schema.version");
    let is_told = reader.is_set("outbox.tracing.span.context.field");
    let tracing = reader.parsed("outbox.tracing.span.context.field", |text| {
        Ok(is_told.then(|| text.to_owned()))
    });
    Some(OutboxFields {
        id: id?,
        key: key?,
        kind: kind?,
        payload: payload?,
        route: route?,
        timestamp: timestamp?,
        schema_version: schema_version?,
        tracing: tracing?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_further_column_takes_the_name_of_the_events_identity() {
        assert!(placed("id:header").unwrap_err().contains("add an alias"));
        assert!(placed("x:header:walferry.id").is_err());
        for fine in [
            "id:header:eventId",
            "id:envelope",
            "x:envelope:id",
            "p:partition",
        ] {
            assert!(placed(fine).is_ok(), "{fine}");
        }
    }
}
