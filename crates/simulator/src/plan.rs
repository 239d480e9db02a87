//! What a seed decides beforehand: how the world is, and what will go wrong in it, and when.

use std::time::Duration;

use relay::Limits;

use crate::broker::Pace;
use crate::random::Random;
use crate::workload::Habits;

/// From here on nothing happens any more, and nothing is broken.
pub(crate) const QUIET_AT: Duration = Duration::from_secs(10);

/// A seed's world.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How its transactions look.
    pub(crate) habits: Habits,
    /// How fast its Kafka is.
    pub(crate) pace: Pace,
    /// walferry's caps.
    pub(crate) limits: Limits,
    /// CopyData bodies that the sockets hold.
    pub(crate) socket: usize,
    /// Microseconds from one end of the socket to the other.
    pub(crate) wire: std::ops::Range<u64>,
    /// Microseconds from one happening in the database to the next.
    pub(crate) happenings: std::ops::Range<u64>,
    /// Whether a start asks for its own position, or for the slot's (0/0).
    pub(crate) asks_for_its_position: bool,
    /// What goes wrong, and when.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// How the world ends.
    pub(crate) farewell: Farewell,
}

/// Something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9 of walferry.
    Kill,
    /// SIGTERM of walferry; it comes back.
    Terminate,
    /// The replication connection is reset.
    Cut,
    /// The replication connection takes and gives nothing any more, and says nothing.
    BlackHole,
    /// The server crashes: its slot may step back.
    ServerCrash,
    /// `pg_ctl stop -m fast`: it waits for walferry.
    ServerStop,
    /// Kafka does not answer for a while.
    KafkaAway(Duration),
    /// Kafka refuses a record.
    Refusal,
}

/// How the world ends, once it is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// SIGTERM.
    Terminate,
    /// The server is stopped first.
    ServerStop,
    /// walferry was to run until the end of the log.
    Until,
}

impl Plan {
    /// The seed's plan.
    pub(crate) fn new(random: &mut Random) -> Plan {
        let slow = random.percent(25);
        let fast = random.within(100..4000);
        let large = random.within(60..400);
        let records = if random.percent(50) {
            random.within(3..40)
        } else {
            5000
        };
        let bytes = if random.percent(30) {
            random.within(3000..30_000)
        } else {
            10_000_000
        };
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let socket = size(if random.percent(50) {
            random.within(2..20)
        } else {
            1000
        });
        Plan {
            habits: Habits {
                ids: random.within(2..60),
                large_percent: random.within(0..5),
                large,
                messages: random.percent(40),
            },
            pace: Pace {
                micros: if slow {
                    20_000..120_000
                } else {
                    fast / 4..fast + 1
                },
                partitions: random.within(1..4),
            },
            limits: Limits {
                in_flight_records: size(records),
                in_flight_bytes: size(bytes),
                // In a fifth of the worlds a large row may be refused.
                surely_taken_bytes: match random.percent(20) {
                    true => size(random.within(800..3000)),
                    false => usize::MAX,
                },
            },
            socket,
            wire: 20..random.within(50..3000),
            happenings: 8000..random.within(30_000..500_000),
            asks_for_its_position: random.percent(50),
            faults: faults(random),
            farewell: match random.within(0..3) {
                0 => Farewell::Terminate,
                1 => Farewell::ServerStop,
                _ => Farewell::Until,
            },
        }
    }
}

fn faults(random: &mut Random) -> Vec<(Duration, Fault)> {
    // A tenth of the worlds is sound: faults can hide what is wrong without them.
    let count = if random.percent(10) {
        0
    } else {
        random.within(1..12)
    };
    let fault = |random: &mut Random| match random.within(0..100) {
        0..28 => Fault::Kill,
        28..35 => Fault::Terminate,
        35..50 => Fault::Cut,
        50..60 => Fault::BlackHole,
        60..70 => Fault::ServerCrash,
        70..78 => Fault::ServerStop,
        78..92 => Fault::KafkaAway(random.millis(5..4000)),
        _ => Fault::Refusal,
    };
    let when = 0..u64::try_from(QUIET_AT.as_micros()).unwrap_or(u64::MAX);
    let mut faults = Vec::new();
    for _ in 0..count {
        let (at, fault) = (random.micros(when.clone()), fault(random));
        faults.push((at, fault));
        if fault == Fault::ServerStop && random.percent(50) {
            // The server waits for what Kafka cannot acknowledge.
            let earlier = at.saturating_sub(random.millis(0..500));
            faults.push((earlier, Fault::KafkaAway(random.millis(4000..9000))));
        }
    }
    faults
}
