//! The loop's end of a blocking request: when its copy begins, what is heard of it, when it is given up.

use relay::Relay;
use tokio::time::Instant;
use tracing::{info, warn};

use super::hand_in::Incremental;
use super::request::{Request, State};
use crate::copy::{self, Copy, CopyError, News};
use crate::kafka::RequestKey;
use crate::signal::{Action, Kind, Signal};

impl Incremental {
    /// The copy that a blocking request wants now; the stream stands from then on. Only while there is
    /// no other.
    pub fn begin_copy(&mut self, relay: &mut Relay) -> Option<Copy> {
        let first = self
            .requests
            .front()
            .filter(|it| it.kind == Kind::Blocking)?;
        let copy = self.blocking.begin_copy(first, relay)?;
        info!(
            request = first.id,
            "the stream stands while the rows are read that were asked for"
        );
        Some(copy)
    }

    /// What has become of the copy under way.
    pub fn hear(&mut self, news: News) {
        let blocking = &self.blocking;
        let is_its = |first: &&mut Request| blocking.is_copying(first);
        let Some(first) = self.requests.front_mut().filter(is_its) else {
            return;
        };
        match news {
            News::Chosen(tables) => first.set_tables(tables),
            News::LeftOut { table, reason } => {
                let named = table.as_deref().unwrap_or_default();
                warn!(
                    table = named,
                    reason, "SNAPSHOT_TABLE_LEFT_OUT: the table's rows are not published"
                );
                first.take_off(named);
                first.add_problem(match table {
                    Some(table) => format!("{table}: {reason}"),
                    None => reason,
                });
            }
            News::Piece { rows } => {
                first.rows += rows;
                first.chunks += 1;
            }
            News::Table(table) => first.take_off(&table),
            News::Done => return self.end_copied(),
        }
        // What a piece's own note tells is not told by the request's alone.
        if first.may_be_noted(self.noted_at) {
            self.note_copied();
        }
    }

    /// All its rows are in Kafka. That is noted ahead of any position behind them: no run does it again.
    fn end_copied(&mut self) {
        if let Some(first) = self.requests.front_mut() {
            first.end();
            if first.state == State::Done && first.chunks == 0 && self.blocking.is_all_unwanted() {
                first.state = State::Stopped;
            }
        }
        self.note_copied();
        self.pop_first();
        self.blocking.end();
    }

    /// The newest is enough.
    fn note_copied(&mut self) {
        self.noted_at = Instant::now();
        if let Some(first) = self.requests.front() {
            self.notes.retain(|note| note.id != first.id);
            self.notes.push(first.clone());
        }
    }

    /// The copy cannot be gone on with: it is tried again, unless only a person can mend that.
    pub fn copy_failed(&mut self, error: &CopyError) {
        let blocking = &self.blocking;
        let is_its = |first: &&mut Request| blocking.is_copying(first);
        let Some(first) = self.requests.front_mut().filter(is_its) else {
            return;
        };
        if error.is_permanent() {
            first.add_problem(error.to_string());
            self.end_copied();
        } else {
            warn!(request = first.id, %error, "the blocking snapshot is gone on with in a moment");
            self.blocking.try_again();
        }
    }

    /// Whether the copy under way is to be given up, if it is not over.
    #[must_use]
    pub fn is_copy_ended(&self) -> bool {
        self.blocking.is_ended()
    }

    /// Whose copy is under way.
    #[must_use]
    pub fn copied_for(&self) -> &RequestKey {
        self.blocking.key()
    }

    /// Keeps what is noted of a copy for another attempt; gives it back if there will be none.
    pub fn keep(&mut self, noted: copy::Noted) -> Option<copy::Noted> {
        self.blocking.keep(noted)
    }

    /// There is no copy any more.
    pub fn copy_is_gone(&mut self) {
        self.blocking.gone();
    }

    /// Obeys what came while the stream stands, as far as that stops something.
    pub(super) fn take_watched(&mut self, relay: &mut Relay) {
        while let Some((at, signalled)) = self.blocking.signal() {
            // Whatever else it says is heard where the stream goes on.
            match Signal::of_stream(&signalled).map(|signal| signal.action) {
                Ok(Action::Stop(stopped)) => self.stop_ahead(relay, stopped, at),
                Ok(Action::Pause) => self.refuse_pause(),
                _ => {}
            }
        }
    }

    /// Where the stream comes to that signal, nothing is left to be paused.
    fn refuse_pause(&self) {
        let first = self.requests.front().filter(|it| self.blocking.is_of(it));
        if let Some(first) = first {
            warn!(request = first.id, "{NOT_PAUSED}");
        }
    }

    /// The first request was stopped, all of it or some tables.
    pub(super) fn end_blocking_if_stopped(&mut self) {
        let first = self.requests.front();
        if first.is_some_and(|it| it.state != State::Running && self.blocking.is_of(it)) {
            self.blocking.end();
        }
    }
}

/// What is said where somebody tries.
pub(super) const NOT_PAUSED: &str =
    "a blocking snapshot that has begun is not paused; stop-snapshot ends it";
