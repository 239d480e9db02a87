//! The messages of pgoutput, protocol version 1: type byte to message and back (manual: "Logical
//! Replication Message Formats").

use alloc::vec::Vec;

use crate::change::{Delete, Insert, Truncate, Update};
use crate::cursor::Cursor;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::prepared::{Prepared, RollbackPrepared};
use crate::relation::{Relation, TypeName};
use crate::transaction::{Begin, Commit, LogicalMessage, Origin};

/// One message of pgoutput: the payload of one [`WalData`](crate::ServerMessage::WalData).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`: a committed transaction starts.
    Begin(Begin),
    /// `C`: it ends.
    Commit(Commit),
    /// `O`: it came from another server.
    Origin(Origin<'a>),
    /// `R`: a table's description.
    Relation(Relation<'a>),
    /// `Y`: a type's name.
    Type(TypeName<'a>),
    /// `I`: a row was inserted.
    Insert(Insert<'a>),
    /// `U`: a row was updated.
    Update(Update<'a>),
    /// `D`: a row was deleted.
    Delete(Delete<'a>),
    /// `T`: tables were truncated.
    Truncate(Truncate<'a>),
    /// `M`: `pg_logical_emit_message` was called.
    Logical(LogicalMessage<'a>),
    /// `b`: a prepared transaction's changes follow.
    BeginPrepare(Prepared<'a>),
    /// `P`: they have ended.
    Prepare(Prepared<'a>),
    /// `K`: it is committed.
    CommitPrepared(Prepared<'a>),
    /// `r`: it is rolled back.
    RollbackPrepared(RollbackPrepared<'a>),
}

impl<'a> Message<'a> {
    /// Reads one message whole; what it holds are slices of `bytes`.
    ///
    /// # Errors
    /// Bytes that are not exactly one message of protocol version 1. Messages of `streaming` and
    /// `two_phase` have kinds of error of their own, since they mean that the server does what it
    /// was not asked for.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut cursor = Cursor::new("pgoutput message", bytes);
        let start = cursor;
        let tag = cursor.u8("type")?;
        let message = match tag {
            b'I' => Message::Insert(Insert::read(cursor.named("Insert"))?),
            b'U' => Message::Update(Update::read(cursor.named("Update"))?),
            b'D' => Message::Delete(Delete::read(cursor.named("Delete"))?),
            b'B' => Message::Begin(Begin::read(cursor.named("Begin"))?),
            b'C' => Message::Commit(Commit::read(cursor.named("Commit"))?),
            b'O' => Message::Origin(Origin::read(cursor.named("Origin"))?),
            b'R' => Message::Relation(Relation::read(cursor.named("Relation"))?),
            b'Y' => Message::Type(TypeName::read(cursor.named("Type"))?),
            b'T' => Message::Truncate(Truncate::read(cursor.named("Truncate"))?),
            b'M' => Message::Logical(LogicalMessage::read(cursor.named("Message"))?),
            b'b' => Message::BeginPrepare(Prepared::read(cursor.named("Begin Prepare"))?),
            b'P' => Message::Prepare(Prepared::read_behind_flags(cursor.named("Prepare"))?),
            b'K' => {
                let cursor = cursor.named("Commit Prepared");
                Message::CommitPrepared(Prepared::read_behind_flags(cursor)?)
            }
            b'r' => {
                let cursor = cursor.named("Rollback Prepared");
                Message::RollbackPrepared(RollbackPrepared::read(cursor)?)
            }
            tag => return Err(start.error("type", refusal(tag))),
        };
        cursor.finish()?;
        Ok(message)
    }

    /// Appends the message's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Begin(begin) => begin.write(tagged(out, b'B')),
            Message::Commit(commit) => commit.write(tagged(out, b'C')),
            Message::Origin(origin) => origin.write(tagged(out, b'O')),
            Message::Relation(relation) => relation.write(tagged(out, b'R')),
            Message::Type(name) => name.write(tagged(out, b'Y')),
            Message::Insert(insert) => insert.write(tagged(out, b'I')),
            Message::Update(update) => update.write(tagged(out, b'U')),
            Message::Delete(delete) => delete.write(tagged(out, b'D')),
            Message::Truncate(truncate) => truncate.write(tagged(out, b'T')),
            Message::Logical(message) => message.write(tagged(out, b'M')),
            Message::BeginPrepare(prepared) => prepared.write(tagged(out, b'b')),
            Message::Prepare(prepared) => prepared.write_behind_flags(tagged(out, b'P')),
            Message::CommitPrepared(prepared) => prepared.write_behind_flags(tagged(out, b'K')),
            Message::RollbackPrepared(rollback) => rollback.write(tagged(out, b'r')),
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8) -> &mut Vec<u8> {
    out.push(tag);
    out
}

#[cold]
fn refusal(tag: u8) -> DecodeErrorKind {
    match tag {
        b'S' | b'E' | b'c' | b'A' => DecodeErrorKind::StreamingIsOff { tag },
        b'p' => DecodeErrorKind::TwoPhaseIsOff { tag },
        _ => DecodeErrorKind::UnknownMessage { tag },
    }
}
