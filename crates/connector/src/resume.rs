//! Where the stream goes on: what the slot says against what the progress topic says.
//!
//! Pure. The slot replays, the topic remembers; where they contradict each other something was
//! lost, swapped or read by somebody else, and only a person can say what to do. Nothing is ever
//! skipped here.

use pgoutput::Lsn;
use relay::{Mark, Progress, SnapshotState};

use crate::config::SnapshotMode;
use crate::halt::{Halt, Halted};

/// The slot as `pg_replication_slots` shows it while this process holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The position it is confirmed to.
    pub confirmed_flush_lsn: Lsn,
    /// The oldest WAL it holds. A slot made anew holds none from before it was made.
    pub restart_lsn: Lsn,
    /// Whether the server still has the WAL it needs (`wal_status`, `invalidation_reason`).
    pub validity: Validity,
}

/// Whether a slot can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It can.
    Valid,
    /// It can not; in the server's word (`wal_removed`, `rows_removed`, `idle_timeout`, …).
    Invalidated(String),
}

/// The server as `IDENTIFY_SYSTEM` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's number, made by initdb.
    pub system_identifier: u64,
    /// The timeline it is on; promotion begins a new one.
    pub timeline: u32,
}

/// What a run begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Where the stream goes on.
    pub start: Mark,
    /// Whether that very mark is in the progress topic.
    pub durable: bool,
    /// First part of every event's identity.
    pub epoch: u64,
    /// What is known of the copy of existing rows.
    pub snapshot: SnapshotState,
    /// Whether a copy that is to be made begins here, and is not the rest of an interrupted one.
    pub copies_anew: bool,
    /// So many ordinals of rows that were read on a standby may have been used.
    pub chunk_ordinals: u64,
}

/// What is wanted of the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// They are published at the first start, or not at all.
    Once(SnapshotMode),
    /// They are published now, whatever was published before.
    Again,
}

impl Wanted {
    fn copies(self) -> bool {
        match self {
            Self::Once(mode) => mode.copies(),
            Self::Again => true,
        }
    }
}

/// Decides where the stream goes on.
///
/// A slot without any progress is adopted where it stands: it holds all that it was made for, and
/// nothing of it was published by this connector. Where the rows that are there are to be copied
/// (`wanted`), that is said from the first stored record on, with the position 0/0 until something
/// of the stream is done; a copy that is not finished is gone on with. With
/// [`SnapshotMode::WhenNeeded`] a slot that does not hold what follows the published events is adopted,
/// too: the rows that are there stand for the changes that are lost.
///
/// # Errors
/// The named halt, with the positions that contradict each other.
pub fn resume(
    slot: &Slot,
    server: Identity,
    stored: Option<&Progress>,
    wanted: Wanted,
) -> Result<Resume, Halted> {
    if let Validity::Invalidated(reason) = &slot.validity {
        let position = stored.map_or(slot.confirmed_flush_lsn, |progress| progress.commit_end_lsn);
        let seen = format!(
            "slot {} is invalidated ({reason}); events are published up to {position}",
            slot.name
        );
        return Err(Halted::new(Halt::SlotLost, seen));
    }
    let Some(stored) = stored else {
        return Ok(Resume {
            copies_anew: true,
            ..adopted(slot, server.system_identifier, wanted)
        });
    };
    same_cluster(server, stored)?;
    let untouched = stored.commit_end_lsn == Lsn::ZERO;
    if untouched && stored.snapshot == SnapshotState::Running {
        return Ok(Resume {
            chunk_ordinals: stored.chunk_ordinals,
            ..adopted(slot, stored.epoch, wanted)
        });
    }
    match not_ahead(slot, stored) {
        Err(_) if wanted == Wanted::Once(SnapshotMode::WhenNeeded) => {
            return Ok(Resume {
                copies_anew: true,
                chunk_ordinals: stored.chunk_ordinals,
                ..adopted(slot, stored.epoch, wanted)
            });
        }
        compared => compared?,
    }
    let snapshot = match (stored.snapshot, wanted) {
        // Asked for once, and not any more.
        (SnapshotState::Running, wanted) if !wanted.copies() => SnapshotState::None,
        (_, Wanted::Again) => SnapshotState::Running,
        (state, _) => state,
    };
    Ok(Resume {
        start: stored.mark(),
        durable: snapshot == stored.snapshot,
        epoch: stored.epoch,
        snapshot,
        copies_anew: stored.snapshot != SnapshotState::Running,
        chunk_ordinals: stored.chunk_ordinals,
    })
}

