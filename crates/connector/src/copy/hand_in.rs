//! The loop's end of the copy: what the readers sent goes into the relay, as the relay wants it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use envelope::SnapshotMark;
use memchr::memchr;
use pgoutput::{CopyRow, Lsn};
use relay::{Now, Relay, RelayError};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::AbortHandle;

use super::asked::{News, Telling};
use super::catalog::CopyTable;
use super::error::CopyError;
use super::items::Item;
use super::kept_wal::{KeptWal, Paused};
use super::leader;
use super::marks::{Placed, Places};
use super::notes::{Noted, Notes};
use super::pieces::Part;
use super::snapshot::{SlotAge, Source};
use super::wanted::Wanted;
use crate::end::End;
use crate::postgres::PostgresError;
use crate::telemetry::SnapshotGauge;

/// A copy under way.
pub struct Copy {
    items: Receiver<Result<Item, CopyError>>,
    /// Came while the loop waited, and is looked at next.
    came: Option<Result<Item, CopyError>>,
    tables: Vec<Arc<CopyTable>>,
    notes: Notes,
    places: Places<Vec<u8>, u64>,
    /// To be handed in before anything else.
    due: VecDeque<Due>,
    batch: Option<Batch>,
    row: CopyRow,
    point: Lsn,
    xid: u32,
    is_all: bool,
    kept: KeptWal,
    /// Rows come, and are not all handed in.
    is_reading: bool,
    gauge: SnapshotGauge,
    asked: Option<Telling>,
    /// Tables with a row that cannot be published: no further one is handed in, and no piece is done.
    refused: Vec<usize>,
    is_given_up: bool,
    are_notes_taken: bool,
    reader: AbortHandle,
}

/// What was held back, and comes next.
enum Due {
    Row(Placed<Vec<u8>, u64>),
    /// A piece all of whose rows have left.
    Piece(u64),
    Over {
        rows: u64,
    },
}

/// Rows that came together.
struct Batch {
    table: usize,
    lines: Vec<u8>,
    at: usize,
}

/// What was handed in.
#[derive(Debug, PartialEq, Eq)]
pub enum Handed {
    /// Nothing; more will come.
    Nothing,
    /// A row, or something else of the readers'.
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
    /// Begins to read what is not done by these notes.
    #[must_use]
    pub fn begin(source: Source, wanted: Wanted, noted: Noted, kept: KeptWal) -> Self {
        let (sender, items) = mpsc::channel(BATCHES);
        let notes = Notes::new(noted.clone());
        let is_all = wanted.is_all;
        let reading = leader::read(source, wanted.clone(), noted, kept.room(), sender);
        let reader = tokio::spawn(reading).abort_handle();
        let asked = wanted.asked.as_ref();
        let asked = asked.map(|asked| Telling::new(asked.refused.clone()));
        let gauge = wanted.gauge;
        Self {
            items,
            came: None,
            tables: Vec::new(),
            notes,
            places: Places::new(),
            due: VecDeque::new(),
            batch: None,
            row: CopyRow::new(),
            point: Lsn::ZERO,
            xid: 0,
            is_all,
            kept,
            is_reading: false,
            gauge,
            asked,
            refused: Vec::new(),
            is_given_up: false,
            are_notes_taken: false,
            reader,
        }
    }

    /// Whether somebody asked for it while the stream went on.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it ends before its end, and the stream goes on.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Nothing more of it is handed in.
    pub fn give_up(&mut self) {
        self.reader.abort();
        self.is_given_up = true;
        self.gauge.end();
    }

    /// What has become of it, for who asked.
    pub fn news(&mut self) -> Option<News> {
        self.asked.as_mut()?.next()
    }

    /// Kafka has a piece: what is to be noted of its table.
    pub fn settled(&mut self, number: u64) -> Option<(String, &Part)> {
        if let Some(telling) = &mut self.asked {
            telling.settled(number);
        }
        let done = self.notes.done(number);
        if done.is_some() {
            self.kept.noted();
        }
        done
    }

    /// What is noted of it, once: for another attempt, or to be taken back.
    pub fn take_notes(&mut self) -> Option<Noted> {
        let are_taken = std::mem::replace(&mut self.are_notes_taken, true);
        (!are_taken).then(|| std::mem::take(&mut self.notes).into_parts())
    }

    /// These notes are to be taken back.
    pub fn leave(&mut self, noted: Noted) {
        self.notes = Notes::new(noted);
    }

    /// What is noted of it.
    pub fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Whether the reading is to pause, since the server keeps too much WAL meanwhile.
    pub fn pause(&mut self) -> Option<Paused> {
        match self.is_reading {
            true => self.kept.pause(),
            false => None,
        }
    }

    /// Ends the reading; what Kafka has of it is still to be noted.
    pub fn stop(&mut self) {
        self.reader.abort();
    }

    /// Returns when there is something to hand in. Safe to cancel.
    pub async fn ready(&mut self) {
        if self.is_given_up {
            pending::<()>().await;
        }
        if self.came.is_none() && self.due.is_empty() && self.batch.is_none() {
            let came = self.items.recv().await;
            self.came = Some(came.unwrap_or_else(|| Err(ended())));
        }
    }

    /// Begins, when the stream has come to the snapshot's point and stands there.
    pub fn begin_when_due(&mut self, relay: &mut Relay, now: Now) {
        if let Some(point) = relay.copy_due() {
            relay.begin_copy(now, point, self.xid);
            self.is_reading = true;
        }
    }

