//! An event as one line: what happened, to which table, which row, and what is new about it. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::event::{Event, Operation, Row};

/// A value longer than this is cut: the line is to be read, not copied.
const VALUE_CHARS_MAX: usize = 28;

/// Whether lines carry terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// ANSI colours.
    Coloured,
    /// Text alone.
    Plain,
}

impl Style {
    /// Wraps `text` in an SGR code (ECMA-48 8.3.117), or does not.
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";
pub(super) const CYAN: &str = "36";

/// Remembers each row's last state: by default an update's event tells only the row after it, and
/// what changed is the difference to the event before.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rows: HashMap<String, Row>,
}

impl Lines {
    /// The line of `event`, without a line end.
    pub(super) fn render(&mut self, event: &Event, style: Style) -> String {
        let (word, colour) = match event.operation {
            Operation::Read => ("read", CYAN),
            Operation::Insert => ("insert", GREEN),
            Operation::Update => ("update", YELLOW),
            Operation::Delete => ("delete", RED),
            Operation::Truncate => ("truncate", RED),
            Operation::Tombstone => ("tombstone", DIM),
        };
        let table = event.topic.rsplit('.').next().unwrap_or(&event.topic);
        let mut line = style.paint(colour, &format!("{word:<9}"));
        let _ = write!(line, "  {}", style.paint(BOLD, &format!("{table:<11}")));
        for (column, value) in &event.key.0 {
            let _ = write!(
                line,
                " {}",
                style.paint(CYAN, &format!("{column}={}", short(value)))
            );
        }
        for change in self.changes(event) {
            let _ = write!(line, "  {change}");
        }
        line
    }

    fn changes(&mut self, event: &Event) -> Vec<String> {
        let identity = identity(event);
        let remembered = match &event.after {
            Some(after) => self.rows.insert(identity, after.clone()),
            None => self.rows.remove(&identity),
        };
        let Some(after) = &event.after else {
            return Vec::new();
        };
        let before = event.before.as_ref().or(remembered.as_ref());
        let columns = after
            .0
            .iter()
            .filter(|(column, _)| event.key.get(column).is_none());
        match (event.operation, before) {
            (Operation::Update, Some(before)) => columns
                .filter_map(|(column, value)| {
                    let old = before.get(column)?;
                    let change = format!("{column}: {} → {}", short(old), short(value));
                    (old != value).then_some(change)
                })
                .collect(),
            _ => columns
                .map(|(column, value)| format!("{column}={}", short(value)))
                .collect(),
        }
    }
}

/// The row's name across events: its topic and key.
fn identity(event: &Event) -> String {
    event
        .key
        .0
        .iter()
        .fold(event.topic.clone(), |mut text, (_, value)| {
            let _ = write!(text, "\n{value}");
            text
        })
}

/// A value for reading: strings without quotes, and not too long.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_CHARS_MAX - 1).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    fn event(operation: Operation, key: &str, before: Option<&str>, after: Option<&str>) -> Event {
        Event {
            topic: "shop.public.orders".to_owned(),
            operation,
            key: row(key),
            before: before.map(row),
            after: after.map(row),
            committed_at_micros: None,
            position: None,
        }
    }

    fn check(events: &[Event], style: Style, expected: &Expect) {
        let mut lines = Lines::default();
        let text: String = events
            .iter()
            .map(|event| lines.render(event, style) + "\n")
            .collect();
        expected.assert_eq(&text.replace('\x1b', "ESC"));
    }

    #[test]
    fn a_row_lives() {
        let new = r#"{"id":1,"status":"new","total":"42.50","note":null}"#;
        let paid =
            r#"{"id":1,"status":"paid","total":"42.50","note":"ring twice, the bell is broken"}"#;
        let events = [
            event(Operation::Insert, r#"{"id":1}"#, None, Some(new)),
            // Without the row before: the difference is to what was seen last.
            event(Operation::Update, r#"{"id":1}"#, None, Some(paid)),
            // With it: the difference is to what the event says.
            event(Operation::Update, r#"{"id":1}"#, Some(paid), Some(new)),
            event(Operation::Delete, r#"{"id":1}"#, Some(new), None),
            event(Operation::Tombstone, r#"{"id":1}"#, None, None),
        ];
        check(
            &events,
            Style::Plain,
            &expect![[r#"
                insert     orders      id=1  status=new  total=42.50  note=null
                update     orders      id=1  status: new → paid  note: null → ring twice, the bell is bro…
                update     orders      id=1  status: paid → new  note: ring twice, the bell is bro… → null
                delete     orders      id=1
                tombstone  orders      id=1
            "#]],
        );
    }

    #[test]
    fn unknown_before_shows_the_whole_row() {
        let events = [event(
            Operation::Update,
            r#"{"a":1,"b":2}"#,
            None,
            Some(r#"{"a":1,"b":2,"c":3}"#),
        )];
        check(
            &events,
            Style::Plain,
            &expect![[r#"
            update     orders      a=1 b=2  c=3
        "#]],
        );
    }

    #[test]
    fn colours_only_where_wanted() {
        let events = [event(Operation::Delete, r#"{"id":1}"#, None, None)];
        check(
            &events,
            Style::Coloured,
            &expect![[r#"
                ESC[31mdelete   ESC[0m  ESC[1morders     ESC[0m ESC[36mid=1ESC[0m
            "#]],
        );
    }
}