/// Nothing of the slot is published.
fn adopted(slot: &Slot, epoch: u64, wanted: Wanted) -> Resume {
    let (start, snapshot) = match wanted.copies() {
        true => (Lsn::ZERO, SnapshotState::Running),
        false => (slot.confirmed_flush_lsn, SnapshotState::None),
    };
    Resume {
        start: Mark::at(start),
        durable: false,
        epoch,
        snapshot,
        copies_anew: false,
        chunk_ordinals: 0,
    }
}

/// The halt for a slot that is not there although progress tells of it.
#[must_use]
pub fn slot_is_gone(name: &str, stored: &Progress) -> Halted {
    let position = stored.commit_end_lsn;
    let seen = format!("slot {name} does not exist; events are published up to {position}");
    Halted::new(Halt::SlotRecreated, seen)
}

/// The halt for a publication that is not there although progress tells of it: made anew, it would
/// leave out what was changed before, and the server cannot even decode that.
#[must_use]
pub fn publication_is_gone(name: &str, stored: &Progress) -> Halted {
    let position = stored.commit_end_lsn;
    let seen = format!("publication {name} does not exist; events are published up to {position}");
    Halted::new(Halt::PublicationMissing, seen)
}

/// Whether the progress is of this cluster, and of its present timeline.
///
/// # Errors
/// The named halt.
pub fn same_cluster(server: Identity, stored: &Progress) -> Result<(), Halted> {
    if server.system_identifier != stored.system_identifier {
        let seen = format!(
            "progress is of system {}, the server is {}",
            stored.system_identifier, server.system_identifier
        );
        return Err(Halted::new(Halt::SystemChanged, seen));
    }
    if server.timeline != stored.timeline {
        let seen = format!(
            "progress is of timeline {}, the server is on {}; events are published up to {}",
            stored.timeline, server.timeline, stored.commit_end_lsn
        );
        return Err(Halted::new(Halt::TimelineChanged, seen));
    }
    Ok(())
}

