//! What was found: all of it counted, the first of each kind kept.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::preflight::finding::Severity;
use crate::verify::id::Id;

/// A kind of finding; its name is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The id was there before, with the same bytes.
    Duplicate,
    /// The id was there before, with other bytes.
    DuplicateDiffers,
    /// Ordinals of a transaction are missing.
    Gap,
    /// New, and behind what its partition has shown before.
    Order,
    /// The id was there before, in another partition or topic.
    Elsewhere,
    /// No id, or none of walferry's.
    Foreign,
    /// Of another epoch, among records of the present one.
    OtherEpoch,
    /// Of another epoch, before all records of the present one.
    EarlierEpoch,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::Duplicate,
        Self::DuplicateDiffers,
        Self::Gap,
        Self::Order,
        Self::Elsewhere,
        Self::Foreign,
        Self::OtherEpoch,
        Self::EarlierEpoch,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE",
            Self::DuplicateDiffers => "DUPLICATE_DIFFERS",
            Self::Gap => "GAP",
            Self::Order => "ORDER",
            Self::Elsewhere => "ELSEWHERE",
            Self::Foreign => "FOREIGN",
            Self::OtherEpoch => "OTHER_EPOCH",
            Self::EarlierEpoch => "EARLIER_EPOCH",
        }
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Duplicate | Self::EarlierEpoch => Severity::Info,
            Self::DuplicateDiffers
            | Self::Gap
            | Self::Order
            | Self::Elsewhere
            | Self::Foreign
            | Self::OtherEpoch => Severity::Error,
        }
    }
}

/// One thing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub code: Code,
    /// The topic, by number.
    pub topic: usize,
    /// The partition, by its number among those read.
    pub place: usize,
    /// The record; of a gap, the one behind it.
    pub offset: i64,
    /// The record's id; of a gap, the first that is missing.
    pub id: Option<Id>,
    /// Of a gap of several, the last that is missing.
    pub last: Option<Id>,
}

/// What there was in one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Those whose id was there before in their partition, or without a key in their topic.
    pub duplicates: u64,
    /// Those of them whose first was read too long ago to be compared.
    pub not_compared: u64,
    /// Those whose bytes are others.
    pub differing: u64,
    /// Holes behind which a record of this topic stands.
    pub gaps: u64,
    /// New records behind newer ones of their partition.
    pub out_of_order: u64,
    /// Records whose id was in another partition or topic.
    pub elsewhere: u64,
    /// Records without an id of walferry's.
    pub foreign: u64,
    /// Records of another epoch among those of the present one.
    pub other_epoch: u64,
    /// Records of an earlier life.
    pub earlier_epoch: u64,
    /// New records beyond the stored progress: of a transaction that may not be there in whole.
    pub under_way: u64,
}

/// All counts, and the first findings of each kind and topic.
#[derive(Debug)]
pub struct Tally {
    topics: Vec<Counts>,
    found: BTreeMap<(Code, usize), Vec<Found>>,
    /// Transactions whose ordinals were held to have no holes.
    pub transactions: u64,
    /// Others.
    pub transactions_not_judged: u64,
    /// Holes that are not among the findings, for there are too many.
    pub gaps_beyond: u64,
    /// The epoch that was taken for the present one.
    pub epoch: Option<u64>,
    /// Of a topic that is out of range: counted for nobody.
    nowhere: Counts,
}

impl Tally {
    pub(super) fn new(topics: usize) -> Self {
        Self {
            topics: vec![Counts::default(); topics],
            found: BTreeMap::new(),
            transactions: 0,
            transactions_not_judged: 0,
            gaps_beyond: 0,
            epoch: None,
            nowhere: Counts::default(),
        }
    }

    pub(super) fn count(&mut self, topic: usize) -> &mut Counts {
        self.topics.get_mut(topic).unwrap_or(&mut self.nowhere)
    }

    pub(super) fn push(&mut self, found: Found) {
        let kept = self.found.entry((found.code, found.topic)).or_default();
        if kept.len() < KEPT {
            kept.push(found);
        }
    }

    /// Takes back what was said of gaps; whether there were any.
    pub fn forget_gaps(&mut self) -> bool {
        let any = self.topics.iter().any(|it| it.gaps > 0);
        self.found.retain(|(code, _), _| *code != Code::Gap);
        for topic in &mut self.topics {
            topic.gaps = 0;
        }
        any
    }

    /// By topic.
    #[must_use]
    pub fn counts(&self) -> &[Counts] {
        &self.topics
    }

    /// The first of each kind and topic.
    pub fn found(&self) -> impl Iterator<Item = &Found> {
        self.found.values().flatten()
    }
}

/// Enough to look at.
const KEPT: usize = 10;
