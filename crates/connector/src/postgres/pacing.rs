//! When to read next. Pure: durations and byte counts in, a plan out.
//!
//! A walsender makes one send for each message. A reader that reads as soon as it can is woken for
//! each, takes one message each time, and slows the *sender* down; one that lets bytes gather takes
//! them in a few hundred reads. So while much is coming, read late and in bulk; when little is
//! coming, read at once, so that nothing waits.
//!
//! What decides is the rate at which bytes arrive. The distance to the server's WAL end cannot be
//! seen in the stream (a payload's `walEnd` is its own position), and a high rate needs bulk reads
//! just as much at the head. At a low rate nothing waits; within 20 ms after a high one, a message
//! waits a millisecond at most.

use std::time::Duration;

pub use super::transport::SocketKind;

/// What to do before the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPlan {
    /// Read as soon as there is something.
    Now,
    /// Let bytes gather.
    Pause(Duration),
}

/// From this on bytes are left to gather. A thousand single-row transactions a second are some 700
/// bytes a millisecond; a backlog is 20,000 and more.
const BUSY_BYTES_PER_MS: u64 = 8 << 10;

/// How long reads at once are watched before a rate is believed.
const WINDOW: Duration = Duration::from_millis(2);

/// How long the rate must stay low before reads are at once again. A sender that had to wait for
/// its core or its disk goes on at full speed, and reading its messages one by one then costs more
/// than a short pause.
const QUIET: Duration = Duration::from_millis(20);

/// The first pause, and the longest while the rate is low: near the head nothing waits longer.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Full pause over TCP: 266,000 to 291,000 events/s were measured at 5 ms, 164,000 at 10.
const TCP_PAUSE: Duration = Duration::from_millis(4);

/// A unix socket holds a fixed number of messages (the sender's `SO_SNDBUF`, 208 KB, charges 768
/// bytes for each): at full speed it is full after 1 ms.
const UNIX_PAUSE: Duration = Duration::from_micros(250);

/// Half of what a unix socket holds of messages of 8 KiB, which is what a backend gathers before it sends.
const UNIX_ROOM: u64 = 90 << 10;

/// The state between reads.
#[derive(Clone, Debug)]
pub struct Pacing {
    socket: SocketKind,
    window_time: Duration,
    window_bytes: u64,
    quiet: Duration,
    pause: Duration,
}

