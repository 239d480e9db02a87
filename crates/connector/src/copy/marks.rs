//! The words for a row's place in the copy (Debezium's `source.snapshot`): they need to know what
//! follows, so one row is held back.

use envelope::SnapshotMark;

/// Holds one row back.
#[derive(Debug, Default)]
pub(super) struct LookAhead<R> {
    held: Option<Held<R>>,
    begun: bool,
}

#[derive(Debug)]
struct Held<R> {
    table: usize,
    row: R,
    first: First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    OfAll,
    OfTable,
    No,
}

/// A row whose place is known, with its table's number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed<R> {
    pub(super) table: usize,
    pub(super) row: R,
    pub(super) mark: SnapshotMark,
}

impl<R> LookAhead<R> {
    pub(super) fn new() -> Self {
        Self {
            held: None,
            begun: false,
        }
    }

    /// Takes a row, and gives the one before it.
    pub(super) fn push(&mut self, table: usize, row: R) -> Option<Placed<R>> {
        let first = match &self.held {
            _ if !self.begun => First::OfAll,
            Some(held) if held.table == table => First::No,
            _ => First::OfTable,
        };
        self.begun = true;
        let held = self.held.replace(Held { table, row, first })?;
        let ends_table = held.table != table;
        let mark = match held.first {
            First::OfAll => SnapshotMark::First,
            _ if ends_table => SnapshotMark::LastInDataCollection,
            First::OfTable => SnapshotMark::FirstInDataCollection,
            First::No => SnapshotMark::Row,
        };
        Some(held.placed(mark))
    }

    /// The last row of all, if there was any.
    pub(super) fn finish(&mut self) -> Option<Placed<R>> {
        Some(self.held.take()?.placed(SnapshotMark::Last))
    }
}

impl<R> Held<R> {
    fn placed(self, mark: SnapshotMark) -> Placed<R> {
        let Self { table, row, .. } = self;
        Placed { table, row, mark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words for tables of so many rows each.
    fn words(counts: &[usize]) -> Vec<String> {
        let mut look = LookAhead::new();
        let mut placed = Vec::new();
        for (table, count) in counts.iter().enumerate() {
            for row in 0..*count {
                placed.extend(look.push(table, row));
            }
        }
        placed.extend(look.finish());
        let word = |at: &Placed<usize>| format!("{}.{} {}", at.table, at.row, at.mark.as_str());
        placed.iter().map(word).collect()
    }

    #[test]
    fn each_row_is_told_its_place() {
        assert_eq!(words(&[0, 0]), [""; 0]);
        assert_eq!(words(&[1]), ["0.0 last"]);
        assert_eq!(words(&[0, 2, 0]), ["1.0 first", "1.1 last"]);
        assert_eq!(
            words(&[3, 1, 0, 3]),
            [
                "0.0 first",
                "0.1 true",
                "0.2 last_in_data_collection",
                "1.0 last_in_data_collection",
                "3.0 first_in_data_collection",
                "3.1 true",
                "3.2 last",
            ]
        );
        assert_eq!(words(&[1, 1]), ["0.0 first", "1.0 last"]);
    }
}
