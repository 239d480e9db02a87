//! The progress record: how far Kafka has got, kept in Kafka.
//!
//! A compacted topic of one partition holds one record for each slot, its key the slot's name (and
//! one for each topic that the slot's records go to: `progress/begun.rs`). The
//! value is JSON (format version 1, described at [`FORMAT`]). A record that cannot be read stops
//! the connector: there is no "start from now".
//!
//! Deliberately not here: when to write one, and what follows from one; that is the relay's.

mod asked_parts;
mod begun;
mod note_key;
mod parts;
mod reader;
mod requests;
mod writer;

use pgoutput::{CommitLsn, Lsn};
use relay::{Progress, SnapshotState, Split};
use serde::{Deserialize, Serialize};

use super::error::{Class, KafkaError};
use super::topics::{Setting, TopicDescription, TopicState};
use crate::halt::Halt;

pub use asked_parts::{AskedPart, RequestKey};
pub use reader::{ProgressReader, Stored, read};
pub use writer::ProgressWriter;

/// The newest format that this version reads, and the one it writes.
///
/// The value is JSON, with 64-bit numbers and LSNs as text so that no reader rounds them:
///
/// ```json
/// {"format":1,"slot":"walferry_shop","system_identifier":"7412345678901234567","timeline":1,
///  "epoch":"7412345678901234567","commit_end_lsn":"0/16B3748",
///  "split":{"commit_lsn":"0/16B3800","records_done":42},
///  "snapshot":"finished","shape":"1234567890","written_at_ms":1764150000123,"walferry":"0.1.0"}
/// ```
///
/// `split` is absent when no transaction is done in part; `chunk_ordinals` where no rows were read on a
/// standby (the numbers that they may have used). A reader of format 1 ignores fields that it
/// does not know; a change that old readers would misread raises `format`.
pub const FORMAT: u64 = 1;

