//! In which order the records of several partitions are looked at.
//!
//! Each partition ascends but for its repeats. Of their next records the one that stands first comes
//! first; one without a place, or behind its partition's newest, is before everything that is still
//! to come, and so it comes at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The next record of each partition, by number.
#[derive(Debug)]
pub struct Order<P> {
    next: BinaryHeap<Reverse<(Option<P>, usize)>>,
}

impl<P: Ord> Order<P> {
    /// No partition has a record.
    #[must_use]
    pub fn new() -> Self {
        Self {
            next: BinaryHeap::new(),
        }
    }

    /// A partition has a record at this place next.
    pub fn push(&mut self, partition: usize, place: Option<P>) {
        self.next.push(Reverse((place, partition)));
    }

    /// The partition whose next record comes first.
    pub fn pop(&mut self) -> Option<usize> {
        self.next.pop().map(|Reverse((_, partition))| partition)
    }
}

impl<P: Ord> Default for Order<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// The records of partitions that are all there, in order.
#[cfg(test)]
pub(crate) fn merged<T: Copy, P: Ord>(
    partitions: &[Vec<T>],
    place: impl Fn(&T) -> Option<P>,
) -> Vec<T> {
    let mut order = Order::new();
    let mut rest: Vec<_> = partitions.iter().map(|it| it.iter().peekable()).collect();
    for (partition, records) in rest.iter_mut().enumerate() {
        if let Some(first) = records.peek() {
            order.push(partition, place(first));
        }
    }
    let mut all = Vec::new();
    while let Some(partition) = order.pop() {
        all.extend(rest[partition].next());
        if let Some(next) = rest[partition].peek() {
            order.push(partition, place(next));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_what_has_no_place_come_at_once() {
        let partitions = [
            vec![Some(1), Some(5), Some(2), None, Some(6)],
            vec![Some(3), Some(4), Some(7)],
        ];
        let order = merged(&partitions, |it| *it);
        let expected = [1, 3, 4, 5, 2, 0, 6, 7].map(|it| (it > 0).then_some(it));
        assert_eq!(order, expected);
    }
}
