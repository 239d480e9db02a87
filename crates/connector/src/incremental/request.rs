//! What was asked for, and how far it has come; noted in the progress topic.

use std::collections::BTreeMap;
use std::time::Duration;

use pgoutput::Lsn;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::origin::Record;
use crate::signal::{self, Conditions, Kind, Wanted};

/// By id, what is noted.
pub type Noted = BTreeMap<String, Request>;

/// A request for the rows of tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What its sender calls it.
    pub id: String,
    /// Where it was asked for, to know it again: a position in the stream, or a record of the topic of
    /// signals (`origin.rs`); empty for one from elsewhere.
    pub at: String,
    /// How far the stream was by then, of one from the topic.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub heard: String,
    /// Whether another run took it in.
    #[serde(skip)]
    pub is_earlier: bool,
    /// Whether the stream stands while its rows are read.
    #[serde(default, skip_serializing_if = "Kind::is_incremental")]
    pub kind: Kind,
    /// Expressions for `schema.table`.
    pub collections: Vec<String>,
    /// Conditions by such expressions.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// The columns to order rows by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surrogate_key: Option<String>,
    /// The publication that took its tables in where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_in: Option<String>,
    /// How it stands.
    pub state: State,
    /// Whether it waits to be resumed.
    #[serde(default)]
    pub paused: bool,
    /// Tables that match these are not chosen: they were stopped before it was known which there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<String>,
    /// The tables that are left, the one under way first; none before they were looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<String>>,
    /// Of the first of them, the key behind which rows are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// What orders its rows: the key's columns as they were when that was noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Rows published so far, in chunks or pieces that are whole.
    pub rows: u64,
    /// Chunks that Kafka has; pieces of tables, of a blocking one.
    pub chunks: u64,
    /// Tables that were left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The requests of a connection, for those who watch: no key and no condition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asked {
    /// The one under way first.
    pub snapshots: Vec<AskedFor>,
    /// Signals that were not understood.
    pub signals_ignored: u64,
}

/// A request, for those who watch.
#[derive(Clone, Debug, Serialize)]
pub struct AskedFor {
    id: String,
    kind: Kind,
    /// The table under way.
    table: Option<String>,
    tables_left: Option<usize>,
    rows: u64,
    chunks: u64,
    paused: bool,
}

impl From<&Request> for AskedFor {
    fn from(request: &Request) -> Self {
        let tables = request.tables.as_ref();
        Self {
            id: request.id.clone(),
            kind: request.kind,
            table: tables.and_then(|tables| tables.first().cloned()),
            tables_left: tables.map(Vec::len),
            rows: request.rows,
            chunks: request.chunks,
            paused: request.paused,
        }
    }
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way, or waits for its turn.
    Running,
    /// Kafka has all its rows.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// A table was left out.
    Failed,
}

impl Request {
    /// One that was just asked for.
    #[must_use]
    pub fn new(id: String, at: String, wanted: Wanted) -> Self {
        Self {
            id,
            at,
            heard: String::new(),
            is_earlier: false,
            kind: wanted.kind,
            collections: wanted.collections,
            conditions: wanted.conditions,
            surrogate_key: wanted.surrogate_key,
            new_in: wanted.new_in,
            state: State::Running,
            paused: false,
            unwanted: Vec::new(),
            tables: None,
            after: None,
            order: Vec::new(),
            rows: 0,
            chunks: 0,
            problems: Vec::new(),
        }
    }

    /// Of the published tables, those asked for and not stopped since.
    ///
    /// # Errors
    /// None was asked for, or there are more than can be noted, or a condition is on none of them: in words.
    pub fn choose(&self, published: &[String]) -> Result<Vec<String>, String> {
        let mut chosen = self.matching(published);
        if chosen.is_empty() {
            return Err("no published table matches".to_owned());
        }
        if let Some(expression) = self.condition_in_vain(published, &chosen) {
            return Err(format!(
                "the condition on {expression:?} (additional-conditions) is on none of the tables that were asked \
                 for, and none is read without it"
            ));
        }
        chosen.retain(|table| !means_one(&self.unwanted, table));
        if chosen.iter().map(String::len).sum::<usize>() > NAMES_BYTES_MAX {
            let tables = chosen.len();
            return Err(format!(
                "{tables} tables match, whose names are more than a request can note: ask for fewer at a time"
            ));
        }
        Ok(chosen)
    }

    fn matching(&self, published: &[String]) -> Vec<String> {
        let patterns = self
            .collections
            .iter()
            .filter_map(|it| signal::matching(it));
        let patterns: Vec<_> = patterns.collect();
        let wanted = |table: &&String| {
            let exactly = self.collections.contains(table);
            exactly || patterns.iter().any(|pattern| pattern.is_match(table))
        };
        published.iter().filter(wanted).cloned().collect()
    }

