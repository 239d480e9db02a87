//! The one place of this crate that walks through a frame's body; every read names its field.

use crate::error::WireError;
use crate::frame::Frame;

/// A position in a frame's body.
pub(crate) struct Body<'a> {
    tag: u8,
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn new(frame: Frame<'a>) -> Self {
        Body {
            tag: frame.tag,
            offset: 0,
            rest: frame.body,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.offset += rest.len();
        self.rest = &[];
        rest
    }

    pub(crate) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], WireError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.truncated(field));
        };
        self.offset += count;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(field));
        };
        self.offset += N;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn count(&mut self, field: &'static str) -> Result<usize, WireError> {
        self.array(field)
            .map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    pub(crate) fn int(&mut self, field: &'static str) -> Result<i32, WireError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(crate) fn salt(&mut self, field: &'static str) -> Result<[u8; 4], WireError> {
        self.array(field)
    }

    /// A string that ends with a NUL; the NUL is consumed and not returned.
    pub(crate) fn cstr(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let Some(length) = self.rest.iter().position(|byte| *byte == 0) else {
            return Err(self.truncated(field));
        };
        let text = self.take(length, field)?;
        self.take(1, field)?;
        Ok(text)
    }

    /// The same, as text. Before `client_encoding` is agreed on a server may send other encodings,
    /// so what is not UTF-8 is replaced rather than refused.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(self.cstr(field)?).into_owned())
    }

    fn truncated(&self, field: &'static str) -> WireError {
        WireError::Truncated {
            tag: self.tag,
            field,
            offset: self.offset,
        }
    }
}
