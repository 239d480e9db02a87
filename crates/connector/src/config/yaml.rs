//! YAML text to a tree whose every node knows its line and column (YAML 1.2.2).
//!
//! Only what a configuration needs: one document of mappings, sequences and scalars. Anchors,
//! aliases and tags are refused, so that a small file cannot grow into a large tree.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::problem::{Origin, Problem};

/// A node and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A key without a value, or `null` or `~`.
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Name, Node)>),
}

/// A mapping's key.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) origin: Origin,
    pub(super) text: String,
}

/// Reads one document; an empty text is [`Content::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
    };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd => {
                return Ok(Node {
                    origin: Origin::File,
                    content: Content::Null,
                });
            }
            event => {
                let root = reader.node(event, span, 0)?;
                reader.expect_end()?;
                return Ok(root);
            }
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = error.marker();
                Err(Problem::at(
                    place(marker.line(), marker.col()),
                    format!("not YAML: {}", error.info()),
                ))
            }
            None => Err(Problem::at(Origin::File, "not YAML: it ends too early")),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        let origin = place(span.start.line(), span.start.col());
        if depth > DEPTH_MAX {
            return Err(Problem::at(
                origin,
                format!("nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        let content = match event {
            Event::Alias(_) => return Err(Problem::at(origin, NO_ANCHORS)),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return Err(Problem::at(origin, NO_ANCHORS));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(Problem::at(origin, "YAML tags (`!...`) are not read here"));
            }
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => self.sequence(depth)?,
            Event::MappingStart(..) => self.mapping(depth)?,
            _ => return Err(Problem::at(origin, "not YAML: a value was expected here")),
        };
        Ok(Node { origin, content })
    }

    fn sequence(&mut self, depth: usize) -> Result<Content, Problem> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::Sequence(nodes)),
                (event, span) => nodes.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Content, Problem> {
        let mut entries: Vec<(Name, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Content::Mapping(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let Content::Scalar(text) = key.content else {
                return Err(Problem::at(key.origin, "a key must be a plain word"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push((
                Name {
                    origin: key.origin,
                    text,
                },
                value,
            ));
        }
    }

    fn expect_end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, span) => {
                    let origin = place(span.start.line(), span.start.col());
                    return Err(Problem::at(
                        origin,
                        "one document only: remove what follows `---`",
                    ));
                }
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Content {
    if style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        Content::Null
    } else {
        Content::Scalar(text.to_owned())
    }
}

/// The parser counts lines from 1 and columns from 0; editors count both from 1.
fn place(line: usize, column: usize) -> Origin {
    Origin::Place {
        line,
        column: column + 1,
    }
}

const NO_ANCHORS: &str = "anchors and aliases (`&`, `*`) are not read here: write the value out, \
                          or put it in quotes if it begins with such a sign";

/// Deeper than any key of ours, shallow enough for the stack.
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_configuration_is_refused_with_its_place() {
        for (text, place, reason) in [
            ("a: &x 1\nb: *x\n", "1:4", "anchors"),
            ("b: 1\ninclude: [ *.users ]", "2:12", "unknown anchor"),
            ("a: !secret x\n", "1:4", "tags"),
            ("a: 1\n---\nb: 2\n", "2:1", "one document only"),
            ("a: [1, 2\n", "2:1", "expected ',' or ']'"),
            ("? [a]\n: 1\n", "1:3", "a key must be a plain word"),
            ("a:\n\t- b\n", "2:2", "tabs"),
            ("a: 'ü\n", "1:4", "end of stream"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(
                problem.reason.contains(reason),
                "{text:?}: {}",
                problem.reason
            );
            assert_eq!(
                problem.origin.to_string(),
                place,
                "{text:?}: {}",
                problem.reason
            );
        }
    }

    #[test]
    fn an_empty_text_is_no_error() {
        for text in ["", "# nothing\n", "---\n", "~\n"] {
            let content = parse(text).unwrap().content;
            assert!(matches!(&content, Content::Null), "{text:?}: {content:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        let problem = parse(&deep).unwrap_err();
        assert!(problem.reason.contains("16 levels") || problem.reason.contains("not YAML"));
    }
}
