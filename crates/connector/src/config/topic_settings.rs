//! Kafka's topic settings that may stand under `topics` (Kafka 4.3, "Topic Configs").
//!
//! Only their names: what they take is the broker's to judge, when the topic is created.

/// Whether this is a topic setting: one of Kafka's, or one of a vendor's under its own prefix.
pub fn is_known(setting: &str) -> bool {
    SETTINGS.binary_search(&setting).is_ok()
        || setting.starts_with("confluent.")
        || setting.starts_with("redpanda.")
}

/// Kafka's own, sorted.
#[rustfmt::skip]
pub const SETTINGS: &[&str] = &[
    "cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.type",
    "compression.zstd.level", "delete.retention.ms", "file.delete.delay.ms", "flush.messages",
    "flush.ms", "follower.replication.throttled.replicas", "index.interval.bytes",
    "leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms",
    "max.compaction.lag.ms", "max.message.bytes", "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms", "message.timestamp.type", "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms", "min.insync.replicas", "preallocate", "remote.log.copy.disable",
    "remote.log.delete.on.disable", "remote.storage.enable", "retention.bytes", "retention.ms",
    "segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms",
    "unclean.leader.election.enable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(SETTINGS.is_sorted());
        assert!(is_known("retention.ms") && is_known("redpanda.remote.read"));
        assert!(!is_known("retention.msec"));
    }
}
