//! The README's first command, as a user runs it: it says what it does, shows every event, sums up,
//! and leaves nothing behind, also when it is interrupted.

use std::collections::HashSet;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use e2e::support::topic::record_count;
use e2e::support::walferry::built;
use e2e::support::{kafka, wait_for};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use xtask::servers::process::{descendants, is_alive};

/// What the story makes without the busy hour.
const STORY: usize = 11;
const LIMIT: Duration = Duration::from_secs(30);

fn demo(arguments: &[&str]) -> Child {
    let mut command = Command::new(built("xtask"));
    command
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0); // a job of its own, as in a shell
    command.spawn().expect("xtask")
}

/// What it writes into, which is named after it.
fn directory(demo: &Child) -> PathBuf {
    env::temp_dir().join(format!("walferry-{}", demo.id()))
}

/// Its stdout by lines, and its stderr.
fn played(demo: Child) -> (Vec<String>, String) {
    let directory = directory(&demo);
    let Output {
        status,
        stdout,
        stderr,
    } = demo.wait_with_output().expect("its end");
    let said = String::from_utf8(stderr).expect("text");
    assert!(status.success(), "{status}:\n{said}");
    wait_for("its directory is gone", LIMIT, || {
        (!directory.exists()).then_some(())
    });
    let shown = String::from_utf8(stdout).expect("text");
    (shown.lines().map(str::to_owned).collect(), said)
}

#[test]
fn whole_records_in_a_pipe() {
    let (shown, said) = played(demo(&["--json", "--rows", "50"]));
    assert_eq!(shown.len(), STORY + 50);
    let records: Vec<Value> = shown
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let ids: HashSet<&str> = records
        .iter()
        .filter_map(|record| record["headers"]["walferry.id"].as_str())
        .collect();
    assert_eq!(ids.len(), records.len(), "each has an id of its own");
    assert_eq!(records[0]["topic"], "shop.public.users");
    assert_eq!(records[0]["key"]["id"], 1);
    assert_eq!(records[0]["value"]["after"]["name"], "Ada");
    let tombstones = records.iter().filter(|record| record["value"].is_null());
    assert_eq!(tombstones.count(), 1);
    assert!(
        !shown.iter().any(|line| line.contains("1000.00")),
        "what was rolled back is not published"
    );
    for part in [
        "Starting Postgres",
        "walferry run -c",
        "rolled back, and nothing is published",
        "events     61: every change, none twice",
        "rate       ",
        "latency    commit to consumer",
        "confirmed  0/",
        "exit code 0",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
}

#[test]
fn plain_lines_with_a_real_kafka() {
    let servers = kafka().bootstrap_servers();
    let (shown, said) = played(demo(&["--kafka", &servers, "--rows", "0"]));
    assert_eq!(shown.len(), STORY, "{shown:#?}");
    let squeezed: Vec<String> = shown
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(squeezed[0].starts_with("insert users id=1 name=Ada email=ada@example.com"));
    assert!(squeezed.contains(&"update orders id=1 status: new → paid".to_owned()));
    assert!(squeezed.contains(&"tombstone order_items order_id=1 position=2".to_owned()));
    let stay = "These topics stay in your Kafka: ";
    let topics = said.lines().find_map(|line| line.trim().strip_prefix(stay));
    let records: i64 = topics
        .unwrap_or_else(|| panic!("no {stay:?} in:\n{said}"))
        .split(", ")
        .map(|topic| record_count(&servers, topic))
        .sum();
    assert_eq!(usize::try_from(records), Ok(STORY));
    let all = shown.join("\n") + &said;
    assert!(!all.contains('\x1b'), "no colours in a pipe:\n{all}");
}

#[test]
fn a_kafka_that_is_not_there_is_said_in_one_sentence() {
    let demo = demo(&["--kafka", "127.0.0.1:1"]);
    let output = demo.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("xtask: no Kafka answers at 127.0.0.1:1: start it"),
        "{said}"
    );
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let mut demo = demo(&["--rows", "1000000"]);
    let directory = directory(&demo);
    let mut events = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    for _ in 0..STORY + 100 {
        events.next().expect("an event").expect("text");
    }
    // With the group Ctrl-C ends cargo and what it runs; servers lead groups of their own.
    let processes = descendants(demo.id());
    assert!(processes.len() > 3, "Postgres, walferry and their like");
    assert!(directory.exists());
    let group = i32::try_from(demo.id()).ok().and_then(Pid::from_raw);
    kill_process_group(group.expect("a group"), Signal::INT).expect("it runs");
    drop(events);
    demo.wait().expect("its end");
    wait_for("all processes have ended", LIMIT, || {
        (!processes.iter().any(|&pid| is_alive(pid))).then_some(())
    });
    wait_for("its directory is gone", LIMIT, || {
        (!directory.exists()).then_some(())
    });
}
