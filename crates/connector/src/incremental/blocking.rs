//! A blocking request: the stream stands while all its rows are read at one point, and goes on there. The
//! reading is that of the first copy (`copy/`); here is decided when it begins, and whether it is tried
//! again.
//!
//! ```text
//!   Idle ──> Preparing ──> Due ──> Copying ──> Ended ──> Idle
//!          the watch is set up ^       │  done, stopped, or it cannot be
//!                              └── Pausing: tried again, with what is noted
//! ```

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use pgoutput::Lsn;
use relay::{Relay, Signalled};
use tokio::time::{Instant, sleep_until};

use super::hand_in::ReadSettings;
use super::request::Request;
use super::watch::{Said, Watch};
use crate::copy::{self, Asked, Copy, Site, Unwanted};
use crate::kafka::RequestKey;

/// The blocking request that is under way, if one is.
pub(super) struct Blocking {
    /// How its rows are read; of which tables, the request says.
    wanted: copy::Wanted,
    site: Site,
    settings: Arc<ReadSettings>,
    /// What earlier runs and attempts have noted.
    noted: BTreeMap<RequestKey, copy::Noted>,
    phase: Phase,
    /// Whose it is.
    key: RequestKey,
    pub(super) unwanted: Unwanted,
    watch: Option<Watch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Preparing,
    Due,
    Copying,
    /// Its copy is over, or to be given up.
    Ended,
    /// Its copy is to be given up, and tried again.
    Failed,
    Pausing(Instant),
}

impl Blocking {
    pub(super) fn new(
        (wanted, site): (copy::Wanted, Site),
        settings: Arc<ReadSettings>,
        noted: BTreeMap<RequestKey, copy::Noted>,
    ) -> Self {
        Self {
            wanted,
            site,
            settings,
            noted,
            phase: Phase::Idle,
            key: RequestKey::default(),
            unwanted: Unwanted::default(),
            watch: None,
        }
    }

    /// Whether this request's copy is under way.
    pub(super) fn is_copying(&self, request: &Request) -> bool {
        self.phase == Phase::Copying && self.is_of(request)
    }

    /// Whether this request has begun in some way.
    pub(super) fn is_of(&self, request: &Request) -> bool {
        self.phase != Phase::Idle && self.key.0 == request.id && self.key.1 == request.at
    }

    /// Begins with a request, unless it has.
    pub(super) fn prepare(&mut self, request: &Request) {
        if self.phase == Phase::Idle {
            self.key = (request.id.clone(), request.at.clone());
            self.unwanted = Unwanted::default();
            self.watch = Some(Watch::begin(Arc::clone(&self.settings)));
            self.phase = Phase::Preparing;
        }
    }

    /// Begins its copy, when it is time; the stream stands from then on.
    pub(super) fn begin_copy(&mut self, request: &Request, relay: &mut Relay) -> Option<Copy> {
        let is_due = match self.phase {
            Phase::Due => true,
            Phase::Pausing(until) => Instant::now() >= until,
            _ => false,
        };
        if !is_due || !self.is_of(request) || !relay.expect_copy() {
            return None;
        }
        self.phase = Phase::Copying;
        let asked = Asked {
            request: request.clone(),
            unwanted: self.unwanted.clone(),
            refused: Unwanted::default(),
        };
        let wanted = copy::Wanted {
            asked: Some(asked),
            ..self.wanted.clone()
        };
        let noted = self.noted.remove(&self.key).unwrap_or_default();
        let (source, kept) = (self.site.present(), self.site.kept());
        Some(Copy::begin(source, wanted, noted, kept))
    }

    /// Whether tables were stopped that the copy would have read.
    pub(super) fn is_all_unwanted(&self) -> bool {
        self.unwanted.has_any()
    }

    /// The copy ends, with whatever it has.
    pub(super) fn end(&mut self) {
        match self.phase {
            Phase::Copying | Phase::Failed => self.phase = Phase::Ended,
            _ => self.stop(),
        }
    }

    /// The copy ends, and is tried again.
    pub(super) fn try_again(&mut self) {
        self.phase = Phase::Failed;
    }

    /// Whether the copy under way is not wanted any more.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Failed)
    }

    /// Keeps what is noted for another attempt, if there will be one; gives it back otherwise.
    pub(super) fn keep(&mut self, noted: copy::Noted) -> Option<copy::Noted> {
        if self.phase == Phase::Failed {
            self.noted.insert(self.key.clone(), noted);
            return None;
        }
        Some(noted)
    }

    /// There is no copy any more.
    pub(super) fn gone(&mut self) {
        match self.phase {
            Phase::Failed => self.phase = Phase::Pausing(Instant::now() + PAUSE),
            _ => self.stop(),
        }
    }

    /// Nothing is wanted any more.
    pub(super) fn stop(&mut self) {
        self.watch = None;
        self.phase = Phase::Idle;
    }

    /// Whose copy is under way.
    pub(super) fn key(&self) -> &RequestKey {
        &self.key
    }

    /// Signals say nothing any more.
    pub(super) fn hear_no_more(&mut self) {
        self.watch = None;
    }

    /// Returns when there is something to do. Safe to cancel.
    pub(super) async fn ready(&mut self) {
        let until = match self.phase {
            Phase::Pausing(until) => Some(until),
            _ => None,
        };
        tokio::select! {
            () = listen(self.watch.as_mut()) => {}
            () = wait_until(until) => {}
        }
    }

    /// The next signal that the watch has found.
    pub(super) fn signal(&mut self) -> Option<(Lsn, Signalled)> {
        while let Some(said) = self.watch.as_mut()?.next() {
            match said {
                Said::Signal(at, signalled) => return Some((at, signalled)),
                Said::Ready if self.phase == Phase::Preparing => self.phase = Phase::Due,
                Said::Ready => {}
            }
        }
        None
    }
}

async fn listen(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.ready().await,
        None => pending().await,
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Before a copy is tried again; the stream goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(2);
