//! After the handshake: one simple query at a time, then COPY both ("Simple Query",
//! "COPY Operations").
//!
//! A walsender takes nothing but simple queries. Answers are few and small, so they are collected;
//! the stream is not: each CopyData body is handed on as it lies in the buffer.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use crate::body::Body;
use crate::error::{ServerError, Severity, WireError};
use crate::frame::Frame;

/// No command that walferry sends over a replication connection answers with more.
const ANSWER_MAX: usize = 16 << 20;

/// The rows of one answer, all columns as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Column names.
    pub columns: Vec<String>,
    /// `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Rows {
    /// The text of a cell by row and column name; `None` when it is NULL, missing or not UTF-8.
    #[must_use]
    pub fn text(&self, row: usize, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|name| name == column)?;
        std::str::from_utf8(self.rows.get(row)?.get(index)?.as_deref()?).ok()
    }
}

/// What [`SimpleQuery::handle`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum QueryStep {
    /// More frames are to come.
    Continue,
    /// Something to log.
    Notice(ServerError),
    /// The connection is a stream now; go on with [`CopyBoth`].
    CopyBoth,
    /// The answer, and the session is ready for the next command. Of several statements the last
    /// one's rows.
    Done(Result<Rows, ServerError>),
}

/// One simple query under way.
#[derive(Debug, Default)]
pub struct SimpleQuery {
    rows: Rows,
    size: usize,
    error: Option<ServerError>,
}

impl SimpleQuery {
    /// Writes the query.
    ///
    /// # Errors
    /// A NUL inside the text.
    pub fn start(text: &str, out: &mut BytesMut) -> Result<Self, WireError> {
        frontend::query(text, out).map_err(|_| WireError::Unsendable("a command"))?;
        Ok(SimpleQuery::default())
    }

    /// Takes a frame of the server.
    ///
    /// # Errors
    /// Frames that have no place in an answer, broken ones, and answers beyond 16 MiB. A refusal
    /// of the server is [`QueryStep::Done`], except a FATAL one, after which nothing comes:
    /// that is `Done` at once.
    pub fn handle(&mut self, frame: Frame<'_>) -> Result<QueryStep, WireError> {
        self.size += frame.body.len();
        if self.size > ANSWER_MAX {
            return Err(WireError::AnswerTooLarge { max: ANSWER_MAX });
        }
        match frame.tag {
            b'T' => {
                self.rows = Rows {
                    columns: columns(frame)?,
                    rows: Vec::new(),
                }
            }
            b'D' => self.rows.rows.push(row(frame)?),
            b'C' | b'I' | b'S' => {}
            b'N' => return Ok(QueryStep::Notice(ServerError::parse(frame)?)),
            b'E' => {
                let error = ServerError::parse(frame)?;
                if error.severity != Severity::Error {
                    return Ok(QueryStep::Done(Err(error)));
                }
                self.error = Some(error);
            }
            b'W' => return Ok(QueryStep::CopyBoth),
            b'Z' => {
                let rows = std::mem::take(&mut self.rows);
                return Ok(QueryStep::Done(self.error.take().map_or(Ok(rows), Err)));
            }
            tag => {
                return Err(WireError::Unexpected {
                    tag,
                    phase: "in the answer to a command",
                });
            }
        }
        Ok(QueryStep::Continue)
    }
}

fn columns(frame: Frame<'_>) -> Result<Vec<String>, WireError> {
    let mut body = Body::new(frame);
    let count = body.count("column count")?;
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(body.text("column name")?);
        // Table oid, attribute number, type oid, type length, type modifier, format.
        body.take(4 + 2 + 4 + 2 + 4 + 2, "column description")?;
    }
    Ok(columns)
}

fn row(frame: Frame<'_>) -> Result<Vec<Option<Vec<u8>>>, WireError> {
    let mut body = Body::new(frame);
    let count = body.count("column count")?;
    let mut cells = Vec::new();
    for _ in 0..count {
        let length = body.int("cell length")?;
        cells.push(match usize::try_from(length) {
            Ok(length) => Some(body.take(length, "cell")?.to_vec()),
            Err(_) if length == -1 => None,
            Err(_) => {
                let (field, value) = ("cell length", i64::from(length));
                return Err(WireError::Impossible {
                    tag: frame.tag,
                    field,
                    value,
                });
            }
        });
    }
    Ok(cells)
}

