//! The replication stream: payloads in, status updates out, one task, no lock.
//!
//! Reading is two steps, so that a driver can wait for several things at once:
//! [`ReplicationStream::readable`] waits (and may be dropped at any time), [`ReplicationStream::fill`]
//! takes what has arrived, and [`ReplicationStream::next_payload`] cuts it until it says `None`.
//! While a backlog drains, `readable` lets bytes gather before it reads (see `pacing.rs`): a few
//! large reads instead of one for each message.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use pgwire::session::{copy_data, copy_done, terminate};
use pgwire::{CopyBoth, FrameBuffer, StreamItem};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::connect::{Connected, wire};
use super::error::PostgresError;
use super::pacing::{Pacing, ReadPlan};
use super::pause::Pause;
use super::pump::pumped;
use super::replication::handle_notice;
use super::sql::within;
use super::transport::Transport;

/// Room for one read. Larger than what gathers in one pause at full speed.
const READ_BYTES: usize = 1 << 20;

/// Unsent status updates beyond this mean that the server does not read; newer ones say more than
/// older ones, so further ones are left out until it does.
const OUT_BYTES_MAX: usize = 16 << 10;

/// How long what came before the end of a connection may lie unread.
const LAST_WORDS_TIME: Duration = Duration::from_secs(2);

/// How long the end of a stream may take.
const FINISH_TIME: Duration = Duration::from_secs(2);

/// A session in COPY both.
pub struct ReplicationStream {
    transport: Transport,
    frames: FrameBuffer,
    copy: CopyBoth,
    out: BytesMut,
    /// Why writing fails, and when something was last read or it first failed.
    broken: Option<(Instant, io::Error)>,
    arrived: usize,
    end: Option<End>,
    pacing: Pacing,
    last_read: Instant,
    pause: Pause,
    reads: u64,
}

/// How reading came to its end; told once everything before it has been handed on.
enum End {
    Closed,
    Failed(io::Error),
}

impl ReplicationStream {
    pub(super) fn new(connected: Connected) -> Self {
        let transport = pumped(connected.transport);
        let pacing = Pacing::new(transport.kind());
        // A server can send its first message together with the start of the stream.
        let arrived = connected.frames.buffered();
        ReplicationStream {
            transport,
            frames: connected.frames,
            copy: CopyBoth::default(),
            out: BytesMut::new(),
            broken: None,
            arrived,
            end: None,
            pacing,
            last_read: Instant::now(),
            pause: Pause::new(),
            reads: 0,
        }
    }

    /// Waits until [`Self::fill`] has something, and sends what is still to be sent. Cancel safe.
    ///
    /// # Errors
    /// None today; a broken connection is told by `fill`.
    pub async fn readable(&mut self) -> Result<(), PostgresError> {
        if self.arrived > 0 || self.end.is_some() {
            return Ok(());
        }
        self.pause.ended().await;
        poll_fn(|cx| {
            self.poll_send(cx);
            self.poll_arrive(cx)
        })
        .await;
        Ok(())
    }

    /// How many bytes have arrived since the last call, without waiting; 0 when there are none.
    ///
    /// # Errors
    /// The end of the connection, once everything before it has been taken.
    pub fn fill(&mut self) -> Result<usize, PostgresError> {
        const DOING: &str = "read the replication stream";
        if self.arrived == 0 && self.end.is_none() && !self.pause.is_under_way() {
            let _ = self.poll_arrive(&mut Context::from_waker(Waker::noop()));
        }
        let arrived = std::mem::take(&mut self.arrived);
        if arrived == 0 {
            return match self.end.take() {
                None => Ok(0),
                Some(End::Closed) => Err(PostgresError::Closed { doing: DOING }),
                Some(End::Failed(error)) => Err(PostgresError::Io {
                    doing: DOING.to_owned(),
                    error,
                }),
            };
        }
        self.reads += 1;
        let now = Instant::now();
        if let Some((since, _)) = &mut self.broken {
            *since = now;
        }
        self.pacing.resize(self.transport.kind());
        let plan = self.pacing.next(arrived, now - self.last_read);
        self.last_read = now;
        if let ReadPlan::Pause(pause) = plan {
            self.pause.begin(pause);
        }
        Ok(arrived)
    }

    /// The body of the next CopyData that has arrived; `None` when more must be read.
    ///
    /// # Errors
    /// The server's own error, the end of the stream, and bytes that are not the protocol.
    pub fn next_payload(&mut self) -> Result<Option<&[u8]>, PostgresError> {
        const DOING: &str = "read the replication stream";
        loop {
            let Some(span) = self.frames.advance().map_err(wire(DOING))? else {
                return Ok(None);
            };
            if span.tag == b'd' && self.copy == CopyBoth::Streaming {
                return Ok(Some(self.frames.frame(span).body));
            }
            match self
                .copy
                .handle(self.frames.frame(span))
                .map_err(wire(DOING))?
            {
                StreamItem::Payload(_) | StreamItem::Nothing => {}
                StreamItem::Notice(notice) => handle_notice(notice)?,
                StreamItem::Error(error) => {
                    return Err(PostgresError::Server {
                        doing: DOING,
                        error,
                    });
                }
                StreamItem::CopyDone | StreamItem::Ready => return Err(PostgresError::StreamEnded),
            }
        }
    }

