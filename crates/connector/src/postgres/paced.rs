//! A socket that is read in bulk while much is coming, and that wakes nobody meanwhile.
//!
//! A backend that copies a table sends 8 KiB at a time. tokio has each of its sockets in an epoll
//! set, edge triggered, so that each send wakes a thread, whether anybody wants to read or not; on
//! cores that are busy a wake costs as much as the bytes it tells of. So this socket is in the set
//! only while somebody waits for its next byte. While bytes come fast (`pacing.rs`), it is left
//! alone for a moment, and then emptied.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::pacing::{Pacing, ReadPlan, SocketKind};
use super::pause::{Pause, watched};

/// A connected socket that does not block.
pub(super) struct Paced {
    socket: Socket,
    is_unix: bool,
    pacing: Pacing,
    pause: Pause,
    /// Taken since the socket was last found empty, and when that was.
    taken: usize,
    emptied: Instant,
    /// While the next byte is waited for.
    readable: Option<AsyncFd<OwnedFd>>,
    /// While room is waited for.
    writable: Option<AsyncFd<OwnedFd>>,
}

impl Paced {
    /// Takes a unix socket out of tokio's hands.
    pub(super) fn unix(socket: UnixStream) -> Self {
        Self::new(socket.into(), true)
    }

    /// Takes a TCP socket out of tokio's hands.
    pub(super) fn tcp(socket: TcpStream) -> Self {
        Self::new(socket.into(), false)
    }

    fn new(socket: Socket, is_unix: bool) -> Self {
        Paced {
            socket,
            is_unix,
            pacing: Pacing::new(SocketKind::UnixInBulk),
            pause: Pause::new(),
            taken: 0,
            emptied: Instant::now(),
            readable: None,
            writable: None,
        }
    }

    pub(super) fn kind(&self) -> SocketKind {
        if self.is_unix {
            return SocketKind::UnixInBulk;
        }
        let receive_buffer = self.socket.recv_buffer_size().unwrap_or(0);
        SocketKind::Tcp { receive_buffer }
    }

    /// Nothing is there to be read: waits for a while, or for the next byte.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(readable) = &self.readable {
            ready!(readable.poll_read_ready(cx))?.clear_ready();
            return Poll::Ready(Ok(()));
        }
        self.pacing.resize(self.kind());
        let now = Instant::now();
        let taken = std::mem::take(&mut self.taken);
        let plan = self.pacing.next(taken, now - self.emptied);
        self.emptied = now;
        match plan {
            ReadPlan::Pause(length) if taken > 0 => self.pause.begin(length),
            _ => {
                self.readable = Some(watched(
                    self.socket.try_clone()?.into(),
                    Interest::READABLE,
                )?)
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.pause.poll_ended(cx));
            match this.socket.read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    this.readable = None;
                    this.taken += count;
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.poll_arrival(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.socket.write(bytes) {
                Ok(count) => {
                    this.writable = None;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if this.writable.is_none() {
                        this.writable = Some(watched(
                            this.socket.try_clone()?.into(),
                            Interest::WRITABLE,
                        )?);
                    }
                    if let Some(writable) = &this.writable {
                        ready!(writable.poll_write_ready(cx))?.clear_ready();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown(Shutdown::Write) {
            // The peer has ended the connection already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shutdown => shutdown,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const MANY: usize = 32 << 20;

    fn unix() -> (Paced, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Paced::unix(ours), theirs)
    }

    fn tcp() -> (Paced, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        (Paced::tcp(ours), listener.accept().unwrap().0)
    }

    fn byte(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    async fn reads_all(mut paced: Paced, mut peer: impl io::Write + Send + 'static) {
        let writer = thread::spawn(move || {
            let bytes: Vec<u8> = (0..MANY).map(byte).collect();
            for part in bytes.chunks(8 << 10) {
                peer.write_all(part).unwrap();
            }
        });
        let mut count = 0;
        let mut bytes = vec![0; 8 << 10];
        loop {
            let found = paced.read(&mut bytes).await.unwrap();
            if found == 0 {
                break;
            }
            let wanted = (count..count + found).map(byte);
            assert!(bytes[..found].iter().copied().eq(wanted), "at {count}");
            count += found;
        }
        writer.join().unwrap();
        assert_eq!(count, MANY);
    }

    #[tokio::test]
    async fn much_is_read_whole_and_in_order() {
        let (paced, peer) = unix();
        reads_all(paced, peer).await;
        let (paced, peer) = tcp();
        reads_all(paced, peer).await;
    }

    #[tokio::test]
    async fn while_much_is_coming_it_is_not_watched() {
        let (mut paced, mut peer) = unix();
        let mut bytes = vec![0; 64 << 10];
        // As fast as it is read: a busy peer, whatever else this machine does.
        let mut was_left_alone = false;
        for _ in 0..10_000 {
            peer.write_all(&bytes[..16 << 10]).unwrap();
            let found = paced.read(&mut bytes).await.unwrap();
            assert_eq!(found, 16 << 10);
            let waits = std::future::poll_fn(|cx| {
                let mut room = [0; 1];
                let mut room = ReadBuf::new(&mut room);
                Poll::Ready(Pin::new(&mut paced).poll_read(cx, &mut room).is_pending())
            });
            assert!(waits.await, "nothing is there");
            if paced.pause.is_under_way() {
                assert!(paced.readable.is_none());
                was_left_alone = true;
                break;
            }
        }
        assert!(was_left_alone);
    }

    #[tokio::test]
    async fn what_comes_alone_is_waited_for() {
        let (mut paced, mut peer) = unix();
        for _ in 0..20 {
            let writer = thread::spawn(move || {
                thread::sleep(std::time::Duration::from_millis(3));
                peer.write_all(b"a").unwrap();
                peer
            });
            assert_eq!(paced.read_u8().await.unwrap(), b'a');
            assert!(!paced.pause.is_under_way());
            peer = writer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn much_is_written_as_the_peer_takes_it() {
        let (mut paced, mut peer) = unix();
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let bytes: Vec<u8> = (0..MANY).map(byte).collect();
        paced.write_all(&bytes).await.unwrap();
        paced.shutdown().await.unwrap();
        assert!(reader.join().unwrap() == bytes);
    }
}
