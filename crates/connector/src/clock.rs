//! The one clock of a run, handed to the relay as plain numbers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relay::Now;

/// Monotonic time since the start of a run, and the wall clock beside it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Now {
        // A wall clock before 1970 or after 2262 is wrong anyway; events then say so.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix_nanos = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        Now {
            since_start: self.start.elapsed(),
            unix_nanos,
        }
    }

    /// The moment of the runtime's timer at which this much has passed since the start.
    #[must_use]
    pub fn at(&self, since_start: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + since_start)
    }
}
