//! The loop's end of the copy: what the reader sent goes into the relay, as the relay wants it.

use std::sync::Arc;
use std::vec;

use pgoutput::{CopyRow, Lsn};
use relay::{Now, Relay, RelayError};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::AbortHandle;

use super::catalog::CopyTable;
use super::error::CopyError;
use super::reader::{self, Wanted};
use super::snapshot::{SlotAge, Source};
use super::{Item, MarkedRow};
use crate::end::End;
use crate::postgres::PostgresError;

/// A copy under way.
pub struct Copy {
    items: Receiver<Result<Item, CopyError>>,
    /// Came while the loop waited, and is looked at next.
    came: Option<Result<Item, CopyError>>,
    table: Option<Arc<CopyTable>>,
    rows: vec::IntoIter<MarkedRow>,
    row: CopyRow,
    point: Lsn,
    xid: u32,
    reader: AbortHandle,
}

/// What was handed in.
#[derive(Debug, PartialEq, Eq)]
pub enum Handed {
    /// Nothing; more will come.
    Nothing,
    /// A row, or the point.
    Something,
    /// A table of this oid: its topic must be there before its first row.
    Table(u32),
    /// The end, after so many rows.
    Over {
        /// In all tables.
        rows: u64,
    },
}

impl Copy {
    /// Begins to read.
    #[must_use]
    pub fn begin(source: Source, wanted: Wanted) -> Self {
        let (sender, items) = mpsc::channel(BATCHES);
        let reader = tokio::spawn(reader::read(source, wanted, sender)).abort_handle();
        Self {
            items,
            came: None,
            table: None,
            rows: Vec::new().into_iter(),
            row: CopyRow::new(),
            point: Lsn::ZERO,
            xid: 0,
            reader,
        }
    }

    /// Returns when there is something to hand in. Safe to cancel.
    pub async fn ready(&mut self) {
        if self.came.is_none() && self.rows.len() == 0 {
            let came = self.items.recv().await;
            self.came = Some(came.unwrap_or_else(|| Err(ended())));
        }
    }

    /// Begins, when the stream has come to the snapshot's point and stands there.
    pub fn begin_when_due(&self, relay: &mut Relay, now: Now) {
        if let Some(point) = relay.copy_due() {
            relay.begin_copy(now, point, self.xid);
        }
    }

    /// Hands in one thing. Only when [`Relay::wants_copy`].
    ///
    /// # Errors
    /// The snapshot is no longer, or a row cannot be published.
    pub fn hand_in(&mut self, relay: &mut Relay, now: Now) -> Result<Handed, End> {
        if let Some(row) = self.rows.next() {
            self.hand_in_row(relay, now, &row).map_err(End::Stream)?;
            return Ok(Handed::Something);
        }
        let item = match self.came.take() {
            Some(item) => item,
            None => match self.items.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Empty) => return Ok(Handed::Nothing),
                Err(TryRecvError::Disconnected) => Err(ended()),
            },
        };
        match item.map_err(End::Copy)? {
            Item::Point { point, xid, slot } => {
                (self.point, self.xid) = (point, xid);
                match slot {
                    SlotAge::New => relay.begin_copy(now, point, xid),
                    SlotAge::Older => relay.copy_at(point),
                }
                Ok(Handed::Something)
            }
            Item::Table(table) => {
                relay.handle_copy_table(&table.relation(), &table.details);
                let oid = table.oid();
                self.table = Some(table);
                Ok(Handed::Table(oid))
            }
            Item::Rows(rows) => {
                self.rows = rows.into_iter();
                Ok(Handed::Something)
            }
            Item::Over { rows } => {
                relay.end_copy(now).map_err(End::Stream)?;
                Ok(Handed::Over { rows })
            }
        }
    }

    fn hand_in_row(
        &mut self,
        relay: &mut Relay,
        now: Now,
        row: &MarkedRow,
    ) -> Result<(), RelayError> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        let near = self.point;
        let tuple = self.row.decode(&row.line, table.column_count());
        let tuple = tuple.map_err(|source| RelayError::Decode { near, source })?;
        relay.handle_copy_row(now, table.oid(), tuple, row.mark)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The reader says why it ends; this is for one that could not.
fn ended() -> CopyError {
    CopyError::beginning(PostgresError::Closed {
        doing: "copy a table",
    })
}

/// Between reader and loop.
const BATCHES: usize = 4;
