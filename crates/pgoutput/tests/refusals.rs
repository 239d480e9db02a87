//! What each kind of damage is called, and where; and that no row value is ever told.

use std::fmt::Write;

use expect_test::expect;
use pgoutput::{Cell, CopyRow, Insert, LogicalMessage, Lsn, Message, ServerMessage, TupleBuf};

#[test]
fn messages_are_refused_by_field_and_offset() {
    let cases: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("unknown type byte", b"Z"),
        ("begin cut short", b"B\0\0\0\0\0\0\0\x01\0\0"),
        (
            "commit with flags",
            b"C\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        ("origin without NUL", b"O\0\0\0\0\0\0\0\x01name"),
        ("type that is not UTF-8", b"Y\0\0\0\x01public\0caf\xE9\0"),
        ("identity of another age", b"R\0\0\0\x01public\0t\0x\0\0"),
        (
            "65535 columns, one there",
            b"R\0\0\0\x01public\0t\0d\xFF\xFF\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF",
        ),
        (
            "column with unknown flags",
            b"R\0\0\0\x01public\0t\0d\0\x01\x02id\0\0\0\0\x17\xFF\xFF\xFF\xFF",
        ),
        ("insert of an old tuple", b"I\0\0\0\x01K\0\0"),
        ("unknown cell", b"I\0\0\0\x01N\0\x01x"),
        ("cell of 4 GiB", b"I\0\0\0\x01N\0\x01t\xFF\xFF\xFF\xFFabc"),
        ("update without a new tuple", b"U\0\0\0\x01K\0\x01n"),
        ("update with two old tuples", b"U\0\0\0\x01K\0\0K\0\0"),
        ("delete of a new tuple", b"D\0\0\0\x01N\0\0"),
        ("delete with bytes left over", b"D\0\0\0\x01K\0\0nn"),
        (
            "truncate of four billion tables",
            b"T\xFF\xFF\xFF\xFF\0\0\0\0\x01",
        ),
        ("truncate with unknown flags", b"T\0\0\0\0\x04"),
        (
            "message cut short",
            b"M\0\0\0\0\0\0\0\0\x01prefix\0\0\0\0\x05ab",
        ),
        ("stream start", b"S\0\0\0\x01\x01"),
        ("prepare", b"P"),
    ];
    let mut text = String::new();
    for (case, bytes) in cases {
        let error = Message::decode(bytes).expect_err(case);
        writeln!(text, "{case}: {error}").expect("a string");
    }
    expect![[r#"
        empty: cannot decode pgoutput message: type at byte 0: the message ends: 1 byte(s) needed, 0 left
        unknown type byte: cannot decode pgoutput message: type at byte 0: unknown message 0x5A; is the slot's plugin pgoutput?
        begin cut short: cannot decode Begin: commit_time at byte 9: the message ends: 8 byte(s) needed, 2 left
        commit with flags: cannot decode Commit: flags at byte 1: unknown flags 0x01
        origin without NUL: cannot decode Origin: origin name at byte 9: no terminating NUL
        type that is not UTF-8: cannot decode Type: name at byte 12: not UTF-8; is the database's encoding SQL_ASCII?
        identity of another age: cannot decode Relation: replica identity at byte 14: unknown tag 0x78
        65535 columns, one there: cannot decode Relation: column flags at byte 29: the message ends: 1 byte(s) needed, 0 left
        column with unknown flags: cannot decode Relation: column flags at byte 17: unknown flags 0x02
        insert of an old tuple: cannot decode Insert: tuple kind at byte 5: unknown tag 0x4B
        unknown cell: cannot decode Insert: cell kind at byte 8: unknown tag 0x78
        cell of 4 GiB: cannot decode Insert: cell at byte 13: the message ends: 4294967295 byte(s) needed, 3 left
        update without a new tuple: cannot decode Update: tuple kind at byte 9: the message ends: 1 byte(s) needed, 0 left
        update with two old tuples: cannot decode Update: tuple kind at byte 8: unknown tag 0x4B
        delete of a new tuple: cannot decode Delete: tuple kind at byte 5: unknown tag 0x4E
        delete with bytes left over: cannot decode Delete: end at byte 8: 2 byte(s) left over
        truncate of four billion tables: cannot decode Truncate: relations at byte 6: the message ends: 17179869180 byte(s) needed, 4 left
        truncate with unknown flags: cannot decode Truncate: flags at byte 5: unknown flags 0x04
        message cut short: cannot decode Message: content at byte 21: the message ends: 5 byte(s) needed, 2 left
        stream start: cannot decode pgoutput message: type at byte 0: unexpected message 'S': streaming is off
        prepare: cannot decode Prepare: flags at byte 1: the message ends: 1 byte(s) needed, 0 left
    "#]].assert_eq(&text);
}

#[test]
fn stream_messages_are_refused_by_field_and_offset() {
    let cases: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("status update from the server", b"r"),
        (
            "header cut short",
            b"w\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0",
        ),
        (
            "keepalive with bytes left over",
            b"k\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0",
        ),
        (
            "keepalive that asks twice",
            b"k\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x02",
        ),
    ];
    let mut text = String::new();
    for (case, bytes) in cases {
        let error = ServerMessage::decode(bytes).expect_err(case);
        writeln!(text, "{case}: {error}").expect("a string");
    }
    expect![[r#"
        empty: cannot decode replication message: type at byte 0: the message ends: 1 byte(s) needed, 0 left
        status update from the server: cannot decode replication message: type at byte 0: unknown message 0x72; is the slot's plugin pgoutput?
        header cut short: cannot decode XLogData: send_time at byte 17: the message ends: 8 byte(s) needed, 3 left
        keepalive with bytes left over: cannot decode Keepalive: end at byte 18: 1 byte(s) left over
        keepalive that asks twice: cannot decode Keepalive: reply_requested at byte 17: unknown flags 0x02
    "#]].assert_eq(&text);
}

#[test]
fn copy_rows_are_refused_by_field_and_offset() {
    let cases: &[(&str, &[u8])] = &[
        ("a column too few", b"1\tx\n"),
        ("a column too many", b"1\tx\ty\tz\n"),
        ("two rows", b"1\tx\ty\n2\tx\ty\n"),
        ("the end marker", b"\\.\n"),
        ("an octal escape", b"\\101\tx\ty\n"),
        ("NULL with more behind it", b"\\Nx\ty\tz\n"),
        ("a backslash at the end", b"1\tx\ty\\\n"),
    ];
    let mut text = String::new();
    let mut copy = CopyRow::new();
    for (case, line) in cases {
        let error = copy.decode(line, 3).expect_err(case);
        writeln!(text, "{case}: {error}").expect("a string");
    }
    expect![[r#"
        a column too few: cannot decode COPY row: columns at byte 3: 3 columns expected, 2 found
        a column too many: cannot decode COPY row: columns at byte 6: 3 columns expected, 4 found
        two rows: cannot decode COPY row: delimiter at byte 5: a line feed inside the row
        the end marker: cannot decode COPY row: escape at byte 0: unknown escape \0x2E
        an octal escape: cannot decode COPY row: escape at byte 0: unknown escape \0x31
        NULL with more behind it: cannot decode COPY row: escape at byte 0: unknown escape \0x4E
        a backslash at the end: cannot decode COPY row: escape at byte 6: the message ends: 1 byte(s) needed, 0 left
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_copy_row_of_no_columns_is_an_empty_line() {
    let mut copy = CopyRow::new();
    assert_eq!(copy.decode(b"\n", 0).map(|row| row.len()), Ok(0));
    assert!(copy.decode(b"x\n", 0).is_err());
    let one = copy
        .decode(b"\n", 1)
        .map(|row| row.cells().eq([Cell::Text(b"")]));
    assert_eq!(one, Ok(true), "one column: an empty text");
}

#[test]
fn debug_tells_no_values() {
    let row: TupleBuf = [Cell::Text(b"canary"), Cell::Binary(b"canary"), Cell::Null]
        .into_iter()
        .collect();
    let insert = Message::Insert(Insert {
        relation: 1,
        new: row.tuple(),
    });
    let message = Message::Logical(LogicalMessage {
        transactional: true,
        lsn: Lsn::new(1),
        prefix: "outbox",
        content: b"canary",
    });
    expect![[r#"
        Insert(Insert { relation: 1, new: [Text(6 bytes), Binary(6 bytes), Null] })
        Logical(LogicalMessage { transactional: true, lsn: 0/1, prefix: "outbox", content_bytes: 6 })"#]].assert_eq(&format!("{insert:?}\n{message:?}"));
}
