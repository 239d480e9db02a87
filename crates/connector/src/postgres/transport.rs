//! A connected byte stream, whichever kind: TCP, unix socket (pumped or not), either outside of epoll, or TLS
//! over TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::paced::Paced;
use super::pump::Pumped;

/// TLS records are taken from the socket through a buffer of this size: a walsender puts each
/// small message into a record of its own, and one read a record would cost more than the rest.
pub(super) const TLS_READ_BYTES: usize = 256 << 10;

/// A connected stream.
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A unix socket that a task of its own empties; see `pump.rs`.
    Pumped(Pumped),
    /// Read outside of epoll; see `paced.rs`.
    Paced(Box<Paced>),
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

/// What lies below, for the pacing of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP, with or without TLS, and how much the kernel's receive buffer has room for at present.
    Tcp {
        /// `SO_RCVBUF` as the kernel tells it.
        receive_buffer: usize,
    },
    /// A unix socket whose peer sends each small message by itself, as a walsender does.
    Unix,
    /// A unix socket whose peer gathers what it sends, as every other backend does.
    UnixInBulk,
}

impl Transport {
    /// Out of epoll, where there is no TLS.
    ///
    /// # Errors
    /// Of the system, when it does not let go of the socket.
    pub(super) fn paced(self) -> io::Result<Self> {
        let paced = match self {
            Transport::Unix(stream) => Paced::unix(stream.into_std()?),
            Transport::Tcp(stream) => Paced::tcp(stream.into_std()?),
            other => return Ok(other),
        };
        Ok(Transport::Paced(Box::new(paced)))
    }

    pub(super) fn kind(&self) -> SocketKind {
        let tcp = match self {
            Transport::Tcp(stream) => stream,
            Transport::Unix(_) => return SocketKind::Unix,
            Transport::Pumped(pumped) => {
                return SocketKind::Tcp {
                    receive_buffer: pumped.capacity(),
                };
            }
            Transport::Paced(paced) => return paced.kind(),
            Transport::Tls(stream) => stream.get_ref().0.get_ref(),
        };
        let receive_buffer = socket2::SockRef::from(tcp).recv_buffer_size().unwrap_or(0);
        SocketKind::Tcp { receive_buffer }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Pumped(pumped) => Pin::new(&mut pumped.read).poll_read(cx, buffer),
            Transport::Paced(paced) => Pin::new(&mut **paced).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Pumped(pumped) => Pin::new(&mut pumped.write).poll_write(cx, bytes),
            Transport::Paced(paced) => Pin::new(&mut **paced).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Pumped(pumped) => Pin::new(&mut pumped.write).poll_flush(cx),
            Transport::Paced(paced) => Pin::new(&mut **paced).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Pumped(pumped) => Pin::new(&mut pumped.write).poll_shutdown(cx),
            Transport::Paced(paced) => Pin::new(&mut **paced).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
