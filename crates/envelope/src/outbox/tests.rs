//! What the oracle's cases cannot show, since Debezium has nothing of the kind, or stops.

use pgoutput::{
    Cell, ColumnsBuf, CommitLsn, LogicalMessage, Lsn, OldTuple, PgTimestamp, Relation,
    RelationColumn, ReplicaIdentity, TupleBuf,
};

use super::{InvalidOperation, JsonNulls, Outbox, OutboxFields, OutboxForm};
use crate::{
    Compatibility, Context, EncodeErrorKind, Encoder, FailureHandling, Operation, Options, Records,
    RelationDetails, Rewrite, SkippedOperations, SnapshotMark, Table, TablePattern,
};

fn outbox() -> Outbox {
    let name = str::to_owned;
    Outbox {
        tables: vec![TablePattern::parse("public.outbox").unwrap()],
        message_prefixes: vec![name("outbox")],
        fields: OutboxFields {
            id: name("id"),
            key: name("aggregateid"),
            kind: name("type"),
            payload: name("payload"),
            route: name("aggregatetype"),
            timestamp: None,
            schema_version: None,
            tracing: None,
        },
        topic: Rewrite::parse(Outbox::TOPIC_REGEX, "${routedByValue}").unwrap(),
        additional: Vec::new(),
        additional_may_miss: false,
        invalid_operation: InvalidOperation::Warn,
        expand_json: false,
        json_nulls: JsonNulls::Ignore,
        tombstones: false,
        keys: OutboxForm::String,
        values: OutboxForm::String,
        taken_topics: vec![name("progress")],
    }
}

fn options(change: impl FnOnce(&mut Outbox)) -> Options {
    let mut outbox = outbox();
    change(&mut outbox);
    Options {
        outbox: Some(outbox),
        ..Options::new("srv", "shop")
    }
}

fn context() -> Context<'static> {
    Context {
        epoch: 1,
        commit_lsn: CommitLsn(Lsn::new(0x10)),
        commit_time: PgTimestamp(0),
        xid: 7,
        data_start: Lsn::new(0x8),
        origin: None,
        snapshot: SnapshotMark::Streaming,
        first_ordinal: 0,
        now_unix_nanos: 0,
    }
}

