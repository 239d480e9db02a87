//! What a server says when it refuses, and what a peer's bytes can get wrong.
//!
//! Messages of the server are kept, with control characters taken out, because they go to logs.
//! The detail of an error may quote row values; it is kept apart and is no part of `Display`.

use std::fmt;

use thiserror::Error;

use crate::body::Body;
use crate::frame::Frame;

/// A five-character SQLSTATE (PostgreSQL manual, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Parses a code; `None` unless it is five ASCII digits or capitals.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            .then_some(SqlState(bytes))
    }

    /// The five characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The first two characters, which name the class of errors.
    #[must_use]
    pub fn class(&self) -> &str {
        self.as_str().get(..2).unwrap_or("XX")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How grave an ErrorResponse or NoticeResponse is, from its untranslated `V` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The command failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
    /// The whole server restarts.
    Panic,
    /// Something an operator should read.
    Warning,
    /// NOTICE, INFO, LOG and DEBUG.
    Notice,
}

impl Severity {
    fn parse(word: &str) -> Self {
        match word {
            "FATAL" => Severity::Fatal,
            "PANIC" => Severity::Panic,
            "WARNING" => Severity::Warning,
            "NOTICE" | "INFO" | "LOG" | "DEBUG" => Severity::Notice,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        })
    }
}

/// An ErrorResponse or NoticeResponse ("Error and Notice Message Fields").
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{severity} {sqlstate}: {message}{}", hint.as_ref().map(|hint| format!(" (hint: {hint})"))
    .unwrap_or_default())]
pub struct ServerError {
    /// How grave it is.
    pub severity: Severity,
    /// What kind of error; the only field to decide by.
    pub sqlstate: SqlState,
    /// The primary message, for people.
    pub message: String,
    /// May quote row values: not for logs.
    pub detail: Option<String>,
    /// What the server suggests.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse or NoticeResponse. Unknown fields are passed over, as the
    /// manual asks; a missing SQLSTATE becomes `XX000`.
    ///
    /// # Errors
    /// A field without its closing NUL.
    pub fn parse(frame: Frame<'_>) -> Result<Self, WireError> {
        let mut body = Body::new(frame);
        let mut error = ServerError {
            severity: Severity::Error,
            sqlstate: SqlState(*b"XX000"),
            message: String::new(),
            detail: None,
            hint: None,
        };
        let mut untranslated = false;
        loop {
            match body.byte("field code")? {
                0 => return Ok(error),
                b'V' => {
                    error.severity = Severity::parse(&body.text("severity")?);
                    untranslated = true;
                }
                b'S' if !untranslated => error.severity = Severity::parse(&body.text("severity")?),
                b'C' => {
                    let code = body.text("sqlstate")?;
                    error.sqlstate = SqlState::parse(&code).unwrap_or(error.sqlstate);
                }
                b'M' => error.message = one_line(&body.text("message")?),
                b'D' => error.detail = Some(one_line(&body.text("detail")?)),
                b'H' => error.hint = Some(one_line(&body.text("hint")?)),
                _ => {
                    body.cstr("other field")?;
                }
            }
        }
    }
}

/// A server's text goes into logs, where a line break could forge a line.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Bytes of the peer that are not the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The length word counts itself, so it is never below four.
    #[error("frame {} says it is {length} bytes long, less than its own length word", printable(*.tag))]
    LengthTooSmall {
        /// The frame's tag.
        tag: u8,
        /// What the length word said.
        length: u32,
    },
    /// A frame above the bound of this phase of the session.
    #[error("frame {} has a body of {length} bytes; at most {max} are taken here: \
        is this a Postgres server?", printable(*.tag))]
    BodyTooLarge {
        /// The frame's tag.
        tag: u8,
        /// Bytes of the body.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// A body that ends inside a field.
    #[error("frame {} ends inside its field '{field}' at byte {offset}", printable(*.tag))]
    Truncated {
        /// The frame's tag.
        tag: u8,
        /// The field that did not fit.
        field: &'static str,
        /// Where in the body it begins.
        offset: usize,
    },
    /// A field with a value the manual does not know.
    #[error("frame {} has an impossible '{field}' ({value})", printable(*.tag))]
    Impossible {
        /// The frame's tag.
        tag: u8,
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// A frame that has no place in this phase.
    #[error("frame {} is not expected {phase}", printable(*.tag))]
    Unexpected {
        /// The frame's tag.
        tag: u8,
        /// Where in the session this was.
        phase: &'static str,
    },
    /// The answer to SSLRequest was neither `S` nor `N`.
    #[error("the server answered the TLS request with {}: is this a Postgres server?", printable(*.0))]
    TlsAnswer(u8),
    /// A result larger than any answer walferry asks for.
    #[error("the answer to a command is larger than {max} bytes")]
    AnswerTooLarge {
        /// The bound, in bytes.
        max: usize,
    },
    /// More frames than a handshake can need.
    #[error("the server sent {0} frames and did not finish the handshake")]
    EndlessHandshake(u32),
    /// Text for the server with a NUL inside, or longer than the protocol can say.
    #[error("'{0}' cannot be sent to the server: it has a NUL byte inside or is too long")]
    Unsendable(&'static str),
}

fn printable(tag: u8) -> String {
    format!("'{}'", char::from(tag).escape_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Result<ServerError, WireError> {
        ServerError::parse(Frame { tag: b'E', body })
    }

    #[test]
    fn fields_are_read_and_control_characters_are_taken_out() {
        let error = parse(
            b"SFEHLER\0VFATAL\0C57P01\0Mterminating\r\nconnection\0Hask your DBA\0Fx.c\0DKey 1\0\0",
        )
        .unwrap();
        assert_eq!(error.severity, Severity::Fatal);
        assert_eq!(error.sqlstate.class(), "57");
        assert_eq!(
            error.to_string(),
            "FATAL 57P01: terminating  connection (hint: ask your DBA)"
        );
        assert_eq!(error.detail.as_deref(), Some("Key 1"));
    }

    #[test]
    fn every_prefix_is_an_error_with_its_place() {
        let whole = b"VERROR\0C42704\0Mno slot\0\0";
        assert!(parse(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(
                matches!(parse(&whole[..cut]), Err(WireError::Truncated { .. })),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_sqlstate_is_five_digits_or_capitals() {
        assert!(SqlState::parse("42P01").is_some());
        for bad in ["", "42p01", "4270", "427044", "427\n4", "ä704"] {
            assert!(SqlState::parse(bad).is_none(), "{bad}");
        }
    }
}
