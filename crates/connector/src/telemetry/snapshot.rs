//! How far the publication of the rows that are there has come: counted by who reads them, shown on the
//! page, in the metrics, on the terminal and in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;

/// Where the readers count. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SnapshotGauge(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counted: Mutex<Option<Counted>>,
    /// A table has come to its end, or all have.
    news: Notify,
}

#[derive(Debug)]
struct Counted {
    begun: Instant,
    tables: Vec<TableProgress>,
    /// How long it took, once it is over.
    took: Option<Duration>,
    pauses: u64,
    is_paused: bool,
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
    /// When the last of them was read.
    #[serde(skip)]
    pub ended: Option<Instant>,
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
    /// Whether it pauses now.
    pub paused: bool,
    /// Those that are being read.
    pub reading: Vec<TableProgress>,
    /// These, and among them those that have just come to their end: a bar is to be seen full.
    #[serde(skip)]
    pub bars: Vec<TableProgress>,
}

impl SnapshotGauge {
    /// A run begins to read these.
    pub fn begin(&self, tables: Vec<TableProgress>) {
        let mut counted = self.lock();
        let pauses = counted.as_ref().map_or(0, |before| before.pauses);
        *counted = Some(Counted {
            begun: Instant::now(),
            tables,
            took: None,
            pauses,
            is_paused: false,
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
        let mut is_end = false;
        self.with(table, |table| {
            table.pieces_read += 1;
            is_end = table.pieces_read == table.pieces;
            if is_end {
                table.ended = Some(Instant::now());
            }
        });
        if is_end {
            self.0.news.notify_one();
        }
    }

    /// Returns when a table has come to its end, or all have.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// The reading pauses, until it begins again.
    pub fn pause(&self) {
        if let Some(counted) = &mut *self.lock() {
            counted.pauses += 1;
            counted.is_paused = true;
        }
    }

    /// All is read.
    pub fn end(&self) {
        if let Some(counted) = &mut *self.lock() {
            counted.took = Some(counted.begun.elapsed());
        }
        self.0.news.notify_one();
    }

    /// What is to be shown; nothing while no rows were read in this process.
    #[must_use]
    pub fn view(&self) -> Option<SnapshotView> {
        let counted = self.lock();
        let counted = counted.as_ref()?;
        let took = counted.took.unwrap_or_else(|| counted.begun.elapsed());
        Some(SnapshotView::of(counted, took.as_secs_f64()))
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
        let counted = &self.0.counted;
        counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotView {
    fn of(counted: &Counted, seconds: f64) -> Self {
        let tables = || counted.tables.iter().filter(|table| table.pieces > 0);
        let rows = tables().map(|table| table.rows).sum();
        let whole: f64 = tables().map(TableProgress::weight).sum();
        let done: f64 = tables().map(|table| table.share() * table.weight()).sum();
        let over = counted.took.is_some();
        let is_told = done > 0.0 && !over && !counted.is_paused;
        let left = is_told.then(|| seconds * (whole - done) / done);
        let bars: Vec<_> = tables().filter(|table| table.has_bar()).collect();
        Self {
            over,
            tables: tables().count(),
            tables_read: tables().filter(|table| table.is_read()).count(),
            rows,
            bytes: tables().map(|table| table.bytes).sum(),
            rows_per_second: float(rows) / seconds.max(0.001),
            seconds_left: left,
            pauses: counted.pauses,
            paused: counted.is_paused && !over,
            reading: bars
                .iter()
                .filter(|table| !table.is_read())
                .map(|&table| table.clone())
                .collect(),
            bars: bars.into_iter().cloned().collect(),
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

    fn has_bar(&self) -> bool {
        let is_shown = self.ended.is_none_or(|ended| ended.elapsed() < FULL_FOR);
        self.rows > 0 && is_shown
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

/// So long a full bar is shown.
const FULL_FOR: Duration = Duration::from_secs(1);

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
    fn a_pause_tells_no_time_that_is_left() {
        let gauge = SnapshotGauge::default();
        gauge.begin(vec![table("public.one", 0, 2)]);
        gauge.read_piece(0);
        assert!(gauge.view().unwrap().seconds_left.is_some());
        gauge.pause();
        let view = gauge.view().unwrap();
        assert_eq!((view.paused, view.seconds_left), (true, None));
        gauge.begin(vec![table("public.one", 0, 1)]);
        let view = gauge.view().unwrap();
        assert_eq!((view.paused, view.pauses), (false, 1));
    }

    #[tokio::test]
    async fn the_end_of_a_table_is_news() {
        let gauge = SnapshotGauge::default();
        gauge.begin(vec![table("public.one", 0, 2)]);
        gauge.read(0, 5, 10);
        gauge.read_piece(0);
        let at_once = Duration::from_millis(10);
        let news = tokio::time::timeout(at_once, gauge.news()).await;
        assert!(news.is_err(), "it is not at its end");
        gauge.read_piece(0);
        gauge.news().await;
        let view = gauge.view().unwrap();
        assert!(view.reading.is_empty());
        assert_eq!((view.bars.len(), view.bars[0].share()), (1, 1.0));
    }

    #[test]
    fn it_ends() {
        let gauge = SnapshotGauge::default();
        gauge.begin(vec![table("public.one", 0, 1)]);
        gauge.read_piece(0);
        gauge.pause();
        gauge.begin(vec![table("public.one", 0, 1)]);
        gauge.read(0, 1, 1);
        gauge.read_piece(0);
        gauge.end();
        let view = gauge.view().unwrap();
        assert_eq!(view.pauses, 1);
        assert!(view.over && view.reading.is_empty());
        let (then, now) = (view.rows_per_second, gauge.view().unwrap().rows_per_second);
        assert_eq!(then, now, "the pace stays what it was");
        assert_eq!((view.tables_read, view.seconds_left), (1, None));
    }
}