    /// Of the conditions' expressions, one that means no table that was asked for. A table that was stopped
    /// meanwhile was asked for, and so was one that is gone, if it is called the same in both places.
    fn condition_in_vain(&self, published: &[String], matching: &[String]) -> Option<&str> {
        if self.conditions.is_empty() {
            return None;
        }
        let stopped = published.iter().filter(|it| means_one(&self.unwanted, it));
        let named = self.collections.iter().chain(&self.unwanted);
        let asked: Vec<&String> = matching.iter().chain(stopped).chain(named).collect();
        self.conditions.in_vain(&asked)
    }

    /// The condition on this table's rows.
    #[must_use]
    pub fn condition(&self, table: &str) -> Option<&str> {
        self.conditions.on(table)
    }

    /// Whether nothing of its tables was published by this publication before.
    #[must_use]
    pub fn is_of_new_tables(&self, publication: &str) -> bool {
        self.new_in.as_deref() == Some(publication)
    }

    /// Whether one of its tables matches, as far as they are chosen.
    #[must_use]
    pub fn may_have(&self, patterns: &[String]) -> bool {
        let tables = self.tables.as_ref();
        tables.is_none_or(|tables| tables.iter().any(|table| means_one(patterns, table)))
    }

    /// Of the patterns that were stopped before its tables are chosen, those that match none of them.
    #[must_use]
    pub fn stopped_in_vain(&self, published: &[String]) -> Vec<&str> {
        let matching = self.matching(published);
        let in_vain = |it: &&String| !matching.iter().any(|table| signal::means(it, table));
        let unwanted = self.unwanted.iter();
        unwanted.filter(in_vain).map(String::as_str).collect()
    }

    /// These are its tables, but for those that were stopped meanwhile.
    pub fn set_tables(&mut self, mut tables: Vec<String>) {
        tables.retain(|table| !means_one(&self.unwanted, table));
        if !tables.is_empty() {
            self.unwanted = Vec::new();
        }
        self.tables = Some(tables);
    }

    /// Takes out tables; true if the one under way was among them.
    pub fn take_out(&mut self, patterns: &[String]) -> bool {
        let Some(tables) = &mut self.tables else {
            // An expression may match other tables, too; a name is one.
            let is_out =
                |it: &String| patterns.contains(it) || (is_name(it) && means_one(patterns, it));
            self.collections.retain(|it| !is_out(it));
            for pattern in patterns {
                if !self.unwanted.contains(pattern) {
                    self.unwanted.push(pattern.clone());
                }
            }
            return false;
        };
        let of = |table: &str| means_one(patterns, table);
        let first = tables.first().is_some_and(|table| of(table));
        tables.retain(|table| !of(table));
        if first {
            self.begin_anew();
        }
        first
    }

    /// The key behind which the first table's rows are left, if it is one in this order; else the table is
    /// read from its beginning.
    pub fn begin_table(&mut self, order: Vec<String>) -> Option<Vec<String>> {
        if self.order != order {
            self.after = None;
            self.order = order;
        }
        self.after.clone()
    }

    fn begin_anew(&mut self) {
        self.after = None;
        self.order = Vec::new();
    }

    /// One of its tables is done, wherever it stands in the list.
    pub fn take_off(&mut self, table: &str) {
        if let Some(tables) = &mut self.tables {
            tables.retain(|it| it != table);
        }
    }

    /// The first of its tables is done, or left out for this reason.
    pub fn end_table(&mut self, problem: Option<String>) {
        self.begin_anew();
        if let Some(tables) = &mut self.tables
            && !tables.is_empty()
        {
            tables.remove(0);
        }
        problem.into_iter().for_each(|it| self.add_problem(it));
    }

