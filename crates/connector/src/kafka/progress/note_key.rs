//! The keys of what is noted beside a slot's progress: the slot, a byte that says what the note is
//! about, a name. No slot's name has such a byte.

/// The keys of one kind of notes, by the byte between the slot and the name.
pub(super) struct NoteKey(pub(super) u8);

impl NoteKey {
    /// The key of the note about `name`.
    pub(super) fn of(&self, slot: &str, name: &str) -> Vec<u8> {
        [slot.as_bytes(), &[self.0], name.as_bytes()].concat()
    }

    /// The name that a key is about, if it is one of this kind and of `slot`.
    pub(super) fn name<'a>(&self, slot: &[u8], key: &'a [u8]) -> Option<&'a str> {
        let name = key.strip_prefix(slot)?.strip_prefix(&[self.0])?;
        std::str::from_utf8(name).ok()
    }
}
