//! When to store progress, when to speak to the server, and when to give it up.
//!
//! Pure decisions over times that are handed in. They rest on three facts of the walsender
//! (<https://www.postgresql.org/docs/current/protocol-replication.html>): it closes a connection
//! on which it hears nothing for `wal_sender_timeout`; it answers a status update that asks for a
//! reply with its present position; and while it shuts down it asks again and again, as fast as
//! it can, until what it has sent is confirmed.

use std::time::Duration;

use pgoutput::KeepaliveLsn;

/// The bounds of the schedule; see [`Timing::for_server`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A status update is due after this long without one.
    pub status_interval: Duration,
    /// A server that sends nothing at all for this long is given up.
    pub silence_max: Duration,
}

impl Timing {
    /// Under half a minute together with the time to reconnect.
    pub const SILENCE_MAX: Duration = Duration::from_secs(25);

    /// The timing for a server with this `wal_sender_timeout` (zero: the server never times out).
    /// Without a silence bound of the user's own, 25 s: a dead peer is found within half a minute.
    #[must_use]
    pub fn for_server(wal_sender_timeout: Duration, silence_max: Option<Duration>) -> Self {
        let status_interval = if wal_sender_timeout.is_zero() {
            STATUS_INTERVAL
        } else {
            STATUS_INTERVAL.min(wal_sender_timeout / 3)
        };
        Self {
            status_interval,
            silence_max: silence_max.unwrap_or(Self::SILENCE_MAX),
        }
    }
}

/// Why there is something to tell the server now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Nothing to tell.
    Nothing,
    /// Send a status update, and ask the server to answer when `ask` is set.
    Update { ask: bool },
}

/// An uninterrupted row of keepalives at one position that all ask for a reply.
#[derive(Clone, Copy, Debug)]
struct Insisting {
    wal_end: KeepaliveLsn,
    count: u32,
    since: Duration,
    last: Duration,
}

/// The clockwork. All times are since the start of the run.
#[derive(Debug)]
pub(crate) struct Schedule {
    timing: Timing,
    heard: Duration,
    reported: Duration,
    reply_wanted: bool,
    stored: Option<Duration>,
    insisting: Option<Insisting>,
    pub(crate) hurried: bool,
}

impl Schedule {
    pub(crate) fn new(timing: Timing, now: Duration) -> Self {
        Self {
            timing,
            heard: now,
            reported: now,
            reply_wanted: true,
            stored: None,
            insisting: None,
            hurried: false,
        }
    }

    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Rows came: whatever the server insisted on before, it is not shutting down.
    pub(crate) fn rows(&mut self) {
        self.insisting = None;
    }

    pub(crate) fn keepalive(&mut self, now: Duration, wal_end: KeepaliveLsn, reply: bool) {
        if !reply {
            return;
        }
        self.reply_wanted = true;
        let row = self
            .insisting
            .filter(|row| row.wal_end == wal_end && now.saturating_sub(row.last) <= INSISTING_GAP);
        self.insisting = Some(Insisting {
            wal_end,
            count: row.map_or(1, |row| row.count.saturating_add(1)),
            since: row.map_or(now, |row| row.since),
            last: now,
        });
    }

    /// Whether to store the position now. `rows` tells that transactions with records are done
    /// since the last time; otherwise only the server's own position has moved.
    pub(crate) fn store_due(&self, now: Duration, rows: bool) -> bool {
        self.store_at(rows).is_none_or(|at| now >= at)
    }

    pub(crate) fn storing(&mut self, now: Duration) {
        self.stored = Some(now);
    }

    fn store_at(&self, rows: bool) -> Option<Duration> {
        let urgent = rows || self.reply_wanted || self.insisting.is_some() || self.hurried;
        let gap = if urgent { STORE_GAP } else { STORE_GAP_IDLE };
        self.stored.map(|stored| stored + gap)
    }

    /// What to tell the server. `advanced`: the confirmed position is not what was told last.
    pub(crate) fn report(&self, now: Duration, advanced: bool) -> Report {
        let since = now.saturating_sub(self.reported);
        if since >= self.status_interval() {
            return Report::Update { ask: true };
        }
        let gap = if self.hurried { REPLY_GAP } else { REPORT_GAP };
        if (self.reply_wanted && since >= REPLY_GAP) || (advanced && since >= gap) {
            return Report::Update { ask: false };
        }
        Report::Nothing
    }

    pub(crate) fn reported(&mut self, now: Duration) {
        self.reported = now;
        self.reply_wanted = false;
    }