    /// A table was left out; of many, and of what was said at length, the log tells all.
    pub fn add_problem(&mut self, mut problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            if let Some((end, _)) = problem.char_indices().nth(PROBLEM_LENGTH_MAX) {
                problem.truncate(end);
                problem.push('…');
            }
            self.problems.push(problem);
        }
    }

    /// Whether how far it is may be noted again. A long note is not written after each chunk, since it would
    /// be longer than the rows it tells of.
    #[must_use]
    pub fn may_be_noted(&self, noted_at: Instant) -> bool {
        let tables = self.tables.as_ref();
        let is_long = tables.is_some_and(|tables| tables.len() > TABLES_LONG);
        !is_long || noted_at.elapsed() >= LONG_NOTE_EVERY
    }

    /// Where in the stream it was asked for, or taken in; the beginning, for one from elsewhere.
    #[must_use]
    pub fn position(&self) -> Lsn {
        let at = match self.heard.is_empty() {
            true => &self.at,
            false => &self.heard,
        };
        at.parse().unwrap_or_default()
    }

    /// The record that asked for it, if one did.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        Record::parse(&self.at)
    }

    /// In which order requests were asked for.
    #[must_use]
    pub fn turn(&self) -> (Lsn, Option<i64>) {
        (self.position(), self.record().map(|record| record.offset))
    }

    /// Whether it is over, and its signal will not come again once the stream goes on at this position.
    #[must_use]
    pub fn is_over_at(&self, passed: Lsn) -> bool {
        self.state != State::Running && (self.record().is_some() || self.position() < passed)
    }

    /// Whether a signal at this position comes after it; one that is repeated says nothing of later ones.
    /// What stands in the stream is repeated before anything else is heard of it: so what the topic has said
    /// in this run is not compared, for a transaction may end long after the signal that it holds.
    #[must_use]
    pub fn is_asked_by(&self, at: Lsn) -> bool {
        let is_of_this_run = self.record().is_some() && !self.is_earlier;
        is_of_this_run || self.position() <= at
    }

    /// Nothing of it is left.
    pub fn end(&mut self) {
        self.state = match (self.problems.is_empty(), self.unwanted.is_empty()) {
            (false, _) => State::Failed,
            // It would be forgotten, had any table been left.
            (true, false) => State::Stopped,
            (true, true) => State::Done,
        };
    }
}

fn means_one(patterns: &[String], table: &str) -> bool {
    patterns.iter().any(|it| signal::means(it, table))
}

/// Whether this is the name of a table, as a pattern as well.
fn is_name(pattern: &str) -> bool {
    regex::escape(pattern) == pattern.replace('.', "\\.")
}

