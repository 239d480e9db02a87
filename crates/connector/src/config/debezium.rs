//! Debezium's options that walferry does not read, each refused with what to do instead
//! (Debezium 3.6 manual, PostgreSQL connector, "Connector configuration properties").
//!
//! Those it reads stand in [`super::keys`].

/// An option that is recognised and not read.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    /// The path in walferry's file. `<...>` stands for any text.
    pub path: &'static str,
    /// Why it is not read.
    pub standing: Standing,
}

/// Why an option is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It will come. The value that says what walferry does anyway is accepted, if there is one.
    NotYet {
        /// That value.
        accepts: &'static str,
    },
    /// walferry has another key for it.
    Elsewhere(&'static str),
    /// There is nothing here for it to set; the text says why.
    Needless(&'static str),
}

const fn later(path: &'static str) -> Foreign {
    later_or(path, "")
}

const fn later_or(path: &'static str, accepts: &'static str) -> Foreign {
    Foreign {
        path,
        standing: Standing::NotYet { accepts },
    }
}

const fn see(path: &'static str, key: &'static str) -> Foreign {
    Foreign {
        path,
        standing: Standing::Elsewhere(key),
    }
}

const fn no(path: &'static str, why: &'static str) -> Foreign {
    Foreign {
        path,
        standing: Standing::Needless(why),
    }
}

/// The option at this path, if it is one of Debezium's.
pub fn find(path: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| covers(foreign.path, path))
}

/// Whether a path with placeholders covers this one: each `<...>` stands for one character or more.
fn covers(pattern: &str, path: &str) -> bool {
    match pattern.split_once('<') {
        None => pattern == path,
        Some((head, rest)) => {
            let tail = rest.split_once('>').map_or("", |(_, tail)| tail);
            let Some(rest) = path.strip_prefix(head) else {
                return false;
            };
            rest.char_indices()
                .skip(1)
                .any(|(at, _)| covers(tail, &rest[at..]))
                || (tail.is_empty() && !rest.is_empty())
        }
    }
}

const NO_JVM: &str = "walferry loads no Java classes";
const NO_QUEUE: &str = "walferry has no queue between reading and publishing; see limits.in.flight";
const SLOT_RULE: &str = "the slot follows what Kafka has acknowledged, at all times";
const NO_SCHEMA_TOPIC: &str = "Postgres' events need no schema history";

