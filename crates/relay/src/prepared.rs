//! Prepared transactions of a slot with `two_phase` on: their changes come at PREPARE, and are
//! published at COMMIT PREPARED, at its position and in its order.
//!
//! Until then they are kept in memory while they are small. Of a larger one nothing is kept: when it
//! is committed, everything before is brought to an end, and another connection reads the stream from
//! its PREPARE again, this time knowing the commit. In any case the slot is held at the oldest PREPARE
//! whose changes are not durable in Kafka, since the server sends them again only from there.
//!
//! ```text
//!   Begin Prepare … Prepare ──► held ──► Commit Prepared ──► due: handled as if they came now
//!                                 │            │
//!                                 │            └─ too large ──► Closing::Prepared, Known to the next run
//!                                 └──► Rollback Prepared ──► forgotten
//! ```

use std::collections::VecDeque;

use pgoutput::{Begin, Commit, CommitLsn, EndLsn, Lsn, Message, PgTimestamp, Prepared};

use crate::error::RelayError;
use crate::interface::Now;
use crate::relay::Relay;
use crate::transaction::Replay;

/// The commit of a prepared transaction whose changes have to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCommit {
    /// Where its PREPARE record starts.
    prepare_lsn: Lsn,
    gid: String,
    begin: Begin,
    end_lsn: EndLsn,
    /// Everything before the commit was received up to here: a run that does not begin at least here
    /// has something else to publish first.
    after: Lsn,
}

/// What is kept of prepared transactions.
#[derive(Debug, Default)]
pub(crate) struct Prepares {
    /// The one whose changes are coming.
    open: Option<Held>,
    held: Vec<Held>,
    kept_bytes: usize,
    due: VecDeque<(Lsn, Vec<u8>)>,
    known: Option<KnownCommit>,
    /// Whether the changes that are coming are the known one's.
    known_is_open: bool,
    wanted: Option<KnownCommit>,
    /// Where the slot stands, until the stream has come to where this run goes on: transactions
    /// prepared in between are to be seen first.
    start: Option<(Lsn, Lsn)>,
}

#[derive(Debug)]
struct Held {
    gid: String,
    prepare_lsn: Lsn,
    /// None when it is too large.
    kept: Option<Vec<(Lsn, Vec<u8>)>>,
    bytes: usize,
    /// Where its commit ends, once that has come.
    committed: Option<Lsn>,
}

impl Prepares {
    /// `slot` is where a slot with `two_phase` on stands, `start` where the run goes on.
    pub(crate) fn new(slot: Option<Lsn>, start: Lsn, known: Option<KnownCommit>) -> Self {
        Self {
            start: slot.map(|slot| (slot, start)),
            known: known.filter(|known| known.after <= start),
            ..Self::default()
        }
    }

    /// What the slot may not pass.
    pub(crate) fn hold(&self) -> Option<Lsn> {
        let held = self.held.iter().chain(&self.open);
        let held = held.map(|held| held.prepare_lsn);
        held.chain(self.start.map(|(slot, _)| slot)).min()
    }

    /// The stream has come to this position.
    pub(crate) fn stream_came_to(&mut self, position: Lsn) {
        self.start = self.start.filter(|(_, start)| position < *start);
    }

    /// Everything before this position is durable.
    pub(crate) fn durable(&mut self, end: Lsn) {
        self.held
            .retain(|held| held.committed.is_none_or(|committed| committed > end));
    }

    pub(crate) fn blocks_stream(&self) -> bool {
        !self.due.is_empty() || self.wanted.is_some()
    }

    pub(crate) fn wants_another_run(&self) -> bool {
        self.wanted.is_some()
    }

    /// Keeps a change of the one that is open.
    fn keep(&mut self, at: Lsn, payload: &[u8]) {
        let Some(open) = &mut self.open else {
            return;
        };
        let Some(kept) = &mut open.kept else {
            return;
        };
        let bytes = payload.len() + size_of::<(Lsn, Vec<u8>)>();
        open.bytes += bytes;
        self.kept_bytes += bytes;
        if self.kept_bytes <= KEPT_BYTES_MAX {
            kept.push((at, payload.to_vec()));
        } else {
            self.kept_bytes -= open.bytes;
            open.bytes = 0;
            open.kept = None;
        }
    }

    fn find(&mut self, gid: &str) -> Option<usize> {
        let waits = |held: &Held| held.committed.is_none() && held.gid == gid;
        self.held.iter().position(waits)
    }
}

impl Relay {
    /// The commit that another run has to be told of, after [`crate::Closing::Prepared`].
    #[must_use]
    pub fn known_commit(&self) -> Option<KnownCommit> {
        self.prepares.wanted.clone()
    }

    /// Whether something that was kept is to be handled, before the stream goes on.
    #[must_use]
    pub fn wants_kept(&self) -> bool {
        !self.prepares.due.is_empty() && self.is_described() && self.has_room()
    }

