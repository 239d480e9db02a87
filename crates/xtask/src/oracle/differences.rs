//! `tests/oracle/differences.txt`: where walferry says something else on purpose.
//!
//! A line is a case (with `*` at its end, all that begin so), what Debezium says, what walferry says,
//! and perhaps a header that only walferry's record has, between tabs; a tab within is written `⇥`.
//! The comment above is the reason. `*` in place of both means that the case differs as a whole: what
//! walferry says of it is in `NAME.walferry`.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use super::case::{self, Case};

/// Stands for all that a case says.
const WHOLE: &str = "*";

/// The whole list.
#[derive(Debug)]
pub(super) struct Differences(Vec<Difference>);

#[derive(Debug)]
struct Difference {
    case: String,
    debezium: String,
    ours: String,
    header: Option<String>,
    used: AtomicBool,
}

impl Differences {
    /// Reads the file.
    pub(super) fn read() -> Result<Self> {
        let path = case::directory().join("differences.txt");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(parse).collect::<Result<_>>().map(Self)
    }

    /// What walferry must say where Debezium says `lines`.
    pub(super) fn apply(&self, case: &str, lines: &[String]) -> Result<Vec<String>> {
        let mut lines = lines.to_vec();
        for difference in &self.0 {
            if !case::matches(&difference.case, case) {
                continue;
            }
            if difference.debezium == WHOLE {
                let whole = read_whole(case)?;
                difference.used.fetch_or(whole != lines, Ordering::Relaxed);
                lines = whole;
                continue;
            }
            for line in &mut lines {
                if line.contains(&difference.debezium) {
                    *line = line.replace(&difference.debezium, &difference.ours);
                    if let Some(header) = &difference.header {
                        line.push('\t');
                        line.push_str(header);
                    }
                    difference.used.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(lines)
    }

    /// Each that is about one of these cases must have been met.
    pub(super) fn unused(&self, cases: &[Case]) -> Vec<String> {
        let about = |difference: &&Difference| {
            let mut cases = cases.iter();
            cases.any(|case| case::matches(&difference.case, &case.name))
        };
        let unused = self.0.iter().filter(about);
        let unused = unused.filter(|difference| !difference.used.load(Ordering::Relaxed));
        unused
            .map(|difference| format!("{}\t{}", difference.case, difference.debezium))
            .collect()
    }
}

fn path_of_whole(case: &str) -> PathBuf {
    case::directory().join(format!("{case}.walferry"))
}

fn read_whole(case: &str) -> Result<Vec<String>> {
    let path = path_of_whole(case);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} (make it with --accept)", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Writes what walferry says of a case that differs as a whole.
pub(super) fn write_whole(case: &str, lines: &[String]) -> Result<()> {
    Ok(fs::write(path_of_whole(case), super::file_of(lines))?)
}

fn parse(line: &str) -> Result<Difference> {
    let mut parts = line.split('\t').map(|part| part.replace('⇥', "\t"));
    let mut part = || {
        parts
            .next()
            .with_context(|| format!("`{line}` lacks a part"))
    };
    let (case, debezium, ours) = (part()?, part()?, part()?);
    ensure!(
        !debezium.is_empty(),
        "`{line}`: Debezium must say something"
    );
    Ok(Difference {
        case,
        debezium,
        ours,
        header: parts.next(),
        used: AtomicBool::new(false),
    })
}
