//! What is read and where it goes: the name, `postgres`, `topics`, `tables`, `snapshot`.

use super::{CREATE, Default, Key, Kind, SWITCH};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    Key {
        path: "name",
        kind: Kind::Text,
        default: Default::Required,
        doc: "The connector's name: letters, digits, `-`, `_` and `.`. Slot, publication and \
              progress are named after it unless said otherwise.",
    },
    Key {
        path: "postgres.url",
        kind: Kind::SecretText,
        default: Default::Required,
        doc: "libpq's connection URL or keyword string. Unix sockets: `?host=/var/run/postgresql`. \
              What it does not say comes from the `PG*` variables and `.pgpass`, as with psql.",
    },
    Key {
        path: "postgres.password",
        kind: Kind::Secret,
        default: Default::Unset,
        doc: "The password, instead of one in the URL. Better by `postgres.password_file` or \
              `postgres.password_command`, which are read anew at each connect.",
    },
    Key {
        path: "postgres.slot",
        kind: Kind::Text,
        default: Default::From("`walferry_` and the name"),
        doc: "The replication slot: lower-case letters, digits and `_`, up to 63.",
    },
    Key {
        path: "postgres.publication",
        kind: Kind::Text,
        default: Default::From("the slot's name"),
        doc: "The publication.",
    },
    Key {
        path: "postgres.create",
        kind: CREATE,
        default: Default::Is("auto"),
        doc: "Whether walferry creates a missing slot and publication, and adds newly matching \
              tables to its publication. It never re-creates a slot for which progress exists.",
    },
    Key {
        path: "postgres.reconnect.backoff.min",
        kind: Kind::Duration {
            min_ms: 10,
            max_ms: 60_000,
        },
        default: Default::Is("100ms"),
        doc: "The wait before the first try to connect again; it doubles from there.",
    },
    Key {
        path: "postgres.reconnect.backoff.max",
        kind: Kind::Duration {
            min_ms: 10,
            max_ms: 600_000,
        },
        default: Default::Is("1s"),
        doc: "The longest wait between two tries.",
    },
    Key {
        path: "postgres.prepared.transaction.age",
        kind: Kind::Duration {
            min_ms: 1_000,
            max_ms: 30 * 86_400_000,
        },
        default: Default::Is("1h"),
        doc: "From which age on a prepared transaction counts as forgotten: `check` and the log name it, \
              with the statements that end it.",
    },
    Key {
        path: "topics.prefix",
        kind: Kind::Text,
        default: Default::From("the name"),
        doc: "First part of every topic: `<prefix>.<schema>.<table>` (Debezium's `topic.prefix`).",
    },
    Key {
        path: "topics.create",
        kind: CREATE,
        default: Default::Is("auto"),
        doc: "Whether walferry creates missing topics.",
    },
    Key {
        path: "topics.partitions",
        kind: Kind::Count {
            min: 1,
            max: 10_000,
        },
        default: Default::Is("1"),
        doc: "Partitions of the topics that walferry creates. Order holds by key.",
    },
    Key {
        path: "topics.replication.factor",
        kind: Kind::Count { min: -1, max: 100 },
        default: Default::Is("-1"),
        doc: "Replicas of the topics that walferry creates; -1 is the broker's default.",
    },
    Key {
        path: "topics.progress",
        kind: Kind::Text,
        default: Default::From("`walferry.progress.` and the slot"),
        doc: "The topic that remembers what was published: one partition, compacted.",
    },
    Key {
        path: "topics.route.topic.regex",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Tables whose topic's name this expression matches as a whole go to another topic, as \
              with ByLogicalTableRouter: several tables in one, or one under another name.",
    },
    Key {
        path: "topics.route.topic.replacement",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "That topic's name; `$1` and `${name}` are the expression's groups.",
    },
    Key {
        path: "topics.route.key.enforce.uniqueness",
        kind: SWITCH,
        default: Default::Is("true"),
        doc: "Whether keys get a field that tells rows of different tables apart.",
    },
    Key {
        path: "topics.route.key.field.name",
        kind: Kind::Text,
        default: Default::Is(envelope::Route::KEY_FIELD),
        doc: "Name of that field. It holds the name of the topic that the table would have had.",
    },
    Key {
        path: "topics.route.key.field.regex",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "Makes something else of that name, where it matches as a whole.",
    },
    Key {
        path: "topics.route.key.field.replacement",
        kind: Kind::Text,
        default: Default::Unset,
        doc: "What it then becomes.",
    },
    Key {
        path: "topics.partition.partition.payload.fields",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Fields whose hashes choose the partition, as with PartitionRouting: `change.COLUMN` \
              (of the row as it is, or as it was before a delete), `before.COLUMN`, `after.COLUMN`, \
              `op`, `source.table`, … ([filters](filters.md)).",
    },
    Key {
        path: "topics.partition.partition.topic.num",
        kind: Kind::Count {
            min: 1,
            max: 100_000,
        },
        default: Default::Unset,
        doc: "The partitions that they choose among, from the first.",
    },
    Key {
        path: "topics.partition.partition.hash.function",
        kind: Kind::Word {
            known: &["java", "murmur"],
            not_yet: &[],
        },
        default: Default::Is("java"),
        doc: "How they are hashed.",
    },
    Key {
        path: "tables.include",
        kind: Kind::List,
        default: Default::Required,
        doc: "The captured tables: `schema.table` with `*` and `?`, or a `/regular expression/` \
              of the whole name. A part in double quotes is literal. An item may be a mapping: \
              `{ name: public.orders, where: total > 0, columns: [ id, total ] }`; only these rows \
              and columns are published ([filters](filters.md)). `tables: [ … ]` is short for it.",
    },
    Key {
        path: "tables.exclude",
        kind: Kind::List,
        default: Default::Is(""),
        doc: "Tables to leave out; wins over `tables.include`.",
    },
    Key {
        path: "tables.new",
        kind: Kind::Word {
            known: &["snapshot", "stream", "ignore"],
            not_yet: &[],
        },
        default: Default::Is("snapshot"),
        doc: "What becomes of a table that begins to match while walferry runs: it is added to the publication and \
              its rows are published beside the stream; it is added, and changes follow from then on; \
              or the log tells of it, and so does each start after the first. With `postgres.create: never` it is the last while \
              walferry runs.",
    },
    Key {
        path: "snapshot.snapshot.mode",
        kind: Kind::Word {
            known: &[
                "initial",
                "always",
                "initial_only",
                "no_data",
                "when_needed",
                "configuration_based",
            ],
            not_yet: &[],
        },
        default: Default::Is("initial"),
        doc: "When rows that are there are published: at the first start; at each start of the process; at the first start, and that is all; never; at the first start and when the slot is lost, which is made anew then; or by the next two.",
    },
    Key {
        path: "snapshot.snapshot.mode.configuration.based.snapshot.data",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "With `configuration_based`: whether rows that are there are published.",
    },
    Key {
        path: "snapshot.snapshot.mode.configuration.based.start.stream",
        kind: SWITCH,
        default: Default::Is("false"),
        doc: "With `configuration_based`: whether changes are.",
    },
    Key {
        path: "snapshot.snapshot.max.threads",
        kind: Kind::Count { min: 1, max: 32 },
        default: Default::Unset,
        doc: "How many connections read rows at once, also of one table. Without it: by cores and the tables' size, up to 8.",
    },
    Key {
        path: "snapshot.snapshot.include.collection.list",
        kind: Kind::List,
        default: Default::Unset,
        doc: "Expressions for `schema.table`: only these tables' rows are published first; of the others, changes alone.",
    },
    Key {
        path: "snapshot.snapshot.tables.order.by.row.count",
        kind: Kind::Word {
            known: &["disabled", "ascending", "descending"],
            not_yet: &[],
        },
        default: Default::Is("disabled"),
        doc: "Whether the smallest or the largest tables come first; otherwise by name. Counts are the server's estimates.",
    },
    Key {
        path: "snapshot.snapshot.select.statement.overrides",
        kind: Kind::List,
        default: Default::Unset,
        doc: "Tables (`schema.table`) whose rows are read by a statement of your own, at `snapshot.select.statement.overrides.<schema.table>`. It has the table's columns, by name; such a table is read in one piece.",
    },
    Key {
        path: "snapshot.snapshot.lock.timeout.ms",
        kind: Kind::Count {
            min: 1,
            max: 3_600_000,
        },
        default: Default::Is("10000"),
        doc: "How long a table's lock (`ACCESS SHARE`) is waited for, in milliseconds: who comes behind waits as long.",
    },
    Key {
        path: "snapshot.from",
        kind: Kind::SecretText,
        default: Default::Unset,
        doc: "Where rows that are there are read, as `postgres.url`: a physical standby of that server, Postgres 16 or later. Its password is that of `postgres.password`, unless that is not set.",
    },
    Key {
        path: "snapshot.wal.max.bytes",
        kind: Kind::Bytes {
            min: 1 << 20,
            max: 1 << 50,
        },
        default: Default::Unset,
        doc: "How much WAL the server may keep for the slot while rows that are there are read: then the reading pauses, and the stream goes on until the server has let go of it. Without it: half of what `max_slot_wal_keep_size` allows, where that is set.",
    },
    Key {
        path: "snapshot.incremental.snapshot.chunk.size",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Default::Is("8192"),
        doc: "The most rows of a chunk, when rows are published beside the stream. Chunks of wide rows are smaller: about 1 MiB.",
    },
];