/// A note is a record, of which Kafka takes a mebibyte by itself.
const NAMES_BYTES_MAX: usize = 256 << 10;
const PROBLEMS_MAX: usize = 100;
/// In characters.
const PROBLEM_LENGTH_MAX: usize = 500;
const TABLES_LONG: usize = 200;
const LONG_NOTE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn request(collections: &[&str]) -> Request {
        let wanted = Wanted {
            collections: collections.iter().map(|&it| it.to_owned()).collect(),
            ..Wanted::default()
        };
        Request::new("id".to_owned(), String::new(), wanted)
    }

    #[test]
    fn tables_are_chosen_by_whole_names() {
        let published = ["public.a", "public.ab", "public.b"].map(str::to_owned);
        let choose = |pattern| request(&[pattern]).choose(&published);
        assert_eq!(choose("public.a").unwrap(), ["public.a"]);
        assert_eq!(choose("public.a.*").unwrap(), published[..2]);
        assert!(choose("a").unwrap_err().contains("no published table"));
        let many: Vec<String> = (0..30_000)
            .map(|n| format!("public.table_{n:06}"))
            .collect();
        let refused = request(&["public.*"]).choose(&many).unwrap_err();
        assert!(refused.starts_with("30000 tables"), "{refused}");
    }

    #[test]
    fn a_condition_on_none_of_its_tables_leaves_the_request_out() {
        let published = ["public.a", "public.b", "public.other"].map(str::to_owned);
        let with = |asked: &[&str], on: &str| Request {
            conditions: [(on.to_owned(), "x > 1".to_owned())].into_iter().collect(),
            ..request(asked)
        };
        let refused = with(&["public.a"], "public.b").choose(&published);
        let refused = refused.unwrap_err();
        assert!(
            refused.contains("\"public.b\" (additional-cond"),
            "{refused}"
        );
        assert!(!refused.contains("x > 1"), "{refused}");
        for on in ["public.a", "public\\.a", "public.*"] {
            assert_eq!(
                with(&["public.a"], on).choose(&published).unwrap(),
                ["public.a"]
            );
        }
        // It is gone, and called the same in both places.
        let gone = with(&["public.a", "public\\.gone"], "public\\.gone");
        assert_eq!(gone.choose(&published).unwrap(), ["public.a"]);
        // It was stopped before the tables are chosen, by whichever name.
        for stopped in ["public.b", "public\\.b", "public.(b|c)"] {
            let mut request = with(&["public.a", "public.b"], "public.b");
            request.take_out(&[stopped.to_owned()]);
            assert_eq!(request.choose(&published).unwrap(), ["public.a"]);
        }
        // An older note is an object of them, too.
        let noted = r#"{"id":"x","at":"","collections":["public.*"],"state":"running","rows":0,"chunks":0,
            "conditions":{"public.b":"y","public.a":"z"}}"#;
        let noted: Request = serde_json::from_str(noted).unwrap();
        assert_eq!(noted.condition("public.a"), Some("z"));
        assert_eq!(noted.condition("public.other"), None);
    }

    #[test]
    fn a_place_in_one_order_means_nothing_in_another() {
        let order = |text: &str| vec![text.to_owned()];
        let mut request = request(&["public.a"]);
        assert_eq!(request.begin_table(order("id integer 0")), None);
        request.after = Some(order("500"));
        assert_eq!(
            request.begin_table(order("id integer 0")),
            Some(order("500"))
        );
        assert_eq!(request.begin_table(order("id text 100")), None);
        assert_eq!(request.after, None);
    }

    #[test]
    fn a_repeated_signal_says_nothing_of_later_requests() {
        let mut request = request(&["public.a"]);
        request.at = "0/20".to_owned();
        assert!(!request.is_asked_by(Lsn::new(0x10)));
        assert!(request.is_asked_by(Lsn::new(0x20)));
        assert!(!request.is_over_at(Lsn::new(0x30)));
        request.end();
        assert!(request.is_over_at(Lsn::new(0x30)));
        assert!(
            !request.is_over_at(Lsn::new(0x20)),
            "its signal comes again"
        );
    }

    #[test]
    fn requests_of_the_topic_have_their_turn_and_are_stopped_by_what_comes_after_them() {
        let of_topic = |id: &str, offset: i64, heard: &str| Request {
            id: id.to_owned(),
            at: format!("signals/0/{offset}"),
            heard: heard.to_owned(),
            ..request(&["public.a"])
        };
        let mut requests = [
            of_topic("a", 10, "0/20"),
            of_topic("b", 9, "0/20"),
            of_topic("c", 11, "0/30"),
            Request {
                id: "d".to_owned(),
                at: "0/28".to_owned(),
                ..request(&["public.a"])
            },
        ];
        requests.sort_by_key(Request::turn);
        assert_eq!(
            requests.each_ref().map(|it| it.id.as_str()),
            ["b", "a", "d", "c"]
        );
        // It goes on in another run, to which the stream says again what stood before it.
        let note = serde_json::to_string(&requests[3]).unwrap();
        let mut noted: Request = serde_json::from_str(&note).unwrap();
        assert!(noted.is_asked_by(Lsn::new(0x10)));
        noted.is_earlier = true;
        assert!(!noted.is_asked_by(Lsn::new(0x10)));
        assert!(noted.is_asked_by(Lsn::new(0x30)));
    }

    #[test]
    fn what_is_stopped_before_the_tables_are_chosen_is_not_chosen() {
        let published = ["public.hot", "public.nn", "sales.nn"].map(str::to_owned);
        let stop = |asked: &[&str], stopped: &str| {
            let mut request = request(asked);
            request.take_out(&[stopped.to_owned()]);
            let note = serde_json::to_string(&request).unwrap();
            serde_json::from_str::<Request>(&note).unwrap()
        };
        let choose = |asked: &[&str], stopped: &str| stop(asked, stopped).choose(&published);
        assert_eq!(
            choose(&["public\\.(nn|hot)"], "public.nn").unwrap(),
            ["public.hot"]
        );
        // Of an expression that matches as a text, the other tables are still wanted.
        assert_eq!(
            choose(&["public.nn|sales.nn"], "public.*").unwrap(),
            ["sales.nn"]
        );
        // What one expression names is not brought back by another.
        assert_eq!(
            choose(&["public.nn", "public.*"], "public.nn").unwrap(),
            ["public.hot"]
        );
        assert!(stop(&["public.nn"], "public\\..*").collections.is_empty());

        let mut all = stop(&["public\\.(nn|hot)"], "public.*");
        all.set_tables(all.choose(&published).unwrap());
        all.end();
        assert_eq!(all.state, State::Stopped);
        // It is stopped while the tables are being chosen.
        let mut meanwhile = stop(&["public.*"], "public.nn");
        assert!(meanwhile.may_have(&["public.other".to_owned()]));
        meanwhile.set_tables(published[..2].to_vec());
        assert_eq!(meanwhile.tables.as_deref(), Some(&published[..1]));
        assert!(!meanwhile.may_have(&["public.nn".to_owned()]));
        meanwhile.end();
        assert_eq!(meanwhile.state, State::Done);
        assert_eq!(
            stop(&["public.*"], "sales.*").stopped_in_vain(&published),
            ["sales.*"]
        );
        assert!(
            stop(&["public.*"], "public.nn")
                .stopped_in_vain(&published)
                .is_empty()
        );
    }

    #[test]
    fn tables_are_taken_out() {
        let mut request = request(&["public.*"]);
        request.tables = Some(
            ["public.a", "public.b", "public.c"]
                .map(str::to_owned)
                .into(),
        );
        request.after = Some(vec!["5".to_owned()]);
        assert!(!request.take_out(&["public.c".to_owned()]));
        assert!(request.after.is_some());
        assert!(request.take_out(&["public.a".to_owned()]));
        assert_eq!(request.after, None);
        assert_eq!(
            request.tables.as_deref(),
            Some(&["public.b".to_owned()][..])
        );
        request.end_table(None);
        request.end();
        assert_eq!(request.state, State::Done);
        let note = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&note).unwrap(), request);
    }
}
