//! What five majors of Postgres really sent, as text a person can check against the scenario's SQL
//! (`testdata/scenarios`). Encoding what was decoded gives the server's bytes again.
//!
//! After a new capture: `UPDATE_EXPECT=1 cargo test -p walferry-pgoutput --test golden`, then read
//! the difference.

mod testdata;

use std::fmt::Write;

use expect_test::expect_file;
use pgoutput::{Cell, CopyRow, Message, OldTuple, Truncate, Tuple};
use testdata::golden;

const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

#[test]
fn every_major_reads_as_expected() {
    for major in MAJORS {
        let files = golden(major);
        assert!(
            files.len() >= 11,
            "pg{major} has only {} files",
            files.len()
        );
        for file in files {
            assert!(file.messages.len() >= 5, "{}", file.path.display());
            let mut text = String::new();
            for bytes in &file.messages {
                match file.scenario() {
                    "copy" => copy_line(&mut text, bytes),
                    _ => message_line(&mut text, bytes),
                }
            }
            expect_file![file.path.with_extension("txt")].assert_eq(&text);
        }
    }
}

#[test]
fn only_the_messages_of_options_never_asked_for_are_refused() {
    for major in MAJORS {
        for file in golden(major) {
            let refused = |bytes: &&Vec<u8>| Message::decode(bytes).is_err();
            let refused: Vec<_> = file.messages.iter().filter(refused).map(|m| m[0]).collect();
            match file.scenario() {
                "copy" => {}
                "streaming" => assert_eq!(refused.len(), file.messages.len()),
                scenario => assert_eq!(refused, b"", "pg{major} {scenario}"),
            }
        }
    }
}

fn message_line(text: &mut String, bytes: &[u8]) {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => return writeln!(text, "refused: {error}").expect("a string"),
    };
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(again, bytes, "{message:?}");
    line(text, &message).expect("a string");
}

fn line(text: &mut String, message: &Message<'_>) -> std::fmt::Result {
    match message {
        Message::Logical(message) => writeln!(
            text,
            "message {:?} {} transactional={} {}",
            message.prefix,
            message.lsn,
            message.transactional,
            message.content.escape_ascii()
        ),
        Message::BeginPrepare(prepared) => writeln!(text, "begin prepare {:?}", prepared.gid),
        Message::Prepare(prepared) => writeln!(text, "prepare {:?}", prepared.gid),
        Message::CommitPrepared(prepared) => writeln!(text, "commit prepared {:?}", prepared.gid),
        Message::RollbackPrepared(prepared) => {
            writeln!(text, "rollback prepared {:?}", prepared.gid)
        }
        _ => line_of_one_phase(text, message),
    }
}

fn line_of_one_phase(text: &mut String, message: &Message<'_>) -> std::fmt::Result {
    match message {
        Message::Begin(begin) => writeln!(
            text,
            "begin {} at {} xid {}",
            begin.commit_lsn,
            begin.commit_time.unix_micros(),
            begin.xid
        ),
        Message::Commit(commit) => writeln!(
            text,
            "commit {} end {} at {}",
            commit.commit_lsn,
            commit.end_lsn,
            commit.commit_time.unix_micros()
        ),
        Message::Origin(origin) => writeln!(text, "origin {:?} {}", origin.name, origin.origin_lsn),
        Message::Type(name) => {
            writeln!(text, "type {} {:?} {:?}", name.oid, name.schema, name.name)
        }
        Message::Relation(relation) => {
            let (oid, schema, name) = (relation.oid, relation.schema, relation.name);
            writeln!(
                text,
                "relation {oid} {schema:?} {name:?} {:?}",
                relation.replica_identity
            )?;
            relation.columns.iter().try_for_each(|column| {
                let key = if column.in_identity { "identity" } else { "" };
                let (name, oid, modifier) = (column.name, column.type_oid, column.type_modifier);
                writeln!(text, "    {name:?} {oid} {modifier} {key}")
            })
        }
        Message::Insert(insert) => {
            writeln!(text, "insert {} {}", insert.relation, cells(insert.new))
        }
        Message::Update(update) => {
            let old = update
                .old
                .as_ref()
                .map(|row| old(row) + " -> ")
                .unwrap_or_default();
            writeln!(
                text,
                "update {} {old}{}",
                update.relation,
                cells(update.new)
            )
        }
        Message::Delete(delete) => {
            writeln!(text, "delete {} {}", delete.relation, old(&delete.old))
        }
        Message::Truncate(Truncate {
            cascade,
            restart_identity,
            relations,
        }) => {
            writeln!(
                text,
                "truncate {relations:?} cascade={cascade} restart={restart_identity}"
            )
        }
        _ => Ok(()),
    }
}

fn copy_line(text: &mut String, bytes: &[u8]) {
    let mut copy = CopyRow::new();
    let row = copy
        .decode(bytes, 5)
        .expect("a row as the server writes it");
    writeln!(text, "row {}", cells(row)).expect("a string");
}

fn old(old: &OldTuple<'_>) -> String {
    match old {
        OldTuple::Key(tuple) => format!("key {}", cells(*tuple)),
        OldTuple::Full(tuple) => format!("full {}", cells(*tuple)),
    }
}

fn cells(tuple: Tuple<'_>) -> String {
    let cell = |cell: Cell<'_>| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Unchanged => "unchanged".to_owned(),
        Cell::Text(value) => match std::str::from_utf8(value) {
            Ok(text) if text.len() > 100 => format!("{:?}… {} bytes", &text[..10], text.len()),
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("bytes {}", value.escape_ascii()),
        },
        Cell::Binary(value) => format!("binary {}", value.escape_ascii()),
    };
    format!(
        "({})",
        tuple.cells().map(cell).collect::<Vec<_>>().join(", ")
    )
}
