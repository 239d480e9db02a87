//! Reads a slot's backlog and publishes nothing: events/s, reads, and CPU of the reading alone.
//! For comparing ways of reading with `pg_recvlogical -f /dev/null` on the same slot; confirms
//! nothing, so that it can be run again.
//!
//! `cargo run --release -p walferry --example drain -- 'host=/tmp user=…' SLOT PUBLICATION`
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::{Duration, Instant};

use connector::postgres::{Conninfo, PostgresError, ReplicationSession};
use pgoutput::{Lsn, Message, ServerMessage};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [conninfo, slot, publication] = arguments.as_slice() else {
        println!("usage: drain CONNINFO SLOT PUBLICATION");
        return;
    };
    if let Err(error) = drain(conninfo, slot, publication).await {
        println!("{error}");
    }
}

async fn drain(conninfo: &str, slot: &str, publication: &str) -> Result<(), PostgresError> {
    let conninfo = match Conninfo::parse(conninfo, &|name| std::env::var(name).ok()) {
        Ok(conninfo) => conninfo,
        Err(error) => {
            println!("{error}");
            return Ok(());
        }
    };
    let mut session = ReplicationSession::connect(&conninfo).await?;
    let head = session.identify_system().await?.wal_position;
    let started = Instant::now();
    let mut stream = session
        .start_replication(slot, publication, Lsn::ZERO)
        .await?;
    let (mut events, mut bytes, mut position) = (0_u64, 0_u64, Lsn::ZERO);
    let mut latest = started;
    while position < head {
        stream.readable().await?;
        bytes += stream.fill()? as u64;
        while let Some(payload) = stream.next_payload()? {
            match ServerMessage::decode(payload) {
                Ok(ServerMessage::WalData { payload, .. }) => match Message::decode(payload) {
                    Ok(Message::Commit(commit)) => {
                        position = commit.end_lsn.0;
                        latest = Instant::now();
                    }
                    Ok(Message::Insert(_) | Message::Update(_) | Message::Delete(_)) => events += 1,
                    _ => {}
                },
                Ok(ServerMessage::Keepalive { wal_end, .. }) => position = position.max(wal_end.0),
                Err(error) => println!("{error}"),
            }
        }
    }
    report(events, bytes, stream.reads(), latest - started);
    stream.finish().await
}

/// CPU time as `/proc/self/stat` tells it, in hundredths of a second.
fn report(events: u64, bytes: u64, reads: u64, took: Duration) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: f64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (count, reads_f) = (events.max(1) as f64, reads.max(1) as f64);
    println!(
        "{events} events in {:.2} s: {:.0} events/s, {reads} reads of {:.0} bytes, \
         {:.2} us CPU an event",
        took.as_secs_f64(),
        count / took.as_secs_f64(),
        f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / reads_f,
        ticks * 10_000.0 / count,
    );
}