    /// Hands in one thing. Only when [`Relay::wants_copy`].
    ///
    /// # Errors
    /// The snapshot is no longer, or a row cannot be published.
    pub fn hand_in(&mut self, relay: &mut Relay, now: Now) -> Result<Handed, End> {
        if let Some(due) = self.due.pop_front() {
            return self.hand_in_due(relay, now, due);
        }
        if let Some(batch) = self.batch.take() {
            self.hand_in_next(relay, now, batch)?;
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
        Ok(self.take(relay, now, item.map_err(End::Copy)?))
    }

    fn hand_in_due(&mut self, relay: &mut Relay, now: Now, due: Due) -> Result<Handed, End> {
        match due {
            Due::Row(placed) => {
                let Placed {
                    table,
                    row,
                    mark,
                    pieces,
                } = placed;
                self.hand_in_row(relay, now, (table, &row, mark))?;
                if self.refused.contains(&table) {
                    // Not all of their rows are in Kafka.
                    return Ok(Handed::Something);
                }
                // Behind it, once it has left.
                for piece in pieces.into_iter().rev() {
                    self.due.push_front(Due::Piece(piece));
                }
            }
            Due::Piece(piece) => relay.handle_copy_piece(piece),
            Due::Over { rows } => {
                if let Some(telling) = &mut self.asked {
                    let number = self.notes.number_other();
                    telling.later(number, News::Done);
                    relay.handle_copy_piece(number);
                }
                if self.is_all {
                    relay.stop_at(self.point);
                }
                relay.end_copy(now).map_err(End::Stream)?;
                return Ok(Handed::Over { rows });
            }
        }
        Ok(Handed::Something)
    }

    /// The next row of a batch; its last is held back.
    fn hand_in_next(&mut self, relay: &mut Relay, now: Now, batch: Batch) -> Result<(), End> {
        let Batch { table, lines, at } = batch;
        let rest = lines.get(at..).unwrap_or_default();
        let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, behind) = rest.split_at(length);
        if behind.is_empty() {
            self.places.end_batch(table, line.to_vec());
            return Ok(());
        }
        let mark = self.places.row(table);
        self.hand_in_row(relay, now, (table, line, mark))?;
        if self.refused.contains(&table) {
            return Ok(());
        }
        let at = at + length;
        self.batch = Some(Batch { table, lines, at });
        Ok(())
    }

    /// The table is told as done with its last row; that row may be held back.
    fn tell_over(&mut self, table: usize) {
        let (Some(telling), Some(of)) = (&mut self.asked, self.tables.get(table)) else {
            return;
        };
        let number = self.notes.number_other();
        telling.later(number, News::Table(of.qualified_name()));
        let at_once = self.places.end_piece(table, number);
        self.due.extend(at_once.map(Due::Piece));
    }

    fn hand_in_row(
        &mut self,
        relay: &mut Relay,
        now: Now,
        (table, line, mark): (usize, &[u8], SnapshotMark),
    ) -> Result<(), End> {
        let Some(of) = self.tables.get(table) else {
            return Ok(());
        };
        let near = self.point;
        let tuple = self.row.decode(line, of.column_count());
        let tuple = tuple.map_err(|source| RelayError::Decode { near, source });
        let handed = tuple.and_then(|tuple| relay.handle_copy_row(now, of.oid(), tuple, mark));
        match (handed, &mut self.asked) {
            // The stream would end at each start with what was asked for.
            (Err(RelayError::EncodeCopied(error)), Some(telling)) => {
                telling.refuse(of.qualified_name(), error.to_string());
                self.refused.push(table);
                Ok(())
            }
            (handed, _) => handed.map_err(End::Stream),
        }
    }

    fn take(&mut self, relay: &mut Relay, now: Now, item: Item) -> Handed {
        match item {
            Item::Point {
                point,
                xid,
                slot,
                since,
                tables,
                chosen,
            } => {
                if let (Some(telling), Some(chosen)) = (&mut self.asked, chosen) {
                    telling.chosen(chosen);
                }
                (self.point, self.xid, self.tables) = (point, xid, tables);
                self.notes.begin(point, since);
                match slot {
                    SlotAge::New => {
                        relay.begin_copy(now, point, xid);
                        self.is_reading = true;
                    }
                    SlotAge::Older => relay.copy_at(point),
                }
            }
            Item::Later => relay.copy_later(),
            Item::Stand(standing) => {
                relay.expect_copy();
                // Nobody listens any more when the reading has ended.
                let _ = standing.send(());
            }
            Item::Table { table, details } => {
                if let Some(table) = self.tables.get(table) {
                    relay.handle_copy_table(&table.relation(), &details);
                    return Handed::Table(table.oid());
                }
            }
            Item::Rows { table, .. } | Item::Piece { table, .. }
                if self.refused.contains(&table) => {}
            Item::Rows { table, lines } => {
                self.due
                    .extend(self.places.begin_batch(table).map(Due::Row));
                let at = 0;
                self.batch = Some(Batch { table, lines, at });
            }
            Item::Piece {
                table,
                blocks,
                rows,
            } => {
                let of = self.tables.get(table);
                let number = of.map(|table| self.notes.number(table, blocks));
                if let (Some(telling), Some(number)) = (&mut self.asked, number) {
                    telling.later(number, News::Piece { rows });
                }
                let at_once = number.and_then(|number| self.places.end_piece(table, number));
                self.due.extend(at_once.map(Due::Piece));
            }
            Item::LeftOut { table, reason } => {
                if let (Some(telling), Some(table)) = (&mut self.asked, self.tables.get(table)) {
                    telling.left_out(table.qualified_name(), reason);
                }
            }
            Item::TableOver { table } => {
                self.tell_over(table);
                self.due.extend(self.places.end_table(table).map(Due::Row));
            }
            Item::Over { rows } => {
                self.is_reading = false;
                self.due.extend(self.places.finish().map(Due::Row));
                self.due.push_back(Due::Over { rows });
            }
        }
        Handed::Something
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

/// Between readers and loop.
const BATCHES: usize = 8;