/// The slot is only ever told what is durable in the progress topic, so it cannot be ahead of it
/// unless somebody else moved it or made it anew.
fn not_ahead(slot: &Slot, stored: &Progress) -> Result<(), Halted> {
    let published = stored.commit_end_lsn;
    if slot.confirmed_flush_lsn <= published {
        return Ok(());
    }
    let halt = if slot.restart_lsn > published {
        Halt::SlotRecreated
    } else {
        Halt::SlotAhead
    };
    let seen = format!(
        "slot {} holds WAL from {} and is confirmed to {}; events are published up to {published}",
        slot.name, slot.restart_lsn, slot.confirmed_flush_lsn
    );
    Err(Halted::new(halt, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: Wanted = Wanted::Once(SnapshotMode::Initial);
    const NO_DATA: Wanted = Wanted::Once(SnapshotMode::NoData);
    const SERVER: Identity = Identity {
        system_identifier: 7,
        timeline: 1,
    };

    fn slot(restart: u64, confirmed: u64) -> Slot {
        Slot {
            name: "s".to_owned(),
            confirmed_flush_lsn: Lsn::new(confirmed),
            restart_lsn: Lsn::new(restart),
            validity: Validity::Valid,
        }
    }

    fn progress(end: u64) -> Progress {
        Progress {
            system_identifier: 7,
            timeline: 1,
            epoch: 9,
            commit_end_lsn: Lsn::new(end),
            split: None,
            snapshot: SnapshotState::Finished,
            shape: 0,
            chunk_ordinals: 0,
        }
    }

    fn halt(slot: &Slot, server: Identity, stored: &Progress) -> Halt {
        resume(slot, server, Some(stored), INITIAL)
            .unwrap_err()
            .halt
    }

    #[test]
    fn a_slot_without_progress_is_adopted_where_it_stands() {
        let resume = resume(&slot(80, 100), SERVER, None, NO_DATA).unwrap();
        assert_eq!(resume.start, Mark::at(Lsn::new(100)));
        assert!(!resume.durable);
        assert_eq!(resume.epoch, 7);
    }

    #[test]
    fn the_stored_position_counts_and_the_slot_may_be_behind_it() {
        for confirmed in [90, 100] {
            let stored = progress(100);
            let resume = resume(&slot(80, confirmed), SERVER, Some(&stored), INITIAL);
            let resume = resume.unwrap();
            assert_eq!(resume.start, Mark::at(Lsn::new(100)));
            assert!(resume.durable);
            assert_eq!(resume.epoch, 9);
        }
    }

    #[test]
    fn a_copy_is_wanted_until_it_is_finished_or_given_up() {
        let at = |stored: Option<&Progress>, wanted| {
            let resume = resume(&slot(80, 100), SERVER, stored, wanted).unwrap();
            (resume.start.end.as_u64(), resume.durable, resume.snapshot)
        };
        let running = |end| Progress {
            snapshot: SnapshotState::Running,
            ..progress(end)
        };
        let (initial, no_data) = (INITIAL, NO_DATA);
        assert_eq!(at(None, initial), (0, false, SnapshotState::Running));
        let untouched = running(0);
        let copy_again = (0, false, SnapshotState::Running);
        assert_eq!(at(Some(&untouched), initial), copy_again);
        let given_up = (100, false, SnapshotState::None);
        assert_eq!(at(Some(&untouched), no_data), given_up);
        // Some of the stream went before the copy: the position counts.
        let begun = running(110);
        assert_eq!(
            at(Some(&begun), initial),
            (110, true, SnapshotState::Running)
        );
        assert_eq!(at(Some(&begun), no_data), (110, false, SnapshotState::None));
        let finished = progress(110);
        let streams_on = (110, true, SnapshotState::Finished);
        assert_eq!(at(Some(&finished), initial), streams_on);
        assert_eq!(at(Some(&finished), no_data), streams_on);
        let ahead = resume(&slot(80, 100), SERVER, Some(&running(90)), initial);
        assert_eq!(ahead.unwrap_err().halt, Halt::SlotAhead);
    }

    #[test]
    fn contradictions_halt_by_name() {
        let other = Identity {
            system_identifier: 8,
            ..SERVER
        };
        assert_eq!(
            halt(&slot(80, 90), other, &progress(100)),
            Halt::SystemChanged
        );
        let promoted = Identity {
            timeline: 2,
            ..SERVER
        };
        assert_eq!(
            halt(&slot(80, 90), promoted, &progress(100)),
            Halt::TimelineChanged
        );
        assert_eq!(
            halt(&slot(80, 101), SERVER, &progress(100)),
            Halt::SlotAhead
        );
        assert_eq!(
            halt(&slot(101, 110), SERVER, &progress(100)),
            Halt::SlotRecreated
        );
        let mut lost = slot(80, 90);
        lost.validity = Validity::Invalidated("wal_removed".to_owned());
        assert_eq!(halt(&lost, SERVER, &progress(100)), Halt::SlotLost);
    }

    #[test]
    fn a_lost_place_is_adopted_when_that_is_wanted() {
        let needed = Wanted::Once(SnapshotMode::WhenNeeded);
        for slot in [slot(80, 101), slot(101, 110)] {
            let resume = resume(&slot, SERVER, Some(&progress(100)), needed).unwrap();
            assert_eq!(resume.start, Mark::at(Lsn::ZERO));
            assert_eq!(resume.snapshot, SnapshotState::Running);
            assert!(resume.copies_anew && !resume.durable);
            assert_eq!(resume.epoch, 9, "positions go on");
        }
        let kept = resume(&slot(80, 90), SERVER, Some(&progress(100)), needed).unwrap();
        assert_eq!(kept.start, Mark::at(Lsn::new(100)));
        assert_eq!(kept.snapshot, SnapshotState::Finished);
        let other = Identity {
            system_identifier: 8,
            ..SERVER
        };
        let halted = resume(&slot(80, 101), other, Some(&progress(100)), needed);
        assert_eq!(halted.unwrap_err().halt, Halt::SystemChanged);
    }

    #[test]
    fn rows_are_published_again_when_that_is_wanted() {
        let again = resume(&slot(80, 90), SERVER, Some(&progress(100)), Wanted::Again).unwrap();
        assert_eq!(again.start, Mark::at(Lsn::new(100)), "the stream goes on");
        assert_eq!(again.snapshot, SnapshotState::Running);
        assert!(again.copies_anew && !again.durable);
        let running = Progress {
            snapshot: SnapshotState::Running,
            ..progress(100)
        };
        let rest = resume(&slot(80, 90), SERVER, Some(&running), Wanted::Again).unwrap();
        assert!(!rest.copies_anew && rest.durable);
    }
}
