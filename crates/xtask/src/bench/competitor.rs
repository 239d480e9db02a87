//! Who takes part in a benchmark, and how each is set up.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;

use super::load::Load;
use super::snapshot::Tables;
use super::ways::Way;

/// A program, as `--only` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Program {
    /// Postgres' own reader, thrown away on arrival: the server's speed limit as it is usually
    /// read.
    #[value(name = "pg_recvlogical")]
    PgRecvlogical,
    /// Debezium in Kafka Connect standalone, tuned for throughput.
    #[value(name = "debezium")]
    Debezium,
    /// This project.
    #[value(name = "walferry")]
    Walferry,
}

/// The way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Socket {
    /// A unix socket.
    Unix,
    /// TCP over the loopback interface.
    Tcp,
}

/// One row of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Competitor {
    /// What runs.
    pub(super) program: Program,
    /// How it reaches Postgres.
    pub(super) socket: Socket,
}

impl Competitor {
    /// All, in the order in which they run.
    pub(super) const ALL: [Self; 5] = [
        Self {
            program: Program::PgRecvlogical,
            socket: Socket::Unix,
        },
        Self {
            program: Program::PgRecvlogical,
            socket: Socket::Tcp,
        },
        Self {
            program: Program::Debezium,
            socket: Socket::Tcp,
        },
        Self {
            program: Program::Walferry,
            socket: Socket::Unix,
        },
        Self {
            program: Program::Walferry,
            socket: Socket::Tcp,
        },
    ];

    /// A name that slots and topic prefixes allow: small letters, digits, underscores.
    #[must_use]
    pub(super) fn id(self) -> &'static str {
        match (self.program, self.socket) {
            (Program::PgRecvlogical, Socket::Unix) => "pg_recvlogical_unix",
            (Program::PgRecvlogical, Socket::Tcp) => "pg_recvlogical_tcp",
            (Program::Debezium, _) => "debezium",
            (Program::Walferry, Socket::Unix) => "walferry_unix",
            (Program::Walferry, Socket::Tcp) => "walferry_tcp",
        }
    }

    /// Its slot for the backlog or the latency run (`phase`).
    #[must_use]
    pub(super) fn slot(self, phase: Phase) -> String {
        format!("bench_{}_{phase}", self.id())
    }

    /// The prefix of its topics; in Debezium's words `topic.prefix`.
    #[must_use]
    pub(super) fn topic_prefix(self, phase: Phase) -> String {
        format!("{}_{phase}", self.id())
    }

    /// Whether what it reads ends in Kafka.
    #[must_use]
    pub(super) fn publishes(self) -> bool {
        self.program != Program::PgRecvlogical
    }
}

impl fmt::Display for Competitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.program, self.socket) {
            (Program::PgRecvlogical, Socket::Unix) => "pg_recvlogical, unix socket",
            (Program::PgRecvlogical, Socket::Tcp) => "pg_recvlogical, TCP",
            (Program::Debezium, _) => "Debezium, tuned, TCP",
            (Program::Walferry, Socket::Unix) => "walferry, unix socket",
            (Program::Walferry, Socket::Tcp) => "walferry, TCP",
        })
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A backlog that waits in the slot, as fast as possible.
    Drain {
        /// Of this.
        load: Load,
        /// Counts from 1.
        run: u32,
    },
    /// Tables that are there, as fast as possible.
    Snapshot {
        /// These.
        tables: Tables,
        /// Counts from 1.
        run: u32,
    },
    /// One way of agreeing.
    Ways {
        /// This.
        way: Way,
    },
    /// Single-row transactions at a steady rate.
    Latency {
        /// Counts from 1.
        run: u32,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain { load, run } => write!(f, "drain_{}_{run}", load.name()),
            Self::Snapshot { tables, run } => {
                let tables = format!("{tables:?}").to_lowercase();
                write!(f, "snapshot_{tables}_{run}")
            }
            Self::Ways { way } => write!(f, "ways_{}", way.id()),
            Self::Latency { run } => write!(f, "latency_{run}"),
        }
    }
}

impl Phase {
    /// The table that is read, as a pattern both sides understand; none of an outbox.
    fn table(self) -> &'static str {
        match self {
            Self::Drain { load, .. } => load.name(),
            Self::Latency { .. } | Self::Ways { .. } => Load::Users.name(),
            Self::Snapshot { tables, .. } => match tables {
                Tables::Users => Load::Users.name(),
                Tables::Mixed => Load::Mixed.name(),
                Tables::Many => "many_.*",
            },
        }
    }

    /// Events of an outbox.
    fn outbox(self) -> Option<Load> {
        match self {
            Self::Drain { load, .. } if load.is_routed() => Some(load),
            _ => None,
        }
    }

    /// Whether the server is asked for logical messages.
    #[must_use]
    pub(super) fn has_messages(self) -> bool {
        self.outbox() == Some(Load::Messages)
    }

    /// The name of its one topic, behind the prefix.
    #[must_use]
    pub(super) fn topic(self) -> String {
        match self {
            _ if self.outbox().is_some() => "bench".to_owned(),
            Self::Ways { way } => way.topic().to_owned(),
            Self::Snapshot {
                tables: Tables::Many,
                ..
            } => "public.many".to_owned(),
            _ => format!("public.{}", self.table()),
        }
    }

    fn snapshot_mode(self) -> &'static str {
        match self {
            Self::Snapshot { .. } => "initial",
            Self::Drain { .. } | Self::Latency { .. } | Self::Ways { .. } => "no_data",
        }
    }
}