    /// Whether the server sends nothing at all any more.
    pub(crate) fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) >= self.timing.silence_max
    }

    /// Whether the server wants to shut down and waits for a position that cannot be confirmed
    /// now (Kafka is away): closing lets it go, and loses nothing.
    pub(crate) fn is_stopping(&self, now: Duration) -> bool {
        self.insisting.is_some_and(|row| {
            row.count >= INSISTING_MIN && now.saturating_sub(row.since) >= INSISTING_TIME
        })
    }

    /// The next moment at which something here may change its answer.
    pub(crate) fn next(&self, advanced: bool, storable: Option<bool>) -> Duration {
        let mut at = self.reported + self.status_interval();
        if self.reply_wanted {
            at = at.min(self.reported + REPLY_GAP);
        }
        if advanced {
            at = at.min(self.reported + if self.hurried { REPLY_GAP } else { REPORT_GAP });
        }
        if let Some(store_at) = storable.and_then(|rows| self.store_at(rows)) {
            at = at.min(store_at);
        }
        at.min(self.heard + self.timing.silence_max)
    }

    fn status_interval(&self) -> Duration {
        if self.hurried {
            HURRIED_INTERVAL
        } else {
            self.timing.status_interval
        }
    }
}

/// Often enough that `pg_stat_replication` is fresh and an idle slot follows within seconds.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// While somebody waits for the last position (`--until`, shutdown), ask more often.
const HURRIED_INTERVAL: Duration = Duration::from_millis(100);
/// Bounds both what a kill repeats and what the progress topic takes: 20 records a second.
const STORE_GAP: Duration = Duration::from_millis(50);
/// With nothing published, positions are stored at a walk.
const STORE_GAP_IDLE: Duration = Duration::from_secs(3);
/// The confirmed position is told at most this often of its own accord.
const REPORT_GAP: Duration = Duration::from_millis(100);
/// A server that shuts down asks tens of thousands of times a second; this many get an answer.
const REPLY_GAP: Duration = Duration::from_millis(5);
/// So many requests for a reply at one position, over so long, with no longer pause between two:
/// the server is shutting down.
const INSISTING_MIN: u32 = 20;
const INSISTING_TIME: Duration = Duration::from_millis(700);
const INSISTING_GAP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use pgoutput::Lsn;

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn schedule() -> Schedule {
        let mut schedule = Schedule::new(Timing::for_server(Duration::from_secs(60), None), at(0));
        schedule.reported(at(0));
        schedule
    }

    #[test]
    fn a_status_update_is_due_each_second_and_asks_for_an_answer() {
        let schedule = schedule();
        assert_eq!(schedule.report(at(999), false), Report::Nothing);
        assert_eq!(
            schedule.report(at(1000), false),
            Report::Update { ask: true }
        );
    }

    #[test]
    fn a_short_server_timeout_shortens_the_interval() {
        let timing = Timing::for_server(Duration::from_millis(900), None);
        assert_eq!(timing.status_interval, at(300));
        assert_eq!(
            Timing::for_server(Duration::ZERO, None).status_interval,
            at(1000)
        );
    }

    #[test]
    fn a_request_is_answered_at_once_but_not_ten_thousand_times() {
        let mut schedule = schedule();
        schedule.keepalive(at(10), KeepaliveLsn(Lsn::new(7)), true);
        assert_eq!(
            schedule.report(at(10), false),
            Report::Update { ask: false }
        );
        schedule.reported(at(10));
        schedule.keepalive(at(11), KeepaliveLsn(Lsn::new(7)), true);
        assert_eq!(schedule.report(at(11), false), Report::Nothing);
        assert_eq!(schedule.next(false, None), at(15));
        assert_eq!(
            schedule.report(at(15), false),
            Report::Update { ask: false }
        );
    }

    #[test]
    fn an_advance_is_told_within_a_tenth_of_a_second() {
        let schedule = schedule();
        assert_eq!(schedule.report(at(99), true), Report::Nothing);
        assert_eq!(
            schedule.report(at(100), true),
            Report::Update { ask: false }
        );
    }

    #[test]
    fn rows_are_stored_soon_and_bare_positions_at_a_walk() {
        let mut schedule = schedule();
        assert!(
            schedule.store_due(at(0), false),
            "the first is stored at once"
        );
        schedule.storing(at(0));
        assert!(!schedule.store_due(at(49), true));
        assert!(schedule.store_due(at(50), true));
        assert!(!schedule.store_due(at(2999), false));
        assert!(schedule.store_due(at(3000), false));
        schedule.keepalive(at(60), KeepaliveLsn(Lsn::new(7)), true);
        assert!(schedule.store_due(at(61), false), "the server waits for it");
    }

    #[test]
    fn silence_is_found_within_half_a_minute() {
        let mut schedule = schedule();
        schedule.heard(at(1000));
        assert!(!schedule.is_silent(at(25_999)));
        assert!(schedule.is_silent(at(26_000)));
    }

    #[test]
    fn a_server_that_insists_is_shutting_down_unless_rows_follow() {
        let mut schedule = schedule();
        let position = KeepaliveLsn(Lsn::new(7));
        for ms in 0..200 {
            schedule.keepalive(at(ms), position, true);
        }
        assert!(!schedule.is_stopping(at(699)));
        assert!(schedule.is_stopping(at(700)));
        schedule.rows();
        assert!(!schedule.is_stopping(at(700)));
    }
}
