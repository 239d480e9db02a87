//! The named ways in which walferry stops and waits for its operator.
//!
//! A halt is never retried: going on would lose or invent changes, or cannot succeed until
//! somebody changes something. Nothing is skipped and the slot is left where it is. Whether an
//! error is a halt or worth another try is decided by `supervisor.rs`; this file only says what
//! each halt means and what the operator can choose.

use std::fmt;

/// Why walferry stopped. The code and the exit code of each are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Halt {
    /// The server has removed WAL the slot still needed, or has invalidated the slot.
    SlotLost,
    /// The progress topic knows this slot, but the server's slot is a younger one or is gone.
    SlotRecreated,
    /// The progress belongs to another database cluster.
    SystemChanged,
    /// The server is on another timeline than the progress: a failover or a restore.
    TimelineChanged,
    /// The slot was confirmed beyond what the progress topic says was published.
    SlotAhead,
    /// Another session is reading the slot.
    SlotInUse,
    /// The slot does not exist and walferry may not create it, or it is not a `pgoutput` slot of
    /// this database.
    SlotUnusable,
    /// The progress record was written by a newer walferry.
    ProgressNewer,
    /// The progress record cannot be read, or its topic is not what it must be.
    ProgressUnreadable,
    /// The publication is missing or was dropped.
    PublicationMissing,
    /// A table's replica identity does not let the change be published with its key.
    IdentityMissing,
    /// Kafka refused a record for its size.
    RecordTooLarge,
    /// Kafka refused a record for another reason that a retry will not mend.
    RecordRefused,
    /// A value cannot be said in the form the configuration asks for.
    ValueUnrepresentable,
    /// Postgres or Kafka did not accept the credentials.
    Authentication,
    /// The credentials are good but lack a right.
    Authorization,
    /// A topic is missing and walferry may not create it, or its settings lose events.
    TopicUnusable,
    /// The server broke the replication protocol.
    ProtocolViolation,
    /// The server cannot serve logical replication as it is: version, `wal_level`.
    ServerUnsuitable,
    /// Another instance of this connector took over (its producer fenced this one).
    Fenced,
    /// The server refuses to read a table's rows for the first copy.
    CopyRefused,
    /// The server cannot read a change out of its WAL, however often it is asked.
    StreamRefused,
    /// The slot has `two_phase` on and stands behind a PREPARE whose transaction is committed now.
    PreparedGone,
}

impl Halt {
    /// Every halt, in the order of its exit code.
    pub fn all() -> impl Iterator<Item = Self> {
        LINES.iter().map(|line| line.halt)
    }

    /// The stable name: `SLOT_LOST`.
    pub fn code(self) -> &'static str {
        self.line().code
    }

    /// The process' exit code.
    pub fn exit_code(self) -> u8 {
        self.line().exit_code
    }

    /// What happened, in one line.
    pub fn title(self) -> &'static str {
        self.line().title
    }

    /// What the operator can choose; each is one way out, the gentlest first.
    pub fn choices(self) -> &'static [&'static str] {
        self.line().choices
    }

    /// The table below is in the order of the variants; a test holds it so.
    fn line(self) -> &'static Line {
        &LINES[self as usize]
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A halt with what was seen: names and positions, never row values or secrets.
///
/// Its `Display` is the whole message for the operator, on several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// Which halt.
    pub halt: Halt,
    /// What was seen, in one line: slot, table, topic, LSN.
    pub seen: String,
}

