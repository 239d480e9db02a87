//! `docs/debezium-compatibility.md` lists every difference that the oracle's cases show, and what
//! they wait for.
//!
//! Regenerate with `UPDATE_DOCS=1 cargo test -p xtask --test compatibility`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use xtask::workspace_root;

const BEGIN: &str = "<!-- from tests/oracle -->\n";
const END: &str = "<!-- to here -->\n";

#[test]
fn the_page_lists_each_difference_with_its_cases() {
    let root = workspace_root();
    let path = root.join("docs/debezium-compatibility.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the list's beginning");
    let (found, tail) = rest.split_once(END).expect("the list's end");
    let read = |name: &str| {
        fs::read_to_string(root.join("tests/oracle").join(name)).expect("the oracle's list")
    };
    let wanted = render(&read("differences.txt"), &read("pending.txt"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).expect("the page");
        return;
    }
    assert!(
        found == wanted,
        "docs/debezium-compatibility.md is not what tests/oracle says; run \
         UPDATE_DOCS=1 cargo test -p xtask --test compatibility"
    );
}

fn render(differences: &str, pending: &str) -> String {
    let mut rows: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    let mut row = None;
    // The head of the list explains itself, up to an empty line.
    let lines = differences.lines().skip_while(|line| !line.is_empty());
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(reason) = line.strip_prefix("# ") {
            let known = rows.iter().position(|(known, _)| *known == reason);
            row = Some(known.unwrap_or(rows.len()));
            if known.is_none() {
                rows.push((reason, BTreeSet::new()));
            }
            continue;
        }
        let row = row.expect("each difference has a reason above it");
        rows[row].1.extend(line.split('\t').next());
    }
    let mut text = String::from("\n| Debezium 3.6.3 | walferry | cases |\n|---|---|---|\n");
    for (reason, cases) in &rows {
        let parts = reason.split_once(": ");
        let (theirs, ours) = parts.unwrap_or_else(|| panic!("`{reason}` tells no two sides"));
        let cases: Vec<String> = cases.iter().map(|case| format!("`{case}`")).collect();
        let ours = ours.trim_end_matches('.');
        // A String: cannot fail.
        let _ = writeln!(text, "| {theirs} | {ours} | {} |", cases.join(", "));
    }
    if !pending.is_empty() {
        text.push_str("\nCases that wait:\n\n");
    }
    for line in pending.lines() {
        let (case, what) = line.split_once(": ").expect("NAME: what is missing");
        let _ = writeln!(text, "- `{case}`: {what}");
    }
    text.push('\n');
    text
}
