//! The words for a row's place in the copy (Debezium's `source.snapshot`): they need to know what
//! follows. So the last row of each batch is held back, for each table, and the last row of a table
//! until another one follows. Readers work side by side: batches of several tables come in any order.

use std::collections::HashMap;

use envelope::SnapshotMark;

/// What is held back, and what has begun. `R` is a row, `P` a piece whose rows have come.
#[derive(Debug)]
pub(super) struct Places<R, P> {
    begun: bool,
    tables: HashMap<usize, Held<R, P>>,
    /// The last row of a table that is over, and perhaps of all.
    last: Option<Placed<R, P>>,
}

#[derive(Debug)]
struct Held<R, P> {
    first: First,
    row: Option<R>,
    /// Pieces that are done with the row held back.
    pieces: Vec<P>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    OfAll,
    OfTable,
    No,
}

/// A row whose place is known, and the pieces that are done with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed<R, P> {
    pub(super) table: usize,
    pub(super) row: R,
    pub(super) mark: SnapshotMark,
    pub(super) pieces: Vec<P>,
}

impl<R, P> Places<R, P> {
    pub(super) fn new() -> Self {
        Self {
            begun: false,
            tables: HashMap::new(),
            last: None,
        }
    }

    /// A batch of this table begins, which is not empty: first what was held back of others, and of the
    /// table itself.
    pub(super) fn begin_batch(
        &mut self,
        table: usize,
    ) -> impl Iterator<Item = Placed<R, P>> + use<R, P> {
        let last = self.last.take();
        let held = self.tables.get_mut(&table).and_then(|held| {
            let row = held.row.take()?;
            let mark = held.first.mark();
            held.first = First::No;
            let pieces = std::mem::take(&mut held.pieces);
            Some(Placed {
                table,
                row,
                mark,
                pieces,
            })
        });
        last.into_iter().chain(held)
    }

    /// The place of a row of the batch, which is not its last.
    pub(super) fn row(&mut self, table: usize) -> SnapshotMark {
        let held = self.table(table);
        let mark = held.first.mark();
        held.first = First::No;
        mark
    }

    /// The last row of the batch.
    pub(super) fn end_batch(&mut self, table: usize, row: R) {
        self.table(table).row = Some(row);
    }

    /// A piece of a table is over; gives it back if nothing of the table is held back.
    pub(super) fn end_piece(&mut self, table: usize, piece: P) -> Option<P> {
        match self
            .tables
            .get_mut(&table)
            .filter(|held| held.row.is_some())
        {
            Some(held) => {
                held.pieces.push(piece);
                None
            }
            None => Some(piece),
        }
    }

    /// No row of this table follows; gives the last row of another.
    pub(super) fn end_table(&mut self, table: usize) -> Option<Placed<R, P>> {
        let Held { first, row, pieces } = self.tables.remove(&table)?;
        let mark = match first {
            First::OfAll => SnapshotMark::First,
            First::OfTable | First::No => SnapshotMark::LastInDataCollection,
        };
        let row = row?;
        self.last.replace(Placed {
            table,
            row,
            mark,
            pieces,
        })
    }

    /// The last row of all, if there was any.
    pub(super) fn finish(&mut self) -> Option<Placed<R, P>> {
        let mark = SnapshotMark::Last;
        self.last.take().map(|last| Placed { mark, ..last })
    }

    fn table(&mut self, table: usize) -> &mut Held<R, P> {
        let begun = &mut self.begun;
        self.tables.entry(table).or_insert_with(|| Held {
            first: match std::mem::replace(begun, true) {
                true => First::OfTable,
                false => First::OfAll,
            },
            row: None,
            pieces: Vec::new(),
        })
    }
}

impl First {
    fn mark(self) -> SnapshotMark {
        match self {
            Self::OfAll => SnapshotMark::First,
            Self::OfTable => SnapshotMark::FirstInDataCollection,
            Self::No => SnapshotMark::Row,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Word = (String, Vec<char>);

    fn said(placed: impl IntoIterator<Item = Placed<usize, char>>) -> Vec<Word> {
        let word = |at: Placed<usize, char>| {
            let text = format!("{}.{} {}", at.table, at.row, at.mark.as_str());
            (text, at.pieces)
        };
        placed.into_iter().map(word).collect()
    }

    fn batch(
        places: &mut Places<usize, char>,
        table: usize,
        rows: std::ops::Range<usize>,
    ) -> Vec<Word> {
        let mut words = said(places.begin_batch(table));
        let last = rows.end - 1;
        for row in rows.start..last {
            let mark = places.row(table).as_str();
            words.push((format!("{table}.{row} {mark}"), Vec::new()));
        }
        places.end_batch(table, last);
        words
    }

    /// The words for tables of so many rows each, in batches of two, one table after the other.
    fn words(counts: &[usize]) -> Vec<String> {
        let mut places = Places::new();
        let mut words = Vec::new();
        for (table, count) in counts.iter().enumerate() {
            for start in (0..*count).step_by(2) {
                words.extend(batch(&mut places, table, start..(start + 2).min(*count)));
            }
            words.extend(said(places.end_table(table)));
        }
        words.extend(said(places.finish()));
        words.into_iter().map(|(word, _)| word).collect()
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

    #[test]
    fn tables_that_are_read_side_by_side_keep_their_words() {
        let mut places = Places::new();
        let text = |words: Vec<Word>| words.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
        assert_eq!(text(batch(&mut places, 0, 0..2)), ["0.0 first"]);
        assert_eq!(
            text(batch(&mut places, 1, 0..2)),
            ["1.0 first_in_data_collection"]
        );
        assert_eq!(text(batch(&mut places, 0, 2..3)), ["0.1 true"]);
        assert_eq!(places.end_table(1), None);
        assert_eq!(
            text(batch(&mut places, 0, 3..4)),
            ["1.1 last_in_data_collection", "0.2 true"]
        );
        assert_eq!(places.end_table(0), None);
        assert_eq!(text(said(places.finish())), ["0.3 last"]);
    }

    #[test]
    fn a_piece_waits_for_the_row_that_is_held_back() {
        let mut places = Places::new();
        assert_eq!(places.end_piece(0, 'a'), Some('a'), "it had no rows");
        batch(&mut places, 0, 0..1);
        assert_eq!(places.end_piece(0, 'b'), None);
        assert_eq!(
            batch(&mut places, 0, 1..2),
            [("0.0 first".to_owned(), vec!['b'])]
        );
        assert_eq!(places.end_piece(0, 'c'), None);
        places.end_table(0);
        assert_eq!(said(places.finish()), [("0.1 last".to_owned(), vec!['c'])]);
    }
}
