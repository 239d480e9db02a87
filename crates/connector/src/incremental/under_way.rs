//! The chunks of a table that are under way, in the order of the key: which are read now, each over a
//! session of its own, and which wait for their watermark or for Kafka.

use std::collections::VecDeque;
use std::time::Duration;

use relay::ChunkOutcome;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::chunks::{Chunks, Outcome, Read};
use super::reader::{Item, Stop};
use super::table::Span;
use crate::postgres::PostgresError;
use crate::postgres::sql::{CutWithTask, SqlClient};

/// Chunks that are not done.
pub(super) struct UnderWay {
    chunks: Chunks,
    places: VecDeque<Place>,
    /// Behind the last of them.
    after: Option<Vec<String>>,
    /// Whether there may be rows behind it.
    more: bool,
    /// How many make a chunk.
    rows: usize,
    reading: JoinSet<Ended>,
    idle: Vec<CutWithTask>,
    sessions_max: usize,
}

/// A chunk, by the keys that it lies between.
struct Place {
    window: u64,
    after: Option<Vec<String>>,
    to: Vec<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to be read, perhaps not at once.
    Wanted { again: bool },
    /// It is being read, or its outcome is still to come.
    Begun,
    /// It is too large; so many of its rows make one.
    TooLarge { rows: usize },
    /// Kafka has its rows; so many were published.
    Done { rows: u64 },
}

/// The end of a chunk's reading: its window, and the session if there was one.
type Ended = (u64, Result<(CutWithTask, Read), Failed>);

enum Failed {
    /// There was no session to be had.
    Connect(PostgresError),
    TooLarge {
        rows: usize,
    },
    Read(Stop),
}

/// A chunk that is done.
pub(super) struct DoneChunk {
    pub(super) to: Vec<String>,
    pub(super) rows: u64,
}

