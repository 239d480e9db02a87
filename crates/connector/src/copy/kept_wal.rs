//! The WAL that the server keeps for the slot while rows are read, and the limit at which the reading
//! pauses: the stream then goes on until the server has let go of what is before, and what is left is read
//! in another snapshot.
//!
//! What the server keeps begins not at what is confirmed but at a place from which it can decode that
//! (`restart_lsn`). It finds such places now and then, a quarter of a minute apart, and moves to one when
//! what follows it is confirmed: so the stream is given some time, and not only up to the present.
//!
//! A leg between two pauses publishes some pieces in any case, however little the limit leaves, so that
//! the copy comes to its end; where the limit is too small for that, each leg takes twice as many as the
//! one before, since each costs a snapshot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use crate::postgres::CatalogSession;
use crate::postgres::slots::{self, SlotState};

/// The watch of a leg; it ends with this.
pub struct KeptWal {
    seen: watch::Receiver<Option<Seen>>,
    leg: Leg,
    task: AbortHandle,
}

/// What a look at the slot has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Bytes that the server keeps for the slot.
    kept: u64,
    /// The most of them.
    limit: Option<u64>,
}

/// What there is to wait for before a snapshot.
pub(super) struct Room(watch::Receiver<Option<Seen>>);

impl Room {
    /// Whether the server keeps so much that little could be read before a pause.
    pub(super) async fn is_short(&mut self) -> bool {
        let seen = self.0.wait_for(Option::is_some);
        match timeout(PATIENCE, seen).await {
            Ok(Ok(seen)) => seen.is_some_and(Seen::is_much),
            _ => false,
        }
    }

    /// Returns when it does not any more, or when it seems that it will not let go.
    pub(super) async fn freed(&mut self) {
        let kept = self.0.borrow().map_or(0, |seen| seen.kept);
        info!(
            kept,
            "the stream goes first, so that the server need not keep that much WAL"
        );
        let freed = self
            .0
            .wait_for(|seen| seen.is_some_and(|seen| !seen.is_much()));
        if timeout(LETTING_GO, freed).await.is_err() {
            let kept = self.0.borrow().map_or(0, |seen| seen.kept);
            warn!(
                kept,
                "the server keeps more WAL than half the limit, though the stream went on: a transaction \
                 that has been open for long holds it, or the stream does not keep up"
            );
        }
    }
}

impl Seen {
    fn is_much(self) -> bool {
        self.limit.is_some_and(|limit| self.kept >= limit / 2)
    }
}

/// What is read between two pauses.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Pieces that are noted before there is a pause.
    pieces_min: u64,
    /// Those that are.
    pieces: u64,
    /// The limit was reached before they were.
    is_late: bool,
}

/// The reading pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Bytes of WAL that the server keeps for the slot.
    pub kept: u64,
    /// The limit.
    pub limit: u64,
    /// Pieces that were noted in this leg.
    pub pieces: u64,
    /// How many the next leg notes at least.
    pub pieces_min: u64,
}

impl KeptWal {
    /// Begins to look. `limit` is the configured one, `pieces_min` what the last leg asks of this one.
    #[must_use]
    pub fn watch(
        session: Arc<CatalogSession>,
        slot: &str,
        limit: Option<u64>,
        pieces_min: u64,
    ) -> Self {
        let (sender, seen) = watch::channel(None);
        let slot = slot.to_owned();
        let task: JoinHandle<()> = tokio::spawn(async move {
            look_again(&session, &slot, limit, &sender).await;
        });
        Self {
            seen,
            leg: Leg::new(pieces_min),
            task: task.abort_handle(),
        }
    }

    /// A piece more is noted.
    pub(super) fn noted(&mut self) {
        self.leg.pieces += 1;
    }

    /// Whether to pause.
    pub(super) fn pause(&mut self) -> Option<Paused> {
        let seen = (*self.seen.borrow())?;
        self.leg.judge(seen)
    }

    /// The same looks, for who takes the snapshot.
    pub(super) fn room(&self) -> Room {
        Room(self.seen.clone())
    }
}

