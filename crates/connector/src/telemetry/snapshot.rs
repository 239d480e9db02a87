//! How far the publication of the rows that are there has come: counted by who reads them, shown on the
//! page, in the metrics, on the terminal and in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// Where the readers count. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SnapshotGauge(Arc<Mutex<Option<Counted>>>);

#[derive(Debug)]
struct Counted {
    begun: Instant,
    tables: Vec<TableProgress>,
    over: bool,
    pauses: u64,
}

/// One table, as far as this run reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TableProgress {
    /// `schema.table`.
    pub table: String,
    /// Read so far, in this run.
    pub rows: u64,
    /// What the server's statistics say of the whole table; 0 when they say nothing.
    pub rows_estimated: u64,
    /// Text of the rows read, in bytes.
    pub bytes: u64,
    /// Its size on disk, in bytes.
    pub disk_bytes: u64,
    /// Pieces that are read, and how many there were to read.
    pub pieces_read: usize,
    /// As above.
    pub pieces: usize,
}

/// What is shown of it.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    /// Whether all rows are read.
    pub over: bool,
    /// Tables with rows to read, and how many of them are read.
    pub tables: usize,
    /// As above.
    pub tables_read: usize,
    /// Read so far, in this run.
    pub rows: u64,
    /// Text of these rows, in bytes.
    pub bytes: u64,
    /// Mean since the run began to read.
    pub rows_per_second: f64,
    /// At this pace; none while nothing can be told.
    pub seconds_left: Option<f64>,
    /// How often the reading has paused at the limit of WAL, in this process.
    pub pauses: u64,
    /// Those that are being read.
    pub reading: Vec<TableProgress>,
}

impl SnapshotGauge {
    /// A run begins to read these.
    pub fn begin(&self, tables: Vec<TableProgress>) {
        let mut counted = self.lock();
        let pauses = counted.as_ref().map_or(0, |before| before.pauses);
        *counted = Some(Counted {
            begun: Instant::now(),
            tables,
            over: false,
            pauses,
        });
    }

    /// So many rows more of a table, by its place in the list.
    pub fn read(&self, table: usize, rows: u64, bytes: u64) {
        self.with(table, |table| {
            table.rows += rows;
            table.bytes += bytes;
        });
    }

    /// A piece of a table is read.
    pub fn read_piece(&self, table: usize) {
        self.with(table, |table| table.pieces_read += 1);
    }

    /// The reading pauses.
    pub fn pause(&self) {
        if let Some(counted) = &mut *self.lock() {
            counted.pauses += 1;
        }
    }

    /// All is read.
    pub fn end(&self) {
        if let Some(counted) = &mut *self.lock() {
            counted.over = true;
        }
    }

    /// What is to be shown; nothing while no rows were read in this process.
    #[must_use]
    pub fn view(&self) -> Option<SnapshotView> {
        let counted = self.lock();
        let counted = counted.as_ref()?;
        Some(SnapshotView::of(
            counted,
            counted.begun.elapsed().as_secs_f64(),
        ))
    }

    fn with(&self, table: usize, change: impl FnOnce(&mut TableProgress)) {
        let mut counted = self.lock();
        let table = counted
            .as_mut()
            .and_then(|counted| counted.tables.get_mut(table));
        if let Some(table) = table {
            change(table);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Counted>> {
        // A panic elsewhere leaves plain numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotView {
    fn of(counted: &Counted, seconds: f64) -> Self {
        let tables = || counted.tables.iter().filter(|table| table.pieces > 0);
        let rows = tables().map(|table| table.rows).sum();
        let whole: f64 = tables().map(TableProgress::weight).sum();
        let done: f64 = tables().map(|table| table.share() * table.weight()).sum();
        let left = (done > 0.0 && !counted.over).then(|| seconds * (whole - done) / done);
        Self {
            over: counted.over,
            tables: tables().count(),
            tables_read: tables().filter(|table| table.is_read()).count(),
            rows,
            bytes: tables().map(|table| table.bytes).sum(),
            rows_per_second: float(rows) / seconds.max(0.001),
            seconds_left: left,
            pauses: counted.pauses,
            reading: tables()
                .filter(|table| table.rows > 0 && !table.is_read())
                .cloned()
                .collect(),
        }
    }
}

impl TableProgress {
    /// How much of it is read, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let read = u64::try_from(self.pieces_read).unwrap_or_default();
        let pieces = u64::try_from(self.pieces).unwrap_or_default().max(1);
        let by_pieces = float(read) / float(pieces);
        if self.pieces > 1 || self.rows_estimated == 0 {
            return by_pieces;
        }
        // A table of one piece is told by its rows, which are an estimate.
        by_pieces.max((float(self.rows) / float(self.rows_estimated)).min(0.99))
    }

    fn is_read(&self) -> bool {
        self.pieces_read >= self.pieces
    }

    /// Even an empty table takes its round trips.
    fn weight(&self) -> f64 {
        float(self.disk_bytes.max(8192))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for reading, not for reckoning")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, disk_bytes: u64, pieces: usize) -> TableProgress {
        TableProgress {
            table: name.to_owned(),
            disk_bytes,
            pieces,
            ..TableProgress::default()
        }
    }

    #[test]
    fn what_is_left_is_told_by_size() {
        let gauge = SnapshotGauge::default();
        assert!(gauge.view().is_none());
        gauge.begin(vec![
            table("public.big", 3 << 20, 3),
            table("public.small", 1 << 20, 1),
            table("public.done", 1 << 30, 0),
        ]);
        gauge.read(0, 10, 1000);
        gauge.read_piece(0);
        gauge.read(1, 5, 100);
        let counted = gauge.lock();
        let view = SnapshotView::of(counted.as_ref().unwrap(), 2.0);
        assert_eq!((view.tables, view.tables_read), (2, 0));
        assert_eq!((view.rows, view.bytes), (15, 1100));
        assert_eq!(view.rows_per_second, 7.5);
        // A quarter is read in two seconds.
        assert_eq!(view.seconds_left, Some(6.0));
        let names: Vec<_> = view.reading.iter().map(|table| &*table.table).collect();
        assert_eq!(names, ["public.big", "public.small"]);
    }

    #[test]
    fn it_ends() {
        let gauge = SnapshotGauge::default();
        gauge.begin(vec![table("public.one", 0, 1)]);
        gauge.read_piece(0);
        gauge.pause();
        gauge.begin(vec![table("public.one", 0, 1)]);
        gauge.read_piece(0);
        gauge.end();
        let view = gauge.view().unwrap();
        assert_eq!(view.pauses, 1);
        assert!(view.over && view.reading.is_empty());
        assert_eq!((view.tables_read, view.seconds_left), (1, None));
    }
}
