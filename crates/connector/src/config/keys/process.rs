//! How the process behaves: `delivery`, `admin`, `limits`, `shutdown`.

use super::{Default, Key, Kind};

/// In the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    Key {
        path: "delivery",
        kind: Kind::Word {
            known: &["at-least-once"],
            not_yet: &["exactly-once"],
        },
        default: Default::Is("at-least-once"),
        doc: "The guarantee. A repeat after a crash carries the id it had.",
    },
    Key {
        path: "admin.listen",
        kind: Kind::Text,
        default: Default::Is(crate::config::admin::DEFAULT_LISTEN),
        doc: "Address of the page, `/metrics` and `/health`; or `off`. A taken port is an error \
              when this is set, a warning when it is not.",
    },
    Key {
        path: "limits.in.flight.records",
        kind: Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        default: Default::Is("30000"),
        doc: "The most records that Kafka has not acknowledged. Reading pauses there.",
    },
    Key {
        path: "limits.in.flight.bytes",
        kind: Kind::Bytes {
            min: 64 << 10,
            max: 1 << 30,
        },
        default: Default::Is("12MiB"),
        doc: "The most bytes of them. A single larger record still passes, alone.",
    },
    Key {
        path: "shutdown.timeout",
        kind: Kind::Duration {
            min_ms: 0,
            max_ms: 3_600_000,
        },
        default: Default::Is("25s"),
        doc: "How long SIGTERM and SIGINT wait for Kafka's acknowledgements. Below an \
              orchestrator's 30 s.",
    },
];
