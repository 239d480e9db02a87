//! Bytes of the socket, cut into frames ("Message Formats": tag, length, body).
//!
//! One growable buffer, read into from the socket and cut without copying. A frame that says it is
//! large is not believed: memory grows with the bytes that have arrived, never with a length word.

use crate::error::WireError;

/// The largest body taken before the server has been authenticated.
pub const BODY_MAX_BEFORE_AUTHENTICATION: usize = 64 << 10;

/// The largest body a Postgres server can send (`MaxAllocSize` bounds what it can build).
pub const BODY_MAX: usize = 1 << 30;

/// Tag byte and length word.
const HEADER: usize = 5;

/// A buffer grown beyond this shrinks again once the giant frame is through.
const CAPACITY_KEPT: usize = 4 << 20;

/// One message of the server, borrowed from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message type byte.
    pub tag: u8,
    /// The body, without tag and length.
    pub body: &'a [u8],
}

/// Where in the buffer a frame lies; for loops that must not hold a borrow while they look on.
/// Good until the next call of [`FrameBuffer::spare_mut`] or [`FrameBuffer::extend`].
#[derive(Clone, Copy, Debug)]
pub struct FrameSpan {
    /// The message type byte.
    pub tag: u8,
    start: usize,
    end: usize,
}

/// A growable buffer between a socket and the frames in its bytes.
#[derive(Debug)]
pub struct FrameBuffer {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    body_max: usize,
}

impl FrameBuffer {
    /// An empty buffer that refuses bodies larger than `body_max` bytes.
    #[must_use]
    pub fn new(body_max: usize) -> Self {
        FrameBuffer {
            storage: Vec::new(),
            start: 0,
            end: 0,
            body_max,
        }
    }

    /// Another bound from here on: small before authentication, [`BODY_MAX`] after.
    pub fn set_body_max(&mut self, body_max: usize) {
        self.body_max = body_max;
    }

    /// Bytes that arrived and are not yet cut.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// The bytes that arrived and are not yet cut, for whoever takes the connection over.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// At least `at_least` bytes to read into; tell how many were filled with [`Self::commit`].
    pub fn spare_mut(&mut self, at_least: usize) -> &mut [u8] {
        self.make_room(at_least);
        self.storage.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `count` bytes of the last [`Self::spare_mut`] hold data now.
    pub fn commit(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.storage.len());
    }

    /// Adds bytes that are already somewhere else.
    pub fn extend(&mut self, bytes: &[u8]) {
        let spare = self.spare_mut(bytes.len());
        if let Some(target) = spare.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        self.commit(bytes.len());
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// A length below four or above the bound. The stream is lost then: there is no way to find
    /// the next frame.
    #[expect(
        clippy::should_implement_trait,
        reason = "a lending iterator that can fail"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        Ok(self.advance()?.map(|span| self.frame(span)))
    }

    /// As [`Self::next`], without holding a borrow.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn advance(&mut self) -> Result<Option<FrameSpan>, WireError> {
        let bytes = self.storage.get(self.start..self.end).unwrap_or_default();
        let Some((&[tag, l0, l1, l2, l3], rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let Some(body) = length.checked_sub(4).map(|body| body as usize) else {
            return Err(WireError::LengthTooSmall { tag, length });
        };
        if body > self.body_max {
            return Err(WireError::BodyTooLarge {
                tag,
                length: body,
                max: self.body_max,
            });
        }
        if rest.len() < body {
            return Ok(None);
        }
        let start = self.start + HEADER;
        let end = start + body;
        self.start = end;
        Ok(Some(FrameSpan { tag, start, end }))
    }

    /// The frame at a span of [`Self::advance`].
    #[must_use]
    pub fn frame(&self, span: FrameSpan) -> Frame<'_> {
        Frame {
            tag: span.tag,
            body: self.storage.get(span.start..span.end).unwrap_or_default(),
        }
    }

