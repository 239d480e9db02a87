//! `walferry snapshot` where nobody reads the slot says so, and ends at the first signal, with its stop written;
//! and it says what is the matter with a name, an id or a condition that means nothing.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use e2e::support::signals::SLOW;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, sql, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use xtask::servers::PostgresOptions;

use super::incremental::{counted_table, end, events, reads, wait_over};

const LIMIT: Duration = Duration::from_secs(30);

/// The command; it does not outlive a test that fails.
struct Asking(Child);

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, and what it says.
fn asking(config: &Config, arguments: &[&str]) -> (Asking, Lines<BufReader<ChildStderr>>) {
    let mut command = config.command("snapshot");
    let command = command.args(arguments).stderr(Stdio::piped());
    let mut child = command.spawn().expect("walferry snapshot");
    let said = BufReader::new(child.stderr.take().expect("its words"));
    (Asking(child), said.lines())
}

#[test]
fn the_first_signal_ends_it() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 30_000);
    let config = Config::new("alone", &postgres, kafka());
    let config = config.set("snapshot.incremental.snapshot.chunk.size", "50");
    end(config.start());
    let (mut child, mut said) = asking(&config, &["--table", "public.big", "--where", SLOW]);
    let line = said.next().expect("a line").expect("a text");
    assert!(line.starts_with("nobody reads slot"), "{line}");
    let line = said.next().expect("a line").expect("a text");
    let id = line.split_whitespace().find(|it| it.starts_with("cli-"));
    let id = id.expect("an id").to_owned();
    kill_process(Pid::from_child(&child.0), Signal::TERM).expect("it runs");
    let status = wait_for("its end", LIMIT, || child.0.try_wait().expect("a child"));
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    assert_eq!(status.code(), Some(7), "{rest:?}");
    assert!(rest[0].contains("asked to stop it"), "{rest:?}");
    assert!(rest[1].contains("nobody reads slot"), "{rest:?}");
    // The next walferry finds the stop behind the request.
    let mut walferry = config.start();
    let request = wait_over(&config, &mut walferry, &id);
    assert_eq!(request["state"], "stopped", "{request}");
    end(walferry);
    assert!(reads(&events(&config, "big")) < 30_000);
}

#[test]
fn what_means_nothing_is_said() {
    let postgres = postgres(PostgresOptions::default());
    counted_table(&postgres, 100);
    sql(
        &postgres,
        "CREATE VIEW seen AS SELECT * FROM big; CREATE MATERIALIZED VIEW kept AS SELECT * FROM big;
         CREATE TABLE signals (id text PRIMARY KEY, type text, data text);
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id);
         CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    );
    let config = Config::new("nothing", &postgres, kafka());
    let config = config.set("envelope.signal.data.collection", "public.signals");
    let walferry = config.start();
    let ask = |arguments: &[&str]| {
        let (mut child, said) = asking(&config, arguments);
        let said: Vec<String> = said.map_while(Result::ok).collect();
        let status = child.0.wait().expect("its end");
        (status.code(), said)
    };
    for (table, reason) in [
        ("public.seen", "is a view, which has no changes of its own"),
        ("public.kept", "is a materialized view"),
        ("public.signals", "is the signal table"),
        ("public.parts", "is partitioned"),
        ("public.none", "does not exist"),
        ("", "\"\" is no name"),
    ] {
        let (code, said) = ask(&["--table", table]);
        assert_eq!((code, said.len()), (Some(3), 1), "{said:?}");
        assert!(said[0].contains(reason), "{said:?}");
    }
    let (code, said) = ask(&["--table", "public.big", "--where", "note = 'a"]);
    assert_eq!(code, Some(3), "{said:?}");
    let last = said.last().expect("a line");
    assert!(last.contains("SNAPSHOT_TABLE_LEFT_OUT"), "{said:?}");
    let (code, said) = ask(&["--stop", "nosuch"]);
    assert_eq!(code, Some(0), "{said:?}");
    assert!(
        said[0].starts_with("no request nosuch is under way"),
        "{said:?}"
    );
    end(walferry);
    let (code, said) = ask(&["--pause"]);
    assert_eq!(code, Some(0), "{said:?}");
    assert!(said[0].starts_with("nobody reads slot"), "{said:?}");
    assert!(said[1].starts_with("no request is under way"), "{said:?}");
}
