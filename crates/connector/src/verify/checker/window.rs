//! What is remembered of the records read last: position and digest, by partition.
//!
//! A repeat goes back as far as what was under way when a run ended, so what is older need not be
//! known. One number bounds all partitions together; what was read longest ago is forgotten first.

use std::collections::VecDeque;

use crate::verify::id::Position;

#[derive(Debug)]
pub(super) struct Window {
    places: Vec<Place>,
    /// The place of each remembered record, in the order in which they were read.
    order: VecDeque<u32>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Place {
    /// Ascending.
    recent: VecDeque<(Position, u64)>,
    /// The newest that was forgotten.
    forgotten: Option<Position>,
}

/// What is known of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// It was read, with this digest.
    Digest(u64),
    /// It was not read.
    Never,
    /// It is too long ago.
    Forgotten,
}

impl Window {
    pub(super) fn new(places: usize, capacity: usize) -> Self {
        Self {
            places: std::iter::repeat_with(Place::default)
                .take(places)
                .collect(),
            order: VecDeque::new(),
            capacity: capacity.max(1),
        }
    }

    /// Remembers a record that is beyond all others of its place.
    pub(super) fn push(&mut self, place: usize, position: Position, digest: u64) {
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
            && let Some(oldest) = self.places.get_mut(oldest as usize)
            && let Some((position, _)) = oldest.recent.pop_front()
        {
            oldest.forgotten = Some(position);
        }
        if let (Some(at), Ok(number)) = (self.places.get_mut(place), u32::try_from(place)) {
            at.recent.push_back((position, digest));
            self.order.push_back(number);
        }
    }

    pub(super) fn look_up(&self, place: usize, position: Position) -> Memory {
        let Some(place) = self.places.get(place) else {
            return Memory::Never;
        };
        match place.recent.binary_search_by_key(&position, |it| it.0) {
            Ok(found) => Memory::Digest(place.recent.get(found).map_or(0, |it| it.1)),
            Err(_) if place.forgotten.is_some_and(|it| position <= it) => Memory::Forgotten,
            Err(_) => Memory::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_longest_ago_is_forgotten_first() {
        let at = |lsn| Position { lsn, ordinal: 0 };
        let mut window = Window::new(2, 3);
        for (place, lsn) in [(0, 10), (1, 20), (0, 30), (0, 40)] {
            window.push(place, at(lsn), lsn * 7);
        }
        assert_eq!(window.look_up(0, at(10)), Memory::Forgotten);
        assert_eq!(window.look_up(0, at(9)), Memory::Forgotten);
        assert_eq!(window.look_up(0, at(30)), Memory::Digest(210));
        assert_eq!(window.look_up(0, at(35)), Memory::Never);
        assert_eq!(window.look_up(1, at(20)), Memory::Digest(140));
        assert_eq!(window.look_up(1, at(10)), Memory::Never);
        window.push(1, at(50), 0);
        assert_eq!(window.look_up(1, at(20)), Memory::Forgotten);
        assert_eq!(window.look_up(0, at(40)), Memory::Digest(280));
    }
}