impl Halted {
    /// A halt with what was seen.
    pub fn new(halt: Halt, seen: impl Into<String>) -> Self {
        Self {
            halt,
            seen: seen.into(),
        }
    }
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}\n  {}",
            self.halt.code(),
            self.halt.title(),
            self.seen
        )?;
        for choice in self.halt.choices() {
            write!(f, "\n  - {choice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Halted {}

/// What the documentation says about one halt.
struct Line {
    halt: Halt,
    code: &'static str,
    exit_code: u8,
    title: &'static str,
    choices: &'static [&'static str],
}

static LINES: [Line; 23] = [
    Line {
        halt: Halt::SlotLost,
        code: "SLOT_LOST",
        exit_code: 10,
        title: "the server no longer holds the WAL that this slot still needed",
        choices: &[
            "start anew: drop the slot, choose a new name under postgres.slot, and run \
                     with snapshot.mode: initial; the tables' present rows are published, the \
                     changes in between are not",
            "accept the gap: as above with snapshot.mode: no_data",
            "before that: raise max_slot_wal_keep_size (and on Postgres 18 \
                     idle_replication_slot_timeout) so that it does not happen again",
        ],
    },
    Line {
        halt: Halt::SlotRecreated,
        code: "SLOT_RECREATED",
        exit_code: 11,
        title: "progress is stored for this slot, but the slot is gone or is a younger one",
        choices: &[
            "if the old slot still exists under another name: set postgres.slot to it",
            "start anew under a new postgres.slot with snapshot.mode: initial; changes \
                     made while no slot existed are not in the WAL any more",
        ],
    },
    Line {
        halt: Halt::SystemChanged,
        code: "SYSTEM_CHANGED",
        exit_code: 12,
        title: "the stored progress belongs to another database cluster",
        choices: &[
            "if postgres.url is wrong: mend it",
            "if this is a new cluster on purpose (pg_upgrade, dump and restore): choose a \
                     new postgres.slot and topics.progress, with snapshot.mode: initial to \
                     publish its rows",
        ],
    },
    Line {
        halt: Halt::TimelineChanged,
        code: "TIMELINE_CHANGED",
        exit_code: 13,
        title: "the server is on another timeline than the stored progress: it was promoted or \
                 restored, and changes already published may no longer be in the database",
        choices: &[
            "after a failover to a standby that had replayed everything and carries the \
                     slot: compare the positions printed above, then start anew under a new \
                     postgres.slot with snapshot.mode: initial",
            "after a restore to an earlier point: as above; consumers have seen changes \
                     that the database has not",
        ],
    },
    Line {
        halt: Halt::SlotAhead,
        code: "SLOT_AHEAD",
        exit_code: 14,
        title: "the slot is confirmed beyond the stored progress: changes in between were given \
                 to somebody else, or the progress topic lost its newest record",
        choices: &[
            "if another program read this slot: give each its own slot",
            "start anew under a new postgres.slot with snapshot.mode: initial",
        ],
    },
    Line {
        halt: Halt::SlotInUse,
        code: "SLOT_IN_USE",
        exit_code: 15,
        title: "another session is reading this slot",
        choices: &[
            "if that is another walferry: stop it, or let it be the one that runs",
            "if it is a connection left behind: the server ends it after \
                     wal_sender_timeout, or end it with SELECT pg_terminate_backend(pid)",
        ],
    },
    Line {
        halt: Halt::SlotUnusable,
        code: "SLOT_UNUSABLE",
        exit_code: 16,
        title: "the slot does not exist and may not be created, or is not a pgoutput slot of \
                 this database",
        choices: &[
            "create it: SELECT pg_create_logical_replication_slot('slot', 'pgoutput')",
            "allow it: postgres.create: auto",
            "point postgres.slot to the right one",
        ],
    },
    Line {
        halt: Halt::ProgressNewer,
        code: "PROGRESS_NEWER",
        exit_code: 17,
        title: "the progress was written by a newer walferry",
        choices: &["run that version or a newer one"],
    },
    Line {
        halt: Halt::ProgressUnreadable,
        code: "PROGRESS_UNREADABLE",
        exit_code: 18,
        title: "the progress topic cannot be read or does not hold what it must",
        choices: &[
            "mend the topic: one partition, cleanup.policy=compact",
            "if a stranger writes to it: choose another topics.progress and a new \
                     postgres.slot",
        ],
    },
    Line {
        halt: Halt::PublicationMissing,
        code: "PUBLICATION_MISSING",
        exit_code: 19,
        title: "the publication does not exist",
        choices: &[
            "create it again as `walferry check` prints it, then start: it goes on if no table \
                     was changed while it was missing",
            "if it ends with this again: the server cannot decode the changes made meanwhile; start \
                     anew under a new postgres.slot with snapshot.mode: initial, and keep \
                     postgres.publication",
            "point postgres.publication to the right one",
        ],
    },
    Line {
        halt: Halt::IdentityMissing,
        code: "IDENTITY_MISSING",
        exit_code: 20,
        title: "a table's replica identity does not carry the key",
        choices: &[
            "give the table a primary key, or ALTER TABLE ... REPLICA IDENTITY USING \
                     INDEX or FULL",
            "leave the table out with tables.exclude",
        ],
    },
    Line {
        halt: Halt::RecordTooLarge,
        code: "RECORD_TOO_LARGE",
        exit_code: 21,
        title: "a record is larger than its topic accepts; walferry stopped before it, and \
                 nothing after it was confirmed",
        choices: &[
            "raise max.message.bytes of the topic (and the broker's message.max.bytes, \
                     replica.fetch.max.bytes), then start again: it goes on with this record",
            "choose a stronger kafka.compression.type; the limit counts compressed bytes",
        ],
    },
    Line {
        halt: Halt::RecordRefused,
        code: "RECORD_REFUSED",
        exit_code: 22,
        title: "Kafka refused a record for a reason that trying again does not mend",
        choices: &["read the broker's reason above, mend it, start again: it goes on there"],
    },
    Line {
        halt: Halt::ValueUnrepresentable,
        code: "VALUE_UNREPRESENTABLE",
        exit_code: 23,
        title: "a value cannot be said in the form the configuration asks for",
        choices: &[
            "choose the handling mode named above, then start again: it goes on with \
                     this change",
            "leave the table out with tables.exclude",
        ],
    },
    Line {
        halt: Halt::Authentication,
        code: "AUTHENTICATION",
        exit_code: 24,
        title: "the credentials were not accepted",
        choices: &[
            "Postgres: mend the user in postgres.url, the password (postgres.password_file, \
                     PGPASSWORD, .pgpass), the certificate, or pg_hba.conf, then start again",
            "Kafka: mend sasl.username, sasl.password_file or the certificate under kafka",
        ],
    },
    Line {
        halt: Halt::Authorization,
        code: "AUTHORIZATION",
        exit_code: 25,
        title: "the credentials lack a right",
        choices: &["grant what `walferry check` prints, then start again"],
    },
    Line {
        halt: Halt::TopicUnusable,
        code: "TOPIC_UNUSABLE",
        exit_code: 26,
        title: "a topic does not exist and may not be made (again), or its settings lose events",
        choices: &[
            "create the topics as `walferry check` prints them",
            "allow it: topics.create: auto",
            "a topic was deleted: create it again, and changes go on from here without what it held; or \
             choose a new postgres.slot with snapshot.mode: initial, which publishes the rows that are there",
        ],
    },
    Line {
        halt: Halt::ProtocolViolation,
        code: "PROTOCOL_VIOLATION",
        exit_code: 27,
        title: "the server sent what the replication protocol does not allow",
        choices: &[
            "see whether a proxy stands in between: replication needs a direct connection",
            "report it with the message above, which holds no row data",
        ],
    },
    Line {
        halt: Halt::ServerUnsuitable,
        code: "SERVER_UNSUITABLE",
        exit_code: 28,
        title: "the server cannot serve logical replication as it is",
        choices: &["change what `walferry check` prints (wal_level needs a restart)"],
    },
    Line {
        halt: Halt::Fenced,
        code: "FENCED",
        exit_code: 29,
        title: "another instance of this connector took over",
        choices: &["run one instance for each slot"],
    },
    Line {
        halt: Halt::CopyRefused,
        code: "COPY_REFUSED",
        exit_code: 30,
        title: "a table's rows cannot be read for the first copy",
        choices: &[
            "mend what the server says above (a row filter of the publication, damaged \
                     data), then start again: the copy goes on behind what is noted as done",
            "leave the table out with tables.exclude",
            "give the copy up with snapshot.mode: no_data; changes alone are published",
        ],
    },
    Line {
        halt: Halt::StreamRefused,
        code: "STREAM_REFUSED",
        exit_code: 31,
        title: "the server fails to evaluate or convert a change in its WAL",
        choices: &[
            "see what the server says above: most often it is a row filter of the publication that fails \
             (a division by zero), or text that has no form in UTF-8",
            "the server uses the filter as it was at the time of the change, so mend the filter and start anew \
             under a new postgres.slot with snapshot.mode: initial",
        ],
    },
    Line {
        halt: Halt::PreparedGone,
        code: "PREPARED_GONE",
        exit_code: 32,
        title: "a prepared transaction was committed whose changes this slot has left behind",
        choices: &[
            "the slot has two_phase on, and was read by something else when the transaction was prepared; start \
             anew under a new postgres.slot with snapshot.mode: initial",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_halt_has_its_own_code_and_a_way_out() {
        let mut codes = std::collections::BTreeSet::new();
        for (index, halt) in Halt::all().enumerate() {
            assert_eq!(
                halt as usize, index,
                "LINES is not in the order of the variants"
            );
            assert!(codes.insert(halt.code()), "{halt} twice");
            assert!(halt.exit_code() >= 10);
            assert!(
                !halt.choices().is_empty(),
                "{halt} leaves the operator alone"
            );
            // `SlotLost` is said as SLOT_LOST: the match arms cannot be swapped unnoticed.
            let words: String = halt
                .code()
                .split('_')
                .map(|word| word[..1].to_owned() + &word[1..].to_lowercase())
                .collect();
            assert_eq!(words, format!("{halt:?}"));
        }
    }

    #[test]
    fn a_halt_prints_its_code_first() {
        let halted = Halted::new(
            Halt::SlotInUse,
            "slot walferry_shop is read by process 4711",
        );
        expect_test::expect![[r#"
            SLOT_IN_USE: another session is reading this slot
              slot walferry_shop is read by process 4711
              - if that is another walferry: stop it, or let it be the one that runs
              - if it is a connection left behind: the server ends it after wal_sender_timeout, or end it with SELECT pg_terminate_backend(pid)"#]]
        .assert_eq(&halted.to_string());
    }
}
