//! Every written setting by its full path: the file's nested and dotted keys made one, then the
//! environment laid over them.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::problem::{Origin, Problem};
use super::substitute::{Unset, substitute};
use super::yaml::{Content, Name, Node};

/// The environment a configuration is read in, given as a value so that tests are pure.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// This process' environment. Variables that are not UTF-8 are as if unset.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// The names only: an environment holds secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One text as it stands in the configuration.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) origin: Origin,
    /// As written; this is what problems show, for a variable's value may be a secret.
    pub(super) written: String,
    /// After substitution.
    pub(super) value: String,
}

/// What stands at one path.
pub(super) struct Setting {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

pub(super) enum Value {
    Nothing,
    /// There is a problem with it already.
    Broken,
    One(Text),
    Many(Vec<Text>),
}

/// The settings by path, and where each section begins.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) by_path: BTreeMap<String, Setting>,
    pub(super) sections: BTreeMap<String, Origin>,
    /// The items of `tables.include` that say more than a name, in their order.
    pub(super) parts: Vec<PartText>,
}

/// An item of `tables.include` that says which part of the tables is to be published.
pub(super) struct PartText {
    pub(super) pattern: Text,
    pub(super) row_filter: Option<Text>,
    pub(super) columns: Option<Vec<Text>>,
}

/// Brings the file and the environment together.
pub(super) fn collect(
    root: Node,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Settings {
    let mut flattening = Flattening {
        settings: Settings::default(),
        environment,
        problems,
    };
    match root.content {
        Content::Mapping(_) => flattening.descend(String::new(), root),
        Content::Null => {}
        _ => flattening.problems.push(Problem::at(
            root.origin,
            "a configuration is a mapping of keys to values, such as `name: shop`",
        )),
    }
    let mut settings = flattening.settings;
    overlay(&mut settings, environment, problems);
    settings
}

struct Flattening<'a> {
    settings: Settings,
    environment: &'a Environment,
    problems: &'a mut Vec<Problem>,
}