/// Appends the record's value.
///
/// `written_at_ms` is for people: milliseconds since 1970.
pub fn encode(progress: &Progress, slot: &str, written_at_ms: i64, out: &mut Vec<u8>) {
    let value = Value {
        format: FORMAT,
        slot: slot.to_owned(),
        system_identifier: progress.system_identifier.to_string(),
        timeline: progress.timeline,
        epoch: progress.epoch.to_string(),
        commit_end_lsn: progress.commit_end_lsn.to_string(),
        split: progress.split.map(|split| SplitValue {
            commit_lsn: split.commit_lsn.0.to_string(),
            records_done: split.records_done,
        }),
        snapshot: progress.snapshot,
        shape: progress.shape.to_string(),
        chunk_ordinals: progress.chunk_ordinals,
        written_at_ms,
        walferry: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Numbers and text only: there is nothing here that JSON could refuse.
    let _ = serde_json::to_writer(out, &value);
}

/// Reads a record's value.
///
/// # Errors
/// [`ProgressError::Newer`] for a later format, [`ProgressError::Unreadable`] for anything that
/// is not a progress record of `slot`.
pub fn decode(slot: &str, bytes: &[u8]) -> Result<Progress, ProgressError> {
    let unreadable = |reason: String| ProgressError::Unreadable {
        slot: slot.to_owned(),
        reason,
    };
    // The format is looked at alone: a newer one may have changed every other field.
    let head: Head =
        serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if head.format > FORMAT {
        return Err(ProgressError::Newer {
            slot: slot.to_owned(),
            format: head.format,
            walferry: head.walferry.unwrap_or_else(|| "unknown".to_owned()),
        });
    }
    if head.format == 0 {
        return Err(unreadable("format 0 was never written".to_owned()));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if value.slot != slot {
        return Err(unreadable(format!("it is about slot \"{}\"", value.slot)));
    }
    let number = |field: &str, text: &str| {
        text.parse::<u64>()
            .map_err(|_| unreadable(format!("`{field}` is not a number")))
    };
    let lsn = |field: &str, text: &str| {
        text.parse::<Lsn>()
            .map_err(|_| unreadable(format!("`{field}` is not an LSN")))
    };
    Ok(Progress {
        system_identifier: number("system_identifier", &value.system_identifier)?,
        timeline: value.timeline,
        epoch: number("epoch", &value.epoch)?,
        commit_end_lsn: lsn("commit_end_lsn", &value.commit_end_lsn)?,
        split: value
            .split
            .map(|split| {
                Ok::<_, ProgressError>(Split {
                    commit_lsn: CommitLsn(lsn("split.commit_lsn", &split.commit_lsn)?),
                    records_done: split.records_done,
                })
            })
            .transpose()?,
        snapshot: value.snapshot,
        // Absent in records of the first days: then the split is of an unknown shape.
        shape: value.shape.parse().unwrap_or_default(),
        chunk_ordinals: value.chunk_ordinals,
    })
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Deserialize)]
struct Head {
    format: u64,
    walferry: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Value {
    format: u64,
    slot: String,
    system_identifier: String,
    timeline: u32,
    epoch: String,
    commit_end_lsn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<SplitValue>,
    #[serde(with = "SnapshotWord")]
    snapshot: SnapshotState,
    #[serde(default)]
    shape: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    chunk_ordinals: u64,
    written_at_ms: i64,
    walferry: String,
}

/// The words for [`SnapshotState`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "SnapshotState", rename_all = "snake_case")]
enum SnapshotWord {
    None,
    Running,
    Finished,
}

#[derive(Serialize, Deserialize)]
struct SplitValue {
    commit_lsn: String,
    records_done: u64,
}

/// Checks that a topic can hold progress: one partition, compacted.
///
/// Settings that could not be read are taken as good: preflight warns of them.
///
/// # Errors
/// The topic is missing, has several partitions, or is not compacted: an old record could then be
/// deleted, and a start would not know how far it had got.
pub fn suitable(topic: &TopicDescription) -> Result<(), ProgressError> {
    let TopicState::Present {
        partitions,
        settings,
        ..
    } = &topic.state
    else {
        return Err(ProgressError::TopicMissing {
            topic: topic.name.clone(),
        });
    };
    if *partitions != 1 {
        let topic = topic.name.clone();
        return Err(ProgressError::Partitions {
            topic,
            partitions: *partitions,
        });
    }
    match settings.get("cleanup.policy") {
        Setting::Known("compact") | Setting::Unknown => Ok(()),
        Setting::Known(policy) => Err(ProgressError::NotCompacted {
            topic: topic.name.clone(),
            policy: policy.to_owned(),
        }),
    }
}

/// Why the stored progress is not known. None of these may be answered by starting anyway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// A newer version wrote the record.
    #[error(
        "progress of slot \"{slot}\" has format {format}, written by walferry {walferry}; this \
         version reads up to format {}: run that version or a newer one",
        FORMAT
    )]
    Newer {
        /// The slot whose record it is.
        slot: String,
        /// The format found.
        format: u64,
        /// The version that wrote it.
        walferry: String,
    },
    /// The record is not one of ours.
    #[error("progress of slot \"{slot}\" cannot be read: {reason}")]
    Unreadable {
        /// The slot under whose key it was found.
        slot: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The progress topic does not exist.
    #[error(
        "the progress topic \"{topic}\" does not exist: create it with one partition and \
             cleanup.policy=compact"
    )]
    TopicMissing {
        /// The topic.
        topic: String,
    },
    /// The progress topic has several partitions.
    #[error("the progress topic \"{topic}\" has {partitions} partitions and must have one")]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
    /// The progress topic may delete what it must keep.
    #[error("the progress topic \"{topic}\" has cleanup.policy={policy} and must have compact")]
    NotCompacted {
        /// The topic.
        topic: String,
        /// Its `cleanup.policy`.
        policy: String,
    },
    /// The end of the topic was not reached in time, so nothing is known.
    #[error(
        "the progress topic \"{topic}\" was read up to offset {position} of {high_watermark} before \
         the time was over"
    )]
    NotReached {
        /// The topic.
        topic: String,
        /// The offset after the last record read.
        position: i64,
        /// The end that must be reached.
        high_watermark: i64,
    },
    /// Kafka did not answer, or refused.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl ProgressError {
    /// Whether the topic is not there, or Kafka does not know it for a moment.
    #[must_use]
    pub fn is_of_missing_topic(&self) -> bool {
        matches!(
            self,
            Self::TopicMissing { .. } | Self::Kafka(KafkaError::UnknownTopic)
        )
    }

    /// Whether to try again or to stop and ask the operator.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Newer { .. } => Class::Halt(Halt::ProgressNewer),
            Self::Unreadable { .. } | Self::Partitions { .. } | Self::NotCompacted { .. } => {
                Class::Halt(Halt::ProgressUnreadable)
            }
            Self::TopicMissing { .. } => Class::Halt(Halt::TopicUnusable),
            Self::NotReached { .. } => Class::Retry,
            Self::Kafka(error) => error.class(),
        }
    }
}

#[cfg(test)]
mod tests;
