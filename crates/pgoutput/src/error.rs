//! Why bytes could not be read, and where. Never what they were: a row's value has no place in an
//! error, so only tags, flags, counts and offsets are told.

use thiserror::Error;

/// Bytes that are not what pgoutput, the replication stream or COPY may send.
///
/// It means that the two ends disagree about the protocol, or that bytes were damaged on the way:
/// the connection has to be dropped and read again from the last confirmed LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot decode {message}: {field} at byte {offset}: {kind}")]
pub struct DecodeError {
    /// The message being read, by the manual's name: `Relation`, `XLogData`, `COPY row`.
    pub message: &'static str,
    /// The field being read.
    pub field: &'static str,
    /// Bytes from the start of the message, its type byte included, to where the field starts.
    pub offset: usize,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What was wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// The message ends inside the field.
    #[error("the message ends: {needed} byte(s) needed, {left} left")]
    UnexpectedEnd {
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// The message was read to its end and bytes are left over.
    #[error("{left} byte(s) left over")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// A message that protocol version 1 does not know.
    #[error("unknown message 0x{tag:02X}; is the slot's plugin pgoutput?")]
    UnknownMessage {
        /// The message's type byte.
        tag: u8,
    },
    /// A byte that says which of several things follows, and says none of them.
    #[error("unknown tag 0x{tag:02X}")]
    UnknownTag {
        /// The byte.
        tag: u8,
    },
    /// A message that only streaming of open transactions brings.
    #[error("unexpected message '{}': streaming is off", char::from(*tag))]
    StreamingIsOff {
        /// The message's type byte.
        tag: u8,
    },
    /// A message that only two-phase decoding brings.
    #[error("unexpected message '{}': two_phase is off", char::from(*tag))]
    TwoPhaseIsOff {
        /// The message's type byte.
        tag: u8,
    },
    /// Flag bits that have no meaning in protocol version 1.
    #[error("unknown flags 0x{flags:02X}")]
    UnknownFlags {
        /// All the flags.
        flags: u8,
    },
    /// A name without its terminating NUL.
    #[error("no terminating NUL")]
    MissingNul,
    /// A name that is not UTF-8, though `client_encoding` is pinned to UTF8.
    #[error("not UTF-8; is the database's encoding SQL_ASCII?")]
    InvalidUtf8,
    /// A COPY row with another number of columns than were asked for.
    #[error("{expected} columns expected, {found} found")]
    ColumnCount {
        /// Columns of the COPY statement.
        expected: usize,
        /// Columns of the row; counting stops at the first one too many.
        found: usize,
    },
    /// A backslash sequence that COPY TO does not write.
    #[error("unknown escape \\0x{escape:02X}")]
    UnknownEscape {
        /// The byte after the backslash.
        escape: u8,
    },
    /// A line feed inside a COPY row: two rows in one message, or the wrong format.
    #[error("a line feed inside the row")]
    LineFeed,
}