/// A table of texts.
fn table(columns: &[&'static str], options: &Options) -> Table {
    let columns_buf: ColumnsBuf = columns
        .iter()
        .map(|name| RelationColumn {
            in_identity: false,
            name,
            type_oid: 25,
            type_modifier: -1,
        })
        .collect();
    let relation = Relation {
        oid: 1,
        schema: "public",
        name: "outbox",
        replica_identity: ReplicaIdentity::Default,
        columns: columns_buf.columns(),
    };
    Table::new(&relation, &RelationDetails::default(), options)
}

const COLUMNS: [&str; 4] = ["id", "aggregatetype", "aggregateid", "payload"];

/// A row of these texts; NULL is null.
fn row(texts: &[&str]) -> TupleBuf {
    let cells = texts.iter().map(|text| match *text {
        "NULL" => Cell::Null,
        text => Cell::Text(text.as_bytes()),
    });
    cells.collect()
}

fn inserted(
    options: &Options,
    columns: &[&'static str],
    texts: &[&str],
) -> Result<Records, EncodeErrorKind> {
    let mut out = Records::new();
    let mut encoder = Encoder::new(options.clone());
    let table = table(columns, options);
    let done = encoder.insert(&table, &context(), row(texts).tuple(), &mut out);
    done.map(|()| out).map_err(|error| error.kind)
}

fn emitted(options: &Options, body: &str) -> Result<Records, EncodeErrorKind> {
    let mut out = Records::new();
    let message = LogicalMessage {
        transactional: true,
        lsn: Lsn::new(0x8),
        prefix: "outbox",
        content: body.as_bytes(),
    };
    let done = Encoder::new(options.clone()).logical_message(&context(), &message, &mut out);
    done.map(|()| out).map_err(|error| error.kind)
}

fn value(records: &Records) -> String {
    let record = records.get(0).unwrap();
    String::from_utf8(record.value.unwrap_or(b"none").to_vec()).unwrap()
}

fn headers(records: &Records) -> Vec<(String, String)> {
    let record = records.get(0).unwrap();
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or(b"null").to_vec()).unwrap();
    let headers = record.headers.iter();
    headers
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// A body with further members.
fn body(more: &str) -> String {
    format!(r#"{{"id":"1","aggregatetype":"order","aggregateid":"7"{more}}}"#)
}

#[test]
fn what_is_skipped_of_tables_is_not_skipped_of_an_outbox() {
    let mut options = options(|_| {});
    options.skipped_operations = SkippedOperations {
        create: true,
        update: true,
        delete: true,
        truncate: true,
    };
    let row = ["1", "order", "7", "{}"];
    assert_eq!(inserted(&options, &COLUMNS, &row).unwrap().len(), 1);
    let table = table(&COLUMNS, &options);
    let mut encoder = Encoder::new(options);
    let mut out = Records::new();
    encoder.truncate(&table, &context(), &mut out).unwrap();
    assert_eq!(encoder.take_ignored(), Some(1), "a truncate is counted");
    let row = self::row(&row);
    encoder
        .update(&table, &context(), None, row.tuple(), &mut out)
        .unwrap();
    assert_eq!(encoder.take_ignored(), Some(1), "an update is counted");
    let old = OldTuple::Full(row.tuple());
    encoder.delete(&table, &context(), old, &mut out).unwrap();
    assert_eq!(encoder.take_ignored(), None, "a delete is cleaning up");
    assert!(out.is_empty());
}

#[test]
fn a_truncate_stops_where_that_is_asked_for() {
    let options = options(|outbox| outbox.invalid_operation = InvalidOperation::Fatal);
    let table = table(&COLUMNS, &options);
    let mut encoder = Encoder::new(options);
    let done = encoder.truncate(&table, &context(), &mut Records::new());
    assert_eq!(done.unwrap_err().kind, EncodeErrorKind::OutboxOperation);
}

#[test]
fn no_header_stands_for_the_events_identity() {
    let plain = options(|_| {});
    for name in ["id", "walferry.id", "walferry.unavailable"] {
        let of_message = body(&format!(r#","headers":{{"{name}":"x"}}"#));
        let done = emitted(&plain, &of_message).unwrap_err();
        assert_eq!(done, EncodeErrorKind::OutboxHeaderName, "{name}");
        let alias = options(|outbox| {
            outbox.additional = vec![format!("payload:header:{name}").parse().unwrap()];
        });
        let row = ["1", "order", "7", "{}"];
        let done = inserted(&alias, &COLUMNS, &row).unwrap_err();
        assert_eq!(done, EncodeErrorKind::OutboxHeaderName, "{name}");
        let columns = [
            "id",
            "aggregatetype",
            "aggregateid",
            "payload",
            "tracingspancontext",
        ];
        let row = ["1", "order", "7", "{}", &format!("{name}=x")];
        let done = inserted(&plain, &columns, &row).unwrap_err();
        assert_eq!(done, EncodeErrorKind::OutboxHeaderName, "{name}");
    }
    let kept = emitted(&plain, &body(r#","headers":{"ID":"x","walferry":"y"}"#)).unwrap();
    let expected = [("id", "1"), ("ID", "x"), ("walferry", "y")];
    assert_eq!(headers(&kept), pairs(&expected));
}

#[test]
fn no_route_leads_into_walferrys_own_topics_or_a_captured_tables() {
    let options = options(|_| {});
    let of = |route: &str| body("").replace("order", route);
    for topic in [
        "progress",
        "srv.dead-letter",
        "srv.transaction",
        "srv.message",
        "__debezium-heartbeat.srv",
    ] {
        let done = emitted(&options, &of(topic)).unwrap_err();
        assert_eq!(done, EncodeErrorKind::OutboxTopicTaken, "{topic}");
        let row = ["1", topic, "7", "{}"];
        let done = inserted(&options, &COLUMNS, &row).unwrap_err();
        assert_eq!(done, EncodeErrorKind::OutboxTopicTaken, "{topic}");
    }
    // A table may come to be captured later.
    let mut encoder = Encoder::new(options.clone());
    let table = table(&COLUMNS, &options);
    let row = row(&["1", "srv.public.users", "7", "{}"]);
    let insert = |encoder: &mut Encoder| {
        encoder.insert(&table, &context(), row.tuple(), &mut Records::new())
    };
    insert(&mut encoder).unwrap();
    encoder.take_topic("srv.public.users");
    let done = insert(&mut encoder).unwrap_err().kind;
    assert_eq!(done, EncodeErrorKind::OutboxTopicTaken);
}

#[test]
fn an_event_has_an_id_that_is_not_empty() {
    let options = options(|_| {});
    let done = inserted(&options, &COLUMNS, &["", "order", "7", "{}"]).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxEmptyId);
    let done = emitted(&options, &body("").replace('1', "")).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxEmptyId);
}

#[test]
fn a_partition_is_a_number_that_kafka_has() {
    let columns = ["id", "aggregatetype", "aggregateid", "payload", "p"];
    let placed = options(|outbox| outbox.additional = vec!["p:partition".parse().unwrap()]);
    let of = |number: &str| inserted(&placed, &columns, &["1", "order", "7", "{}", number]);
    let partition = |records: &Records| records.get(0).unwrap().partition;
    assert_eq!(partition(&of("2147483647").unwrap()), Some(2_147_483_647));
    assert_eq!(partition(&of("NULL").unwrap()), None);
    let emit = |number: &str| emitted(&placed, &body(&format!(r#","p":{number}"#)));
    assert_eq!(partition(&emit("3").unwrap()), Some(3));
    for number in ["2147483648", "-1", "1.5", "x"] {
        let kind = EncodeErrorKind::OutboxPartition;
        assert_eq!(of(number).unwrap_err(), kind, "{number}");
        assert_eq!(
            emit(&format!("\"{number}\"")).unwrap_err(),
            kind,
            "{number}"
        );
    }
}

#[test]
fn times_and_versions_are_what_they_say() {
    let options = options(|outbox| {
        outbox.fields.timestamp = Some("at".to_owned());
        outbox.fields.schema_version = Some("v".to_owned());
    });
    let columns = ["id", "aggregatetype", "aggregateid", "payload", "at", "v"];
    let of = |at: &str, version: &str| {
        inserted(&options, &columns, &["1", "order", "7", "{}", at, version])
    };
    let time = |records: &Records| records.get(0).unwrap().timestamp;
    assert_eq!(
        time(&of("1970-01-01 00:00:01+00", "3").unwrap()),
        Some(1_000)
    );
    assert_eq!(time(&of("NULL", "NULL").unwrap()), None);
    for at in ["infinity", "tomorrow"] {
        assert_eq!(
            of(at, "3").unwrap_err(),
            EncodeErrorKind::OutboxTimestamp,
            "{at}"
        );
    }
    assert_eq!(
        of("NULL", "1.2").unwrap_err(),
        EncodeErrorKind::OutboxVersion
    );
    let done = emitted(&options, &body(r#","at":"soon""#)).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxTimestamp);
    let done = emitted(&options, &body(r#","v":"x""#)).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxVersion);
}

#[test]
fn json_of_a_message_is_written_as_it_is() {
    let json = r#"{"a":null,"b":[],"c":{"d":null},"e":[1,"x"]}"#;
    let member = body(&format!(r#","payload":{json}"#));
    for compatibility in [Compatibility::Lossless, Compatibility::Debezium] {
        for values in [OutboxForm::String, OutboxForm::Json] {
            let mut options = options(|outbox| outbox.values = values);
            options.compatibility = compatibility;
            let told = value(&emitted(&options, &member).unwrap());
            assert_eq!(told, json, "{compatibility} {values}");
        }
    }
}

#[test]
fn a_payload_that_is_to_be_expanded_is_json() {
    let options = options(|outbox| {
        outbox.expand_json = true;
        outbox.values = OutboxForm::Json;
    });
    let of = |payload: &str| inserted(&options, &COLUMNS, &["1", "order", "7", payload]);
    assert_eq!(
        value(&of(r#"{"a": [1, null]}"#).unwrap()),
        r#"{"a":[1,null]}"#
    );
    assert_eq!(of("no JSON").unwrap_err(), EncodeErrorKind::OutboxNotJson);
    let done = emitted(&options, &body(r#","payload":"no JSON""#)).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxNotJson);
}

#[test]
fn a_missing_column_is_told_unless_it_may_miss() {
    let placed = |may_miss| {
        options(|outbox| {
            outbox.additional = vec!["gone:header".parse().unwrap()];
            outbox.additional_may_miss = may_miss;
        })
    };
    let row = ["1", "order", "7", "{}"];
    let option = "table.fields.additional.placement";
    let kind = EncodeErrorKind::OutboxColumn { option };
    assert_eq!(inserted(&placed(false), &COLUMNS, &row).unwrap_err(), kind);
    assert_eq!(emitted(&placed(false), &body("")).unwrap_err(), kind);
    assert_eq!(inserted(&placed(true), &COLUMNS, &row).unwrap().len(), 1);
    assert_eq!(emitted(&placed(true), &body("")).unwrap().len(), 1);
}

#[test]
fn a_spans_context_is_looked_for_by_its_usual_name() {
    let columns = [
        "id",
        "aggregatetype",
        "aggregateid",
        "payload",
        "tracingspancontext",
    ];
    let row = ["1", "order", "7", "{}", "#then\ntraceparent=00-a\\:b\n"];
    let expected = pairs(&[("id", "1"), ("traceparent", "00-a:b")]);
    let plain = options(|_| {});
    assert_eq!(
        headers(&inserted(&plain, &columns, &row).unwrap()),
        expected
    );
    let of_message = body(r#","tracingspancontext":"traceparent=00-a\\:b""#);
    assert_eq!(headers(&emitted(&plain, &of_message).unwrap()), expected);
    // Who names another column has it.
    let option = "tracing.span.context.field";
    let named = options(|outbox| outbox.fields.tracing = Some("span".to_owned()));
    let done = inserted(&named, &columns, &row).unwrap_err();
    assert_eq!(done, EncodeErrorKind::OutboxColumn { option });
}

#[test]
fn a_value_that_the_expression_does_not_match_is_the_topics_name() {
    let options = options(|outbox| {
        outbox.topic =
            Rewrite::parse("(?<first>[a-z]+)-(?<second>[a-z]+)", "${second}.${first}").unwrap();
    });
    for (route, topic) in [("a-b", "b.a"), ("a-b-c", "a-b-c"), ("plain", "plain")] {
        let records = inserted(&options, &COLUMNS, &["1", route, "7", "{}"]).unwrap();
        assert_eq!(records.get(0).unwrap().topic, topic);
    }
}

#[test]
fn what_is_malformed_can_be_kept_aside_whatever_it_is() {
    let mut options = options(|_| {});
    options.failures = FailureHandling::DeadLetter;
    let mut refused: Vec<Records> = ["", "srv.message", "a b"]
        .map(|route| inserted(&options, &COLUMNS, &["1", route, "7", "{}"]).unwrap())
        .into();
    refused.push(inserted(&options, &COLUMNS, &["", "order", "7", "{}"]).unwrap());
    refused.push(emitted(&options, &body(r#","headers":{"id":"2"}"#)).unwrap());
    for records in &refused {
        let record = records.get(0).unwrap();
        assert_eq!(
            (records.len(), record.operation),
            (1, Operation::DeadLetter)
        );
        assert_eq!(record.topic, "srv.dead-letter");
    }
}
