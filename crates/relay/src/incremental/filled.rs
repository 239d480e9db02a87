//! Rows whose newer state the stream has but for large values.
//!
//! An update that leaves a TOASTed value alone does not carry it. If the chunk's snapshot does not see the
//! update, the stream has the row's new columns, and the chunk has the large value, which is still the row's:
//! together they are the row as it stands at the watermark.
//!
//! That holds while all that touched the row since is such updates. After anything else the stream has the
//! value itself, or the row is another.

use std::sync::Arc;

use envelope::{Options, Table};
use pgoutput::{Cell, Message, Tuple, TupleBuf, Update};

/// A row as an update left it, without the large values that it left alone.
#[derive(Debug)]
pub(crate) struct Partial(TupleBuf);

impl Partial {
    /// Of a change after which the stream has not all of the row.
    pub(crate) fn of(message: &Message<'_>, options: &Options) -> Option<Arc<Self>> {
        // With an old row, the key is another, or the old row has all values.
        let Message::Update(Update { old: None, new, .. }) = message else {
            return None;
        };
        let lacks = new.cells().any(|cell| cell == Cell::Unchanged);
        // An insert that gives no event might have put another row there, unnoticed.
        let is_noted = !options.skipped_operations.create;
        // What is collected has room to grow, its clone has none.
        let row = || new.cells().collect::<TupleBuf>().clone();
        (lacks && is_noted).then(|| Arc::new(Self(row())))
    }

    pub(super) fn bytes(&self) -> usize {
        let cells = self.0.tuple().cells().map(|cell| match cell {
            Cell::Text(value) | Cell::Binary(value) => value.len() + 5,
            Cell::Null | Cell::Unchanged => 1,
        });
        // With the counts of the Arc.
        2 * size_of::<usize>() + size_of::<Self>() + cells.sum::<usize>()
    }
}

/// What the stream has of a key that was touched.
#[derive(Debug, Default)]
pub(super) struct Newer<'a> {
    /// If nothing but partial updates touched it: these, the oldest first.
    partial: Vec<&'a Partial>,
    is_whole: bool,
}

impl<'a> Newer<'a> {
    pub(super) fn touched(&mut self, partial: Option<&'a Partial>) {
        match partial {
            Some(partial) if !self.is_whole => self.partial.push(partial),
            _ => {
                self.is_whole = true;
                self.partial.clear();
            }
        }
    }

    /// The row now, if the stream has not all of it: `row` is as it was before these updates.
    pub(super) fn fill(&self, table: &Table, row: Tuple<'_>) -> Option<TupleBuf> {
        let updates: Vec<_> = self.partial.iter().map(|it| it.0.tuple()).collect();
        // Of columns that are no identity, several rows may make one key.
        let is_one = |update: &Tuple<'_>| table.is_one_row(row, *update);
        if updates.is_empty() || !updates.iter().all(is_one) {
            return None;
        }
        let filled = updates.iter().fold(row.cells().collect(), over);
        Some(filled)
    }
}

/// The row after an update.
fn over(row: TupleBuf, update: &Tuple<'_>) -> TupleBuf {
    let cells = row.tuple().cells().zip(update.cells());
    cells
        .map(|(before, after)| match after {
            Cell::Unchanged => before,
            after => after,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use envelope::RelationDetails;
    use pgoutput::{ColumnsBuf, Insert, OldTuple, Relation, RelationColumn, ReplicaIdentity};

    use super::*;

    fn table() -> Table {
        let column = |in_identity, name| RelationColumn {
            in_identity,
            name,
            type_oid: 25,
            type_modifier: -1,
        };
        let columns: ColumnsBuf = [column(true, "id"), column(false, "a"), column(false, "b")]
            .into_iter()
            .collect();
        let relation = Relation {
            oid: 7,
            schema: "public",
            name: "users",
            replica_identity: ReplicaIdentity::Default,
            columns: columns.columns(),
        };
        let details = RelationDetails::default();
        Table::new(&relation, &details, &Options::new("srv", "db"))
    }

    /// Cells by their text; `-` is unchanged.
    fn row(cells: [&str; 3]) -> TupleBuf {
        let cells = cells.iter().map(|text| match *text {
            "-" => Cell::Unchanged,
            text => Cell::Text(text.as_bytes()),
        });
        cells.collect()
    }

    fn partial(new: [&str; 3], old: Option<[&str; 3]>, options: &Options) -> Option<Arc<Partial>> {
        let (new, old) = (row(new), old.map(row));
        let update = Update {
            relation: 7,
            old: old.as_ref().map(|old| OldTuple::Key(old.tuple())),
            new: new.tuple(),
        };
        Partial::of(&Message::Update(update), options)
    }

    fn filled(before: [&str; 3], updates: &[Option<Arc<Partial>>]) -> Option<TupleBuf> {
        let mut newer = Newer::default();
        updates.iter().for_each(|it| newer.touched(it.as_deref()));
        newer.fill(&table(), row(before).tuple())
    }

    #[test]
    fn updates_lie_over_the_row_that_was_read() {
        let options = Options::new("srv", "db");
        let of = |new| partial(new, None, &options);
        let updates = [
            of(["1", "-", "b1"]),
            of(["1", "-", "b2"]),
            of(["1", "a3", "-"]),
        ];
        for (count, expected) in [["1", "a", "b1"], ["1", "a", "b2"], ["1", "a3", "b2"]]
            .iter()
            .enumerate()
        {
            let found = filled(["1", "a", "b"], &updates[..=count]).unwrap();
            assert_eq!(found.tuple(), row(*expected).tuple());
        }
    }

    #[test]
    fn nothing_is_filled_from_another_row() {
        let options = Options::new("srv", "db");
        let of = |new| partial(new, None, &options);
        let other = || of(["2", "-", "b1"]);
        assert!(filled(["1", "a", "b"], &[other()]).is_none());
        assert!(filled(["1", "a", "b"], &[of(["1", "-", "b1"]), other()]).is_none());
        // Gone, or inserted, in between.
        for touches in [[None, of(["1", "-", "b"])], [of(["1", "-", "b"]), None]] {
            assert!(filled(["1", "a", "b"], &touches).is_none());
        }
        assert!(partial(["1", "-", "b"], Some(["2", "-", "-"]), &options).is_none());
        let mut blind = Options::new("srv", "db");
        blind.skipped_operations.create = true;
        assert!(partial(["1", "-", "b"], None, &blind).is_none());
    }

    #[test]
    fn what_the_stream_has_whole_needs_nothing() {
        let options = Options::new("srv", "db");
        assert!(partial(["1", "a", "b"], None, &options).is_none());
        let new = row(["1", "a", "b"]);
        let insert = Insert {
            relation: 7,
            new: new.tuple(),
        };
        assert!(Partial::of(&Message::Insert(insert), &options).is_none());
    }
}
