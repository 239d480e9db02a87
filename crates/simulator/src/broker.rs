//! The fake Kafka: partitions that take records in order, each at its own pace; outages, refusals,
//! and the progress topic. What was under way when its producer died arrives in part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use envelope::Record;
use relay::{Progress, Ticket};

use crate::random::Random;

/// A partition: topic and number.
pub(crate) type Lane = (String, u64);

/// A record on its way or in the log.
#[derive(Clone)]
pub(crate) struct Produced {
    /// The run of walferry that sent it.
    pub(crate) run: u64,
    /// What its delivery report carries.
    pub(crate) ticket: Ticket,
    /// The header `walferry.id`.
    pub(crate) id: String,
    /// Its topic.
    pub(crate) topic: String,
    /// Its key.
    pub(crate) key: Option<Vec<u8>>,
    /// Its value; none for a tombstone.
    pub(crate) value: Option<Vec<u8>>,
}

impl Produced {
    /// As handed to the producer.
    #[must_use]
    pub(crate) fn new(run: u64, ticket: Ticket, record: &Record<'_>) -> Produced {
        Produced {
            run,
            ticket,
            id: String::from_utf8_lossy(record.id).into_owned(),
            topic: record.topic.to_owned(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }
    }
}

impl fmt::Debug for Produced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        writeln!(f, "{} in {}, run {}", self.id, self.topic, self.run)?;
        writeln!(f, "    key {:?}", self.key.as_deref().map(text))?;
        write!(
            f,
            "    value {}",
            self.value.as_deref().map_or("none".to_owned(), text)
        )
    }
}

/// What became of the first record of a lane.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is in the log.
    Appended(Produced),
    /// It never will be; nothing behind it in its partition either, for this producer.
    Refused,
    /// There was none any more.
    Nothing,
    /// Kafka is away; look again then.
    NotBefore(Duration),
}

/// How fast a seed's Kafka is.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Microseconds until a record is in the log, and again until its acknowledgement is back.
    pub(crate) micros: std::ops::Range<u64>,
    /// Partitions of each topic.
    pub(crate) partitions: u64,
}

/// The fake Kafka.
#[derive(Debug)]
pub(crate) struct Broker {
    pace: Pace,
    under_way: BTreeMap<Lane, VecDeque<(Duration, Produced)>>,
    refused: BTreeSet<Lane>,
    refuse_next: bool,
    away_until: Duration,
    storing: Option<Progress>,
    progress: Option<Progress>,
}

impl Broker {
    /// An empty Kafka.
    #[must_use]
    pub(crate) fn new(pace: Pace) -> Broker {
        Broker {
            pace,
            under_way: BTreeMap::new(),
            refused: BTreeSet::new(),
            refuse_next: false,
            away_until: Duration::ZERO,
            storing: None,
            progress: None,
        }
    }

    /// Takes a record; says in which lane, and when to call [`Broker::arrive`] for it.
    pub(crate) fn produce(
        &mut self,
        now: Duration,
        random: &mut Random,
        produced: Produced,
    ) -> (Lane, Duration) {
        let partition = match &produced.key {
            Some(key) => key.iter().fold(7u64, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(u64::from(*byte)) & 0xFFFF_FFFF
            }),
            None => random.within(0..self.pace.partitions),
        };
        let lane = (produced.topic.clone(), partition % self.pace.partitions);
        let queue = self.under_way.entry(lane.clone()).or_default();
        let after = queue.back().map_or(Duration::ZERO, |(due, _)| *due);
        let due = (now + random.micros(self.pace.micros.clone())).max(after);
        queue.push_back((due, produced));
        (lane, due)
    }

    /// The first record of a lane reaches the log, or does not.
    pub(crate) fn arrive(&mut self, now: Duration, lane: &Lane) -> Arrival {
        if now < self.away_until {
            return Arrival::NotBefore(self.away_until);
        }
        if self.refused.contains(lane) {
            return Arrival::Nothing;
        }
        let Some(queue) = self.under_way.get_mut(lane) else {
            return Arrival::Nothing;
        };
        match queue.pop_front() {
            None => Arrival::Nothing,
            Some(_) if self.refuse_next => {
                self.refuse_next = false;
                self.refused.insert(lane.clone());
                Arrival::Refused
            }
            Some((_, produced)) => Arrival::Appended(produced),
        }
    }

    /// How long an acknowledgement takes.
    pub(crate) fn answer_time(&self, random: &mut Random) -> Duration {
        random.micros(self.pace.micros.clone())
    }

    /// The producer is gone. What it had handed over arrives in part, in order within each lane.
    pub(crate) fn producer_dies(&mut self, random: &mut Random) -> Vec<Produced> {
        let mut arrived = Vec::new();
        for (lane, queue) in std::mem::take(&mut self.under_way) {
            if !self.refused.contains(&lane) {
                let some = random.index(queue.len() + 1);
                arrived.extend(queue.into_iter().take(some).map(|(_, produced)| produced));
            }
        }
        self.refused.clear();
        self.refuse_next = false;
        arrived
    }

    /// Kafka does not answer until then.
    pub(crate) fn go_away(&mut self, until: Duration) {
        self.away_until = self.away_until.max(until);
    }

    /// When it answers again; in the past if it does now.
    #[must_use]
    pub(crate) fn away_until(&self) -> Duration {
        self.away_until
    }

    /// The next record is refused.
    pub(crate) fn refuse_next(&mut self) {
        self.refuse_next = true;
    }

    /// A record of the progress topic is on its way.
    pub(crate) fn store(&mut self, progress: Progress) {
        self.storing = Some(progress);
    }

    /// It is in the log.
    pub(crate) fn progress_arrives(&mut self) -> Option<&Progress> {
        self.progress = Some(self.storing.take()?);
        self.progress.as_ref()
    }

    /// Its sender died first: it never will be.
    pub(crate) fn progress_is_lost(&mut self) {
        self.storing = None;
    }

    /// What a start reads.
    #[must_use]
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }
}
