//! A receive buffer for unix sockets.
//!
//! Over TCP the kernel keeps megabytes for a reader that is busy. A unix socket keeps what the
//! *sender's* buffer allows, 208 KB, of which each small message takes 768 bytes: some 280
//! messages, a millisecond of a walsender at full speed. While the loop encodes what it has, the
//! walsender would stand still, and the other way round. So a task empties the socket into a
//! buffer of the size that TCP has, and the loop reads from there.

use std::time::Instant;

use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, SimplexStream, WriteHalf, simplex,
};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use super::pacing::{Pacing, ReadPlan, SocketKind};
use super::pause::Pause;
use super::transport::Transport;

/// A unix socket behind a buffer. The task ends with it, or with the socket.
pub(super) struct Pumped {
    pub(super) read: ReadHalf<SimplexStream>,
    pub(super) write: OwnedWriteHalf,
    pump: JoinHandle<()>,
}

impl Pumped {
    /// How much may wait to be read, in bytes as the kernel would count them.
    pub(super) fn capacity(&self) -> usize {
        CAPACITY * 2
    }
}

impl Drop for Pumped {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Puts a pump behind a unix socket; other transports are left as they are.
pub(super) fn pumped(transport: Transport) -> Transport {
    let Transport::Unix(socket) = transport else {
        return transport;
    };
    let (from, write) = socket.into_split();
    let (read, into) = simplex(CAPACITY);
    let pump = tokio::spawn(pump(from, into));
    Transport::Pumped(Pumped { read, write, pump })
}

/// Until either side ends. The reader learns of it as the end of the stream, after everything that
/// came before it.
async fn pump(mut from: OwnedReadHalf, mut into: WriteHalf<SimplexStream>) {
    let mut pacing = Pacing::new(SocketKind::Unix);
    let mut pause = Pause::new();
    let mut bytes = vec![0; READ_BYTES];
    let mut last_read = Instant::now();
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let now = Instant::now();
        let plan = pacing.next(count, now - last_read);
        last_read = now;
        if into.write_all(&bytes[..count]).await.is_err() {
            return;
        }
        if let ReadPlan::Pause(length) = plan {
            pause.begin(length);
            pause.ended().await;
        }
    }
    let _ = into.shutdown().await;
}

/// What may wait in the buffer.
const CAPACITY: usize = 2 << 20;
/// More than a unix socket ever holds.
const READ_BYTES: usize = 256 << 10;
