//! `tests/oracle/differences.txt`: where walferry says something else on purpose.
//!
//! A line is a case (with `*` at its end, all that begin so), what Debezium says, what walferry says,
//! and perhaps a header that only walferry's record has, between tabs; a tab within is written `⇥`.
//! The comment above is the reason.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use super::case::{self, Case};

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

    /// What walferry must say where Debezium says `lines`. A difference whose two sides are whole
    /// lines may leave one out: an empty side.
    pub(super) fn apply(&self, case: &str, lines: &[String]) -> Vec<String> {
        let mut lines = lines.to_vec();
        for difference in &self.0 {
            if !case::matches(&difference.case, case) {
                continue;
            }
            for line in lines
                .iter_mut()
                .filter(|line| line.contains(&difference.debezium))
            {
                *line = line.replace(&difference.debezium, &difference.ours);
                if let Some(header) = &difference.header {
                    line.push('\t');
                    line.push_str(header);
                }
                difference.used.store(true, Ordering::Relaxed);
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
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
