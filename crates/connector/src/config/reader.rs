//! From settings to typed values: each key read once by its line in [`super::keys`], every problem
//! kept, what nobody read refused at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::debezium::{self, Standing};
use super::keys::{self, Default, Key, Kind};
use super::names;
use super::problem::{Origin, Problem};
use super::quantity;
use super::secret_source::SecretSource;
use super::settings::{PartText, Setting, Settings, Text, Value};
use crate::secret::{REDACTED, Secret};

/// One setting as it holds: for a listing at start and in `check`. Secrets are redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key.
    pub path: String,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

pub(super) struct Reader<'a> {
    settings: Settings,
    problems: &'a mut Vec<Problem>,
    effective: BTreeMap<String, Effective>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: Settings, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            settings,
            problems,
            effective: BTreeMap::new(),
        }
    }

    /// Whether somebody wrote this key. Ask before it is read.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.settings.by_path.contains_key(path)
    }

    /// Whether somebody wrote a key below this one.
    pub(super) fn is_any_set_below(&self, path: &str) -> bool {
        let mut paths = self.settings.by_path.keys();
        paths.any(|key| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// A text made into a value by `parse`, whose error is the reason of a problem.
    ///
    /// `None` means that there is a problem, or that an optional key is not set.
    pub(super) fn parsed<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(spec(path)?)?;
        self.parse_text(path, &text, parse)
    }

    /// A text; or what `derive` makes of other keys.
    pub(super) fn text_or(
        &mut self,
        path: &str,
        derive: Option<String>,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<String> {
        if self.is_set(path) {
            return self.parsed(path, |text| check(text).map(|()| text.to_owned()));
        }
        // A derived value may be wrong too, as a topic made of a long name; then the key to set
        // is this one.
        let derived = derive?;
        self.note(path, derived.clone(), Origin::BuiltIn);
        match check(&derived) {
            Ok(()) => Some(derived),
            Err(reason) => {
                let reason = format!("{derived:?} {reason}; set it here");
                self.report(Origin::File, path, reason);
                None
            }
        }
    }

    /// One of the key's words.
    pub(super) fn word<T: FromStr>(&mut self, path: &str) -> Option<T> {
        let key = spec(path)?;
        let Kind::Word { known, not_yet } = key.kind else {
            return None;
        };
        let text = self.text(key)?;
        let word = text.value.as_str();
        if not_yet.contains(&word) {
            let reason = format!("{word} is not built yet; {}", one_of(known));
            self.report(text.origin, path, reason);
            return None;
        }
        match word.parse() {
            Ok(value) if known.contains(&word) => Some(value),
            _ => {
                let nearest = names::nearest(word, known.iter().chain(not_yet).copied());
                let reason = format!(
                    "{:?} is no word of this key; {}",
                    text.written,
                    one_of(known)
                );
                self.problems
                    .push(Problem::of(text.origin, path, reason).nearest(nearest));
                None
            }
        }
    }

    /// A whole number within the key's bounds.
    pub(super) fn count<T: TryFrom<i64>>(&mut self, path: &str) -> Option<T> {
        let Some(Kind::Count { min, max }) = spec(path).map(|key| key.kind) else {
            return None;
        };
        let value: i64 = self.parsed(path, |text| {
            text.parse()
                .ok()
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| format!("must be a whole number from {min} to {max}"))
        })?;
        T::try_from(value).ok()
    }

    /// A number of bytes within the key's bounds.
    pub(super) fn bytes(&mut self, path: &str) -> Option<u64> {
        let Some(Kind::Bytes { min, max }) = spec(path).map(|key| key.kind) else {
            return None;
        };
        self.parsed(path, |text| quantity::bytes(text, min, max))
    }

    /// A time within the key's bounds.
    pub(super) fn duration(&mut self, path: &str) -> Option<Duration> {
        let Some(Kind::Duration { min_ms, max_ms }) = spec(path).map(|key| key.kind) else {
            return None;
        };
        self.parsed(path, |text| quantity::duration(text, min_ms, max_ms))
    }

    /// What is written below a section, as paths without it.
    pub(super) fn names_below(&self, section: &str) -> Vec<String> {
        let paths = self.settings.by_path.keys();
        let below = paths.filter_map(|path| path.strip_prefix(section)?.strip_prefix('.'));
        below.map(str::to_owned).collect()
    }

    /// Where a key is written.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let setting = self.settings.by_path.get(path);
        setting
            .map(|setting| setting.origin.clone())
            .unwrap_or_default()
    }

    /// A list; empty if an optional key is not set. Items keep their places.
    pub(super) fn list(&mut self, path: &str) -> Option<Vec<Text>> {
        let key = spec(path)?;
        if self.is_set(path) {
            return self.list_of(path, path);
        }
        let items = commas(&self.default_text(key)?);
        self.note_list(path, &items);
        Some(items)
    }

    /// A list at a path that is in no table, told of as `shown`.
    pub(super) fn list_of(&mut self, path: &str, shown: &str) -> Option<Vec<Text>> {
        let setting = self.settings.by_path.remove(path)?;
        let items = match setting.value {
            Value::Many(items) => items,
            Value::One(text) => commas(&text),
            Value::Broken => return None,
            Value::Nothing => {
                let reason = "has no value; for an empty list write []";
                self.report(setting.origin, shown, reason);
                return None;
            }
        };
        self.note_list(shown, &items);
        Some(items)
    }

    fn note_list(&mut self, path: &str, items: &[Text]) {
        let shown: Vec<&str> = items.iter().map(|item| item.value.as_str()).collect();
        let origin = items
            .first()
            .map_or(Origin::BuiltIn, |item| item.origin.clone());
        self.note(path, format!("[{}]", shown.join(", ")), origin);
    }

    /// A list whose items are made into values; each that is wrong is a problem of its own.
    pub(super) fn parsed_list<T>(
        &mut self,
        path: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.list(path)?;
        self.parse_items(path, &items, parse)
    }

    /// Makes the items of a list into values.
    pub(super) fn parse_items<T>(
        &mut self,
        path: &str,
        items: &[Text],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let values: Vec<T> = items
            .iter()
            .filter_map(|item| self.parse_text(path, item, &parse))
            .collect();
        (values.len() == items.len()).then_some(values)
    }

    /// Parses one text of a key. The problem shows it as it was written: what a variable holds may
    /// be a secret.
    pub(super) fn parse_text<T>(
        &mut self,
        path: &str,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                let is_variable = text.written != text.value;
                let reason = match is_variable && reason.contains(&text.value) {
                    true => format!("{:?} does not hold what it must", text.written),
                    false => format!("{:?} {reason}", text.written),
                };
                self.report(text.origin.clone(), path, reason);
                None
            }
        }
    }

    /// The items of `tables.include` that say more than a name.
    pub(super) fn table_parts(&mut self) -> Vec<PartText> {
        let parts = std::mem::take(&mut self.settings.parts);
        for part in &parts {
            let path = format!("tables.include[{}]", part.pattern.value);
            if let Some(filter) = &part.row_filter {
                let path = format!("{path}.where");
                self.note(&path, filter.value.clone(), filter.origin.clone());
            }
            if let Some(columns) = &part.columns {
                self.note_list(&format!("{path}.columns"), columns);
            }
        }
        parts
    }

    /// A secret given in one of three ways; `None` if in none, or with a problem.
    pub(super) fn secret(&mut self, path: &str) -> Option<(SecretSource, Origin)> {
        let mut given = Vec::new();
        for form in names::forms_of_secret(path) {
            if let Some(setting) = self.settings.by_path.remove(&form) {
                given.push((form, setting));
            }
        }
        if let [(first, _), (second, setting), ..] = given.as_slice() {
            let reason = format!("{first} is given too; a secret has one place");
            let (second, origin) = (second.clone(), setting.origin.clone());
            self.report(origin, &second, reason);
            return None;
        }
        let (form, setting) = given.pop()?;
        let text = self.one(&form, setting)?;
        let source = if form.ends_with("_file") {
            SecretSource::File(PathBuf::from(&text.value))
        } else if form.ends_with("_command") {
            SecretSource::Command(text.value)
        } else {
            SecretSource::Inline(Secret::new(text.value))
        };
        self.note(&form, source.describe(), text.origin.clone());
        // Read once now, so that a missing file is found before anything is touched.
        if let Err(error) = source.read() {
            self.report(text.origin, &form, error.to_string());
            return None;
        }
        Some((source, text.origin))
    }

    /// A text that is never shown, and its place.
    pub(super) fn secret_text(&mut self, path: &str) -> Option<(Secret, Origin)> {
        let text = self.text(spec(path)?)?;
        Some((Secret::new(text.value), text.origin))
    }

    /// Takes every setting below a section that `accept` says is a pass-through name.
    pub(super) fn pass_through(
        &mut self,
        section: &str,
        accept: impl Fn(&str) -> bool,
    ) -> Vec<(String, Text)> {
        let names: Vec<String> = self
            .settings
            .by_path
            .keys()
            .filter_map(|path| path.strip_prefix(section)?.strip_prefix('.'))
            .filter(|name| accept(name))
            .map(str::to_owned)
            .collect();
        let mut taken = Vec::new();
        for name in names {
            let path = format!("{section}.{name}");
            let Some(setting) = self.settings.by_path.remove(&path) else {
                continue;
            };
            if let Some(text) = self.one(&path, setting) {
                self.note(&path, text.value.clone(), text.origin.clone());
                taken.push((name, text));
            }
        }
        taken
    }

    /// Adds a problem.
    pub(super) fn report(&mut self, origin: Origin, path: &str, reason: impl Into<String>) {
        self.problems.push(Problem::of(origin, path, reason));
    }

    /// Says that a required key is missing, at its section if there is one.
    pub(super) fn report_missing(&mut self, path: &str) {
        let section = path.split_once('.').map(|(section, _)| section);
        let origin = section
            .and_then(|section| self.settings.sections.get(section))
            .cloned()
            .unwrap_or_default();
        let reason = format!("must be given (here, or as {})", names::variable(path));
        self.report(origin, path, reason);
    }

    /// Refuses what nobody has read, and gives the listing of what holds.
    pub(super) fn finish(mut self) -> Vec<Effective> {
        for (path, setting) in std::mem::take(&mut self.settings.by_path) {
            if let Some(problem) = refuse(&path, &setting) {
                self.problems.push(problem);
            }
        }
        self.effective.into_values().collect()
    }

    /// The written text of a key, or its default.
    fn text(&mut self, key: &Key) -> Option<Text> {
        let Some(setting) = self.settings.by_path.remove(key.path) else {
            let text = self.default_text(key)?;
            self.note(key.path, text.value.clone(), Origin::BuiltIn);
            return Some(text);
        };
        let text = self.one(key.path, setting)?;
        let shown = match key.kind {
            Kind::Secret | Kind::SecretText => REDACTED.to_owned(),
            _ => text.value.clone(),
        };
        self.note(key.path, shown, text.origin.clone());
        Some(text)
    }

    fn default_text(&mut self, key: &Key) -> Option<Text> {
        match key.default {
            Default::Is(text) => Some(Text {
                origin: Origin::BuiltIn,
                written: text.to_owned(),
                value: text.to_owned(),
            }),
            Default::Required => {
                self.report_missing(key.path);
                None
            }
            Default::Unset | Default::From(_) => None,
        }
    }

    /// The text at a path that is in no table, if it is written.
    pub(super) fn text_at(&mut self, path: &str) -> Option<String> {
        let setting = self.settings.by_path.remove(path)?;
        let text = self.one(path, setting)?;
        self.note(path, text.value.clone(), text.origin);
        Some(text.value)
    }

    /// The one text of a setting that takes no list.
    fn one(&mut self, path: &str, setting: Setting) -> Option<Text> {
        match setting.value {
            Value::One(text) if !text.value.trim().is_empty() => Some(text),
            Value::One(_) | Value::Nothing => {
                self.report(setting.origin, path, "has no value");
                None
            }
            Value::Broken => None,
            Value::Many(_) => {
                self.report(setting.origin, path, "takes one value, not a list");
                None
            }
        }
    }

    pub(super) fn note(&mut self, path: &str, value: String, origin: Origin) {
        let effective = Effective {
            path: path.to_owned(),
            value,
            origin,
        };
        self.effective.insert(path.to_owned(), effective);
    }
}

