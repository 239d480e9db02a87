//! What can be asked of walferry while it runs, in Debezium's words: a row of the signal table, a record of
//! the signal topic, or a message of `pg_logical_emit_message` says it (Debezium manual, "Sending signals
//! to a Debezium connector").
//!
//! Only words to values. A signal that is not understood is told of and ignored, never obeyed in part.

mod conditions;
mod data;

use relay::Signalled;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::conditions::Conditions;
use self::data::{Others, all_known, execute, stop};

/// A signal that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What its sender calls it.
    pub id: String,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `execute-snapshot`: rows of tables are to be published.
    Execute(Wanted),
    /// `stop-snapshot`: no longer those of these.
    Stop(Stopped),
    /// `pause-snapshot`: no more for now.
    Pause,
    /// `resume-snapshot`: on again.
    Resume,
    /// `log`: this text goes to the log.
    Log(String),
}

/// How rows are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In chunks, while the stream goes on.
    #[default]
    Incremental,
    /// All at one point of the stream, which stands there meanwhile.
    Blocking,
}

impl Kind {
    /// The one that needs no saying.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        *self == Self::Incremental
    }

    /// As a signal says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Blocking => "blocking",
        }
    }
}

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How they are published.
    pub kind: Kind,
    /// Expressions that a table's whole `schema.table` matches.
    pub collections: Vec<String>,
    /// By such an expression, a condition in SQL; for a blocking one, a whole SELECT will do, too.
    pub conditions: Conditions,
    /// The columns to order rows by, instead of the key's.
    pub surrogate_key: Option<String>,
    /// The publication that takes the tables in where this is asked: of what they hold nothing was published
    /// by it before.
    pub new_in: Option<String>,
}

/// What is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything.
    All,
    /// The snapshot that was asked for by this id.
    Request(String),
    /// Tables that match one of these.
    Collections(Vec<String>),
}

