//! A table's topic, read into a [`Fold`]: every record of a transaction before the point, in the order
//! of the history, repeats left out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use envelope::Records;

use super::KAFKA_TIMEOUT;
use super::columns::{Columns, Row};
use super::fold::Fold;
use super::members::member;
use super::rows::key_hash;
use crate::kafka::{KafkaError, Properties, ReadEnd, ReadRecord, TopicReader};
use crate::verify::checker::place_of;
use crate::verify::id::Position;
use crate::verify::meter::Meter;
use crate::verify::topics::id;

/// What the reading thread needs to know.
#[derive(Clone)]
pub(super) struct TopicState {
    pub(super) properties: Properties,
    pub(super) topic: String,
    pub(super) columns: Arc<Columns>,
    /// Whether keys and values come with their schemas.
    pub(super) schemas: bool,
    pub(super) epoch: u64,
    /// Transactions whose commit record starts at or after it are left out.
    pub(super) point: u64,
    pub(super) queue_bytes: usize,
    pub(super) stop: Arc<AtomicBool>,
}

/// What came of it.
pub(super) struct Folded {
    pub(super) fold: Fold,
    /// The partitions' numbers in the topic.
    pub(super) partitions: Vec<i32>,
    pub(super) unreadable: u64,
    pub(super) end: ReadEnd,
}

impl TopicState {
    /// Reads the topic once. Blocks.
    pub(super) fn read(&self, mut fold: Fold) -> Result<Folded, KafkaError> {
        let topics = [self.topic.clone()];
        let opened = TopicReader::open(&self.properties, &topics, self.queue_bytes, KAFKA_TIMEOUT);
        let reader = match opened {
            Ok(reader) => reader,
            // Nothing was ever published to it.
            Err(KafkaError::UnknownTopic) => {
                return Ok(Folded {
                    fold,
                    partitions: Vec::new(),
                    unreadable: 0,
                    end: ReadEnd::Whole,
                });
            }
            Err(error) => return Err(error),
        };
        let mut newest: Vec<Option<Position>> = vec![None; reader.partitions().len()];
        let mut meter = Meter::new(format!("reading {}", self.topic), reader.offsets());
        let (mut row, mut unreadable) = (Row::new(), 0);
        let position = |record: &ReadRecord<'_>| id(record.header(Records::ID_HEADER));
        let end = reader.read(
            &self.stop,
            |record| place_of(position(record), Some(self.epoch)),
            |place, record| {
                meter.tick();
                // A stranger's record is no state; the topics' part tells of it.
                let Some(id) = position(record) else { return };
                if id.epoch == self.epoch {
                    let Some(newest) = newest.get_mut(place) else {
                        return;
                    };
                    if id.position.lsn >= self.point || *newest >= Some(id.position) {
                        return;
                    }
                    *newest = Some(id.position);
                }
                let place = u32::try_from(place).unwrap_or_default();
                let taken = self.take(&mut fold, place, record, &mut row);
                unreadable += u64::from(taken.is_none());
            },
        )?;
        Ok(Folded {
            fold,
            partitions: reader.partitions().iter().map(|it| it.number).collect(),
            unreadable,
            end,
        })
    }

    fn take(
        &self,
        fold: &mut Fold,
        place: u32,
        record: &ReadRecord<'_>,
        row: &mut Row,
    ) -> Option<()> {
        let Some(key) = record.key() else {
            let value = self.payload(record.value()?)?;
            if member(value, b"\"op\"")? == b"\"t\"" {
                fold.clear();
            }
            return Some(());
        };
        let key = key_hash(self.payload(key)?);
        if !fold.wants(key) {
            return Some(());
        }
        let Some(value) = record.value() else {
            fold.remove(key);
            return Some(());
        };
        match member(self.payload(value)?, b"\"after\"")? {
            b"null" => fold.remove(key),
            after => {
                let left_out = record.header(envelope::UNAVAILABLE_HEADER);
                self.columns.read(after, left_out, row)?;
                fold.set(key, row, (place, record.offset()));
            }
        }
        Some(())
    }

    fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        payload(bytes, self.schemas)
    }
}

/// What is in a key or a value that may come with its schema.
pub(super) fn payload(bytes: &[u8], schemas: bool) -> Option<&[u8]> {
    match schemas {
        true => member(bytes, b"\"payload\""),
        false => Some(bytes),
    }
}
