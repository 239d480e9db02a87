//! The server's side of a connection: frames cut at odd places, then startup, answers and the
//! stream. The first byte says how the bytes are cut and which of the three reads them.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pgwire::frame::BODY_MAX_BEFORE_AUTHENTICATION;
use pgwire::{ChannelBinding, CopyBoth, Frame, FrameBuffer, Handshake, Privacy, SimpleQuery};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let piece = 1 + usize::from(first >> 2);
    match first & 3 {
        0 => {
            let mut sent = BytesMut::new();
            let (privacy, binding) = (Privacy::Plain, ChannelBinding::Prefer);
            let start = Handshake::start(
                "walferry",
                Some(b"secret"),
                &[],
                privacy,
                binding,
                &mut sent,
            );
            let Ok(mut handshake) = start else { return };
            frames(bytes, piece, |frame| {
                handshake.handle(frame, &mut sent).is_ok()
            });
        }
        1 => {
            let Ok(mut query) = SimpleQuery::start("IDENTIFY_SYSTEM", &mut BytesMut::new()) else {
                return;
            };
            frames(bytes, piece, |frame| query.handle(frame).is_ok());
        }
        _ => {
            let mut copy = CopyBoth::default();
            frames(bytes, piece, |frame| copy.handle(frame).is_ok());
        }
    }
});

/// Feeds the bytes in pieces, and each frame to `take` until it refuses one.
fn frames(bytes: &[u8], piece: usize, mut take: impl FnMut(Frame<'_>) -> bool) {
    let mut buffer = FrameBuffer::new(BODY_MAX_BEFORE_AUTHENTICATION);
    for piece in bytes.chunks(piece) {
        buffer.extend(piece);
        loop {
            match buffer.next() {
                Ok(Some(frame)) => {
                    if !take(frame) {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    // A length word alone must not have made it grow.
    assert!(buffer.capacity() <= 2 * bytes.len() + (1 << 20));
}
