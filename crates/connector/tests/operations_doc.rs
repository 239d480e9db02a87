//! `docs/operations.md` says what the program says: exit codes, halts, findings, metrics.
//!
//! Regenerate the tables with `UPDATE_DOCS=1 cargo test -p walferry --test operations_doc`. The
//! table of findings is written by hand; that it names each of them, and no others, is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use connector::exit::Exit;
use connector::halt::Halt;
use connector::telemetry::{
    Peer, Reading, SlotHealth, Stage, TableCounts, TableProgress, Telemetry, WalStatus, exposition,
};
use envelope::Operation;
use pgoutput::Lsn;

#[test]
fn the_generated_parts_are_what_the_program_says() {
    let path = page();
    let found = fs::read_to_string(&path).unwrap();
    let mut wanted = found.clone();
    for (name, text) in [
        ("exit codes", exits()),
        ("halts", halts()),
        ("metrics", metrics()),
    ] {
        wanted = replaced(&wanted, name, &text);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        found == wanted,
        "docs/operations.md is not what the program says; run \
         UPDATE_DOCS=1 cargo test -p walferry --test operations_doc"
    );
}

#[test]
fn every_finding_is_listed_and_no_other() {
    let page = fs::read_to_string(page()).unwrap();
    let listed: BTreeSet<&str> = section(&page, "findings")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let source = findings_in_the_source();
    let listed: BTreeSet<String> = listed.into_iter().map(str::to_owned).collect();
    assert!(listed.len() > 40, "{listed:?}");
    assert_eq!(listed, source);
}

/// What is generated for nobody to read would not be noticed if it were empty.
#[test]
fn the_metrics_are_all_shown() {
    let rows = metrics();
    for name in [
        "walferry_lag_seconds",
        "walferry_events_total",
        "walferry_slot_safe_wal_bytes",
        "walferry_broker_up",
    ] {
        assert!(rows.contains(&format!("| `{name}` |")), "{name}:\n{rows}");
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md")
}

/// What stands between the section's markers.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let (begin, end) = markers(name);
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{begin}"));
    let (inside, _) = rest.split_once(&end).unwrap_or_else(|| panic!("{end}"));
    inside
}

fn replaced(page: &str, name: &str, text: &str) -> String {
    let inside = section(page, name);
    let (begin, end) = markers(name);
    page.replace(
        &format!("{begin}{inside}{end}"),
        &format!("{begin}\n{text}\n{end}"),
    )
}

/// The table of findings is the one that nobody generates.
fn markers(name: &str) -> (String, String) {
    let how = if name == "findings" {
        "tested"
    } else {
        "generated"
    };
    (
        format!("<!-- {how}: {name} -->\n"),
        format!("<!-- end of {name} -->\n"),
    )
}

fn exits() -> String {
    let mut out = String::from("| code | meaning |\n|---|---|\n");
    for exit in Exit::all() {
        let name = match exit {
            Exit::Halted(halt) => format!("[`{halt}`](#{}): ", anchor(halt)),
            _ => String::new(),
        };
        let _ = writeln!(out, "| {} | {name}{} |", exit.code(), exit.meaning());
    }
    out
}

fn anchor(halt: Halt) -> String {
    halt.code().to_lowercase()
}

fn halts() -> String {
    let mut out = String::new();
    for halt in Halt::all() {
        let _ = write!(
            out,
            "### {halt}\n\nExit {}: {}.\n\n",
            halt.exit_code(),
            halt.title()
        );
        for choice in halt.choices() {
            let _ = writeln!(out, "- {choice}");
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// One row a metric, from the text that Prometheus reads.
fn metrics() -> String {
    let text = exposition(&everything());
    let (mut help, mut kind) = (BTreeMap::new(), BTreeMap::new());
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').unwrap();
            help.insert(name.to_owned(), text.trim_end_matches('.').to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').unwrap();
            kind.insert(name.to_owned(), word.to_owned());
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Vec<String> = labels
                .trim_end_matches('}')
                .split(',')
                .filter_map(|label| Some(format!("`{}`", label.split_once('=')?.0)))
                .collect();
            rows.push((name.to_owned(), labels.join(", ")));
        }
    }
    rows.dedup();
    let mut out = String::from("| metric | type | labels | |\n|---|---|---|---|\n");
    for (name, labels) in rows {
        let family = name.strip_suffix("_total").unwrap_or(&name);
        let _ = writeln!(
            out,
            "| `{name}` | {} | {labels} | {} |",
            kind[family], help[family]
        );
    }
    out
}

/// A run of which everything is known.
fn everything() -> Telemetry {
    let telemetry = Telemetry::new("shop");
    telemetry.enter(Stage::Streaming, None);
    telemetry.report(Reading {
        tables: vec![TableCounts {
            table: "public.users".into(),
            counts: [(Operation::Create, 1)].into_iter().collect(),
        }],
        ..Reading::default()
    });
    telemetry.count_retry(Peer::Kafka);
    let table = TableProgress {
        table: "public.users".to_owned(),
        pieces: 2,
        ..TableProgress::default()
    };
    telemetry.snapshot().begin(vec![table]);
    telemetry.snapshot().read_piece(0);
    let slot = SlotHealth {
        name: "walferry_shop".to_owned(),
        wal_status: WalStatus::Reserved,
        retained_bytes: 1,
        safe_wal_bytes: Some(1),
    };
    telemetry.slot(Some(slot), Lsn::new(1), Lsn::new(1));
    telemetry.producer(r#"{"brokers":{"b/1":{"nodeid":1,"nodename":"b:9092","state":"UP"}}}"#);
    telemetry
}

/// Every code is a literal in capitals where it is made: in the files of `preflight`.
fn findings_in_the_source() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/preflight");
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let (product, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        // Comments speak of codes, and quotes would pair wrongly over an apostrophe in them.
        let lines = product
            .lines()
            .filter(|line| !line.trim().starts_with("//"));
        for line in lines {
            codes.extend(line.split('"').skip(1).step_by(2).filter_map(code));
        }
    }
    codes
}

fn code(literal: &str) -> Option<String> {
    // An encoding, and the beginning of several codes.
    let other = matches!(literal, "SQL_ASCII" | "TOPIC_");
    let in_capitals =
        literal.len() > 5 && literal.bytes().all(|b| b == b'_' || b.is_ascii_uppercase());
    (in_capitals && !other).then(|| literal.to_owned())
}
