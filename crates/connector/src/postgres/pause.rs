//! Waiting for a part of a millisecond, without holding a thread.
//!
//! tokio's timer counts whole milliseconds, and after one of them a unix socket is full. Linux has
//! timers that are file descriptors, which wake the same epoll as the sockets, to the microsecond.
//! Elsewhere, and where none is to be had, tokio's timer has to do.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep_until};

/// A pause that may be waited for again after its wait was cancelled.
pub(super) struct Pause {
    timer: Option<timer::Timer>,
    until: Option<Instant>,
    /// Where there is no such timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    pub(super) fn new() -> Self {
        Pause {
            timer: timer::Timer::new(),
            until: None,
            sleep: None,
        }
    }

    /// Begins now.
    pub(super) fn begin(&mut self, duration: Duration) {
        self.until = Some(Instant::now() + duration);
        self.sleep = None;
        if self
            .timer
            .as_ref()
            .is_some_and(|timer| !timer.set(duration))
        {
            self.timer = None;
        }
    }

    /// Whether it has begun and was not waited for to its end.
    pub(super) fn is_under_way(&self) -> bool {
        self.until.is_some()
    }

    /// Forgets it.
    pub(super) fn cancel(&mut self) {
        self.until = None;
    }

    /// Waits for its end, if it has begun. Cancel safe.
    pub(super) async fn ended(&mut self) {
        poll_fn(|cx| self.poll_ended(cx)).await;
    }

    /// As [`Self::ended`].
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else {
            return Poll::Ready(());
        };
        while Instant::now() < until {
            match &self.timer {
                Some(timer) => {
                    if !ready!(timer.poll_rung(cx)) {
                        self.timer = None;
                    }
                }
                None => {
                    let sleep = self
                        .sleep
                        .get_or_insert_with(|| Box::pin(sleep_until(until)));
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
        self.sleep = None;
        self.until = None;
        Poll::Ready(())
    }
}

/// A descriptor in epoll, until it is dropped.
pub(super) fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for owners that may change \
        their descriptor; an OwnedFd cannot"
    )]
    AsyncFd::with_interest(fd, interest)
}

#[cfg(target_os = "linux")]
mod timer {
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::watched;

    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new() -> Option<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            watched(timer, Interest::READABLE).ok().map(Timer)
        }

        /// Sets it to ring once; false when the system refuses.
        pub(super) fn set(&self, duration: Duration) -> bool {
            // Zero would mean "never".
            let nanos = i64::from(duration.subsec_nanos()).max(1);
            let value = Timespec {
                tv_sec: i64::try_from(duration.as_secs()).unwrap_or(1),
                tv_nsec: nanos,
            };
            let once = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let spec = Itimerspec {
                it_interval: once,
                it_value: value,
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec).is_ok()
        }

        /// Ready when it has rung and nobody took notice; false when that cannot be told any more.
        pub(super) fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<bool> {
            let Ok(mut ready) = ready!(self.0.poll_read_ready(cx)) else {
                return Poll::Ready(false);
            };
            let mut count = [0; 8];
            if rustix::io::read(self.0.get_ref(), &mut count).is_err() {
                ready.clear_ready();
            }
            Poll::Ready(true)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::task::{Context, Poll};
    use std::time::Duration;

    pub(super) enum Timer {}

    impl Timer {
        pub(super) fn new() -> Option<Self> {
            None
        }

        pub(super) fn set(&self, _: Duration) -> bool {
            match *self {}
        }

        pub(super) fn poll_rung(&self, _: &mut Context<'_>) -> Poll<bool> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_ends_after_its_time_even_when_its_wait_was_cancelled() {
        let mut pause = Pause::new();
        assert!(!pause.is_under_way());
        pause.ended().await;
        for micros in [1, 300, 5_000] {
            let duration = Duration::from_micros(micros);
            let started = Instant::now();
            pause.begin(duration);
            // What a `select!` does to the branch that lost.
            tokio::select! {
                biased;
                () = pause.ended() => {}
                () = std::future::ready(()) => {}
            }
            pause.ended().await;
            assert!(started.elapsed() >= duration);
            assert!(started.elapsed() < duration + Duration::from_secs(1));
            assert!(!pause.is_under_way());
        }
    }
}
