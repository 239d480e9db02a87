//! The check against a real Postgres: each finding appears, its SQL runs as printed, and then it is
//! gone.
//!
//! Needs `WALFERRY_TEST_POSTGRES_BIN`, the directory of `initdb`, `pg_ctl` and `postgres`; skips
//! itself without. Remedies are run by a superuser, as their reader would.

mod choice;
mod identities;
mod partitions;
mod parts;
mod plan;
mod publication;
mod rights;
mod server;
mod settings;
mod slots;

use connector::preflight::finding::{Finding, Remedy, Severity};
use connector::preflight::wanted::{
    Action, CopyFilter, Create, Part, Partitions, Pattern, Reach, Snapshot, StoredProgress, Wanted,
};
use connector::preflight::{Examination, examine};
use envelope::Compatibility;
use server::Server;
use tokio_postgres::Client;

const LOGICAL: (&str, &str) = ("wal_level", "logical");

/// What a test configures; everything else is as a user would have it.
#[derive(Clone, Copy)]
struct Setup {
    include: &'static [&'static str],
    create: Create,
    partitions: Partitions,
    progress: StoredProgress,
    snapshot: Snapshot,
    /// The list of tables to copy; none for all.
    copied: &'static [&'static str],
    compatibility: Compatibility,
    parts: &'static [(&'static str, Option<&'static str>, &'static [&'static str])],
}

const AUTO: Setup = Setup {
    include: &["public.*"],
    create: Create::Auto,
    partitions: Partitions::Root,
    progress: StoredProgress::Absent,
    snapshot: Snapshot::Initial,
    copied: &[],
    compatibility: Compatibility::Lossless,
    parts: &[],
};
const NEVER: Setup = Setup {
    create: Create::Never,
    ..AUTO
};

fn like(pattern: &str, schema: &str, table: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(wanted) => wanted == schema,
        None => pattern == format!("{schema}.{table}"),
    }
}

/// The part of a table that a test wants published; no columns stand for all.
fn part(parts: &[(&str, Option<&str>, &[&str])], schema: &str, table: &str) -> Option<Part> {
    let mut parts = parts.iter();
    let (_, row_filter, columns) = parts.find(|(pattern, ..)| like(pattern, schema, table))?;
    Some(Part {
        row_filter: row_filter.map(str::to_owned),
        columns: (!columns.is_empty())
            .then(|| columns.iter().map(|name| (*name).to_owned()).collect()),
    })
}

async fn check(client: &Client, setup: Setup) -> Examination {
    let matchers: Vec<_> = setup
        .include
        .iter()
        .map(|text| {
            (*text, move |schema: &str, table: &str| {
                like(text, schema, table)
            })
        })
        .collect();
    let patterns: Vec<Pattern<'_>> = matchers
        .iter()
        .map(|(text, matches)| Pattern {
            text,
            reach: if text.ends_with('*') {
                Reach::Many
            } else {
                Reach::One
            },
            matches,
        })
        .collect();
    let names: Vec<_> = setup
        .copied
        .iter()
        .map(|text| (*text, move |name: &str| name == *text))
        .collect();
    let copy_filters: Vec<CopyFilter<'_>> = names
        .iter()
        .map(|(text, matches)| CopyFilter {
            setting: "snapshot.include.collection.list",
            text,
            matches,
        })
        .collect();
    let wanted = Wanted {
        copied: &|schema, table| {
            let name = format!("{schema}.{table}");
            setup.copied.is_empty() || setup.copied.contains(&name.as_str())
        },
        copy_filters: &copy_filters,
        prepared_age: std::time::Duration::from_secs(3600),
        slot: "walferry_shop",
        publication: "walferry_shop",
        application_name: "walferry",
        create: setup.create,
        captures: &|schema, table| setup.include.iter().any(|p| like(p, schema, table)),
        part: &|schema, table| part(setup.parts, schema, table),
        patterns: &patterns,
        actions: &[Action::Insert, Action::Update, Action::Delete],
        partitions: setup.partitions,
        snapshot: setup.snapshot,
        progress: setup.progress,
        envelope: &envelope::Options {
            compatibility: setup.compatibility,
            ..envelope::Options::new("shop", "postgres")
        },
    };
    examine(client, &wanted).await
}

fn find<'a>(examination: &'a Examination, code: &str) -> &'a Finding {
    let codes: Vec<_> = examination
        .findings
        .iter()
        .map(|f| (f.code, &f.problem))
        .collect();
    let found = examination
        .findings
        .iter()
        .find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code} in {codes:#?}"))
}

fn codes(examination: &Examination, worst: Severity) -> Vec<&'static str> {
    let mut codes: Vec<_> = examination
        .findings
        .iter()
        .filter(|f| f.severity >= worst)
        .map(|f| f.code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Runs the recommended SQL exactly as printed.
async fn mend(client: &Client, examination: &Examination, code: &str) {
    let mut ran = 0;
    for finding in examination
        .findings
        .iter()
        .filter(|finding| finding.code == code)
    {
        for remedy in &finding.remedy {
            if let Remedy::Sql(sql) = remedy {
                client
                    .batch_execute(sql)
                    .await
                    .unwrap_or_else(|e| panic!("{code}: {sql}: {e:?}"));
                ran += 1;
            }
        }
    }
    assert!(ran > 0, "{code} has no SQL to run");
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
}
