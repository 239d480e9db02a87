//! Placeholder head; the room's owner writes it.
