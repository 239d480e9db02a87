//! What the readers send to the loop, and why they end.

use std::sync::Arc;

use envelope::RelationDetails;
use pgoutput::Lsn;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::asked::Chosen;
use super::catalog::CopyTable;
use super::error::CopyError;
use super::pieces::Blocks;
use super::snapshot::SlotAge;

/// What the readers send: perhaps the wish for time, a point and the tables, then rows in any order, the end.
pub(super) enum Item {
    /// The snapshot is there; every transaction before `since` had ended by then.
    Point {
        point: Lsn,
        xid: u32,
        slot: SlotAge,
        since: u64,
        tables: Vec<Arc<CopyTable>>,
        /// Those that somebody asked for.
        chosen: Option<Chosen>,
    },
    /// The snapshot is taken later: the stream goes on meanwhile.
    Later,
    /// The snapshot is taken once the stream stands, which is answered.
    Stand(oneshot::Sender<()>),
    /// A table's rows follow, whose details are these. Said once, and not for a table without pieces.
    Table {
        table: usize,
        details: Box<RelationDetails>,
    },
    /// Lines of COPY's text format, each with its line feed; one at least.
    Rows { table: usize, lines: Vec<u8> },
    /// All rows of a piece were sent.
    Piece {
        table: usize,
        blocks: Blocks,
        rows: u64,
    },
    /// Of a copy that was asked for: the rest of this table is not read, for this reason.
    LeftOut { table: usize, reason: String },
    /// No row of this table follows.
    TableOver { table: usize },
    /// That was all.
    Over { rows: u64 },
}

/// How an item or an error reaches the loop.
pub(super) type Items = Sender<Result<Item, CopyError>>;

/// Why the reading ended before the end.
pub(super) enum Stop {
    Failed(CopyError),
    /// The connection ended: nobody wants the rows any more.
    Unwanted,
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Failed(error)
    }
}

/// Sends one item.
pub(super) async fn send(items: &Items, item: Item) -> Result<(), Stop> {
    items.send(Ok(item)).await.map_err(|_| Stop::Unwanted)
}