impl Flattening<'_> {
    fn descend(&mut self, path: String, node: Node) {
        let value = match node.content {
            Content::Mapping(entries) => {
                for (name, child) in entries {
                    let below = match path.is_empty() {
                        true => name.text,
                        false => format!("{path}.{}", name.text),
                    };
                    self.enter(below, name.origin, child);
                }
                return;
            }
            Content::Null => Value::Nothing,
            Content::Scalar(text) => self
                .text(&path, node.origin.clone(), text)
                .map_or(Value::Broken, Value::One),
            Content::Sequence(items) => Value::Many(self.items(&path, items)),
        };
        let setting = Setting {
            origin: node.origin,
            value,
        };
        self.settings.by_path.insert(path, setting);
    }

    /// One key and what stands at it.
    fn enter(&mut self, path: String, origin: Origin, child: Node) {
        let path = match child.content {
            Content::Sequence(_) if path == "tables" => TABLES.to_owned(),
            _ => path,
        };
        let is_section = matches!(child.content, Content::Mapping(_));
        if let Some(first) = self.settings.by_path.get(&path) {
            let reason = format!("is said twice; first at {}", first.origin);
            self.problems.push(Problem::of(origin, &path, reason));
            return;
        }
        if is_section {
            self.settings.sections.entry(path.clone()).or_insert(origin);
            self.descend(path, child);
        } else {
            // The key's place is the better one to show than the value's.
            self.descend(
                path,
                Node {
                    origin,
                    content: child.content,
                },
            );
        }
    }

    fn items(&mut self, path: &str, items: Vec<Node>) -> Vec<Text> {
        let mut texts = Vec::new();
        for item in items {
            match item.content {
                Content::Scalar(text) => texts.extend(self.text(path, item.origin, text)),
                Content::Mapping(entries) if path == TABLES => {
                    texts.extend(self.table(item.origin, entries));
                }
                _ => self.problems.push(Problem::of(
                    item.origin,
                    path,
                    "each item of this list must be a text",
                )),
            }
        }
        texts
    }

    /// A table with its part; gives the name.
    fn table(&mut self, origin: Origin, entries: Vec<(Name, Node)>) -> Option<Text> {
        let (mut pattern, mut row_filter, mut columns) = (None, None, None);
        for (name, node) in entries {
            let place = name.origin.clone();
            let path = format!("{TABLES}.{}", name.text);
            match (name.text.as_str(), node.content) {
                ("name", Content::Scalar(text)) => pattern = self.text(&path, place, text),
                ("where", Content::Scalar(text)) => row_filter = self.text(&path, place, text),
                ("columns", Content::Sequence(items)) => columns = Some(self.items(&path, items)),
                ("name" | "where", _) => self.say(place, &path, "takes one text"),
                ("columns", _) => self.say(place, &path, "takes a list of names"),
                (word, _) => {
                    let nearest = names::nearest(word, ["name", "where", "columns"].into_iter());
                    let reason = "a table has name, where and columns, nothing else";
                    let problem = Problem::of(place, &path, reason).nearest(nearest);
                    self.problems.push(problem);
                }
            }
        }
        let empty = |text: &Text| text.value.trim().is_empty();
        if let Some(text) = row_filter.as_ref().filter(|text| empty(text)) {
            self.say(text.origin.clone(), "tables.include.where", "has no value");
        }
        if columns.as_ref().is_some_and(Vec::is_empty) {
            self.say(origin.clone(), "tables.include.columns", "names no column");
        }
        let Some(pattern) = pattern else {
            self.say(origin, TABLES, "a table here must have its name");
            return None;
        };
        if row_filter.is_some() || columns.is_some() {
            self.settings.parts.push(PartText {
                pattern: pattern.clone(),
                row_filter,
                columns,
            });
        }
        Some(pattern)
    }

    fn say(&mut self, origin: Origin, path: &str, reason: &str) {
        self.problems.push(Problem::of(origin, path, reason));
    }

    fn text(&mut self, path: &str, origin: Origin, written: String) -> Option<Text> {
        match substitute(&written, |name| self.environment.get(name)) {
            Ok(value) => Some(Text {
                origin,
                written,
                value,
            }),
            Err(Unset(names)) => {
                let names = names.join(" and ");
                let reason = format!(
                    "the environment has no {names}; set it, or write a default: ${{VAR:-default}}"
                );
                self.problems.push(Problem::of(origin, path, reason));
                None
            }
        }
    }
}

/// Lays `WALFERRY_*` over the file. A secret given by environment replaces the file's, whichever
/// of its three forms each has.
fn overlay(settings: &mut Settings, environment: &Environment, problems: &mut Vec<Problem>) {
    let paths = names::paths_by_variable();
    let mut laid = BTreeSet::new();
    for (variable, value) in &environment.0 {
        let Some(rest) = variable.strip_prefix(names::PREFIX) else {
            continue;
        };
        if names::is_reserved(rest) {
            continue;
        }
        let origin = Origin::Environment(variable.clone());
        let Some(path) = paths.get(variable.as_str()) else {
            let nearest = names::nearest(variable, paths.keys().map(String::as_str));
            let reason = "no key of the configuration has this name";
            problems.push(Problem::at(origin, reason).nearest(nearest));
            continue;
        };
        for sibling in names::forms_of_secret(path) {
            if !laid.contains(&sibling) {
                settings.by_path.remove(&sibling);
            }
        }
        laid.insert(path.clone());
        if path == TABLES {
            settings.parts.clear();
        }
        let text = Text {
            origin: origin.clone(),
            written: value.clone(),
            value: value.clone(),
        };
        let setting = Setting {
            origin,
            value: Value::One(text),
        };
        settings.by_path.insert(path.clone(), setting);
    }
}

/// The list whose items may be mappings; `tables: [ … ]` is short for it.
const TABLES: &str = "tables.include";