/// One frame of a COPY both stream, told apart.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamItem<'a> {
    /// The body of a CopyData.
    Payload(&'a [u8]),
    /// Something to log.
    Notice(ServerError),
    /// The server ends the stream with an error; nothing follows on a FATAL one.
    Error(ServerError),
    /// The server has sent all that it will send.
    CopyDone,
    /// Nothing to act on: ParameterStatus, CommandComplete after CopyDone.
    Nothing,
    /// The stream is over on both sides and the session takes commands again.
    Ready,
}

/// The state of a COPY both stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyBoth {
    /// Payloads come.
    #[default]
    Streaming,
    /// The server has sent CopyDone.
    ServerDone,
    /// Over.
    Over,
}

impl CopyBoth {
    /// Takes a frame of the server.
    ///
    /// # Errors
    /// A frame that has no place in the stream.
    pub fn handle<'a>(&mut self, frame: Frame<'a>) -> Result<StreamItem<'a>, WireError> {
        match (frame.tag, *self) {
            (b'd', CopyBoth::Streaming) => Ok(StreamItem::Payload(frame.body)),
            (b'N', _) => Ok(StreamItem::Notice(ServerError::parse(frame)?)),
            (b'E', _) => {
                *self = CopyBoth::ServerDone;
                Ok(StreamItem::Error(ServerError::parse(frame)?))
            }
            // A walsender may still send a keepalive after its CopyDone.
            (b'S', _) | (b'C' | b'd', CopyBoth::ServerDone) => Ok(StreamItem::Nothing),
            (b'c', CopyBoth::Streaming) => {
                *self = CopyBoth::ServerDone;
                Ok(StreamItem::CopyDone)
            }
            // A walsender that is shut down ends with CommandComplete and without CopyDone.
            (b'C', CopyBoth::Streaming) => {
                *self = CopyBoth::ServerDone;
                Ok(StreamItem::CopyDone)
            }
            (b'Z', CopyBoth::ServerDone) => {
                *self = CopyBoth::Over;
                Ok(StreamItem::Ready)
            }
            (tag, _) => Err(WireError::Unexpected {
                tag,
                phase: "in the replication stream",
            }),
        }
    }
}

/// Writes a CopyData frame around a body.
///
/// # Errors
/// A body beyond 2 GiB.
pub fn copy_data(body: &[u8], out: &mut BytesMut) -> Result<(), WireError> {
    frontend::CopyData::new(body)
        .map_err(|_| WireError::Unsendable("a CopyData body"))?
        .write(out);
    Ok(())
}

/// Writes CopyDone: we send nothing more.
pub fn copy_done(out: &mut BytesMut) {
    frontend::copy_done(out);
}

