//! `walferry snapshot` where nobody reads the slot says so, and ends at the first signal, with its stop written.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use e2e::support::signals::SLOW;
use e2e::support::walferry::Config;
use e2e::support::{kafka, postgres, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use xtask::servers::PostgresOptions;

use super::incremental::{counted_table, end, events, reads, wait_over};

const LIMIT: Duration = Duration::from_secs(30);

/// The command, and what it says.
fn asking(config: &Config, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut command = config.command("snapshot");
    let command = command.args(arguments).stderr(Stdio::piped());
    let mut child = command.spawn().expect("walferry snapshot");
    let said = BufReader::new(child.stderr.take().expect("its words"));
    (child, said.lines())
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
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let status = wait_for("its end", LIMIT, || child.try_wait().expect("a child"));
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