/// Why a signal is ignored. Says nothing of what stood in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Neither id nor type may be missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// No such type.
    #[error(
        "its type is none of execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot, log"
    )]
    UnknownType,
    /// The data is not what the type takes.
    #[error("its data is not understood (line {line}, column {column}): {expected}")]
    Malformed {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Something stands there that has no meaning.
    #[error("its member {name:?} is not understood: {expected}")]
    Unknown {
        /// What it is called.
        name: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The same, of a signal that said who it is.
    #[error("the signal {id:?}: {error}")]
    Named {
        /// What its sender calls it.
        id: String,
        /// What is the matter with it.
        error: Box<SignalError>,
    },
    /// More than a request's note can hold.
    #[error("it has {bytes} bytes, and at most {SIGNAL_BYTES_MAX} are read")]
    TooLarge {
        /// So many.
        bytes: usize,
    },
    /// An expression for tables that is none.
    #[error("data-collections has an item that is no regular expression")]
    Expression,
}

impl SignalError {
    /// Of the signal with this id.
    fn of(self, id: &str) -> Self {
        Self::Named {
            id: shown(id),
            error: Box::new(self),
        }
    }

    fn unknown(name: &str, expected: &'static str) -> Self {
        let name = shown(name);
        Self::Unknown { name, expected }
    }
}

/// As much of a name as the log needs.
fn shown(name: &str) -> String {
    name.chars().take(LENGTH_SHOWN).collect()
}

const LENGTH_SHOWN: usize = 100;
/// What is asked for is noted in one record of the progress topic, with more beside it.
const SIGNAL_BYTES_MAX: usize = 64 << 10;

impl Signal {
    /// Reads what stood in the stream.
    ///
    /// # Errors
    /// It is not understood.
    pub fn of_stream(signalled: &Signalled) -> Result<Self, SignalError> {
        match signalled {
            Signalled::Row { id, kind, data } => {
                can_be_noted(data.as_ref().map_or(0, String::len))?;
                let id = id.as_deref().ok_or(SignalError::Missing("id"))?;
                let untyped = || SignalError::Missing("type").of(id);
                let kind = kind.as_deref().ok_or_else(untyped)?;
                let signal = Self::parse(id, kind, data.as_deref().unwrap_or_default());
                signal.map_err(|error| error.of(id))
            }
            Signalled::Message(content) => Self::of_json(content, None),
        }
    }

    /// Reads `{"id":…,"type":…,"data":{…}}`; `id` is for one that has none of its own.
    ///
    /// # Errors
    /// As [`Signal::of_stream`].
    pub fn of_json(bytes: &[u8], id: Option<String>) -> Result<Self, SignalError> {
        can_be_noted(bytes.len())?;
        let whole: Whole = serde_json::from_slice(bytes).map_err(malformed(WHOLE))?;
        let id = whole.id.or(id).ok_or(SignalError::Missing("id"))?;
        all_known(&whole.others, WHOLE).map_err(|error| error.of(&id))?;
        let untyped = || SignalError::Missing("type").of(&id);
        let kind = whole.kind.ok_or_else(untyped)?;
        let data = match whole.data {
            None | Some(Value::Null) => String::new(),
            // Debezium's tables and tools often hold the data as text.
            Some(Value::String(text)) => text,
            Some(data) => data.to_string(),
        };
        Self::parse(&id, &kind, &data).map_err(|error| error.of(&id))
    }

    /// Reads a signal's three parts.
    ///
    /// # Errors
    /// As [`Signal::of_stream`].
    pub fn parse(id: &str, kind: &str, data: &str) -> Result<Self, SignalError> {
        let data = if data.trim().is_empty() { "{}" } else { data };
        let action = match kind {
            "execute-snapshot" => Action::Execute(execute(data)?),
            "stop-snapshot" => Action::Stop(stop(data)?),
            "pause-snapshot" => Action::Pause,
            "resume-snapshot" => Action::Resume,
            "log" => {
                let log: Log = serde_json::from_str(data).map_err(malformed(LOG))?;
                Action::Log(log.message)
            }
            _ => return Err(SignalError::UnknownType),
        };
        let id = id.to_owned();
        Ok(Self { id, action })
    }
}

fn can_be_noted(bytes: usize) -> Result<(), SignalError> {
    match bytes > SIGNAL_BYTES_MAX {
        true => Err(SignalError::TooLarge { bytes }),
        false => Ok(()),
    }
}

/// Whether this text means a table: it is its name, or an expression that the whole name matches.
pub(crate) fn means(text: &str, table: &str) -> bool {
    text == table || matching(text).is_some_and(|pattern| pattern.is_match(table))
}

/// A table's whole name is to match.
pub(crate) fn matching(text: &str) -> Option<regex::Regex> {
    regex::Regex::new(&format!("^(?:{})$", text.trim())).ok()
}

/// Tells where, and not what: `serde_json`'s own message may quote a value.
fn malformed(expected: &'static str) -> impl Fn(serde_json::Error) -> SignalError {
    move |error| SignalError::Malformed {
        line: error.line(),
        column: error.column(),
        expected,
    }
}

#[derive(Deserialize)]
struct Whole {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<Value>,
    #[serde(flatten)]
    others: Others,
}

#[derive(Deserialize)]
struct Log {
    message: String,
}

const WHOLE: &str = "an object with id, type and data";
const LOG: &str = "an object with message, a text";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_that_could_not_be_noted_is_not_read() {
        let filter = "x".repeat(SIGNAL_BYTES_MAX);
        let data = json!({
            "data-collections": ["a.b"],
            "additional-conditions": [{ "data-collection": "a.b", "filter": filter }],
        });
        let message = json!({ "id": "a", "type": "execute-snapshot", "data": data }).to_string();
        let row = Signalled::Row {
            id: Some("a".to_owned()),
            kind: Some("execute-snapshot".to_owned()),
            data: Some(data.to_string()),
        };
        for read in [
            Signal::of_stream(&row),
            Signal::of_stream(&Signalled::Message(message.clone().into_bytes())),
            // As it comes on a standby.
            Signal::of_json(message.as_bytes(), None),
        ] {
            let error = read.unwrap_err();
            assert!(matches!(error, SignalError::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn debezium_s_examples_are_understood() {
        let data = r#"{"data-collections": ["public.orders", "public\\.p.*"], "type": "INCREMENTAL",
            "additional-conditions": [{"data-collection": "public.orders", "filter": "id > 5"}],
            "surrogate-key": "code"}"#;
        let signal = Signal::parse("a1", "execute-snapshot", data).unwrap();
        let Action::Execute(wanted) = signal.action else {
            panic!("{signal:?}")
        };
        assert_eq!(wanted.collections, ["public.orders", "public\\.p.*"]);
        assert_eq!(wanted.conditions.on("public.orders"), Some("id > 5"));
        assert_eq!(wanted.surrogate_key.as_deref(), Some("code"));

        let stop = |data| Signal::parse("a", "stop-snapshot", data).unwrap().action;
        assert_eq!(stop(""), Action::Stop(Stopped::All));
        let one = stop(r#"{"data-collections": ["public.a"], "type": "incremental"}"#);
        assert_eq!(
            one,
            Action::Stop(Stopped::Collections(vec!["public.a".to_owned()]))
        );
        let of_id = stop(r#"{"id": "x"}"#);
        assert_eq!(of_id, Action::Stop(Stopped::Request("x".to_owned())));
        let action = |kind, data| Signal::parse("a", kind, data).unwrap().action;
        assert_eq!(
            action("pause-snapshot", r#"{"type":"incremental"}"#),
            Action::Pause
        );
        assert_eq!(action("resume-snapshot", ""), Action::Resume);
        let log = action("log", r#"{"message": "hello"}"#);
        assert_eq!(log, Action::Log("hello".to_owned()));
    }

    #[test]
    fn a_blocking_one_is_asked_for_in_any_case() {
        let kind = |data| {
            let signal = Signal::parse("b", "execute-snapshot", data).unwrap();
            let Action::Execute(wanted) = signal.action else {
                panic!("{signal:?}")
            };
            (wanted.kind, wanted.conditions)
        };
        let (blocking, conditions) = kind(
            r#"{"data-collections": ["a.b"], "type": "BLOCKING", "additional-conditions":
                [{"data-collection": "a.b", "filter": "SELECT * FROM a.b WHERE x"}]}"#,
        );
        assert_eq!(blocking, Kind::Blocking);
        assert_eq!(conditions.on("a.b"), Some("SELECT * FROM a.b WHERE x"));
        let without = kind(r#"{"data-collections": ["a.b"]}"#);
        assert_eq!(without.0, Kind::Incremental);
    }

    #[test]
    fn a_message_holds_all_three() {
        let bytes = br#"{"id":"7","type":"log","data":{"message":"m"}}"#;
        assert_eq!(Signal::of_json(bytes, None).unwrap().id, "7");
        let text = br#"{"type":"log","data":"{\"message\":\"m\"}"}"#;
        let signal = Signal::of_json(text, Some("k".to_owned())).unwrap();
        assert_eq!(
            (signal.id, signal.action),
            ("k".to_owned(), Action::Log("m".to_owned()))
        );
    }

    #[test]
    fn what_is_not_understood_is_told_without_its_values() {
        for (kind, data, reason) in [
            ("restart", "", "its type is none of"),
            ("execute-snapshot", "", "no data-collections"),
            ("execute-snapshot", "{secret", "line 1, column"),
            (
                "execute-snapshot",
                r#"{"data-collections": "secret"}"#,
                "a list of texts",
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["(secret"]}"#,
                "no regular expression",
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a"], "type": "secret"}"#,
                "incremental or blocking",
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a"], "type": "blocking", "additional-conditions": ["secret"]}"#,
                "each with data-collection and filter",
            ),
            ("stop-snapshot", "[1]", "an object"),
            ("log", "{}", "message"),
        ] {
            let error = Signal::parse("a", kind, data).unwrap_err().to_string();
            assert!(error.contains(reason), "{kind} {data}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let nothing = Signalled::Row {
            id: None,
            kind: None,
            data: None,
        };
        assert_eq!(Signal::of_stream(&nothing), Err(SignalError::Missing("id")));
        assert!(Signal::of_json(b"\xff", None).is_err());
        let unknown = br#"{"id": "a7", "type": "secret"}"#;
        let error = Signal::of_json(unknown, None).unwrap_err().to_string();
        assert!(
            error.starts_with("the signal \"a7\": its type is none of"),
            "{error}"
        );
    }
}
