//! What must hold at every moment, whatever happens.
//!
//! 1. Nothing is lost: a position is stored only when everything before it is acknowledged, and
//!    the slot is told only what is stored.
//! 2. Per key, records come in commit order; a repeat begins with a new run and goes on from there.
//! 3. A repeat has the id and the bytes it had.
//! 4. Nothing is published that was not committed and wanted.
//! 5. Positions never go back, and are commits' ends or what a keepalive told.

use std::collections::{BTreeSet, HashMap};

use envelope::Operation;
use pgoutput::Lsn;
use relay::{Mark, Progress};

use crate::broker::Produced;
use crate::wal::Entry;
use crate::workload::{Expected, Key, mark};

/// A broken promise.
#[derive(Debug)]
pub struct Violation(pub String);

/// Watches.
#[derive(Debug)]
pub(crate) struct Oracle {
    records: Vec<Awaited>,
    by_id: HashMap<String, usize>,
    /// For each entry of the log its start and the number of records before it.
    entries: Vec<(Lsn, usize)>,
    /// So many records from the first on are acknowledged.
    acknowledged: usize,
    keys: HashMap<Key, KeyLog>,
    /// Positions that may be confirmed.
    positions: BTreeSet<Lsn>,
    stored: Option<Mark>,
    told: Lsn,
    /// Records that came again.
    pub(crate) repeats: u64,
}

#[derive(Debug)]
struct Awaited {
    expected: Expected,
    /// Which of its key's records it is.
    of_key: usize,
    first: Option<Produced>,
    acknowledged: bool,
}

/// What came for one key.
#[derive(Debug, Default)]
struct KeyLog {
    expected: usize,
    /// The number of the record that came last, and in which run.
    last: Option<(usize, u64)>,
}

impl Oracle {
    /// Before anything happened; the slot was made here.
    #[must_use]
    pub(crate) fn new(start: Lsn) -> Oracle {
        Oracle {
            records: Vec::new(),
            by_id: HashMap::new(),
            entries: Vec::new(),
            acknowledged: 0,
            keys: HashMap::new(),
            positions: BTreeSet::from([start]),
            stored: None,
            told: Lsn::ZERO,
            repeats: 0,
        }
    }

    /// Something is in the server's log.
    pub(crate) fn committed(&mut self, entry: &Entry) {
        self.entries.push((entry.start, self.records.len()));
        self.positions.insert(entry.end);
        for expected in &entry.expected {
            let of_key = expected.key.as_ref().map_or(0, |key| {
                let log = self.keys.entry(key.clone()).or_default();
                log.expected += 1;
                log.expected - 1
            });
            let twice = self.by_id.insert(expected.id.clone(), self.records.len());
            assert!(twice.is_none(), "the contract gives {} twice", expected.id);
            let expected = expected.clone();
            self.records.push(Awaited {
                expected,
                of_key,
                first: None,
                acknowledged: false,
            });
        }
    }

    /// A keepalive told a position.
    pub(crate) fn keepalive(&mut self, position: Lsn) {
        self.positions.insert(position);
    }

    /// A record is in Kafka's log.
    ///
    /// # Errors
    /// When it should not be there, or not now, or not like this.
    pub(crate) fn appended(&mut self, produced: &Produced) -> Result<(), Violation> {
        let Some(index) = self.by_id.get(&produced.id).copied() else {
            return Err(Violation(format!("{} was never committed", produced.id)));
        };
        let awaited = &mut self.records[index];
        match &awaited.first {
            None => {
                check_content(&awaited.expected, produced)?;
                awaited.first = Some(produced.clone());
            }
            Some(first) => {
                self.repeats += 1;
                let same = first.topic == produced.topic
                    && first.key == produced.key
                    && first.value == produced.value;
                if !same {
                    return Err(Violation(format!(
                        "came first {first:#?}\nand then {produced:#?}"
                    )));
                }
            }
        }
        let Some(key) = &awaited.expected.key else {
            return Ok(());
        };
        let (number, run) = (awaited.of_key, produced.run);
        let log = self.keys.entry(key.clone()).or_default();
        let in_order = match log.last {
            None => number == 0,
            Some((last, of_run)) if of_run == run => number == last + 1,
            Some((last, _)) => number <= last + 1,
        };
        if !in_order {
            let last = log.last;
            let id = &produced.id;
            return Err(Violation(format!(
                "{id} is number {number} of its key in run {run}, after number and run {last:?}"
            )));
        }
        log.last = Some((number, run));
        Ok(())
    }

    /// Its acknowledgement is back.
    pub(crate) fn acknowledged(&mut self, id: &str) {
        if let Some(index) = self.by_id.get(id) {
            self.records[*index].acknowledged = true;
        }
        while self
            .records
            .get(self.acknowledged)
            .is_some_and(|record| record.acknowledged)
        {
            self.acknowledged += 1;
        }
    }