    fn make_room(&mut self, at_least: usize) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        let oversized = self.storage.len() > CAPACITY_KEPT
            && self.buffered().saturating_add(at_least) <= CAPACITY_KEPT / 2;
        if self.storage.len() - self.end >= at_least && !oversized {
            return;
        }
        self.storage.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if oversized {
            self.storage.truncate(CAPACITY_KEPT);
            self.storage.shrink_to_fit();
        } else if self.storage.len() - self.end < at_least {
            // Doubling keeps the copies of a giant frame linear in its size. The bytes are zeroed
            // once, so that the socket can read into them without `unsafe`.
            let wanted = (self.end + at_least).max(self.storage.len().saturating_mul(2));
            self.storage.resize(wanted, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, body) in frames {
            bytes.push(*tag);
            bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    fn drain(buffer: &mut FrameBuffer, out: &mut Vec<(u8, Vec<u8>)>) {
        while let Some(frame) = buffer.next().unwrap() {
            out.push((frame.tag, frame.body.to_vec()));
        }
    }

    #[test]
    fn frames_cut_at_every_byte_come_out_whole() {
        let frames = vec![
            (b'd', b"hello".to_vec()),
            (b'c', Vec::new()),
            (b'Z', b"I".to_vec()),
        ];
        let bytes = encoded(&frames);
        for cut in 0..=bytes.len() {
            let mut buffer = FrameBuffer::new(64);
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                buffer.extend(part);
                drain(&mut buffer, &mut seen);
            }
            assert_eq!(seen, frames, "cut at {cut}");
            assert_eq!(buffer.buffered(), 0);
        }
    }

    proptest! {
        #[test]
        fn any_frames_in_any_pieces(
            frames in proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
            sizes in proptest::collection::vec(1usize..97, 1..50),
        ) {
            let bytes = encoded(&frames);
            let mut buffer = FrameBuffer::new(1 << 20);
            let mut seen = Vec::new();
            let mut rest = bytes.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (part, after) = rest.split_at((*size).min(rest.len()));
                buffer.spare_mut(*size)[..part.len()].copy_from_slice(part);
                buffer.commit(part.len());
                rest = after;
                drain(&mut buffer, &mut seen);
            }
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut buffer = FrameBuffer::new(100);
            buffer.extend(&noise);
            while let Ok(Some(frame)) = buffer.next() {
                prop_assert!(frame.body.len() <= 100);
            }
        }
    }

    #[test]
    fn impossible_lengths_are_refused_before_memory_is_taken() {
        let mut buffer = FrameBuffer::new(1000);
        buffer.extend(&[b'd', 0, 0, 0, 3]);
        assert_eq!(
            buffer.next(),
            Err(WireError::LengthTooSmall {
                tag: b'd',
                length: 3
            })
        );
        let mut buffer = FrameBuffer::new(1000);
        buffer.extend(b"HTTP/");
        assert!(matches!(
            buffer.next(),
            Err(WireError::BodyTooLarge { max: 1000, .. })
        ));
        assert!(buffer.capacity() < 100);
    }

    #[test]
    fn a_large_claim_takes_no_memory_and_a_giant_frame_gives_it_back() {
        let mut buffer = FrameBuffer::new(BODY_MAX);
        buffer.extend(&[b'd', 0x3f, 0, 0, 0]);
        assert_eq!(buffer.next(), Ok(None));
        buffer.spare_mut(4096);
        assert!(buffer.capacity() < 10_000, "{}", buffer.capacity());

        let mut buffer = FrameBuffer::new(BODY_MAX);
        let giant = vec![7u8; 20 << 20];
        for part in encoded(&[(b'd', giant.clone())]).chunks(1 << 20) {
            buffer.extend(part);
        }
        assert_eq!(buffer.next().unwrap().unwrap().body, giant);
        // The start of the next frame is already there, and must survive.
        buffer.extend(&[b'Z', 0, 0, 0, 5]);
        buffer.spare_mut(1 << 20);
        assert!(buffer.capacity() <= CAPACITY_KEPT);
        buffer.extend(b"I");
        assert_eq!(
            buffer.next(),
            Ok(Some(Frame {
                tag: b'Z',
                body: b"I"
            }))
        );
    }
}
