//! The only place that touches bytes: every read names its field, every write is its mirror.

use alloc::vec::Vec;

use crate::error::{DecodeError, DecodeErrorKind};

type Result<T> = core::result::Result<T, DecodeError>;

/// Walks over one message.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    total: usize,
    message: &'static str,
}

impl<'a> Cursor<'a> {
    /// `message` names the whole until its type byte has told more: see [`Cursor::named`].
    #[inline]
    pub(crate) fn new(message: &'static str, bytes: &'a [u8]) -> Cursor<'a> {
        Cursor {
            rest: bytes,
            total: bytes.len(),
            message,
        }
    }

    /// Errors from here on name this message.
    #[inline]
    pub(crate) fn named(&mut self, message: &'static str) -> &mut Cursor<'a> {
        self.message = message;
        self
    }

    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.chunk::<1>(field).map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.chunk(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.chunk(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32> {
        self.chunk(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64> {
        self.chunk(field).map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64> {
        self.chunk(field).map(i64::from_be_bytes)
    }

    /// A byte that is 0 or 1.
    #[inline]
    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool> {
        Ok(self.flags(field, 1)? == 1)
    }

    /// A byte of flags, of which only those in `known` may be set.
    #[inline]
    pub(crate) fn flags(&mut self, field: &'static str, known: u8) -> Result<u8> {
        let before = *self;
        let flags = self.u8(field)?;
        if flags & !known != 0 {
            return Err(before.error(field, DecodeErrorKind::UnknownFlags { flags }));
        }
        Ok(flags)
    }

    /// A name with its terminating NUL, which is left out.
    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a str> {
        let before = *self;
        let end = memchr::memchr(0, self.rest)
            .ok_or_else(|| before.error(field, DecodeErrorKind::MissingNul))?;
        let bytes = self.bytes(end, field)?;
        self.u8(field)?;
        core::str::from_utf8(bytes).map_err(|_| before.error(field, DecodeErrorKind::InvalidUtf8))
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.ends(field, len)),
        }
    }

    /// Length in four bytes, then as many bytes.
    #[inline]
    pub(crate) fn counted(&mut self, field: &'static str) -> Result<&'a [u8]> {
        // On a 16-bit machine a usize would be too small; saturating makes that an error, too.
        let len = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        self.bytes(len, field)
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// What was read since `start`, a copy of this cursor made earlier.
    #[inline]
    pub(crate) fn since(&self, start: &Cursor<'a>) -> &'a [u8] {
        let read = start.rest.len().saturating_sub(self.rest.len());
        start.rest.get(..read).unwrap_or_default()
    }

    /// The message must end here.
    #[inline]
    pub(crate) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error("end", DecodeErrorKind::TrailingBytes { left })),
        }
    }

    #[cold]
    pub(crate) fn error(&self, field: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            message: self.message,
            field,
            offset: self.offset(),
            kind,
        }
    }

    #[inline]
    fn chunk<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(self.ends(field, N)),
        }
    }

    #[cold]
    fn ends(&self, field: &'static str, needed: usize) -> DecodeError {
        self.error(
            field,
            DecodeErrorKind::UnexpectedEnd {
                needed,
                left: self.rest.len(),
            },
        )
    }
}

/// Writes a name and its NUL. A name with a NUL inside ends there, as it would in Postgres; none
/// that was decoded has one.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    out.extend(bytes.iter().take(end));
    out.push(0);
}

/// Writes a length in four bytes, then the bytes. A frame of the protocol is below 2 GiB, so that
/// more than `u32::MAX` bytes cannot be sent anyway; they would make a message that is refused.
pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