/// Writes Terminate: the session ends.
pub fn terminate(out: &mut BytesMut) {
    frontend::terminate(out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame<'_> {
        Frame { tag, body }
    }

    const DESCRIPTION: &[u8] =
        b"\0\x02systemid\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0dbname\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    const ROW: &[u8] = b"\0\x02\0\0\0\x04\x37\x35\x36\x30\xff\xff\xff\xff";
    const ERROR: &[u8] = b"VERROR\0C42704\0Mreplication slot \"x\" does not exist\0\0";

    #[test]
    fn an_answer_is_collected() {
        let mut query = SimpleQuery::start("IDENTIFY_SYSTEM", &mut BytesMut::new()).unwrap();
        for (tag, body) in [
            (b'T', DESCRIPTION),
            (b'D', ROW),
            (b'C', b"IDENTIFY_SYSTEM\0"),
        ] {
            assert_eq!(query.handle(frame(tag, body)), Ok(QueryStep::Continue));
        }
        let Ok(QueryStep::Done(Ok(rows))) = query.handle(frame(b'Z', b"I")) else {
            panic!()
        };
        assert_eq!(rows.text(0, "systemid"), Some("7560"));
        assert_eq!(rows.text(0, "dbname"), None);
        assert_eq!(rows.text(1, "systemid"), None);
        assert_eq!(rows.text(0, "timeline"), None);
    }

    #[test]
    fn an_error_is_told_once_the_session_is_ready_and_a_fatal_one_at_once() {
        let mut query = SimpleQuery::default();
        assert_eq!(query.handle(frame(b'E', ERROR)), Ok(QueryStep::Continue));
        let Ok(QueryStep::Done(Err(error))) = query.handle(frame(b'Z', b"I")) else {
            panic!()
        };
        assert_eq!(error.sqlstate.as_str(), "42704");

        let mut query = SimpleQuery::default();
        let fatal = b"VFATAL\0C57P01\0Mbye\0\0";
        assert!(matches!(
            query.handle(frame(b'E', fatal)),
            Ok(QueryStep::Done(Err(_)))
        ));
    }

    #[test]
    fn every_prefix_of_a_body_returns() {
        for (tag, body) in [
            (b'T', DESCRIPTION),
            (b'D', ROW),
            (b'E', ERROR),
            (b'N', ERROR),
        ] {
            assert!(SimpleQuery::default().handle(frame(tag, body)).is_ok());
            for cut in 0..body.len() {
                let step = SimpleQuery::default().handle(frame(tag, &body[..cut]));
                assert!(
                    matches!(step, Err(WireError::Truncated { .. })),
                    "{tag} {cut} {step:?}"
                );
            }
        }
    }

    #[test]
    fn every_flipped_byte_returns() {
        for (tag, body) in [(b'T', DESCRIPTION), (b'D', ROW), (b'E', ERROR)] {
            for at in 0..body.len() {
                for bit in 0..8 {
                    let mut flipped = body.to_vec();
                    flipped[at] ^= 1 << bit;
                    let _ = SimpleQuery::default().handle(frame(tag, &flipped));
                }
            }
        }
        let minus_two = b"\0\x01\xff\xff\xff\xfe";
        assert!(matches!(
            SimpleQuery::default().handle(frame(b'D', minus_two)),
            Err(WireError::Impossible { value: -2, .. })
        ));
    }

    #[test]
    fn the_stream_by_its_states() {
        let mut copy = CopyBoth::default();
        assert_eq!(
            copy.handle(frame(b'd', b"k1")),
            Ok(StreamItem::Payload(b"k1"))
        );
        assert!(matches!(
            copy.handle(frame(b'N', ERROR)),
            Ok(StreamItem::Notice(_))
        ));
        assert_eq!(copy.handle(frame(b'S', b"a\0b\0")), Ok(StreamItem::Nothing));
        assert!(copy.handle(frame(b'Z', b"I")).is_err());
        assert!(copy.handle(frame(b'R', b"\0\0\0\0")).is_err());
        assert_eq!(copy.handle(frame(b'c', b"")), Ok(StreamItem::CopyDone));
        assert_eq!(copy.handle(frame(b'd', b"late")), Ok(StreamItem::Nothing));
        assert_eq!(
            copy.handle(frame(b'C', b"COPY 0\0")),
            Ok(StreamItem::Nothing)
        );
        assert_eq!(
            copy.handle(frame(b'C', b"START_STREAMING\0")),
            Ok(StreamItem::Nothing)
        );
        assert_eq!(copy.handle(frame(b'Z', b"I")), Ok(StreamItem::Ready));

        let mut shut_down = CopyBoth::default();
        assert_eq!(
            shut_down.handle(frame(b'C', b"COPY 0\0")),
            Ok(StreamItem::CopyDone)
        );
        let mut refused = CopyBoth::default();
        assert!(matches!(
            refused.handle(frame(b'E', ERROR)),
            Ok(StreamItem::Error(_))
        ));
        assert_eq!(refused.handle(frame(b'Z', b"I")), Ok(StreamItem::Ready));
    }

    proptest! {
        #[test]
        fn noise_never_panics(
            frames in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..12)
        ) {
            let (mut query, mut copy) = (SimpleQuery::default(), CopyBoth::default());
            for (tag, body) in &frames {
                let _ = query.handle(frame(*tag, body));
                let _ = copy.handle(frame(*tag, body));
            }
        }
    }
}