impl UnderWay {
    pub(super) fn new(chunks: Chunks, after: Option<Vec<String>>) -> Self {
        let settings = &chunks.settings;
        let (rows, sessions_max) = (
            settings.chunk_rows.min(FIRST_ROWS),
            settings.sessions.max(1),
        );
        Self {
            chunks,
            places: VecDeque::new(),
            after,
            more: true,
            rows,
            reading: JoinSet::new(),
            idle: Vec::new(),
            sessions_max,
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether nothing is left to find.
    pub(super) fn is_over(&self) -> bool {
        self.is_empty() && !self.more
    }

    /// Whether another chunk may begin.
    pub(super) fn has_room(&self) -> bool {
        self.more && self.places.len() < self.places_max()
    }

    /// How many are held at once.
    fn places_max(&self) -> usize {
        PLACES_MIN.max(2 * self.sessions_max)
    }

    /// Looks where the next chunk ends.
    pub(super) async fn find_next(&mut self, scout: &SqlClient) -> Result<(), Stop> {
        let after = self.after.as_deref();
        let span = Span { after, to: None };
        let Some(to) = self.chunks.bound(scout, span, self.rows).await? else {
            self.more = false;
            return Ok(());
        };
        if self.after.as_ref() == Some(&to) {
            return Err(Stop::refused(
                "its rows do not come in the order of its key",
            ));
        }
        let after = self.after.replace(to.clone());
        self.places.push_back(Place {
            window: 0,
            after,
            to,
            state: State::Wanted { again: false },
        });
        Ok(())
    }

    /// Makes smaller ones of those that are too large.
    pub(super) async fn cut(&mut self, scout: &SqlClient) -> Result<(), Stop> {
        let rows_of = |place: &Place| match place.state {
            State::TooLarge { rows } => Some(rows),
            _ => None,
        };
        while let Some((at, rows)) = self
            .places
            .iter()
            .enumerate()
            .find_map(|(at, place)| Some((at, rows_of(place)?)))
        {
            let Some(mut rest) = self.places.remove(at) else {
                return Ok(());
            };
            rest.state = State::Wanted { again: false };
            let mut parts = Vec::new();
            loop {
                let span = Span {
                    after: rest.after.as_deref(),
                    to: Some(&rest.to),
                };
                match self.chunks.bound(scout, span, rows).await? {
                    Some(to) if to != rest.to => {
                        let after = rest.after.replace(to.clone());
                        parts.push(Place {
                            window: 0,
                            after,
                            to,
                            state: rest.state,
                        });
                    }
                    // Also where nothing is left: its end is noted all the same.
                    _ => break,
                }
            }
            parts.push(rest);
            for part in parts.into_iter().rev() {
                self.places.insert(at, part);
            }
        }
        Ok(())
    }

    /// Begins to read what is wanted, as far as there are sessions.
    pub(super) fn begin_wanted(&mut self) {
        let begun = |it: &&Place| it.state == State::Begun;
        let mut begun = self.places.iter().filter(begun).count();
        let places_max = self.places_max();
        for place in &mut self.places {
            let State::Wanted { again } = place.state else {
                continue;
            };
            if self.reading.len() >= self.sessions_max || begun >= places_max {
                return;
            }
            begun += 1;
            place.state = State::Begun;
            place.window = self.chunks.new_window();
            let (window, after, to) = (place.window, place.after.clone(), place.to.clone());
            let (chunks, session) = (self.chunks.clone(), self.idle.pop());
            self.reading.spawn(async move {
                if again {
                    sleep(AGAIN).await;
                }
                let span = Span {
                    after: after.as_deref(),
                    to: Some(&to),
                };
                (window, read(&chunks, session, window, span).await)
            });
        }
    }

    /// Waits until one has been read; for ever, if none is being read. Safe to cancel.
    pub(super) async fn read(&mut self) -> Result<(), Stop> {
        let Some(ended) = self.reading.join_next().await else {
            return std::future::pending().await;
        };
        let (window, read) = ended.map_err(|error| died(&error))?;
        match read {
            Ok((session, read)) => {
                self.idle.push(session);
                let most = self.chunks.settings.chunk_rows;
                let rows = CHUNK_BYTES * read.rows.max(1) / read.bytes.max(1);
                self.rows = rows.clamp(1, most);
            }
            Err(Failed::Connect(error)) if self.reading.is_empty() && self.idle.is_empty() => {
                return Err(error.into());
            }
            Err(Failed::Connect(error)) => {
                self.sessions_max = self.reading.len() + self.idle.len();
                warn!(%error, "the snapshot goes on with {} sessions", self.sessions_max);
                self.set(window, State::Wanted { again: false });
            }
            Err(Failed::TooLarge { rows }) => {
                self.rows = rows;
                self.set(window, State::TooLarge { rows });
            }
            Err(Failed::Read(stop)) => return Err(stop),
        }
        Ok(())
    }

    /// What became of a chunk.
    pub(super) fn settle(&mut self, (window, outcome): (u64, ChunkOutcome)) -> Result<(), Stop> {
        match outcome {
            ChunkOutcome::Refused(error) => return Err(Stop::Refused(error.to_string())),
            ChunkOutcome::Done { rows } => self.set(window, State::Done { rows }),
            ChunkOutcome::Again(why) => {
                debug!(?why, "a chunk is read again");
                self.set(window, State::Wanted { again: true });
            }
        }
        Ok(())
    }

    fn set(&mut self, window: u64, state: State) {
        let place = self.places.iter_mut().find(|it| it.window == window);
        if let Some(place) = place {
            place.state = state;
        }
    }

    /// The first, if it is done.
    pub(super) fn take_done(&mut self) -> Option<DoneChunk> {
        let State::Done { rows } = self.places.front()?.state else {
            return None;
        };
        let place = self.places.pop_front()?;
        Some(DoneChunk { to: place.to, rows })
    }

    /// Ends the reading; nobody waits for their outcomes.
    pub(super) async fn abandon(mut self) -> Result<(), Stop> {
        self.reading.shutdown().await;
        for place in self.places {
            if place.state == State::Begun {
                let window = place.window;
                self.chunks.to_loop.send(Item::Abandon { window }).await?;
            }
        }
        Ok(())
    }
}

async fn read(
    chunks: &Chunks,
    session: Option<CutWithTask>,
    window: u64,
    span: Span<'_>,
) -> Result<(CutWithTask, Read), Failed> {
    let session = match session {
        Some(session) => session,
        None => CutWithTask(
            SqlClient::connect(&chunks.settings.conninfo)
                .await
                .map_err(Failed::Connect)?,
        ),
    };
    match chunks.read(&session, window, span).await {
        Ok(Outcome::Read(read)) => Ok((session, read)),
        Ok(Outcome::TooLarge { rows }) => Err(Failed::TooLarge { rows }),
        Err(stop) => Err(Failed::Read(stop)),
    }
}

/// Why a table is not read on whose task has died. A second attempt would come to the same row. A release ends
/// with the panic.
fn died(error: &JoinError) -> Stop {
    match error.is_panic() {
        true => Stop::refused(PANICKED),
        // The process ends.
        false => Stop::Unwanted,
    }
}

/// What is said of a request whose reading has died.
pub(super) const PANICKED: &str = "the task that reads its rows has panicked, which is a defect of walferry: report what stderr says of \
     it, and ask for the rows again with another version";
/// Chunks under way, however few sessions there are: while some are read, others wait for Kafka.
const PLACES_MIN: usize = 4;
/// About so many bytes in a chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Before it is known how large rows are.
const FIRST_ROWS: usize = 256;
/// Before a chunk is read again.
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunk_whose_task_panics_leaves_its_table_out() {
        let mut tasks: JoinSet<()> = JoinSet::new();
        tasks.spawn(async { panic!("on purpose") });
        let error = tasks.join_next().await.unwrap().unwrap_err();
        assert!(matches!(died(&error), Stop::Refused(reason) if reason.contains("defect")));
        tasks.spawn(std::future::pending()).abort();
        let error = tasks.join_next().await.unwrap().unwrap_err();
        assert!(matches!(died(&error), Stop::Unwanted));
    }
}