/// Where the servers of a benchmark are.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Directory of Postgres' unix socket.
    pub(super) socket_dir: PathBuf,
    /// Its port, also part of the socket's name.
    pub(super) postgres_port: u16,
    /// A superuser that needs no password here.
    pub(super) user: &'static str,
    /// Where the table is.
    pub(super) database: &'static str,
    /// The broker.
    pub(super) bootstrap_servers: String,
}

/// The publication all of them read.
pub(super) const PUBLICATION: &str = "bench";

/// The contract's YAML for one run: nothing in it is tuned for the benchmark.
#[must_use]
pub(super) fn walferry_yaml(who: Competitor, phase: Phase, at: &Addresses) -> String {
    let Addresses {
        socket_dir,
        postgres_port,
        user,
        database,
        bootstrap_servers,
    } = at;
    let socket_dir = socket_dir.display();
    let url = match who.socket {
        Socket::Tcp => format!("postgresql://{user}@127.0.0.1:{postgres_port}/{database}"),
        Socket::Unix => {
            format!("postgresql://{user}@/{database}?host={socket_dir}&port={postgres_port}")
        }
    };
    let slot = who.slot(phase);
    let prefix = who.topic_prefix(phase);
    let source = match phase.outbox() {
        Some(Load::Messages) => routed("message.prefix: messages", &prefix),
        Some(_) => routed("table: public.outbox", &prefix),
        None => format!("tables:\n  include: [ '/public[.]{}/' ]", phase.table()),
    };
    let source = match phase {
        Phase::Ways { way } => by_way(way, &prefix),
        _ => source,
    };
    let mode = phase.snapshot_mode();
    let route = match phase {
        Phase::Snapshot {
            tables: Tables::Many,
            ..
        } => "\n  route.topic.regex: '(.*)many_.*'\n  route.topic.replacement: $1many",
        _ => "",
    };
    format!(
        "name: {slot}\n\
         postgres:\n  url: {url}\n  slot: {slot}\n  publication: {PUBLICATION}\n\
         kafka:\n  bootstrap.servers: {bootstrap_servers}\n  compression.type: lz4\n\
         topics:\n  prefix: {prefix}\n  partitions: 1{route}\n\
         {source}\n\
         snapshot:\n  snapshot.mode: {mode}\n\
         admin:\n  listen: \"off\"\n"
    )
}

fn by_way(way: Way, prefix: &str) -> String {
    match way.source().strip_prefix("outbox:\n  ") {
        Some(outbox) => routed(outbox, prefix),
        None => way.source().to_owned(),
    }
}

/// An outbox whose payloads are written as they are, as a service would have it.
fn routed(source: &str, prefix: &str) -> String {
    format!(
        "outbox:\n  {source}\n  route.topic.replacement: \"{prefix}.${{routedByValue}}\"\n  \
         value.converter: string\n  key.converter: string"
    )
}

/// The connector's properties; the tuning is what reached most on this workload (batches, queue and
/// poll interval of the connector, then the producer's compression, linger and batch).
#[must_use]
pub(super) fn debezium_properties(
    who: Competitor,
    phase: Phase,
    at: &Addresses,
) -> Vec<(String, String)> {
    let port = at.postgres_port.to_string();
    let slot = who.slot(phase);
    let prefix = who.topic_prefix(phase);
    let table = format!("public[.]{}", phase.table());
    let replacement = format!("{prefix}.${{routedByValue}}");
    let router = [
        ("transforms", "outbox"),
        (
            "transforms.outbox.type",
            "io.debezium.transforms.outbox.EventRouter",
        ),
        ("transforms.outbox.route.topic.replacement", &replacement),
        (
            "key.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
        (
            "value.converter",
            "org.apache.kafka.connect.storage.StringConverter",
        ),
    ];
    let by_table = [
        ("transforms", "route"),
        (
            "transforms.route.type",
            "io.debezium.transforms.ByLogicalTableRouter",
        ),
        ("transforms.route.topic.regex", "(.*)many_.*"),
        ("transforms.route.topic.replacement", "$1many"),
    ];
    let transforms: &[(&str, &str)] = match phase {
        Phase::Snapshot {
            tables: Tables::Many,
            ..
        } => &by_table,
        _ if phase.outbox().is_some() => &router,
        _ => &[],
    };
    [
        ("name", slot.as_str()),
        (
            "connector.class",
            "io.debezium.connector.postgresql.PostgresConnector",
        ),
        ("tasks.max", "1"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", "127.0.0.1"),
        ("database.port", &port),
        ("database.user", at.user),
        ("database.dbname", at.database),
        ("topic.prefix", &prefix),
        ("slot.name", &slot),
        ("publication.name", PUBLICATION),
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", phase.snapshot_mode()),
        ("table.include.list", &table),
        ("max.batch.size", "8192"),
        ("max.queue.size", "32768"),
        ("poll.interval.ms", "10"),
        ("producer.override.compression.type", "lz4"),
        ("producer.override.linger.ms", "20"),
        ("producer.override.batch.size", "524288"),
    ]
    .into_iter()
    .chain(transforms.iter().copied())
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