    /// Reads of the socket so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// Sends a CopyData around `body`, as far as the socket takes it; the rest goes out with the
    /// next `send` or `readable`. A connection that broke shows in `fill` first, where the server's
    /// last words are still to be read; who reads nothing for two seconds is told here.
    ///
    /// # Errors
    /// A connection that broke, and a body that the protocol cannot carry.
    pub async fn send(&mut self, body: &[u8]) -> Result<(), PostgresError> {
        const DOING: &str = "send a status update";
        let unread = |broken: &mut (Instant, _)| broken.0.elapsed() > LAST_WORDS_TIME;
        if let Some((_, error)) = self.broken.take_if(unread) {
            return Err(PostgresError::Io {
                doing: DOING.to_owned(),
                error,
            });
        }
        if self.out.len() > OUT_BYTES_MAX {
            debug!("the server does not read; a status update is left out");
        } else {
            copy_data(body, &mut self.out).map_err(wire(DOING))?;
        }
        poll_fn(|cx| {
            self.poll_send(cx);
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    /// Ends the stream: CopyDone both ways, then Terminate. Waits two seconds at most; what the
    /// server still sends is passed over, for it was not confirmed and comes again.
    ///
    /// # Errors
    /// A server that ended otherwise. The session is over in any case.
    pub async fn finish(mut self) -> Result<(), PostgresError> {
        let ended = within(FINISH_TIME, "end the replication stream", async {
            copy_done(&mut self.out);
            self.drain_out().await?;
            loop {
                match self.next_end()? {
                    Some(()) => return Ok(()),
                    None => {
                        self.readable_now().await;
                        self.fill()?;
                    }
                }
            }
        })
        .await;
        terminate(&mut self.out);
        let _ = timeout(Duration::from_millis(200), async {
            let _ = self.drain_out().await;
            let _ = self.transport.shutdown().await;
        })
        .await;
        ended
    }

    /// Passes over everything up to ReadyForQuery.
    fn next_end(&mut self) -> Result<Option<()>, PostgresError> {
        const DOING: &str = "end the replication stream";
        while let Some(span) = self.frames.advance().map_err(wire(DOING))? {
            match self
                .copy
                .handle(self.frames.frame(span))
                .map_err(wire(DOING))?
            {
                StreamItem::Ready => return Ok(Some(())),
                StreamItem::Error(error) => {
                    return Err(PostgresError::Server {
                        doing: DOING,
                        error,
                    });
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn readable_now(&mut self) {
        self.pause.cancel();
        poll_fn(|cx| self.poll_arrive(cx)).await;
    }

    async fn drain_out(&mut self) -> Result<(), PostgresError> {
        let io = |error| PostgresError::Io {
            doing: "end the replication stream".into(),
            error,
        };
        self.transport
            .write_all_buf(&mut self.out)
            .await
            .map_err(io)?;
        self.transport.flush().await.map_err(io)
    }

    /// Reads once; over TLS until nothing more is there, for a record is smaller than a read.
    fn poll_arrive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.arrived > 0 || self.end.is_some() {
            return Poll::Ready(());
        }
        loop {
            let mut spare = ReadBuf::new(self.frames.spare_mut(READ_BYTES));
            match Pin::new(&mut self.transport).poll_read(cx, &mut spare) {
                Poll::Pending if self.arrived > 0 => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    self.end = Some(End::Failed(error));
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) => {
                    let count = spare.filled().len();
                    if count == 0 {
                        self.end = Some(End::Closed);
                        return Poll::Ready(());
                    }
                    self.frames.commit(count);
                    self.arrived += count;
                    let more = matches!(self.transport, Transport::Tls(_));
                    if !more || self.arrived >= READ_BYTES {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        while !self.out.is_empty() {
            match Pin::new(&mut self.transport).poll_write(cx, &self.out) {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) if count > 0 => self.out.advance(count),
                // Reading tells it, after what the server said before.
                Poll::Ready(written) => {
                    let error = written.err();
                    let error = error.unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    self.broken.get_or_insert_with(|| (Instant::now(), error));
                    return self.out.clear();
                }
            }
        }
        if matches!(self.transport, Transport::Tls(_)) {
            let _ = Pin::new(&mut self.transport).poll_flush(cx);
        }
    }
}