    /// Handles the next message that was kept.
    ///
    /// # Errors
    /// As [`Relay::handle_payload`].
    pub fn handle_kept(&mut self, now: Now) -> Result<(), RelayError> {
        let Some((at, payload)) = self.prepares.due.pop_front() else {
            return Ok(());
        };
        self.records.clear();
        self.taken = 0;
        self.handle_message(now, at, &payload)
    }

    /// Takes in a message of two-phase commit, or a change of a prepared transaction; false for what
    /// is neither.
    pub(crate) fn handle_prepared(
        &mut self,
        now: Now,
        at: Lsn,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Result<bool, RelayError> {
        match message {
            Message::BeginPrepare(begin) => self.begin_prepare(now, at, begin, message)?,
            Message::Prepare(_) if self.prepares.known_is_open => self.end_known(now, at)?,
            Message::Prepare(_) => {
                let open = self.prepares.open.take();
                self.prepares.held.extend(open);
            }
            Message::CommitPrepared(commit) => self.commit_prepared(at, commit)?,
            Message::RollbackPrepared(rollback) => {
                if let Some(index) = self.prepares.find(rollback.gid) {
                    let gone = self.prepares.held.swap_remove(index);
                    self.prepares.kept_bytes -= gone.bytes;
                }
            }
            _ if self.prepares.open.is_some() => {
                self.prepares.keep(at, payload);
                // A description holds for what follows, too.
                return Ok(!matches!(message, Message::Relation(_)));
            }
            _ => return Ok(false),
        }
        self.hold_slot();
        Ok(true)
    }

    /// Tells the ledger what the slot may not pass.
    pub(crate) fn hold_slot(&mut self) {
        self.ledger.hold(self.prepares.hold());
    }

    fn begin_prepare(
        &mut self,
        now: Now,
        at: Lsn,
        prepared: &Prepared<'_>,
        message: &Message<'_>,
    ) -> Result<(), RelayError> {
        if self.transaction.is_some() || self.prepares.open.is_some() {
            return Err(self.out_of_place(message));
        }
        self.prepares.stream_came_to(prepared.lsn);
        let known = self.prepares.known.as_ref();
        let known = known.filter(|it| it.prepare_lsn == prepared.lsn && it.gid == prepared.gid);
        let mut held = Held {
            gid: prepared.gid.to_owned(),
            prepare_lsn: prepared.lsn,
            kept: Some(Vec::new()),
            bytes: 0,
            committed: None,
        };
        let Some(known) = known else {
            self.prepares.open = Some(held);
            return Ok(());
        };
        let begin = known.begin;
        held.committed = Some(known.end_lsn.0);
        self.prepares.held.push(held);
        self.prepares.known_is_open = true;
        self.handle_begin(now, at, &begin)
    }

    fn end_known(&mut self, now: Now, at: Lsn) -> Result<(), RelayError> {
        self.prepares.known_is_open = false;
        let Some(known) = &self.prepares.known else {
            return Ok(());
        };
        let commit = commit_of(&known.begin, known.end_lsn);
        self.handle_commit(now, at, &commit)
    }

    fn commit_prepared(&mut self, at: Lsn, commit: &Prepared<'_>) -> Result<(), RelayError> {
        let begin = Begin {
            commit_lsn: CommitLsn(commit.lsn),
            commit_time: commit.time,
            xid: commit.xid,
        };
        let known = self.prepares.known.as_ref();
        if known.is_some_and(|known| known.begin.commit_lsn == begin.commit_lsn) {
            // Published where its changes came.
            return Ok(());
        }
        let done = Replay::of(begin.commit_lsn, self.settings.start.mark()) == Replay::Whole;
        self.prepares.stream_came_to(commit.lsn);
        let Some(index) = self.prepares.find(commit.gid) else {
            return match done {
                true => Ok(()),
                false => Err(RelayError::PreparedGone {
                    gid: commit.gid.to_owned(),
                    commit_lsn: begin.commit_lsn,
                }),
            };
        };
        let end = commit.end_lsn;
        if let Some(held) = self.prepares.held.get_mut(index) {
            held.committed = Some(end.0);
            let kept = held.kept.take();
            self.prepares.kept_bytes -= std::mem::take(&mut held.bytes);
            match kept {
                _ if done => {}
                Some(kept) => {
                    let ends = [
                        Message::Begin(begin),
                        Message::Commit(commit_of(&begin, end)),
                    ];
                    let [begin, commit] = ends.map(|message| {
                        let mut bytes = Vec::new();
                        message.encode(&mut bytes);
                        (at, bytes)
                    });
                    self.prepares.due.push_back(begin);
                    self.prepares.due.extend(kept);
                    self.prepares.due.push_back(commit);
                }
                None => {
                    self.prepares.wanted = Some(KnownCommit {
                        prepare_lsn: held.prepare_lsn,
                        gid: commit.gid.to_owned(),
                        begin,
                        end_lsn: end,
                        after: self.ledger.received(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn commit_of(begin: &Begin, end_lsn: EndLsn) -> Commit {
    let commit_time: PgTimestamp = begin.commit_time;
    Commit {
        commit_lsn: begin.commit_lsn,
        end_lsn,
        commit_time,
    }
}

/// What all prepared transactions may take in memory, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