impl Pacing {
    /// Begins with reading at once.
    #[must_use]
    pub fn new(socket: SocketKind) -> Self {
        Pacing {
            socket,
            window_time: Duration::ZERO,
            window_bytes: 0,
            quiet: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    /// What lies below has another size now: the kernel adapts its buffer to how it is read.
    pub fn resize(&mut self, socket: SocketKind) {
        self.socket = socket;
    }

    /// The plan after a read of `bytes`, `elapsed` after the one before.
    pub fn next(&mut self, bytes: usize, elapsed: Duration) -> ReadPlan {
        self.window_time += elapsed;
        self.window_bytes += bytes as u64;
        if self.pause.is_zero() && self.window_time < WINDOW {
            return ReadPlan::Now;
        }
        let rate = rate_per_ms(self.window_bytes, self.window_time);
        if rate >= BUSY_BYTES_PER_MS {
            self.quiet = Duration::ZERO;
            self.pause = (self.pause * 2).max(SHORT_PAUSE).min(self.longest(rate));
        } else {
            self.quiet += self.window_time;
            self.pause = if self.quiet < QUIET {
                self.pause.min(SHORT_PAUSE)
            } else {
                Duration::ZERO
            };
        }
        self.window_time = Duration::ZERO;
        self.window_bytes = 0;
        if self.pause.is_zero() {
            ReadPlan::Now
        } else {
            ReadPlan::Pause(self.pause)
        }
    }

    /// A pause must end before the kernel's buffer is full, or the sender stands still.
    fn longest(&self, rate: u64) -> Duration {
        match self.socket {
            SocketKind::Unix => UNIX_PAUSE,
            SocketKind::UnixInBulk => until_full(UNIX_ROOM, rate),
            // Half of what the kernel counts is its own overhead; half of the rest is headroom.
            SocketKind::Tcp { receive_buffer } => until_full(receive_buffer as u64 / 4, rate),
        }
    }
}

fn until_full(room: u64, rate: u64) -> Duration {
    TCP_PAUSE.min(Duration::from_micros(
        room.saturating_mul(1000) / rate.max(1),
    ))
}

fn rate_per_ms(bytes: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / micros
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: SocketKind = SocketKind::Tcp {
        receive_buffer: 8 << 20,
    };

    /// Reads against a source of so many bytes a millisecond; the plans of the last of them.
    fn steady(socket: SocketKind, bytes_per_ms: u64) -> Vec<ReadPlan> {
        let mut pacing = Pacing::new(socket);
        let mut plans = Vec::new();
        let mut wait = Duration::from_micros(100);
        for _ in 0..200 {
            let micros = u64::try_from(wait.as_micros()).unwrap();
            let bytes = usize::try_from(bytes_per_ms * micros / 1000).unwrap();
            let plan = pacing.next(bytes, wait);
            plans.push(plan);
            wait = match plan {
                ReadPlan::Now => Duration::from_micros(100),
                ReadPlan::Pause(pause) => pause,
            };
        }
        plans
    }

    #[test]
    fn near_the_head_nothing_waits() {
        for (socket, rate) in [(TCP, 0), (TCP, 700), (TCP, 7_000), (SocketKind::Unix, 700)] {
            assert!(
                steady(socket, rate)
                    .iter()
                    .all(|plan| *plan == ReadPlan::Now),
                "{rate}"
            );
        }
    }

    #[test]
    fn a_backlog_is_read_in_bulk() {
        assert_eq!(
            steady(TCP, 60_000).last(),
            Some(&ReadPlan::Pause(TCP_PAUSE))
        );
        assert_eq!(
            steady(SocketKind::Unix, 60_000).last(),
            Some(&ReadPlan::Pause(UNIX_PAUSE))
        );
    }

    #[test]
    fn a_small_receive_buffer_shortens_the_pause() {
        let small = SocketKind::Tcp {
            receive_buffer: 400 << 10,
        };
        let Some(ReadPlan::Pause(pause)) = steady(small, 60_000).last().copied() else {
            panic!()
        };
        assert!(pause < Duration::from_millis(2), "{pause:?}");
    }

    #[test]
    fn a_unix_socket_of_large_messages_is_left_alone_for_longer() {
        let Some(ReadPlan::Pause(pause)) = steady(SocketKind::UnixInBulk, 60_000).last().copied()
        else {
            panic!()
        };
        assert!(pause > UNIX_PAUSE, "{pause:?}");
        assert!(pause < Duration::from_millis(2), "{pause:?}");
    }

    #[test]
    fn the_first_pause_is_short() {
        let plans = steady(TCP, 60_000);
        let first = plans.iter().find(|plan| **plan != ReadPlan::Now);
        assert_eq!(first, Some(&ReadPlan::Pause(SHORT_PAUSE)));
    }

    #[test]
    fn after_a_burst_pauses_are_short_at_once_and_gone_soon() {
        let mut pacing = Pacing::new(TCP);
        for _ in 0..100 {
            pacing.next(300_000, Duration::from_millis(5));
        }
        let mut waited = Duration::ZERO;
        while let ReadPlan::Pause(pause) = pacing.next(500, Duration::from_millis(1)) {
            assert!(pause <= SHORT_PAUSE, "{pause:?}");
            waited += Duration::from_millis(1);
        }
        assert!(waited < QUIET, "{waited:?}");
        assert_eq!(pacing.next(500, Duration::from_micros(50)), ReadPlan::Now);
    }

    #[test]
    fn a_sender_that_stumbles_is_not_read_message_by_message() {
        let mut pacing = Pacing::new(SocketKind::Unix);
        for _ in 0..100 {
            pacing.next(15_000, Duration::from_micros(300));
        }
        assert_ne!(pacing.next(200, Duration::from_millis(10)), ReadPlan::Now);
        assert_eq!(
            pacing.next(15_000, Duration::from_micros(300)),
            ReadPlan::Pause(UNIX_PAUSE)
        );
    }
}