/// The key's line in the table. A path that is not there is a mistake in this program; the test
/// of the defaults finds it.
fn spec(path: &str) -> Option<&'static Key> {
    let key = keys::find(path);
    debug_assert!(key.is_some(), "{path} is not in the table of keys");
    key
}

fn one_of(words: &[&str]) -> String {
    match words {
        [only] => format!("write {only}"),
        words => format!("write one of {}", words.join(", ")),
    }
}

/// Splits at commas, as Debezium's lists are written.
fn commas(text: &Text) -> Vec<Text> {
    let is_variable = text.written != text.value;
    let parts = text
        .value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| Text {
            origin: text.origin.clone(),
            written: if is_variable {
                text.written.clone()
            } else {
                part.to_owned()
            },
            value: part.to_owned(),
        })
        .collect()
}

/// Why a setting that nobody read is refused; `None` if it says what holds anyway.
fn refuse(path: &str, setting: &Setting) -> Option<Problem> {
    let origin = setting.origin.clone();
    let sections = ["", "envelope.", "snapshot."];
    let foreign = sections
        .iter()
        .find_map(|section| debezium::find(&format!("{section}{path}")));
    if let Some(foreign) = foreign {
        let reason = match foreign.standing {
            Standing::NotYet { accepts } => match &setting.value {
                Value::One(text) if !accepts.is_empty() && text.value == accepts => return None,
                _ if accepts.is_empty() => "is not built yet; remove it".to_owned(),
                _ => format!("is not built yet; remove it, or write {accepts}"),
            },
            Standing::Elsewhere(key) => format!("is said by {key} here"),
            Standing::Needless(why) => format!("has nothing to set here: {why}; remove it"),
        };
        return Some(Problem::of(origin, path, reason));
    }
    let paths: Vec<String> = names::all_paths().collect();
    let below = format!("{path}.");
    if paths.iter().any(|known| known.starts_with(&below)) {
        // An empty section, such as `envelope:` with all its lines commented out.
        if matches!(setting.value, Value::Nothing) {
            return None;
        }
        let reason = "is a section: its keys stand below it, indented";
        return Some(Problem::of(origin, path, reason));
    }
    if let Some(hint) = path
        .strip_prefix("kafka.")
        .and_then(super::librdkafka::hint)
    {
        return Some(Problem::of(origin, path, format!("unknown key: {hint}")));
    }
    let nearest = names::nearest(path, paths.iter().map(String::as_str));
    Some(Problem::of(origin, path, "unknown key").nearest(nearest))
}
