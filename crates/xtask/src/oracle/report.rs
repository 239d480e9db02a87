//! Shows where two lists of records part.

use std::fmt::Write as _;

/// How much is shown before and behind the first difference.
const WINDOW: (usize, usize) = (70, 160);
/// How many records of a case are shown.
const SHOWN_MAX: usize = 4;

/// `None` if they are the same.
pub(super) fn difference(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut text = format!(
        "{} records expected, {} found\n",
        expected.len(),
        found.len()
    );
    let pairs = expected.len().max(found.len());
    let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
    let different = (0..pairs).filter(|&at| line(expected, at) != line(found, at));
    let different: Vec<usize> = different.collect();
    for &at in different.iter().take(SHOWN_MAX) {
        let (expected, found) = (line(expected, at), line(found, at));
        let start = common(&expected, &found);
        let (expected, found) = (window(&expected, start), window(&found, start));
        // Text goes to a String, which cannot fail.
        let _ = writeln!(
            text,
            "  record {}\n    debezium  {expected}\n    walferry  {found}",
            at + 1
        );
    }
    if different.len() > SHOWN_MAX {
        let _ = writeln!(text, "  … and {} more", different.len() - SHOWN_MAX);
    }
    Some(text)
}

/// How many characters are the same at the beginning.
fn common(left: &str, right: &str) -> usize {
    let pairs = left.chars().zip(right.chars());
    pairs.take_while(|(left, right)| left == right).count()
}

fn window(line: &str, at: usize) -> String {
    let (before, behind) = WINDOW;
    let cut = at.saturating_sub(before);
    let shown: String = line.chars().skip(cut).take(before + behind).collect();
    let sign = |cut: bool| if cut { "…" } else { "" };
    let more = line.chars().count() > cut + before + behind;
    format!("{}{shown}{}", sign(cut > 0), sign(more))
}