impl Drop for KeptWal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leg {
    fn new(pieces_min: u64) -> Self {
        Self {
            pieces_min: pieces_min.max(1),
            pieces: 0,
            is_late: false,
        }
    }

    fn judge(&mut self, seen: Seen) -> Option<Paused> {
        let Seen { kept, limit } = seen;
        let limit = limit.filter(|limit| kept >= *limit)?;
        if self.pieces < self.pieces_min {
            if !self.is_late {
                let at_least = self.pieces_min - self.pieces;
                warn!(
                    kept,
                    limit, at_least, "the limit of WAL is reached; some pieces are read yet"
                );
            }
            self.is_late = true;
            return None;
        }
        Some(Paused {
            kept,
            limit,
            pieces: self.pieces,
            pieces_min: match self.is_late {
                true => self.pieces_min.saturating_mul(2),
                false => 1,
            },
        })
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, limit, .. } = self;
        write!(
            f,
            "snapshot paused: the server keeps {kept} bytes of WAL for the slot, the limit is {limit}; \
             the stream goes on to the present, then the rest is read"
        )
    }
}

async fn look_again(
    session: &CatalogSession,
    slot: &str,
    limit: Option<u64>,
    sender: &watch::Sender<Option<Seen>>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warnings = Warnings::default();
    let mut looked_at = Instant::now();
    loop {
        ticks.tick().await;
        let looked = async { slots::state(&*session.client().await?, slot).await };
        match timeout(PATIENCE, looked).await {
            Ok(Ok(state)) => {
                looked_at = Instant::now();
                let Some(seen) = seen(&state, limit) else {
                    continue;
                };
                warnings.told(slot, seen, bound(&state));
                sender.send_replace(Some(seen));
            }
            Ok(Err(error)) => debug!(%error, "the slot could not be looked at"),
            Err(_) => debug!("the server does not answer a question about the slot"),
        }
        if looked_at.elapsed() > STALE {
            unknown(slot, sender);
        }
    }
}

/// What was seen long ago is neither a reason to pause nor one to go on as before.
fn unknown(slot: &str, sender: &watch::Sender<Option<Seen>>) {
    if sender.send_replace(None).is_some() {
        warn!(
            slot,
            "how much WAL the server keeps is not known for half a minute: the reading does not pause at \
             its limit until the slot can be looked at"
        );
    }
}

/// Nothing of a slot that is lost, which keeps nothing.
fn seen(state: &SlotState, limit: Option<u64>) -> Option<Seen> {
    let half = bound(state).map(|bound| bound / 2);
    Some(Seen {
        kept: state.wal_end.bytes_since(state.restart_lsn?),
        limit: limit.or(half),
    })
}

/// The most that the server keeps (`max_slot_wal_keep_size`, in whole segments), as it reckons itself.
fn bound(state: &SlotState) -> Option<u64> {
    let kept = state.wal_end.bytes_since(state.restart_lsn?);
    kept.checked_add_signed(state.safe_wal_bytes?)
}

/// What is said of the WAL by itself.
#[derive(Debug, Default)]
struct Warnings {
    is_bound_told: bool,
    /// How much is said next, where nothing bounds it.
    next: Option<u64>,
}

impl Warnings {
    fn told(&mut self, slot: &str, seen: Seen, bound: Option<u64>) {
        if let (Some(limit), Some(bound)) = (seen.limit, bound)
            && limit > bound
            && !self.is_bound_told
        {
            self.is_bound_told = true;
            warn!(
                slot,
                limit,
                bound,
                "snapshot.wal.max.bytes is more than max_slot_wal_keep_size lets the server keep: the \
                 slot can be lost before the snapshot pauses"
            );
        }
        if seen.limit.is_none() && self.is_due(seen.kept) {
            let kept = seen.kept;
            warn!(
                slot,
                kept,
                "the server keeps WAL until the rows are read, and nothing bounds that: see that its \
                 disk has room, or set snapshot.wal.max.bytes"
            );
        }
    }