    /// A position is to be stored.
    ///
    /// # Errors
    /// When something before it is not acknowledged.
    pub(crate) fn storing(&self, progress: &Progress) -> Result<(), Violation> {
        let entry = self
            .entries
            .partition_point(|(start, _)| *start < progress.commit_end_lsn);
        let before = self
            .entries
            .get(entry)
            .map_or(self.records.len(), |(_, before)| *before);
        let of_split = progress.split.map_or(0, |split| split.records_done);
        let needed = before + usize::try_from(of_split).unwrap_or(usize::MAX);
        if let Some(split) = progress.split
            && self.entries.get(entry).map(|(start, _)| *start) != Some(split.commit_lsn.0)
        {
            return Err(Violation(format!(
                "{:?} is not the next transaction",
                progress.mark()
            )));
        }
        if self.acknowledged < needed {
            let missing = &self.records[self.acknowledged].expected.id;
            let mark = progress.mark();
            return Err(Violation(format!(
                "{mark:?} is stored, but {missing} is not acknowledged"
            )));
        }
        if !self.positions.contains(&progress.commit_end_lsn) {
            let at = progress.commit_end_lsn;
            return Err(Violation(format!(
                "{at} is no end of a commit and no keepalive's"
            )));
        }
        Ok(())
    }

    /// It is stored.
    ///
    /// # Errors
    /// When it is behind what was stored before.
    pub(crate) fn stored(&mut self, progress: &Progress) -> Result<(), Violation> {
        let mark = progress.mark();
        let before = self.stored.replace(mark);
        if before.is_some_and(|before| is_behind(mark, before)) {
            return Err(Violation(format!("{mark:?} is stored after {before:?}")));
        }
        Ok(())
    }

    /// The slot is told a position.
    ///
    /// # Errors
    /// When it is ahead of what is stored, or behind what it was told before.
    pub(crate) fn told(&mut self, flushed: Lsn) -> Result<(), Violation> {
        if flushed == Lsn::ZERO {
            return Ok(());
        }
        let stored = self.stored.map_or(Lsn::ZERO, |mark| mark.end);
        if flushed > stored {
            return Err(Violation(format!(
                "the slot is told {flushed}, stored is {stored}"
            )));
        }
        if flushed < self.told {
            return Err(Violation(format!(
                "the slot is told {flushed} after {}",
                self.told
            )));
        }
        self.told = flushed;
        Ok(())
    }

    /// How many records there are to be, and how many of them are not acknowledged.
    #[must_use]
    pub(crate) fn missing(&self) -> (usize, usize) {
        (self.records.len(), self.records.len() - self.acknowledged)
    }
}

fn is_behind(mark: Mark, before: Mark) -> bool {
    if mark.end != before.end {
        return mark.end < before.end;
    }
    before.split.is_some_and(|before| {
        mark.split.is_none_or(|split| {
            split.commit_lsn != before.commit_lsn || split.records_done < before.records_done
        })
    })
}

/// Topic, key and value say what the contract says. That they say it in Debezium's form is shown
/// elsewhere.
fn check_content(expected: &Expected, produced: &Produced) -> Result<(), Violation> {
    let wrong = |what: &str| Err(Violation(format!("{} has another {what}", produced.id)));
    if produced.topic != expected.topic {
        return wrong("topic");
    }
    let key = produced
        .key
        .as_ref()
        .map(|key| String::from_utf8_lossy(key).into_owned());
    let in_key = match &expected.key {
        None => None,
        Some(Key::Row(_, (id, part))) => Some((format!("\"id\":{id}"), format!("\"part\":{part}"))),
        Some(Key::Prefix(prefix)) => Some((format!("\"{prefix}\""), String::new())),
    };
    let keyed = match (&key, &in_key) {
        (None, None) => true,
        (Some(key), Some((id, part))) => {
            key.contains(id) && (!key.contains("\"part\"") || key.contains(part))
        }
        _ => false,
    };
    if !keyed {
        return wrong("key");
    }
    let Some(value) = &produced.value else {
        return if expected.operation == Operation::Tombstone {
            Ok(())
        } else {
            wrong("value")
        };
    };
    let value = String::from_utf8_lossy(value);
    let operation = expected
        .operation
        .code()
        .map(|code| format!("\"op\":\"{code}\""));
    if !operation.is_some_and(|operation| value.contains(&operation)) {
        return wrong("operation");
    }
    if expected
        .write
        .is_some_and(|write| !value.contains(&mark(write)))
    {
        return wrong("row");
    }
    Ok(())
}