/// Every recognised option.
pub const FOREIGN: &[Foreign] = &[
    // Connection.
    see("envelope.topic.prefix", "topics.prefix"),
    see("envelope.database.hostname", "postgres.url"),
    see("envelope.database.port", "postgres.url"),
    see("envelope.database.user", "postgres.url"),
    see("envelope.database.dbname", "postgres.url"),
    see("envelope.database.password", "postgres.password"),
    see("envelope.database.sslmode", "postgres.url (sslmode=...)"),
    see("envelope.database.sslcert", "postgres.url (sslcert=...)"),
    see("envelope.database.sslkey", "postgres.url (sslkey=...)"),
    see(
        "envelope.database.sslrootcert",
        "postgres.url (sslrootcert=...)",
    ),
    see(
        "envelope.database.tcpKeepAlive",
        "postgres.url (keepalives=...)",
    ),
    see(
        "envelope.database.connection.timeout.ms",
        "postgres.url (connect_timeout=...)",
    ),
    later("envelope.database.sslpassword"),
    no("envelope.database.sslfactory", NO_JVM),
    no("envelope.database.connection.factory.class", NO_JVM),
    later("envelope.database.query.timeout.ms"),
    later("envelope.database.initial.statements"),
    later("envelope.connection.validation.timeout.ms"),
    later("envelope.database.<driver property>"),
    no("envelope.connector.class", NO_JVM),
    no("envelope.tasks.max", "a slot has one reader"),
    // Replication.
    see("envelope.slot.name", "postgres.slot"),
    see("envelope.publication.name", "postgres.publication"),
    see("envelope.publication.autocreate.mode", "postgres.create"),
    later_or("envelope.plugin.name", "pgoutput"),
    later_or("envelope.slot.drop.on.stop", "false"),
    later_or("envelope.slot.failover", "false"),
    later("envelope.slot.stream.params"),
    see(
        "envelope.slot.max.retries",
        "postgres.reconnect.backoff.max; it never gives up",
    ),
    see(
        "envelope.slot.retry.delay.ms",
        "postgres.reconnect.backoff.min",
    ),
    later("envelope.replica.identity.autoset.values"),
    no(
        "envelope.status.update.interval.ms",
        "feedback is sent as soon as there is progress",
    ),
    later_or("envelope.xmin.fetch.interval.ms", "0"),
    no("envelope.lsn.flush.mode", SLOT_RULE),
    no("envelope.flush.lsn.source", SLOT_RULE),
    no("envelope.lsn.flush.timeout.ms", SLOT_RULE),
    no("envelope.lsn.flush.timeout.action", SLOT_RULE),
    no(
        "envelope.offset.mismatch.strategy",
        "a mismatch between slot and progress always halts with a named code",
    ),
    later_or("envelope.read.only", "false"),
    // Filters, keys, columns.
    see("envelope.schema.include.list", "tables.include"),
    see("envelope.schema.exclude.list", "tables.exclude"),
    see("envelope.table.include.list", "tables.include"),
    see("envelope.table.exclude.list", "tables.exclude"),
    later_or("envelope.table.ignore.builtin", "true"),
    later_or("envelope.include.schema.comments", "false"),
    later_or("envelope.guardrail.collections.max", "0"),
    later_or("envelope.guardrail.collections.limit.action", "warn"),
    // Types.
    no(
        "envelope.schema.refresh.mode",
        "the schema follows the log's own table descriptions",
    ),
    no("envelope.converters", NO_JVM),
    later("envelope.post.processors"),
    later("envelope.post.processors.<name>"),
    no("envelope.sourceinfo.struct.maker", NO_JVM),
    // Snapshot.
    no(
        "snapshot.snapshot.mode.configuration.based.snapshot.schema",
        "Postgres' events need no schema history",
    ),
    no(
        "snapshot.snapshot.mode.configuration.based.snapshot.on.schema.error",
        "there is no schema history to mend",
    ),
    no(
        "snapshot.snapshot.mode.configuration.based.snapshot.on.data.error",
        "snapshot.mode: when_needed is for that",
    ),
    no("snapshot.snapshot.mode.custom.name", NO_JVM),
    no(
        "snapshot.snapshot.isolation.mode",
        "the snapshot is the slot's own, read repeatably",
    ),
    no(
        "snapshot.snapshot.locking.mode",
        "tables are locked ACCESS SHARE while they are read, as with shared",
    ),
    no("snapshot.snapshot.locking.mode.custom.name", NO_JVM),
    later_or("snapshot.snapshot.query.mode", "select_all"),
    no("snapshot.snapshot.query.mode.custom.name", NO_JVM),
    no("snapshot.snapshot.fetch.size", "rows are streamed by COPY"),
    no("snapshot.query.fetch.size", "rows are streamed by COPY"),
    later_or("snapshot.snapshot.delay.ms", "0"),
    later_or("snapshot.streaming.delay.ms", "0"),
    no(
        "snapshot.snapshot.max.threads.multiplier",
        "pieces of tables are of one size, however many read",
    ),
    no(
        "snapshot.legacy.snapshot.max.threads",
        "several connections read one table, too",
    ),
    later("snapshot.incremental.snapshot.watermarking.strategy"),
    later_or(
        "snapshot.incremental.snapshot.allow.schema.changes",
        "false",
    ),
    // Signals, notifications, heartbeat, transaction metadata, topics.
    no(
        "envelope.signal.poll.interval.ms",
        "signals are taken as they come in the stream",
    ),
    later("envelope.signal.kafka.groupId"),
    later("envelope.signal.kafka.bootstrap.<name>"),
    later("envelope.signal.kafka.poll.timeout.ms"),
    later("envelope.signal.consumer.<name>"),
    later("envelope.signal.file"),
    later("envelope.signal.emit.<name>"),
    later("envelope.notification.<name>"),
    later("envelope.heartbeat.action.query"),
    later("envelope.heartbeat.topics.prefix"),
    later("envelope.topic.heartbeat.name"),
    no("envelope.transaction.metadata.factory", NO_JVM),
    no("envelope.topic.naming.strategy", NO_JVM),
    no(
        "envelope.topic.cache.size",
        "topic names are made once for each table",
    ),
    later("envelope.topic.regex"),
    later("envelope.topic.replacement"),
    later("envelope.topic.key.<name>"),
    // Engine.
    no("envelope.max.batch.size", NO_QUEUE),
    see("envelope.max.queue.size", "limits.in.flight.records"),
    see("envelope.max.queue.size.in.bytes", "limits.in.flight.bytes"),
    no("envelope.poll.interval.ms", NO_QUEUE),
    no("envelope.poll.dispatch.interval.ms", NO_QUEUE),
    no("envelope.queue.provider.type", NO_QUEUE),
    later_or("envelope.event.converting.failure.handling.mode", "fail"),
    later_or("envelope.errors.max.retries", "-1"),
    see(
        "envelope.retriable.restart.connector.wait.ms",
        "postgres.reconnect.backoff.max",
    ),
    see("envelope.executor.shutdown.timeout.ms", "shutdown.timeout"),
    no(
        "envelope.statistics.metrics.enabled",
        "metrics are on; see admin.listen",
    ),
    later("envelope.custom.metric.tags"),
    no(
        "envelope.custom.sanitize.pattern",
        "no secret is ever shown",
    ),
    later("envelope.extended.headers.enabled"),
    no("envelope.memory.management.<name>", NO_SCHEMA_TOPIC),
    later("envelope.openlineage.integration.<name>"),
    no("envelope.internal.<name>", "it is internal to Debezium"),
    // Transforms.
    later("envelope.unwrap.route.by.field"),
    no(
        "envelope.unwrap.drop.fields.from.key",
        "a key without the columns that an update left alone would be another row's",
    ),
    later("envelope.transforms"),
    later("envelope.transforms.<name>"),
    later("envelope.predicates"),
    later("envelope.predicates.<name>"),
    no(
        "topics.route.logical.table.cache.size",
        "topic names are made once for each table",
    ),
    later("topics.route.schema.name.adjustment.mode"),
    no(
        "outbox.table.json.payload.empty.array.behavior",
        "an empty array of an expanded payload stays one",
    ),
    no(
        "outbox.tracing.operation.name",
        "walferry makes no spans; tracing.span.context.field hands the context on in headers",
    ),
    no(
        "outbox.tracing.with.context.field.only",
        "walferry makes no spans; tracing.span.context.field hands the context on in headers",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_any_text() {
        for (path, expected) in [
            ("envelope.post.processors.first", true),
            ("outbox.tracing.operation.name", true),
            ("outbox.table.json.payload.empty.array.behavior", true),
            ("outbox.tabel", false),
            ("envelope.plugin.names", false),
        ] {
            assert_eq!(find(path).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn no_option_is_both_read_and_refused() {
        for key in super::super::keys::all() {
            assert!(find(key.path).is_none(), "{}", key.path);
        }
    }
}