    /// At 1 GiB, and each time it has doubled.
    fn is_due(&mut self, kept: u64) -> bool {
        let next = self.next.unwrap_or(UNBOUNDED_TOLD);
        let due = kept >= next;
        if due {
            self.next = Some(kept.saturating_mul(2));
        }
        due
    }
}

/// Some hundred MiB are written in that time at most; a look takes a fraction of a millisecond.
const EVERY: Duration = Duration::from_millis(500);
/// The session is shared with other questions.
const PATIENCE: Duration = Duration::from_secs(5);
/// Several looks that were not answered.
const STALE: Duration = Duration::from_secs(30);
/// The server looks for a place to restart from every 15 s (`LOG_SNAPSHOT_INTERVAL_MS`): twice, and the
/// time that the stream needs.
const LETTING_GO: Duration = Duration::from_secs(60);
/// `max_wal_size` as it comes: no less is unusual.
const UNBOUNDED_TOLD: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use pgoutput::Lsn;

    use super::*;

    fn seen(kept: u64, limit: Option<u64>) -> Seen {
        Seen { kept, limit }
    }

    #[test]
    fn a_leg_pauses_at_the_limit_and_not_before_its_pieces() {
        let mut leg = Leg::new(0);
        leg.pieces = 5;
        assert_eq!(leg.judge(seen(99, Some(100))), None);
        assert_eq!(leg.judge(seen(1 << 40, None)), None);
        let paused = leg.judge(seen(100, Some(100))).unwrap();
        assert_eq!((paused.pieces, paused.pieces_min), (5, 1));
        assert!(paused.to_string().contains("keeps 100 bytes"), "{paused}");
        let mut leg = Leg::new(0);
        assert_eq!(leg.judge(seen(100, Some(100))), None);
        leg.pieces = 1;
        let paused = leg.judge(seen(100, Some(100))).unwrap();
        assert_eq!(paused.pieces_min, 2, "the next is to come further");
        let mut leg = Leg::new(paused.pieces_min);
        leg.pieces = 1;
        assert_eq!(leg.judge(seen(100, Some(100))), None);
        leg.pieces = 2;
        let paused = leg.judge(seen(100, Some(100))).unwrap();
        assert_eq!(paused.pieces_min, 4);
    }

    #[test]
    fn the_limit_is_half_of_what_the_server_keeps_unless_it_is_set() {
        let state = |restart: Option<u64>, safe| SlotState {
            wal_end: Lsn::new(5_000),
            wal_status: Some("reserved".to_owned()),
            restart_lsn: restart.map(Lsn::new),
            confirmed_flush_lsn: Some(Lsn::new(4_500)),
            safe_wal_bytes: safe,
        };
        let limit = |state, set| super::seen(&state, set).and_then(|seen| seen.limit);
        assert_eq!(limit(state(Some(4_000), Some(9_000)), None), Some(5_000));
        assert_eq!(limit(state(Some(4_000), Some(9_000)), Some(7)), Some(7));
        assert_eq!(limit(state(Some(4_000), None), None), None);
        assert_eq!(limit(state(Some(4_000), Some(-200)), None), Some(400));
        assert!(seen(50, Some(100)).is_much() && !seen(49, Some(100)).is_much());
        assert!(!seen(1 << 40, None).is_much());
        assert_eq!(super::seen(&state(None, None), Some(7)), None);
    }

    #[tokio::test]
    async fn what_is_not_known_is_no_room() {
        let (sender, receiver) = watch::channel(Some(seen(60, Some(100))));
        let mut room = Room(receiver);
        assert!(room.is_short().await);
        unknown("s", &sender);
        let mut freed = pin!(room.freed());
        assert!(timeout(Duration::ZERO, &mut freed).await.is_err());
        sender.send_replace(Some(seen(40, Some(100))));
        assert!(timeout(PATIENCE, freed).await.is_ok());
    }

    #[test]
    fn what_nothing_bounds_is_told_each_time_it_has_doubled() {
        let mut warnings = Warnings::default();
        let told: Vec<u64> = (0..90u64)
            .filter(|step| warnings.is_due(step << 28))
            .collect();
        assert_eq!(told, [4, 8, 16, 32, 64]);
    }
}
